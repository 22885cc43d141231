"""Two people, two terminals and two clicks at the same instant, with connections of their own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue, origin
from tests.device import approve, deny, redeem, row, start
from tests.threads import before_update, meeting_before_update, together
from tokens import device_flow, lifecycle
from tokens.device_flow import Miss, Redemption, Reply, Started, TooManyStarts, deciding, grants
from tokens.models import AccessToken, DeviceGrant, TokenEvent

pytestmark = pytest.mark.django_db(transaction=True)
GRANTS, TOKENS = "tokens_devicegrant", "tokens_accesstoken"
ROUNDS = 4


@pytest.fixture
def started(db: None) -> Started:
    return start()


def kinds() -> Counter[str]:
    return Counter(TokenEvent.objects.values_list("kind", flat=True))


def replies(outcomes: list[Any]) -> Counter[Any]:
    return Counter(each.reply if isinstance(each, Redemption) else each for each in outcomes)


def approve_twice(started: Started, alice: User, bob: User) -> list[Any]:
    return meeting_before_update(
        GRANTS, lambda: approve(started, alice), lambda: approve(started, bob)
    )


def approve_against_deny(started: Started, alice: User, bob: User) -> list[Any]:
    return meeting_before_update(
        GRANTS, lambda: approve(started, alice), lambda: deny(started, bob)
    )


def test_of_two_approvals_one_holds(started: Started, alice: User, bob: User) -> None:
    outcomes = approve_twice(started, alice, bob)
    assert sorted(outcomes) == [False, True]
    assert row(started).user == (alice if outcomes[0] else bob)
    assert kinds() == {"device.approved": 1}
    issued = redeem(started).issued
    assert issued is not None
    assert issued.token.owner == row(started).user


def test_of_approve_and_deny_one_holds(started: Started, alice: User, bob: User) -> None:
    approved, denied = approve_against_deny(started, alice, bob)
    assert approved is not denied
    grant = row(started)
    assert (grant.approved_at is None) is denied
    assert (grant.denied_at is None) is approved
    assert sum(kinds().values()) == 1
    assert redeem(started).reply is (Reply.DELIVERED if approved else Reply.DENIED)
    assert AccessToken.objects.count() == int(approved)


@pytest.mark.postgresql
@pytest.mark.parametrize("race", [approve_twice, approve_against_deny])
def test_both_would_hold_if_the_decision_were_a_plain_save(
    started: Started, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch, race: Any
) -> None:
    # On SQLite one write lock covers reading and writing, so there is nothing to lose there.
    def check_then_save(grant: DeviceGrant, now: Any, **values: Any) -> bool:
        found = DeviceGrant.objects.filter(grants.pending_q(now), pk=grant.pk).first()
        if found is None:
            return False
        for name, value in values.items():
            setattr(found, name, value)
        found.save()
        return True

    monkeypatch.setattr(deciding, "_decide", check_then_save)
    assert race(started, alice, bob) == [True, True]


def test_of_many_redemptions_at_once_one_mints(started: Started, alice: User) -> None:
    approve(started, alice)
    outcomes = together(*[lambda: redeem(started)] * 6)
    assert replies(outcomes) == {Reply.DELIVERED: 1, Reply.SPENT: 5}
    assert AccessToken.objects.count() == 1
    # Six terminals with one code: five of them have it from somewhere, so the token is not safe.
    assert AccessToken.objects.get().revoke_kind == "lost"
    assert kinds() == {"device.approved": 1, "token.issued": 1, "token.revoked": 1}


@pytest.mark.postgresql
def test_a_first_use_that_comes_in_between_keeps_the_token(started: Started, alice: User) -> None:
    # SQLite lets nobody write between what the second redemption reads and what it writes.
    approve(started, alice)
    token = redeem(started).issued.token  # type: ignore[union-attr]

    def use() -> None:
        together(lambda: lifecycle.note_first_use(token_id=token.pk, origin=origin(alice)))

    with before_update("tokens_accesstoken", use):
        redeem(started)
    token.refresh_from_db()
    assert token.first_used_at is not None
    assert token.revoked_at is None


def test_simultaneous_deliveries_find_a_name_each(alice: User) -> None:
    many = [start(address=f"10.0.{number}.1") for number in range(4)]
    for each in many:
        approve(each, alice)
    outcomes = together(*(lambda each=each: redeem(each) for each in many))
    assert replies(outcomes) == {Reply.DELIVERED: 4}
    assert AccessToken.objects.values("name").distinct().count() == 4


def test_the_limit_of_a_network_is_exact(db: None) -> None:
    for _ in range(8):
        start()
    outcomes = together(*[start] * 6)
    assert Counter(type(each) for each in outcomes) == {Started: 2, TooManyStarts: 4}
    assert DeviceGrant.objects.count() == 10


def test_of_twenty_simultaneous_guesses_exactly_five_are_looked_at(
    started: Started, alice: User
) -> None:
    def guess() -> str:
        try:
            device_flow.look_up(user_id=alice.pk, typed="ZZZZ-ZZZZ", now=timezone.now())
        except Miss as miss:
            return miss.code
        return "found"

    assert Counter(together(*[guess] * 20)) == {"unknown_code": 5, "too_many_tries": 15}


def test_simultaneous_polls_are_all_answered(started: Started) -> None:
    outcomes = together(*[lambda: redeem(started)] * 8)
    assert set(replies(outcomes)) <= {Reply.PENDING, Reply.TOO_FAST}
    assert replies(outcomes)[Reply.PENDING] == 1
    assert row(started).interval == 5 + 5 * 7


def test_two_approvals_that_end_the_same_tokens_never_block_each_other(alice: User) -> None:
    for _ in range(ROUNDS):
        started = [start(), start()]
        ended = [issue(alice, name).token for name in ("one", "two", "three")]
        outcomes = meeting_before_update(
            TOKENS,
            lambda started=started, ended=ended: approve(started[0], alice, end=ended),
            lambda started=started, ended=ended: approve(started[1], alice, end=ended[::-1]),
        )
        assert outcomes == [True, True]
        assert not AccessToken.objects.live(timezone.now()).exists()


@pytest.mark.parametrize("withdrawn_first", [True, False])
def test_of_a_withdrawal_and_a_redemption_one_holds(
    started: Started, alice: User, withdrawn_first: bool
) -> None:
    approve(started, alice)
    calls = [
        lambda: device_flow.withdraw(user_id=alice.pk, origin=origin(alice)),
        lambda: redeem(started),
    ]
    outcomes = meeting_before_update(GRANTS, *(calls if withdrawn_first else reversed(calls)))
    number, redeemed = outcomes if withdrawn_first else reversed(outcomes)
    assert (number, redeemed.reply) in {(1, Reply.DENIED), (0, Reply.DELIVERED)}
    assert AccessToken.objects.count() == 1 - number
