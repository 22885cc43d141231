"""Two clicks, two tabs and a request at the same instant of one rotation, on connections of their own."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue, origin
from tests.threads import Later, before_update, together
from tokens import lifecycle
from tokens.lifecycle import AlreadyIssued, Issued, RotationWish
from tokens.models import AccessToken, TokenEvent
from tokens.models.rotation import open_replacement_q, rotation_of
from tokens.policy import Refused

pytestmark = pytest.mark.django_db(transaction=True)
TOKENS = "tokens_accesstoken"
ROUNDS = 6
MEETING, PATIENCE = 0.3, 10


@pytest.fixture
def old(alice: User) -> AccessToken:
    return issue(alice, "release").token


def rotate(token: AccessToken, alice: User, request_id: uuid.UUID | None = None) -> Issued:
    expires_at = timezone.now() + timedelta(days=30)
    wish = RotationWish(scopes=["account.read"], expires_at=expires_at)
    return lifecycle.rotate(
        token=token, wish=wish, origin=origin(alice), request_id=request_id or uuid.uuid4()
    )


def kinds() -> Counter[str]:
    return Counter(TokenEvent.objects.values_list("kind", flat=True))


def outcome(result: Any) -> str:
    return result.code if isinstance(result, Refused) else type(result).__name__


def live() -> set[int]:
    return set(AccessToken.objects.live(timezone.now()).values_list("pk", flat=True))


def holders() -> list[int]:
    return list(AccessToken.objects.filter(name_key="release").values_list("pk", flat=True))


def test_of_two_rotations_at_once_one_begins(old: AccessToken, alice: User) -> None:
    outcomes = together(*[lambda: rotate(old, alice)] * 3)
    assert sorted(map(outcome, outcomes)) == ["Issued", "already_rotating", "already_rotating"]
    assert AccessToken.objects.count() == 2
    assert kinds()["token.rotation_started"] == 1


def test_of_a_request_and_its_retry_one_mints(old: AccessToken, alice: User) -> None:
    request_id = uuid.uuid4()
    outcomes = together(*[lambda: rotate(old, alice, request_id)] * 3)
    assert sorted(map(outcome, outcomes)) == ["AlreadyIssued", "AlreadyIssued", "Issued"]
    (made,) = (each for each in outcomes if isinstance(each, Issued))
    assert {each.token for each in outcomes if isinstance(each, AlreadyIssued)} == {made.token}
    assert AccessToken.objects.count() == 2


def interleaved(first: Any, second: Any) -> list[Any]:
    """Run ``second`` between what ``first`` reads and what it writes, as far as the database lets in."""
    outcomes: list[Any] = []
    thread = Later(second, outcomes)

    def run() -> None:
        thread.start()
        thread.join(MEETING)

    try:
        with before_update(TOKENS, run):
            result: Any = first()
    except Refused as refused:
        result = refused
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return [result, *outcomes]


@pytest.mark.parametrize("rotation_first", [True, False])
def test_a_rotation_and_a_revocation_never_leave_both_or_a_lost_name(
    old: AccessToken, alice: User, rotation_first: bool
) -> None:
    calls = [lambda: rotate(old, alice), lambda: lifecycle.revoke(token=old, origin=origin(alice))]
    outcomes = interleaved(*(calls if rotation_first else reversed(calls)))
    made, revoked = outcomes if rotation_first else reversed(outcomes)
    assert revoked is True
    assert AccessToken.objects.get(pk=old.pk).revoked_at is not None
    if isinstance(made, Issued):
        # Both were asked for and both were done: the replacement goes on alone and can be rotated.
        assert live() == set(holders()) == {made.token.pk}
        assert outcome(rotate(made.token, alice)) == "Issued"
    else:
        assert outcome(made) == "token_ended"
        assert live() == set(holders()) == set()


@pytest.mark.parametrize("rotation_first", [True, False])
def test_a_scope_that_is_taken_away_meanwhile_is_not_on_the_replacement(
    alice: User, rotation_first: bool
) -> None:
    old = issue(alice, "release", scopes=["account.read", "projects.read"]).token
    calls = [
        lambda: rotate(old, alice),
        lambda: lifecycle.narrow(token=old, scopes=["projects.read"], origin=origin(alice)),
    ]
    outcomes = interleaved(*(calls if rotation_first else reversed(calls)))
    made, narrowed = outcomes if rotation_first else reversed(outcomes)
    assert narrowed is True
    assert outcome(made) in {"scopes_widened", "Issued"}
    events = list(TokenEvent.objects.order_by("id").values_list("kind", flat=True))
    if isinstance(made, Issued):
        assert events.index("token.rotation_started") < events.index("token.narrowed")
    else:
        assert "token.rotation_started" not in events


@pytest.mark.parametrize("rotation_first", [True, False])
def test_a_pause_and_a_rotation_at_once_both_hold(
    old: AccessToken, alice: User, rotation_first: bool
) -> None:
    calls = [
        lambda: rotate(old, alice),
        lambda: lifecycle.pause(token=old, until=None, origin=origin(alice)),
    ]
    outcomes = interleaved(*(calls if rotation_first else reversed(calls)))
    made, paused = outcomes if rotation_first else reversed(outcomes)
    assert (outcome(made), paused) == ("Issued", True)
    rows = AccessToken.objects.order_by("generation").values_list("paused_at", "name_key")
    assert [(at is not None, key is not None) for at, key in rows] == [(True, False), (False, True)]
    events = list(TokenEvent.objects.order_by("id").values_list("kind", flat=True))
    assert sorted(events[-4:])[-2:] == ["token.paused", "token.rotation_started"]


@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_cancellation_and_a_first_use_agree_on_who_came_first(
    old: AccessToken, alice: User, cancel_first: bool
) -> None:
    new = rotate(old, alice).token
    calls = [
        lambda: lifecycle.cancel_rotation(replacement=new, origin=origin(alice)),
        lambda: lifecycle.note_first_use(token_id=new.pk, origin=origin()),
    ]
    outcomes = interleaved(*(calls if cancel_first else reversed(calls)))
    cancelled = (outcomes if cancel_first else outcomes[::-1])[0]
    remembered = list(
        TokenEvent.objects.filter(token_public_id=new.public_id)
        .order_by("id")
        .values_list("kind", flat=True)
    )[1:]
    if cancelled is True:
        assert remembered[0] == "token.revoked"
        assert live() == set(holders()) == {old.pk}
    else:
        assert outcome(cancelled) == "replacement_used"
        assert remembered == ["token.first_used"]
        assert live() == {old.pk, new.pk}


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize("retire_first", [True, False])
def test_a_retirement_and_a_cancellation_leave_one_that_works(
    old: AccessToken, alice: User, now: bool, retire_first: bool
) -> None:
    new = rotate(old, alice).token
    at = None if now else timezone.now() + timedelta(hours=1)
    calls = [
        lambda: lifecycle.retire(replacement=new, at=at, origin=origin(alice)),
        lambda: lifecycle.cancel_rotation(replacement=new, origin=origin(alice)),
    ]
    outcomes = interleaved(*(calls if retire_first else reversed(calls)))
    retired, cancelled = outcomes if retire_first else reversed(outcomes)
    row = AccessToken.objects.get(pk=old.pk)
    if cancelled is True:
        assert (row.revoked_at, row.retire_at) == (None, None)
        assert live() == set(holders()) == {old.pk}
    else:
        assert retired is True
        assert live() == set(holders()) == {new.pk}
    assert not (now and retired and cancelled)


def test_many_at_once_never_end_the_wrong_token(old: AccessToken, alice: User) -> None:
    for _ in range(ROUNDS):
        new = rotate(old, alice).token
        outcomes = together(
            lambda new=new: lifecycle.retire(replacement=new, at=None, origin=origin(alice)),
            lambda new=new: lifecycle.cancel_rotation(replacement=new, origin=origin(alice)),
            lambda new=new: lifecycle.revoke(token=new, origin=origin(alice)),
            lambda old=old: lifecycle.rename(
                token=old, name="release", description="", origin=origin()
            ),
            lambda old=old: rotate(old, alice),
        )
        assert not [each for each in outcomes if isinstance(each, Exception) and not known(each)]
        # Every round leaves one name and whatever holds it works, alone or with an open rotation.
        assert len(holders()) == len(set(holders())) <= 1
        going = AccessToken.objects.filter(pk__in=live())
        rotation = AccessToken.objects.filter(open_replacement_q(timezone.now())).first()
        if rotation is not None:
            lifecycle.cancel_rotation(replacement=rotation, origin=origin(alice))
        old = going.order_by("generation").first() or issue(alice, "release").token
        assert rotation_of(old.pk, timezone.now()) is None
        assert old.pk in holders()


def known(error: Exception) -> bool:
    return isinstance(error, Refused | AlreadyIssued)


def test_the_same_place_ticked_in_two_tabs_is_ticked(old: AccessToken, alice: User) -> None:
    new = rotate(old, alice).token
    outcomes = together(
        *[lambda: lifecycle.tick(replacement=new, ticked=["a"], origin=origin(alice))] * 4
    )
    assert set(outcomes) <= {True, False}
    assert any(outcomes)
