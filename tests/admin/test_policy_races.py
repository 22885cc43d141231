"""Two admins who save at once, each on a connection of their own: one wins, the other is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection

from skytells_console.models import User
from tests.cast import origin
from tests.threads import MEETING, together
from tokens import policy_change
from tokens.models import Policy, TokenEvent
from tokens.policy_change import Draft, Overtaken

pytestmark = pytest.mark.django_db(transaction=True)


def meeting_before_insert(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls together; none adds a version before all have read the one in force."""
    barrier = threading.Barrier(len(calls))

    def meet(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('INSERT INTO "tokens_policy"'):
            # Where a lock keeps the other from coming so far, there is nobody to meet.
            with suppress(threading.BrokenBarrierError):
                barrier.wait(MEETING)
        return execute(sql, *rest)

    def interleaved(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with connection.execute_wrapper(meet):
                return call()

        return run

    return together(*(interleaved(call) for call in calls))


def saving(carol: User, days: int, after: int) -> Callable[[], bool]:
    draft = Draft(max_lifetime_days=days)
    return lambda: policy_change.save(draft, after=after, origin=origin(carol))


def names(outcomes: list[Any]) -> list[str]:
    return sorted(type(each).__name__ if each is not True else "saved" for each in outcomes)


@pytest.mark.parametrize("versions", [0, 1], ids=["the first version", "a later version"])
def test_of_two_who_began_with_the_same_version_one_wins(carol: User, versions: int) -> None:
    if versions:
        saving(carol, 90, 0)()
    after = policy_change.current()[0]
    outcomes = meeting_before_insert(saving(carol, 30, after), saving(carol, 60, after))
    assert names(outcomes) == [Overtaken.__name__, "saved"]
    assert Policy.objects.count() == versions + 1
    assert TokenEvent.objects.filter(kind="policy.changed").count() == versions + 1


def test_of_two_who_want_the_same_both_are_content_and_one_version_is_made(carol: User) -> None:
    outcomes = meeting_before_insert(saving(carol, 30, 0), saving(carol, 30, 0))
    assert sorted(outcomes) == [False, True]
    assert Policy.objects.count() == 1
