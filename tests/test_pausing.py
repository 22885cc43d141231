"""Switching a token off for a while: what a pause changes, and all that it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import lifecycle
from tokens.models import AccessToken, EventDetail, RevokeKind, TokenEvent
from tokens.models.liveness import is_paused
from tokens.policy import Refused

MINUTE = timedelta(minutes=1)
QUARTER = NOON + 15 * MINUTE


@pytest.fixture
def token(clock: Clock, alice: User) -> AccessToken:
    return issue(alice).token


def pause(token: AccessToken, until: datetime | None = QUARTER, **facts: Any) -> bool:
    return lifecycle.pause(token=token, until=until, origin=origin(token.owner, **facts))


def resume(token: AccessToken, **facts: Any) -> bool:
    return lifecycle.resume(token=token, origin=origin(token.owner, **facts))


def times(token: AccessToken) -> tuple[datetime | None, datetime | None]:
    row = AccessToken.objects.get(pk=token.pk)
    return row.paused_at, row.paused_until


def paused(token: AccessToken, at: datetime) -> bool:
    """Say what the verdict says, and that the list's SQL says the same."""
    row = AccessToken.objects.select_related("owner").get(pk=token.pk)
    said = is_paused(row.liveness(), at)
    assert AccessToken.objects.paused(at).filter(pk=token.pk).exists() is said
    return said


def events() -> list[tuple[str, dict[str, Any]]]:
    kinds = ("token.paused", "token.pause_moved", "token.resumed")
    return list(
        TokenEvent.objects.filter(kind__in=kinds).order_by("id").values_list("kind", "data")
    )


def everything() -> list[Any]:
    return [list(each.objects.order_by("pk").values()) for each in (AccessToken, TokenEvent)]


# --- Pausing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [QUARTER, None])
def test_a_pause_is_two_times_and_one_event(
    token: AccessToken, alice: User, clock: Clock, until: datetime | None
) -> None:
    before = AccessToken.objects.values().get()
    assert pause(token, until)
    after = AccessToken.objects.values().get()
    assert after == before | {"paused_at": NOON, "paused_until": until}
    data = {"since": NOON.isoformat(), "until": until and until.isoformat()}
    assert events() == [("token.paused", data)]
    event = TokenEvent.objects.get(kind="token.paused")
    assert (event.at, event.actor_id, event.owner_id) == (NOON, alice.pk, alice.pk)
    assert EventDetail.objects.get(event_id=event.pk).token_name == token.name


def test_a_pause_is_over_at_its_end_and_nothing_runs_for_it(token: AccessToken) -> None:
    pause(token)
    assert paused(token, NOON)
    assert paused(token, QUARTER - timedelta(microseconds=1))
    assert not paused(token, QUARTER)
    assert len(events()) == 1


def test_a_pause_without_an_end_lasts(token: AccessToken) -> None:
    pause(token, None)
    assert paused(token, NOON + timedelta(days=300))


def test_the_same_pause_again_changes_nothing(token: AccessToken, clock: Clock) -> None:
    for until in (QUARTER, None):
        assert pause(token, until)
        before = everything()
        clock.tick(seconds=5)
        assert not pause(token, until)
        assert everything() == before


@pytest.mark.parametrize(("first", "then"), [(QUARTER, None), (None, QUARTER)])
def test_pausing_again_moves_the_end_and_keeps_the_beginning(
    token: AccessToken, clock: Clock, first: datetime | None, then: datetime | None
) -> None:
    pause(token, first)
    clock.tick(minutes=5)
    assert pause(token, then)
    assert times(token) == (NOON, then)
    data = {"since": NOON.isoformat(), "until": then and then.isoformat()}
    assert events()[1:] == [("token.pause_moved", data)]


def test_a_pause_after_one_that_ran_out_is_a_new_one(token: AccessToken, clock: Clock) -> None:
    pause(token)
    later = clock.tick(minutes=15)
    assert pause(token, later + MINUTE)
    assert times(token) == (later, later + MINUTE)
    assert [kind for kind, _ in events()] == ["token.paused", "token.paused"]


@pytest.mark.parametrize("late", [timedelta(0), timedelta(microseconds=1), timedelta(days=400)])
def test_an_end_that_has_passed_is_refused(
    token: AccessToken, clock: Clock, late: timedelta
) -> None:
    before = everything()
    with pytest.raises(Refused, match="still to come") as refused:
        pause(token, clock.now - late)
    assert (refused.value.field, refused.value.code) == ("until", "pause_over")
    assert everything() == before


def revoked(token: AccessToken) -> None:
    lifecycle.revoke(token=token, origin=origin(token.owner), kind=RevokeKind.OWNER)


def expired(token: AccessToken) -> None:
    AccessToken.objects.update(created_at=NOON - 2 * MINUTE, expires_at=NOON)


def rotated_out(token: AccessToken) -> None:
    AccessToken.objects.update(retire_at=NOON)


ENDS: list[Callable[[AccessToken], None]] = [revoked, expired, rotated_out]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("until", [QUARTER, None])
def test_what_has_ended_is_never_paused(
    token: AccessToken, end: Callable[[AccessToken], None], until: datetime | None
) -> None:
    end(token)
    before = everything()
    assert not pause(token, until)
    assert everything() == before


def test_a_revocation_counts_also_for_a_clock_that_stands_before_it(token: AccessToken) -> None:
    revoked(token)
    assert not pause(token, at=NOON - MINUTE)
    assert times(token) == (None, None)


# --- Resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [QUARTER, None])
def test_resuming_ends_the_pause_with_one_event(
    token: AccessToken, clock: Clock, until: datetime | None
) -> None:
    before = AccessToken.objects.values().get()
    pause(token, until)
    clock.tick(minutes=2)
    assert resume(token)
    assert AccessToken.objects.values().get() == before
    assert events()[1:] == [("token.resumed", {"since": NOON.isoformat()})]
    assert not paused(token, clock.now)


def test_resuming_twice_is_resuming_once(token: AccessToken) -> None:
    pause(token)
    resume(token)
    before = everything()
    assert not resume(token)
    assert everything() == before


def test_what_was_never_paused_or_ran_out_is_not_resumed(token: AccessToken, clock: Clock) -> None:
    assert not resume(token)
    pause(token)
    clock.tick(minutes=15)
    before = everything()
    assert not resume(token)
    assert everything() == before


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_is_never_resumed(
    token: AccessToken, end: Callable[[AccessToken], None]
) -> None:
    pause(token, None)
    end(token)
    before = everything()
    assert not resume(token)
    assert everything() == before


# --- A clock that jumps -------------------------------------------------------------------------


def test_a_clock_set_back_still_resumes(token: AccessToken) -> None:
    pause(token)
    assert resume(token, at=NOON - MINUTE)
    assert times(token) == (None, None)


def test_a_clock_set_back_still_pauses(token: AccessToken) -> None:
    pause(token)
    earlier = NOON - 10 * MINUTE
    assert pause(token, earlier + 5 * MINUTE, at=earlier)
    assert times(token) == (earlier, earlier + 5 * MINUTE)
    assert paused(token, earlier)


def test_a_clock_that_leaps_ahead_finds_the_pause_over_and_back_again_on(
    token: AccessToken,
) -> None:
    pause(token)
    assert not paused(token, NOON + timedelta(days=1))
    assert paused(token, NOON + MINUTE)
