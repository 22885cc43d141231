"""Where each place of an old token stands during a rotation; as a table, one line a story."""

from __future__ import annotations

from datetime import timedelta

import pytest

from skytells_console.models import User
from tests.cast import NOON, Clock, issue
from tokens import usage
from tokens.insight.moves import Standing, moves
from tokens.models import AccessToken
from tokens.origin import Consumer

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY_TEN = [MINUTE * each for each in (65, 55, 45, 35, 25)]
MONTHLY = [DAY * each for each in (138, 108, 78, 48, 18)]


@pytest.fixture
def pair(clock: Clock, alice: User) -> tuple[AccessToken, AccessToken]:
    return issue(alice, "old").token, issue(alice, "new").token


def call(token: AccessToken, ago: timedelta, network: str = "10.0.0.0/24", name: str = "") -> None:
    usage.record(
        token_id=token.pk,
        scope="projects.read",
        consumer=Consumer(network=network, client="curl", name=name),
        address=None,
        at=NOON - ago,
    )
    usage.flush()
    usage.forget_gathered()


def standings(old: AccessToken, new: AccessToken) -> list[Standing]:
    return [move.standing for move in moves(old.pk, new.pk, NOON)]


@pytest.mark.parametrize(
    ("on_old", "on_new", "standing"),
    [
        ([MINUTE], [], Standing.ON_THE_OLD),
        ([20 * MINUTE], [10 * MINUTE], Standing.MOVED),
        ([20 * MINUTE, 5 * MINUTE], [10 * MINUTE], Standing.ON_THE_OLD),
        ([20 * HOUR], [], Standing.ON_THE_OLD),
        ([25 * HOUR], [], Standing.SILENT),
        (EVERY_TEN, [], Standing.ON_THE_OLD),
        ([each + HOUR for each in EVERY_TEN], [], Standing.SILENT),
        (MONTHLY, [], Standing.TO_COME),
        (MONTHLY, [HOUR], Standing.MOVED),
        ([each + 100 * DAY for each in MONTHLY], [], Standing.SILENT),
    ],
)
def test_a_place_stands_where_its_last_calls_put_it(
    pair: tuple[AccessToken, AccessToken],
    on_old: list[timedelta],
    on_new: list[timedelta],
    standing: Standing,
) -> None:
    old, new = pair
    for ago in on_old:
        call(old, ago)
    for ago in on_new:
        call(new, ago)
    assert standings(old, new) == [standing]


def test_two_consumers_on_one_network_move_one_by_one(
    pair: tuple[AccessToken, AccessToken],
) -> None:
    old, new = pair
    for name in ("ci/web", "ci/api"):
        call(old, HOUR, name=name)
    call(new, MINUTE, name="ci/web")
    found = {move.place.name: move.standing for move in moves(old.pk, new.pk, NOON)}
    assert found == {"ci/web": Standing.MOVED, "ci/api": Standing.ON_THE_OLD}


def test_hosted_runners_have_moved_when_one_of_their_kind_has(
    pair: tuple[AccessToken, AccessToken],
) -> None:
    old, new = pair
    for number in range(6):
        call(old, HOUR * (number + 1), network=f"10.0.{number}.0/24")
    assert standings(old, new) == [Standing.ON_THE_OLD]
    call(new, MINUTE, network="10.0.99.0/24")
    assert standings(old, new) == [Standing.MOVED]


def test_what_never_used_the_old_token_is_nobodys_move(
    pair: tuple[AccessToken, AccessToken],
) -> None:
    old, new = pair
    call(new, MINUTE)
    assert standings(old, new) == []
