"""Two people, two clicks, two workers at the same instant: real threads with real connections.

Where a lock makes writers queue, starting together is enough. Where only the condition of an UPDATE
protects a row, the threads are made to meet between reading and writing.
"""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.threads import MEETING, PATIENCE, Later, before_update, meeting_before_update, together
from tokens import lifecycle, projects, ratelimit
from tokens.lifecycle import AlreadyIssued, Issued, pausing
from tokens.models import AccessToken, Project, TokenEvent
from tokens.policy import Refused

pytestmark = pytest.mark.django_db(transaction=True)
TOKENS = "tokens_accesstoken"


@pytest.fixture
def token(alice: User) -> AccessToken:
    return issue(alice).token


def kinds() -> Counter[str]:
    return Counter(TokenEvent.objects.values_list("kind", flat=True))


def outcome(result: Any) -> str:
    """Name an outcome: the code of a refusal, or the type of what came."""
    return result.code if isinstance(result, Refused) else type(result).__name__


def test_each_thread_has_a_connection_of_its_own(alice: User) -> None:
    def ask() -> object:
        connection.ensure_connection()
        return connection.connection

    first, second = together(ask, ask)
    assert first is not second
    assert len({id(each) for each in (first, second, connection.connection)}) == 3


# --- Where the owner's row is locked ------------------------------------------------------------


def test_of_two_issues_with_one_name_one_wins(alice: User) -> None:
    outcomes = together(lambda: issue(alice, "ci"), lambda: issue(alice, "CI"))
    assert sorted(map(outcome, outcomes)) == ["Issued", "name_taken"]
    assert AccessToken.objects.count() == 1
    assert kinds() == {"token.issued": 1}


def test_of_two_issues_for_one_request_one_mints(alice: User) -> None:
    request_id = uuid.uuid4()
    outcomes = together(
        *(lambda name=name: issue(alice, name, request_id=request_id) for name in ("one", "two"))
    )
    assert sorted(map(outcome, outcomes)) == ["AlreadyIssued", "Issued"]
    (made,) = (each for each in outcomes if isinstance(each, Issued))
    (repeat,) = (each for each in outcomes if isinstance(each, AlreadyIssued))
    assert repeat.token == made.token == AccessToken.objects.get()
    assert kinds() == {"token.issued": 1}


def test_at_forty_nine_live_tokens_exactly_one_of_five_issues_succeeds(alice: User) -> None:
    for number in range(49):
        issue(alice, f"t{number}")
    outcomes = together(*(lambda n=n: issue(alice, f"racer {n}") for n in range(5)))
    assert Counter(map(outcome, outcomes)) == {"Issued": 1, "too_many_tokens": 4}
    assert AccessToken.objects.owned_by(alice).live(timezone.now()).count() == 50


def test_the_limit_of_a_day_is_exact(alice: User, settings: Settings) -> None:
    settings.TOKENS_MAX_NEW_PER_DAY = 2
    outcomes = together(*(lambda n=n: issue(alice, f"racer {n}") for n in range(5)))
    assert Counter(map(outcome, outcomes)) == {"Issued": 2, "too_many_new_tokens": 3}


def test_of_two_renames_to_one_name_one_wins(alice: User) -> None:
    both = [issue(alice, name).token for name in ("one", "two")]
    outcomes = together(
        *(
            lambda token=token: lifecycle.rename(
                token=token, name="three", description="", origin=origin(alice)
            )
            for token in both
        )
    )
    assert sorted(map(outcome, outcomes)) == ["bool", "name_taken"]
    assert AccessToken.objects.filter(name_key="three").count() == 1
    assert kinds() == {"token.issued": 2, "token.renamed": 1}


def test_one_persons_writers_do_not_wait_for_anothers(alice: User, bob: User) -> None:
    outcomes = together(lambda: issue(alice, "ci"), lambda: issue(bob, "ci"))
    assert list(map(outcome, outcomes)) == ["Issued", "Issued"]


def test_of_two_projects_with_one_name_one_is_made(alice: User) -> None:
    def create(name: str) -> Project:
        return projects.create(owner_id=alice.pk, name=name, origin=origin(alice))

    outcomes = together(lambda: create("Website"), lambda: create("website"))
    assert sorted(map(outcome, outcomes)) == ["Project", "project_exists"]
    assert Project.objects.count() == 1
    assert kinds() == {"project.created": 1}


# --- Where only the condition of the update decides ---------------------------------------------


def revoke_twice(token: AccessToken, alice: User, carol: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        *(
            lambda who=who: lifecycle.revoke(
                token=AccessToken.objects.get(pk=token.pk), origin=origin(who), reason=who.name
            )
            for who in (alice, carol)
        ),
    )


def use_twice(token: AccessToken, alice: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        *[lambda: lifecycle.note_first_use(token_id=token.pk, origin=origin(alice))] * 2,
    )


def narrow_twice(token: AccessToken, alice: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        *(
            lambda scope=scope: lifecycle.narrow(token=token, scopes=[scope], origin=origin(alice))
            for scope in ("projects.read", "account.read")
        ),
    )


def narrow_while_revoked(token: AccessToken, alice: User) -> list[Any]:
    """Revoke between what a narrowing reads and what it writes, as far as the database lets in."""
    revoked: list[Any] = []
    thread = Later(lambda: lifecycle.revoke(token=token, origin=origin(alice)), revoked)

    def revoke_elsewhere() -> None:
        thread.start()
        # SQLite lets no second writer in, so the revocation then comes right after.
        thread.join(MEETING)

    with before_update(TOKENS, revoke_elsewhere):
        narrowed = lifecycle.narrow(token=token, scopes=["projects.read"], origin=origin(alice))
    thread.join(PATIENCE)
    return [narrowed, *revoked]


def pause(token: AccessToken, alice: User, minutes: int | None) -> bool:
    who = origin(alice)
    until = None if minutes is None else who.at + timedelta(minutes=minutes)
    return lifecycle.pause(token=token, until=until, origin=who)


def pause_while_revoked(token: AccessToken, alice: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        lambda: pause(token, alice, None),
        lambda: lifecycle.revoke(token=token, origin=origin(alice)),
    )


def resume_while_paused_anew(token: AccessToken, alice: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        lambda: lifecycle.resume(token=token, origin=origin(alice)),
        lambda: pause(token, alice, None),
    )


def resume_while_revoked(token: AccessToken, alice: User) -> list[Any]:
    return meeting_before_update(
        TOKENS,
        lambda: lifecycle.resume(token=token, origin=origin(alice)),
        lambda: lifecycle.revoke(token=token, origin=origin(alice)),
    )


def test_of_two_simultaneous_revocations_one_ends_the_token(
    token: AccessToken, alice: User, carol: User
) -> None:
    outcomes = revoke_twice(token, alice, carol)
    assert sorted(outcomes) == [False, True]
    assert kinds() == {"token.issued": 1, "token.revoked": 1}
    winner = alice if outcomes[0] else carol
    row = AccessToken.objects.get()
    assert (row.revoked_by, row.reason) == (winner, winner.name)
    assert TokenEvent.objects.get(kind="token.revoked").actor_id == winner.pk


def test_of_two_simultaneous_first_uses_one_is_the_first(token: AccessToken, alice: User) -> None:
    assert sorted(use_twice(token, alice)) == [False, True]
    assert kinds() == {"token.issued": 1, "token.first_used": 1}


def test_two_simultaneous_narrowings_never_both_claim_the_same_scopes(
    token: AccessToken, alice: User
) -> None:
    outcomes = narrow_twice(token, alice)
    # The one that came second either lost its condition, or read later and would have widened.
    assert sum(result is True for result in outcomes) == 1
    assert all(
        result in {True, False} or outcome(result) == "scopes_widened" for result in outcomes
    )
    event = TokenEvent.objects.get(kind="token.narrowed")
    assert event.data["before"] == "projects.read account.read"
    assert AccessToken.objects.get().scopes == event.data["after"]


def test_a_narrowing_never_brings_a_revoked_token_back_to_life(
    token: AccessToken, alice: User
) -> None:
    narrowed, revoked = narrow_while_revoked(token, alice)
    row = AccessToken.objects.get()
    assert revoked is True
    assert row.revoked_at is not None
    assert row.name_key is None
    assert kinds()["token.revoked"] == 1
    assert kinds()["token.narrowed"] == int(narrowed)
    assert (row.scopes == "projects.read") is narrowed


def test_a_pause_never_brings_a_revoked_token_back_to_life(token: AccessToken, alice: User) -> None:
    paused, revoked = pause_while_revoked(token, alice)
    row = AccessToken.objects.get()
    assert revoked is True
    assert (row.revoked_at is None, row.name_key) == (False, None)
    assert (row.paused_at is not None) is paused
    assert kinds() == Counter(
        {"token.issued": 1, "token.revoked": 1} | ({"token.paused": 1} if paused else {})
    )


def test_of_two_simultaneous_pauses_one_begins_it(token: AccessToken, alice: User) -> None:
    outcomes = meeting_before_update(
        TOKENS, lambda: pause(token, alice, 5), lambda: pause(token, alice, None)
    )
    # The one that came second moved the end that the first had set.
    assert outcomes == [True, True]
    assert kinds() == {"token.issued": 1, "token.paused": 1, "token.pause_moved": 1}
    moved, row = TokenEvent.objects.get(kind="token.pause_moved"), AccessToken.objects.get()
    assert row.paused_at is not None
    assert row.paused_at.isoformat() == moved.data["since"]
    assert (row.paused_until and row.paused_until.isoformat()) == moved.data["until"]


def test_resuming_and_pausing_at_once_leave_what_the_last_event_says(
    token: AccessToken, alice: User
) -> None:
    pause(token, alice, 60)
    resumed, _ = resume_while_paused_anew(token, alice)
    assert resumed is True
    row = AccessToken.objects.get()
    last = TokenEvent.objects.order_by("id").last()
    assert last is not None
    assert (row.paused_at is None) is (last.kind == "token.resumed")
    assert row.paused_until is None
    assert kinds()["token.resumed"] == 1


def test_of_two_simultaneous_resumptions_one_resumes(token: AccessToken, alice: User) -> None:
    pause(token, alice, None)
    both = [lambda: lifecycle.resume(token=token, origin=origin(alice))] * 2
    assert sorted(meeting_before_update(TOKENS, *both)) == [False, True]
    assert kinds() == {"token.issued": 1, "token.paused": 1, "token.resumed": 1}


def test_a_resumption_never_brings_a_revoked_token_back_to_life(
    token: AccessToken, alice: User
) -> None:
    pause(token, alice, None)
    resumed, revoked = resume_while_revoked(token, alice)
    row = AccessToken.objects.get()
    assert revoked is True
    assert row.revoked_at is not None
    assert (row.paused_at is None) is resumed
    assert kinds()["token.resumed"] == int(resumed)


PAUSING_RACES = ["pause and revoke", "resume and revoke", "resume twice", "pause twice"]


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "race", ["revoke", "first use", "narrow", "narrow and revoke", *PAUSING_RACES]
)
def test_the_races_above_are_lost_by_a_plain_save(
    token: AccessToken, alice: User, carol: User, monkeypatch: pytest.MonkeyPatch, race: str
) -> None:
    # On SQLite one write lock covers reading and writing, so there is nothing to lose there.
    def check_then_save(condition: Q, **values: Any) -> bool:
        row = AccessToken.objects.filter(condition).first()
        if row is None:
            return False
        for name, value in values.items():
            setattr(row, name, value)
        row.save()
        return True

    monkeypatch.setattr(lifecycle, "update", check_then_save)
    monkeypatch.setattr(pausing, "update", check_then_save)
    if race == "revoke":
        assert revoke_twice(token, alice, carol) == [True, True]
        assert kinds()["token.revoked"] == 2
    elif race == "first use":
        assert use_twice(token, alice) == [True, True]
        assert kinds()["token.first_used"] == 2
    elif race == "narrow":
        assert narrow_twice(token, alice) == [True, True]
    elif race in PAUSING_RACES:
        lose_a_pausing_race(race, token, alice)
    else:
        assert narrow_while_revoked(token, alice) == [True, True]
        assert AccessToken.objects.get().revoked_at is None


def lose_a_pausing_race(race: str, token: AccessToken, alice: User) -> None:
    """Run a race in which both read before either writes, and see what was lost."""
    if race.startswith("resume"):
        pause(token, alice, None)
    if race.endswith("and revoke"):
        # Whichever was written last won, and the other's change is gone without a trace.
        run = pause_while_revoked if race.startswith("pause") else resume_while_revoked
        changed, revoked = run(token, alice)
        row = AccessToken.objects.get()
        assert (changed, revoked) == (True, True)
        unpaused = row.paused_at is None
        assert row.revoked_at is None or unpaused is race.startswith("pause")
    elif race == "resume twice":
        both = [lambda: lifecycle.resume(token=token, origin=origin(alice))] * 2
        assert meeting_before_update(TOKENS, *both) == [True, True]
        assert kinds()["token.resumed"] == 2
    else:
        meeting_before_update(
            TOKENS, lambda: pause(token, alice, 5), lambda: pause(token, alice, None)
        )
        assert kinds()["token.paused"] == 2


# --- Where one statement counts -----------------------------------------------------------------


def test_of_twenty_simultaneous_sign_ins_exactly_five_are_allowed(
    clock: Clock, alice: User
) -> None:
    def sign_in() -> bool:
        return ratelimit.sign_in(alice.email, "203.0.113.9", now=clock.now)

    outcomes = together(*[sign_in] * 20)
    assert Counter(outcomes) == {True: 5, False: 15}


def test_tries_given_back_at_once_are_all_given_back(clock: Clock, alice: User) -> None:
    def try_and_succeed() -> None:
        ratelimit.hit(ratelimit.PROOF, "alice", now=clock.now)
        ratelimit.give_back(ratelimit.PROOF, "alice", now=clock.now)

    assert together(*[try_and_succeed] * 8) == [None] * 8
    tries = [ratelimit.hit(ratelimit.PROOF, "alice", now=clock.now) for _ in range(6)]
    assert tries == [True] * 5 + [False]
