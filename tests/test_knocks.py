"""Who still presents a token that is paused or has ended: counted, capped, told once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, make_user, origin
from tests.journeys.watch import pieces
from tokens import authentication, lifecycle, mailer, notices, usage
from tokens.authentication import Forbidden, Unauthenticated
from tokens.lifecycle import Issued
from tokens.models import (
    AccessToken,
    MailPreference,
    Notice,
    RevokeKind,
    TokenActivity,
    TokenConsumer,
    TokenUse,
)
from tokens.origin import Consumer
from tokens.secret import mint
from tokens.usage import flushing

HOME, CI = "203.0.113.9", "198.51.100.4"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def issued(clock: Clock, alice: User) -> Issued:
    return issue(alice, "old-thinkpad")


def call(
    issued: Issued,
    address: str = HOME,
    agent: str = "curl/8.9.1",
    *,
    at: datetime | None = None,
    name: str = "",
) -> str:
    """Present the token as a client does; return the code of the answer, or "" for a yes."""
    request = authentication.Request(
        f"Bearer {issued.plaintext.reveal()}", address, agent, name, at or timezone.now(), "r"
    )
    try:
        authentication.authenticate(request)
    except (Unauthenticated, Forbidden) as refused:
        return refused.code
    return ""


def revoke(issued: Issued) -> None:
    lifecycle.revoke(token=issued.token, origin=origin(issued.token.owner))


def pause(issued: Issued, until: datetime | None = None) -> datetime:
    who = origin(issued.token.owner)
    lifecycle.pause(token=issued.token, until=until, origin=who)
    return who.at


def wants(owner: User, wanted: bool = True) -> None:
    MailPreference.objects.create(owner=owner, kind=notices.Kind.TOKEN_KNOCKED, wanted=wanted)


def owed() -> list[Notice]:
    return list(Notice.objects.filter(kind=notices.Kind.TOKEN_KNOCKED))


# --- While it is paused -------------------------------------------------------------------------


def test_a_pause_tells_who_knocked_meanwhile(issued: Issued, clock: Clock) -> None:
    call(issued, HOME)
    clock.tick(minutes=1)
    since = pause(issued)
    for _ in range(12):
        assert call(issued, HOME) == "token_paused"
    clock.tick(minutes=5)
    call(issued, CI, "node")
    usage.flush()
    found = usage.during_pause(issued.token.pk, since)
    assert (found.times, found.places, found.consumers, found.unlisted) == (13, 2, 2, 0)
    newest, known = found.knockers
    assert (newest.place, newest.client, newest.times) == ("198.51.100.0/24", "Node.js client", 1)
    assert (newest.last_at, newest.is_new) == (clock.now, True)
    assert (known.place, known.times, known.is_new) == ("203.0.113.0/24", 12, False)
    assert found.latest == newest


def test_the_first_knock_at_a_paused_token_shows_at_once_and_then_one_a_minute(
    issued: Issued, clock: Clock
) -> None:
    since = pause(issued)
    call(issued, HOME)
    assert usage.during_pause(issued.token.pk, since).times == 1
    for number in range(20):
        call(issued, f"192.0.{number}.1")
    assert usage.during_pause(issued.token.pk, since).times == 1
    clock.tick(minutes=1)
    call(issued, CI)
    assert usage.during_pause(issued.token.pk, since).times == 2
    usage.flush()
    assert usage.during_pause(issued.token.pk, since).times == 22


def test_each_pause_has_its_own_knocks(issued: Issued, clock: Clock) -> None:
    first = pause(issued)
    call(issued, HOME)
    call(issued, CI)
    clock.tick(minutes=2)
    lifecycle.resume(token=issued.token, origin=origin())
    clock.tick(minutes=2)
    second = pause(issued)
    call(issued, HOME)
    usage.flush()
    assert usage.during_pause(issued.token.pk, first).times == 2
    assert usage.during_pause(issued.token.pk, second).times == 1
    both = usage.knocks_of(issued.token.pk)
    assert {mark: found.places for mark, found in both.items()} == {
        usage.mark_of_pause(first): 2,
        usage.mark_of_pause(second): 1,
    }


def test_a_longer_pause_keeps_the_knocks_it_has(issued: Issued, clock: Clock) -> None:
    since = pause(issued, clock.now + 5 * MINUTE)
    call(issued, HOME)
    clock.tick(minutes=4)
    pause(issued, clock.now + 60 * MINUTE)
    call(issued, HOME)
    usage.flush()
    assert usage.during_pause(issued.token.pk, since).times == 2


def test_when_a_pause_runs_out_the_next_request_is_a_use(issued: Issued, clock: Clock) -> None:
    since = pause(issued, clock.now + 5 * MINUTE)
    assert call(issued) == "token_paused"
    clock.tick(minutes=5)
    assert call(issued) == ""
    usage.flush()
    assert usage.during_pause(issued.token.pk, since).times == 1
    assert TokenConsumer.objects.get().count == 1


# --- After the end ------------------------------------------------------------------------------


def test_an_ended_token_tells_who_still_tries_it(issued: Issued, clock: Clock) -> None:
    call(issued, HOME)
    revoke(issued)
    for _ in range(409):
        assert call(issued, HOME) == "token_revoked"
    clock.tick(minutes=30)
    call(issued, CI, "node")
    usage.flush()
    found = usage.after_end(issued.token.pk)
    assert (found.times, found.places) == (410, 2)
    assert (found.latest.place, found.latest.is_new) == ("198.51.100.0/24", True)
    assert (found.latest.last_at, found.knockers[1].is_new) == (clock.now, False)


def test_an_afterlife_is_summed_over_days(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    for _ in range(3):
        call(issued)
        clock.tick(days=1)
    usage.flush()
    found = usage.after_end(issued.token.pk)
    assert (found.times, found.consumers) == (3, 1)
    assert found.latest.last_at == clock.now - timedelta(days=1)


def test_nobody_who_knocks_is_nothing(issued: Issued) -> None:
    found = usage.after_end(issued.token.pk)
    assert (found.times, found.places, found.knockers) == (0, 0, ())


def test_a_knock_is_never_a_use(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    call(issued)
    usage.flush()
    assert not TokenActivity.objects.exists()
    assert not TokenConsumer.objects.exists()
    assert AccessToken.objects.get().first_used_at is None


def test_only_eight_consumers_of_an_ended_token_are_told_apart(
    issued: Issued, clock: Clock
) -> None:
    revoke(issued)
    for number in range(40):
        call(issued, f"192.0.{number}.1")
    usage.flush()
    rows = TokenUse.objects.filter(scope=usage.ENDED)
    assert rows.count() == 9
    assert rows.get(network="others").refused == 32
    assert usage.after_end(issued.token.pk).times == 40


def test_what_used_the_token_that_day_takes_no_place_from_those_who_knock(
    issued: Issued, clock: Clock
) -> None:
    for number in range(20):
        call(issued, f"192.0.{number}.1")
    revoke(issued)
    for number in range(20):
        call(issued, f"192.0.{number}.1")
    usage.forget_gathered()
    for number in range(12):
        call(issued, f"192.0.{number}.1")
    usage.flush()
    rows = TokenUse.objects.filter(scope=usage.ENDED)
    assert rows.count() == 9
    assert rows.get(network="others").refused == 4


def test_another_process_keeps_to_the_same_eight(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    for start in (0, 8):
        for number in range(start, start + 8):
            call(issued, f"192.0.{number}.1")
        usage.flush()
        usage.forget_gathered()
    assert TokenUse.objects.filter(scope=usage.ENDED).count() == 9


def test_more_knockers_than_a_page_lists_are_counted(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    for day in range(2):
        for number in range(8):
            call(issued, f"192.{day}.{number}.1")
        clock.tick(days=1)
    usage.flush()
    found = usage.after_end(issued.token.pk)
    assert (found.consumers, len(found.knockers), found.unlisted) == (16, 8, 8)


# --- What it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [revoke, pause])
def test_however_many_knock_within_a_minute_nothing_more_is_written(
    issued: Issued, clock: Clock, stop: Callable[[Issued], Any]
) -> None:
    stop(issued)
    call(issued)
    with CaptureQueriesContext(connection) as queries:
        for number in range(300):
            call(issued, f"192.0.{number % 250}.1", name=f"job-{number}")
    assert {query["sql"].split(None, 1)[0].upper() for query in queries} == {"SELECT"}
    assert len(queries) == 300
    assert len(flushing.flusher.gathered.tallies) <= 33


def test_nothing_but_the_whole_secret_is_counted(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    value = issued.plaintext.reveal()
    for wrong in (value[:-1], value + "0", value.upper(), mint().reveal(), "sk_pat_", ""):
        request = authentication.Request(f"Bearer {wrong}", HOME, "curl", "", clock.now, "r")
        with pytest.raises(Unauthenticated):
            authentication.authenticate(request)
    assert not flushing.flusher.gathered.tallies
    usage.flush()
    assert not TokenUse.objects.exists()


def test_a_clock_set_back_silences_nobody(issued: Issued, clock: Clock) -> None:
    pause(issued, NOON + timedelta(days=3))
    call(issued, HOME, at=clock.now + timedelta(days=2))
    call(issued, CI, at=clock.now)
    assert TokenUse.objects.count() == 2


def test_what_remembers_the_last_minute_is_let_go(issued: Issued, clock: Clock) -> None:
    pause(issued)
    call(issued)
    usage.flush()
    assert flushing.flusher.gathered.knocked
    clock.tick(days=1)
    usage.flush()
    assert not flushing.flusher.gathered.knocked


def test_no_row_holds_a_part_of_the_value(issued: Issued, clock: Clock, alice: User) -> None:
    wants(alice)
    revoke(issued)
    call(issued, name=f"job {issued.plaintext.reveal()}")
    usage.flush()
    stored = str([list(each.objects.values()) for each in (TokenUse, Notice)])
    assert not [piece for piece in pieces(issued.plaintext.reveal()) if piece in stored]


# --- The one mail -------------------------------------------------------------------------------


def test_the_mail_is_off_until_somebody_asks_for_it(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    call(issued)
    usage.flush()
    assert not owed()


@pytest.mark.parametrize("wanted", [True, False])
def test_what_a_person_said_holds(issued: Issued, clock: Clock, alice: User, wanted: bool) -> None:
    wants(alice, wanted)
    revoke(issued)
    call(issued)
    usage.flush()
    assert len(owed()) == wanted


def test_anothers_wish_is_not_alices(issued: Issued, clock: Clock, bob: User) -> None:
    wants(bob)
    revoke(issued)
    call(issued)
    usage.flush()
    assert not owed()


def test_the_first_knock_owes_one_mail_and_the_request_does_not_wait_for_it(
    issued: Issued, clock: Clock, alice: User
) -> None:
    wants(alice)
    revoke(issued)
    call(issued)
    assert not owed()
    usage.flush()
    (notice,) = owed()
    assert (notice.owner, notice.token, notice.due_at) == (alice, issued.token, clock.now)
    for _ in range(3):
        clock.tick(days=1)
        call(issued, CI)
        usage.flush()
    assert len(owed()) == 1


def test_each_token_has_its_own_mail(issued: Issued, clock: Clock, alice: User) -> None:
    wants(alice)
    other = issue(alice, "other")
    for each in (issued, other):
        revoke(each)
        call(each)
    usage.flush()
    assert {notice.token for notice in owed()} == {issued.token, other.token}


def test_a_paused_token_owes_none(issued: Issued, clock: Clock, alice: User) -> None:
    wants(alice)
    pause(issued)
    call(issued)
    usage.flush()
    assert not owed()


def test_what_is_expected_is_not_told(issued: Issued, clock: Clock, alice: User) -> None:
    wants(alice)
    usage.mute(token_id=issued.token.pk, scope=usage.ENDED, at=clock.now)
    revoke(issued)
    call(issued)
    usage.flush()
    assert not owed()
    found = usage.after_end(issued.token.pk)
    assert (found.times, found.is_muted) == (1, True)


def test_a_mail_that_cannot_be_owed_now_is_owed_with_the_next_knock(
    issued: Issued, clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(token_ids: set[int]) -> None:
        raise OperationalError("database is locked")

    wants(alice)
    revoke(issued)
    with monkeypatch.context() as patch:
        patch.setattr(flushing, "tell_owners", busy)
        call(issued)
        usage.flush()
    assert (usage.after_end(issued.token.pk).times, owed()) == (1, [])
    call(issued)
    usage.flush()
    assert len(owed()) == 1


@pytest.mark.parametrize("kind", [RevokeKind.OWNER, RevokeKind.ROTATED])
def test_the_mail_says_what_where_and_what_to_do(
    issued: Issued,
    clock: Clock,
    alice: User,
    kind: RevokeKind,
    django_capture_on_commit_callbacks: Any,
) -> None:
    wants(alice)
    lifecycle.revoke(token=issued.token, origin=origin(alice), kind=kind)
    clock.tick(hours=1)
    call(issued, CI, "node")
    with django_capture_on_commit_callbacks(execute=True):
        usage.flush()
    (message,) = [each for each in mail.outbox if "still tried" in each.subject]
    html = str(message.alternatives[0].content)  # type: ignore[attr-defined]
    assert message.to == [alice.email]
    assert message.subject == "old-thinkpad is still tried"
    for text in (str(message.body), html):
        assert "It was revoked on 23 November 2026, 12:00 UTC." in text
        assert "every try gets 401" in text
        assert "23 November 2026, 13:00 UTC" in text
        assert "198.51.100.0/24, Node.js client" in text
        assert f"/settings/tokens/{issued.token.public_id}" in text
        assert not [piece for piece in pieces(issued.plaintext.reveal()) if piece in text]
    assert mailer.deliver_due() == (0, 0)


def test_an_expired_token_is_said_to_have_ended(clock: Clock, db: None) -> None:
    dora = make_user("dora@example.com")
    wants(dora)
    token = issue(dora, "poc", expires_at=clock.now + timedelta(hours=2))
    clock.tick(hours=3)
    assert call(token) == "token_expired"
    usage.flush()
    (notice,) = Notice.objects.select_related("owner", "token").filter(
        kind=notices.Kind.TOKEN_KNOCKED
    )
    assert "It ended on 23 November 2026, 14:00 UTC." in str(mailer.message(notice).body)


def test_the_owner_of_many_knocked_tokens_costs_a_bounded_number_of_queries(
    clock: Clock, alice: User, django_assert_max_num_queries: Any
) -> None:
    every = [issue(alice, f"t{number}") for number in range(20)]
    for each in every:
        revoke(each)
        call(each)
    # Nobody asked for the mail, so one question answers for all of them.
    with django_assert_max_num_queries(10):
        usage.flush()
    assert TokenUse.objects.filter(scope=usage.ENDED).count() == 20


def test_a_line_named_by_a_service_is_a_place_of_its_own(issued: Issued, clock: Clock) -> None:
    revoke(issued)
    usage.knock(
        token_id=issued.token.pk,
        mark=usage.ENDED,
        consumer=Consumer(network="", client="", service="gateway"),
        at=clock.now,
    )
    usage.flush()
    assert usage.after_end(issued.token.pk).latest.place == "gateway"
