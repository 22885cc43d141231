"""The effect of a policy among so many tokens that whoever waits sees how far the counting is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from skytells_console.models import User
from tests.admin.conftest import POLICY, Signer
from tests.admin.test_policy import DAY, PAGE, STRICT, typed
from tests.cast import Clock, issue
from tests.views.test_listing import use
from tokens import policy_change
from tokens.models import AccessToken, Policy
from tokens.policy_change import Draft, Effect
from tokens.reminders import unused

pytestmark = pytest.mark.usefixtures("clock")
PERCENT = re.compile(rb"Counting what breaks these rules: (\d+) %")
DRAFT = Draft(
    max_lifetime_days=60,
    no_expiration_allowed=False,
    allowed_networks="192.0.2.0/24",
    max_live_tokens=2,
)


@pytest.fixture
def held(alice: User, bob: User, clock: Clock) -> list[AccessToken]:
    """Five tokens of two people, of which each rule finds some."""
    made = [
        issue(alice, "fits").token,
        issue(bob, "long", expires_at=clock.now + 90 * DAY).token,
        issue(alice, "old", at=clock.now - 80 * DAY, expires_at=clock.now + DAY).token,
        issue(bob, "endless", expires_at=None).token,
        issue(alice, "endless", expires_at=None).token,
    ]
    use(made[1], clock.now, "203.0.113.40")
    return made


@pytest.fixture
def in_stretches() -> Iterator[None]:
    """Let each statement of a count cover one id, as if there were many."""
    with mock.patch("tokens.policy_change.effect.STRETCH", 1):
        yield


def counted(clock: Clock) -> tuple[list[float], Effect]:
    count = policy_change.Counting(DRAFT.rules(), clock.now, clock.now - DAY, 60)
    return list(count), count.effect


@pytest.mark.parametrize("ids", [1, 2, 3])
def test_counted_in_stretches_the_numbers_are_the_same(
    held: list[AccessToken], clock: Clock, ids: int
) -> None:
    at_once = policy_change.effect(DRAFT.rules(), clock.now, clock.now - DAY, 60)
    assert not policy_change.takes_long()
    with mock.patch("tokens.policy_change.effect.STRETCH", ids):
        assert policy_change.takes_long()
        parts, effect = counted(clock)
    assert effect == at_once
    assert (effect.total.tokens, effect.total.people, effect.total.used) == (4, 2, 1)
    assert (effect.live, effect.idle, effect.full) == (5, 1, 2)
    assert effect.elsewhere == policy_change.Elsewhere(1, frozenset({held[1].owner_id}))
    assert parts == sorted(set(parts))
    assert len(parts) >= 6
    assert parts[-1] == 1


@pytest.mark.usefixtures("in_stretches")
def test_there_are_never_more_stretches_than_statements_are_worth(
    held: list[AccessToken], clock: Clock
) -> None:
    with mock.patch("tokens.policy_change.effect._MOST_STRETCHES", 2):
        parts, effect = counted(clock)
    # Two passes through the tokens, and today's use, the pairs and the networks.
    assert len(parts) == 2 * 2 + 3
    assert effect.live == 5


def test_what_is_unused_is_what_the_command_would_come_to(
    held: list[AccessToken], alice: User, clock: Clock
) -> None:
    since = clock.now - 60 * DAY
    for name, made, used in (
        ("used since", -70 * DAY, DAY),
        ("used at that moment", -70 * DAY, timedelta(0)),
        ("used before", -70 * DAY, -DAY),
        ("made at that moment, never used", timedelta(0), None),
        ("made after, by a clock that was ahead of its use", DAY, -DAY),
        ("made after, used", DAY, 2 * DAY),
    ):
        at = since + made
        token = issue(alice, name, at=at, expires_at=clock.now + DAY).token
        if used is not None:
            use(token, since + used, "203.0.113.40")
    # Warned of seven days before, of whom the policy would end after 67.
    come_to = unused.to_warn(clock.now, after=67 * DAY, warning=7 * DAY)
    for ids in (1, 100_000):
        with mock.patch("tokens.policy_change.effect.STRETCH", ids):
            effect = policy_change.effect(DRAFT.rules(), clock.now, clock.now - DAY, 60)
        assert effect.idle == come_to.count() == 5


def chunks(answer: Any) -> list[bytes]:
    assert answer.streaming
    return list(answer.streaming_content)


@pytest.mark.usefixtures("in_stretches")
def test_the_page_begins_at_once_and_tells_how_far_it_is(
    held: list[AccessToken], as_carol: Signer
) -> None:
    answer: Any = as_carol(POLICY).post(PAGE, typed(**STRICT))
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert "default-src" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store, private"
    head, *lines, rest = chunks(answer)
    assert b"<title>Token policy" in head
    assert b"<form method" not in head.split(b'class="counting"')[1]
    shown = [int(PERCENT.findall(line)[0]) for line in lines]
    assert shown == sorted(shown)
    assert shown[-1] == 100
    whole = head + rest
    assert whole.count(b'name="seen"') == whole.count(b"</html>") == 1
    sentence = (
        "This would put 4 tokens of 2 people out of policy; 1 of these tokens was used today."
    )
    assert sentence in rest.decode()


@pytest.mark.usefixtures("in_stretches")
def test_what_was_counted_in_stretches_can_be_saved(
    held: list[AccessToken], as_carol: Signer
) -> None:
    client = as_carol(POLICY)
    rest = chunks(client.post(PAGE, typed(**STRICT)))[-1].decode()
    [seen] = re.findall(r'name="seen" value="(\w+)"', rest)
    answer = client.post(PAGE, typed(**STRICT, seen=seen, save="1"))
    assert answer.status_code == 303
    assert Policy.objects.get().max_lifetime_days == 60


@pytest.mark.usefixtures("in_stretches")
def test_the_rest_is_drawn_in_the_zone_of_who_asked(
    held: list[AccessToken], as_carol: Signer, carol: User, clock: Clock
) -> None:
    Policy.objects.create(created_at=clock.now)
    User.objects.filter(pk=carol.pk).update(time_zone="Asia/Kolkata")
    answer = as_carol(POLICY).post(PAGE, typed(**STRICT))
    assert "17:30 IST" in chunks(answer)[-1].decode().split("History")[1]


@pytest.mark.usefixtures("in_stretches")
@pytest.mark.parametrize("fault", [OperationalError, InterfaceError])
def test_a_database_that_breaks_off_is_told_and_nothing_typed_is_lost(
    held: list[AccessToken], as_carol: Signer, fault: type[Exception]
) -> None:
    client = as_carol(POLICY)
    gone = False

    def break_off(*_asked: Any) -> None:
        nonlocal gone
        gone = True
        raise fault

    def ask(execute: Any, *statement: Any) -> Any:
        if gone:
            raise fault
        return execute(*statement)

    with (
        mock.patch("tokens.policy_change.effect._elsewhere", break_off),
        connection.execute_wrapper(ask),
    ):
        rest = chunks(client.post(PAGE, typed(**STRICT, allowed_networks="192.0.2.0/24")))[-1]
    page = rest.decode()
    assert "The database did not answer while it counted. Nothing is saved; preview again." in page
    assert 'name="max_lifetime_days" value="60"' in page
    assert "192.0.2.0/24" in page
    assert 'name="save"' not in page


@pytest.mark.usefixtures("in_stretches")
def test_what_cannot_be_read_is_answered_whole(as_carol: Signer, held: list[AccessToken]) -> None:
    answer = as_carol(POLICY).post(PAGE, typed(max_lifetime_days="none"))
    assert not answer.streaming
    assert answer.status_code == 422


@pytest.mark.usefixtures("in_stretches")
def test_only_who_may_change_the_policy_has_anything_counted(
    as_carol: Signer, bob: User, held: list[AccessToken]
) -> None:
    with mock.patch("tokens.policy_change.Counting") as counting:
        assert as_carol().post(PAGE, typed(**STRICT)).status_code == 403
        assert Client().post(PAGE, typed(**STRICT)).status_code == 302
    assert not counting.called
