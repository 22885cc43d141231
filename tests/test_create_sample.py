from __future__ import annotations

import re
from collections import Counter
from io import StringIO
from types import SimpleNamespace

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock
from tokens import secret
from tokens.lifecycle import Issued
from tokens.management.commands import create_sample
from tokens.models import AccessToken, TokenConsumer, TokenEvent, TokenUse
from tokens.models.status import Status, status_of

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
        Status.ACTIVE: 2,
        Status.EXPIRING_SOON: 1,
        Status.UNUSED: 1,
        Status.NEVER_USED: 1,
        Status.EXPIRED: 1,
        Status.REVOKED: 2,
    }
    kinds = AccessToken.objects.exclude(revoke_kind="").values_list("revoke_kind", flat=True)
    assert sorted(kinds) == ["owner", "self"]


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


def test_events_stand_in_the_order_of_time_and_use_is_counted(clock: Clock) -> None:
    create()
    times = list(TokenEvent.objects.order_by("id").values_list("at", flat=True))
    assert times == sorted(times)
    assert times[-1] <= clock.now
    uses = sum(len(sample.uses) for sample in create_sample.SAMPLES)
    assert sum(TokenUse.objects.values_list("allowed", flat=True)) == uses
    assert sum(TokenConsumer.objects.values_list("count", flat=True)) == uses
    used = {sample.name for sample in create_sample.SAMPLES if sample.uses}
    assert {row.name for row in samples().values() if row.first_used_at} == used


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
