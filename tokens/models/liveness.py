"""What *live* and *paused* mean: each once in Python and once in SQL, kept equal by a property test.

Live: not revoked, not retired, not expired, owner active. Times count as passed at their instant.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import Q


class LivenessFacts(NamedTuple):
    """The stored times that decide whether a token lives; anything that has them can be judged."""

    owner_active: bool
    revoked_at: datetime | None
    retire_at: datetime | None
    expires_at: datetime | None
    paused_at: datetime | None
    paused_until: datetime | None


def is_live(facts: LivenessFacts, now: datetime) -> bool:
    """Say whether the token lives at ``now``; the twin of ``live_q``."""
    return facts.owner_active and not is_ended(facts, now)


def is_ended(facts: LivenessFacts, now: datetime) -> bool:
    """Say whether the token itself has come to its end at ``now``; the twin of ``ended_q``."""
    return _passed(facts.revoked_at, now) or is_retired(facts, now) or is_expired(facts, now)


def is_retired(facts: LivenessFacts, now: datetime) -> bool:
    """Say whether a timed rotation ended the token."""
    return _passed(facts.retire_at, now)


def is_expired(facts: LivenessFacts, now: datetime) -> bool:
    """Say whether the planned end has come."""
    return _passed(facts.expires_at, now)


def is_paused(facts: LivenessFacts, now: datetime) -> bool:
    """Say whether the token is switched off for a while; the twin of ``paused_q``."""
    if facts.paused_at is None or now < facts.paused_at:
        return False
    return facts.paused_until is None or now < facts.paused_until


def ended_at(facts: LivenessFacts) -> datetime | None:
    """Return the instant of the end, planned or past: the earliest of the three times."""
    times = [at for at in (facts.revoked_at, facts.retire_at, facts.expires_at) if at is not None]
    return min(times, default=None)


def _passed(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now


# Three separate predicates and never LEAST: the two databases disagree about it where one is NULL.
def ended_q(now: datetime) -> Q:
    """Return the condition for tokens that have ended at ``now``."""
    return Q(revoked_at__lte=now) | Q(retire_at__lte=now) | Q(expires_at__lte=now)


def not_ended_q(now: datetime, *, of: str = "") -> Q:
    """Return the condition for tokens that have not ended at ``now``, NULLs spelled out.

    ``of`` leads to the token from another row, such as ``replaces__``.
    """
    return (
        to_come_q(f"{of}revoked_at", now)
        & to_come_q(f"{of}retire_at", now)
        & to_come_q(f"{of}expires_at", now)
    )


def to_come_q(field: str, now: datetime) -> Q:
    """Return the condition for rows whose time in ``field`` is unknown or has not come, NULLs spelled out."""
    return Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__gt": now})


def live_q(now: datetime) -> Q:
    """Return the condition for live tokens, as a query on ``AccessToken``."""
    return Q(owner__is_active=True) & not_ended_q(now)


def paused_q(now: datetime) -> Q:
    """Return the condition for tokens that are paused at ``now``."""
    return Q(paused_at__lte=now) & (Q(paused_until__isnull=True) | Q(paused_until__gt=now))


def not_paused_q(now: datetime) -> Q:
    """Return the condition for tokens that are not paused at ``now``, NULLs spelled out."""
    return Q(paused_at__isnull=True) | Q(paused_at__gt=now) | Q(paused_until__lte=now)
