"""The Python function and its SQL twin say the same of every row, at every instant."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from django.db.models import Q
from hypothesis import HealthCheck, given, settings as examples, strategies as st

from skytells_console.models import User
from tests.cast import NOON
from tokens import policy, scopes
from tokens.models import AccessToken, LivenessFacts
from tokens.models.liveness import (
    ended_at,
    ended_q,
    is_ended,
    is_live,
    is_paused,
    live_q,
    not_ended_q,
    not_paused_q,
    paused_q,
)
from tokens.policy import PolicyRow, Rules, TokenFacts

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
NOTHING = LivenessFacts(True, None, None, None, None, None)

# Times around the one instant, so that "exactly now" and "a microsecond off" come up all the time.
edges = st.sampled_from([timedelta(microseconds=n) for n in (-1, 0, 1, 500_000)] + [SECOND, DAY])
near = (edges | st.timedeltas(-30 * DAY, 400 * DAY)).map(lambda off: NOON + off)
times = st.none() | near
scope_sets = st.sets(st.sampled_from([scope.name for scope in scopes.SCOPES]), min_size=1)


@st.composite
def tokens(draw: st.DrawFn) -> AccessToken:
    """A row with arbitrary times, as far as the database's own constraints allow them."""
    lasting = draw(st.none() | edges.map(abs) | st.sampled_from([10 * DAY, 30 * DAY, 366 * DAY]))
    created_at = draw(near) - draw(st.sampled_from([timedelta(0), 30 * DAY, 366 * DAY]))
    if lasting is not None and lasting <= timedelta(0):
        lasting = SECOND
    expires_at = draw(near)
    if draw(st.booleans()) or expires_at <= created_at:
        expires_at = None if lasting is None else created_at + lasting
    revoked_at, paused_at = draw(times), draw(times)
    return AccessToken(
        name="any",
        head4="0000",
        last4="0000",
        pepper_id=1,
        scopes=scopes.canonical(draw(scope_sets)),
        created_at=created_at,
        created_via="console",
        expires_at=expires_at,
        retire_at=draw(times),
        revoked_at=revoked_at,
        revoke_kind="owner" if revoked_at else "",
        paused_at=paused_at,
        paused_until=draw(times) if paused_at else None,
        # The digest tells the row's place and keeps the index unique.
        digest=uuid.uuid4().bytes * 2,
    )


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Rules as a saved policy may make them."""
    days = st.none() | st.sampled_from([0, 1, 10, 30, 366])
    return policy.rules_of(
        PolicyRow(
            max_lifetime_days=draw(days),
            max_write_lifetime_days=draw(days),
            no_expiration_allowed=draw(st.booleans()),
            allowed_scopes=scopes.canonical(draw(scope_sets | st.just(set()))),
            blocks_from=draw(times),
        )
    )


def facts_of(token: AccessToken) -> TokenFacts:
    return TokenFacts(token.created_at, token.expires_at, token.scope_names)


@given(
    active=st.lists(tokens(), min_size=1, max_size=12),
    disabled=st.lists(tokens(), max_size=3),
    rules=rules(),
    now=edges.map(lambda off: NOON + off),
)
@examples(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_python_and_sql_say_the_same(
    alice: User,
    bob: User,
    active: list[AccessToken],
    disabled: list[AccessToken],
    rules: Rules,
    now: datetime,
) -> None:
    bob.is_active = False
    bob.save()
    for owner, rows in ((alice, active), (bob, disabled)):
        for row in rows:
            row.pk, row.owner = None, owner
    with transaction.atomic():
        rows = AccessToken.objects.bulk_create([*active, *disabled])
        twins: list[tuple[Q, Callable[[AccessToken], bool]]] = [
            (live_q(now), lambda row: is_live(row.liveness(), now)),
            (ended_q(now), lambda row: is_ended(row.liveness(), now)),
            (not_ended_q(now), lambda row: not is_ended(row.liveness(), now)),
            (paused_q(now), lambda row: is_paused(row.liveness(), now)),
            (not_paused_q(now), lambda row: not is_paused(row.liveness(), now)),
            (
                policy.within_policy_q(rules, now),
                lambda row: policy.within_policy(facts_of(row), rules, now),
            ),
            (
                policy.accepted_q(rules, now),
                lambda row: policy.is_accepted(row.liveness(), facts_of(row), rules, now),
            ),
        ]
        for condition, function in twins:
            in_sql = set(AccessToken.objects.filter(condition).values_list("pk", flat=True))
            assert in_sql == {row.pk for row in rows if function(row)}
        transaction.set_rollback(True)


@pytest.mark.parametrize("field", ["revoked_at", "retire_at", "expires_at"])
def test_a_token_ends_at_the_instant_and_not_a_microsecond_before(field: str) -> None:
    facts = NOTHING._replace(**{field: NOON})
    assert is_live(facts, NOON - timedelta(microseconds=1))
    assert is_ended(facts, NOON)
    assert not is_live(facts, NOON)


def test_a_pause_holds_from_its_first_instant_to_before_its_last() -> None:
    facts = NOTHING._replace(paused_at=NOON, paused_until=NOON + DAY)
    seen = [is_paused(facts, at) for at in (NOON - SECOND, NOON, NOON + DAY - SECOND, NOON + DAY)]
    assert seen == [False, True, True, False]
    assert is_paused(facts._replace(paused_until=None), NOON + 1000 * DAY)


def test_a_pause_is_no_end_and_a_disabled_owner_is_no_end_of_the_token_itself() -> None:
    assert is_live(NOTHING._replace(paused_at=NOON), NOON)
    disabled = NOTHING._replace(owner_active=False)
    assert not is_live(disabled, NOON)
    assert not is_ended(disabled, NOON)


def test_the_end_is_the_earliest_of_the_three_times() -> None:
    for first, second, third in itertools.permutations([NOON, NOON + DAY, None]):
        facts = NOTHING._replace(revoked_at=first, retire_at=second, expires_at=third)
        assert ended_at(facts) == NOON
    assert ended_at(NOTHING) is None
