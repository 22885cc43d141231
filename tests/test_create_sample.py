from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from io import StringIO
from types import SimpleNamespace

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock
from tokens import insight, secret, usage
from tokens.insight.moves import Standing, moves
from tokens.lifecycle import Issued
from tokens.management.commands import create_sample
from tokens.models import AccessToken, Notice, TokenConsumer, TokenEvent, TokenUse
from tokens.models.rotation import Step, rotation_of
from tokens.models.status import Status, status_of
from tokens.usage import flushing

pytestmark = pytest.mark.django_db


def create(**options: str) -> str:
    printed = StringIO()
    call_command("create_sample", stdout=printed, **options)
    return printed.getvalue()


def samples() -> dict[str, AccessToken]:
    rows = AccessToken.objects.select_related("owner", "activity")
    return {row.name: row for row in rows}


def test_there_is_a_token_in_every_state_the_lifecycle_can_make(clock: Clock) -> None:
    create()
    shown = Counter(
        status_of(
            row.liveness(), getattr(getattr(row, "activity", None), "last_used_at", None), clock.now
        )
        for row in samples().values()
    )
    assert shown == {
        Status.ACTIVE: 3,
        Status.EXPIRING_SOON: 1,
        Status.UNUSED: 1,
        Status.NEVER_USED: 1,
        Status.PAUSED: 1,
        Status.EXPIRED: 1,
        Status.REVOKED: 2,
    }
    kinds = AccessToken.objects.exclude(revoke_kind="").values_list("revoke_kind", flat=True)
    assert sorted(kinds) == ["owner", "self"]


def test_one_token_is_in_the_middle_of_a_rotation(clock: Clock) -> None:
    create()
    old = AccessToken.objects.get(name="gitlab-release", generation=1)
    rotation = rotation_of(old.pk, clock.now)
    assert rotation is not None
    assert rotation.step is Step.REVOKE
    moved = {each.standing for each in moves(old.pk, rotation.replacement.pk, clock.now)}
    assert moved == {Standing.ON_THE_OLD, Standing.MOVED}


def test_the_facts_are_those_of_the_picture(clock: Clock) -> None:
    create()
    rows = samples()
    deploy, notebook = rows["github-actions-deploy"], rows["notebook-experiments"]
    assert deploy.activity.address == "198.51.100.24"
    assert (clock.now - deploy.activity.last_used_at).total_seconds() == 26 * 60
    assert (deploy.expires_at - clock.now).days == 5
    assert deploy.scopes == "projects.read deployments.read deployments.write"
    assert (notebook.scopes, notebook.expires_at) == ("inference", None)
    assert (clock.now - notebook.activity.last_used_at).days == 118


def test_a_paused_token_and_an_ended_one_are_knocked_at(clock: Clock) -> None:
    create()
    paused, ended = samples()["log-shipper"], samples()["old-thinkpad"]
    assert paused.paused_at is not None
    during = usage.during_pause(paused.pk, paused.paused_at)
    assert (during.times, during.places) == (16, 3)
    assert [knocker.is_new for knocker in during.knockers] == [False, False, True]
    after = usage.after_end(ended.pk)
    assert (after.times, after.places) == (412, 2)
    assert after.latest.last_at == clock.now - timedelta(minutes=6)
    assert not Notice.objects.exists()


def test_events_stand_in_the_order_of_time_and_use_is_counted(clock: Clock) -> None:
    create()
    times = list(TokenEvent.objects.order_by("id").values_list("at", flat=True))
    assert times == sorted(times)
    assert times[-1] <= clock.now
    told = [use for each in create_sample.SAMPLES for use in (*each.uses, *each.moved)]
    uses = sum(use.times for use in told if use.allowed)
    assert sum(TokenUse.objects.values_list("allowed", flat=True)) == uses
    assert sum(TokenConsumer.objects.values_list("count", flat=True)) == uses
    used = {sample.name for sample in create_sample.SAMPLES if sample.uses}
    assert {row.name for row in samples().values() if row.first_used_at} == used


def test_one_sample_shows_all_that_can_be_told_of_use(clock: Clock) -> None:
    create()
    token = samples()["ops-runner"]
    hourly, daily, monthly, late = (
        next(place for place in insight.places(token.pk, clock.now) if place.title == network)
        for network in ("203.0.113.0/24", "192.0.2.0/24", "198.51.100.0/24", "198.18.20.0/24")
    )
    assert (hourly.job, daily.job, monthly.job, late.late) == ("", "", "Monthly job", True)
    assert daily.usual_gap == timedelta(days=1)
    found = {each.scope: each.muted_at for each in insight.refused(token, clock.now)}
    assert found == {"deployments.write": None, "keys.read": clock.now - timedelta(days=13)}
    runner = insight.places(samples()["github-actions-deploy"].pk, clock.now)
    assert [place.title for place in runner] == ["198.51.100.0/24", "hosted CI, 6 networks"]


def test_use_is_complete_where_a_thread_would_write_it(settings: SimpleNamespace) -> None:
    settings.USE_FLUSH_SECONDS = 60
    create()
    told = [use for each in create_sample.SAMPLES for use in (*each.uses, *each.moved)]
    uses = sum(use.times for use in told if use.allowed)
    assert sum(TokenUse.objects.values_list("allowed", flat=True)) == uses
    assert flushing.flusher.thread is None


def test_one_can_sign_in_with_what_is_printed(client: Client) -> None:
    printed = create(email=" Maya@Example.com ")
    password = re.search(r"^Password: (\S+)$", printed, re.MULTILINE)
    assert password is not None
    answer = client.post("/account/sign-in", {"login": "maya@example.com", "password": password[1]})
    assert answer.status_code == 302
    address = EmailAddress.objects.get(user__email="maya@example.com")
    assert (address.verified, address.primary) == (True, True)


def test_the_second_time_it_changes_nothing_and_says_so() -> None:
    create()
    before = list(AccessToken.objects.order_by("id").values())
    events = TokenEvent.objects.count()
    printed = create(email="SAMPLE@example.com")
    assert "already; nothing was changed" in printed
    assert "Password" not in printed
    assert list(AccessToken.objects.order_by("id").values()) == before
    assert (User.objects.count(), TokenEvent.objects.count()) == (1, events)


def test_no_value_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    minted = []
    issue = create_sample.lifecycle.issue

    def remembering(**facts: object) -> Issued:
        issued = issue(**facts)
        minted.append(issued.plaintext.reveal())
        return issued

    monkeypatch.setattr(create_sample.lifecycle, "issue", remembering)
    printed = create()
    assert len(minted) == len(create_sample.SAMPLES)
    assert not secret.contains_token(printed)
    for value in minted:
        pieces = {value[start : start + 12] for start in range(7, len(value) - 11)}
        assert not any(piece in printed for piece in pieces)


def test_a_rule_of_the_console_that_forbids_a_sample_leaves_nothing_behind(
    settings: SimpleNamespace,
) -> None:
    settings.TOKENS_ALLOW_NO_EXPIRATION = False
    with pytest.raises(CommandError, match="asks for an expiration"):
        create()
    assert not User.objects.exists()
    assert not AccessToken.objects.exists()


def test_it_refuses_an_address_that_is_none() -> None:
    with pytest.raises(CommandError, match="valid email"):
        create(email="nobody")
    assert not User.objects.exists()
