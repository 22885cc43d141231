"""Which of a token's scopes are used, and which could be left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokens.insight.consumers import KEPT
from tokens.models import AccessToken, TokenConsumer

UNUSED_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ScopeUse:
    """One scope that a token holds: its last use, and whether it went unused for thirty days.

    A token younger than thirty days has no unused scope yet. ``idle_days`` counts from the last use
    or else from the token's making.
    """

    scope: str
    last_at: datetime | None
    unused: bool
    idle_days: int


def scope_use(token: AccessToken, now: datetime) -> list[ScopeUse]:
    """Return the use of each scope the token holds, in the order of its scopes. One query."""
    rows = TokenConsumer.objects.filter(token_id=token.pk, last_at__gt=now - KEPT)
    return used(token, rows.values_list("scope", "last_at"), now)


def used(token: AccessToken, uses: Iterable[tuple[str, datetime]], now: datetime) -> list[ScopeUse]:
    """Return the same from uses already read: pairs of a scope and when it was used."""
    latest: dict[str, datetime] = {}
    for scope, at in uses:
        latest[scope] = max(latest.get(scope, at), at)
    return [_of(scope, latest.get(scope), token.created_at, now) for scope in token.scope_names]


def _of(scope: str, last_at: datetime | None, created_at: datetime, now: datetime) -> ScopeUse:
    idle = now - (last_at or created_at)
    return ScopeUse(scope, last_at, idle >= UNUSED_AFTER, max(idle.days, 0))
