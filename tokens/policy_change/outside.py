"""Which tokens rules would put out of policy, in the very conditions that the verdict rests on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from tokens import scopes as catalogue
from tokens.models.lifetime import LivesLonger
from tokens.models.liveness import live_q
from tokens.policy import Rules

# Up to how many tokens out of policy are named one by one to the database that lists them.
_FEW = 2_000
Tokens = QuerySet[Any]


def outside(rows: Tokens, rules: Rules, now: datetime) -> Tokens:
    """Narrow to live tokens that the rules would refuse once they block.

    A token is refused when it breaks one rule at least, so the conditions are those of the preview's
    lines; a property test holds them to the verdict's own condition.
    """
    found: Tokens = rows.filter(live_q(now) & any_of(broken_by(rules)))
    return found


def outside_to_list(rows: Tokens, rules: Rules, now: datetime) -> Tokens:
    """Return ``outside`` such that a page of it, in whatever order, is found soon.

    A database cannot tell from its statistics how many lifetimes are too long. Where there are many, a
    list finds its page among its first rows; where there are few, going through it in its order takes
    several times as long as reading the table from end to end, so those few are found beforehand.
    """
    found = outside(rows, rules, now)
    few = list(found.order_by().values_list("pk", flat=True)[: _FEW + 1])
    return rows.filter(pk__in=few) if len(few) <= _FEW else found


def any_of(broken: list[tuple[str, Q]]) -> Q:
    """Return the condition for tokens that break one rule at least."""
    found = Q(pk__isnull=True)
    for _, condition in broken:
        found |= condition
    return found


def broken_by(rules: Rules) -> list[tuple[str, Q]]:
    """Return each rule in words, with the condition for tokens that break it."""
    writing = Q(pk__isnull=True)
    barred = Q(pk__isnull=True)
    for scope in catalogue.SCOPES:
        if scope.writes:
            writing |= Q(scopes__contains=scope.name)
        if scope.name not in rules.allowed_scopes:
            barred |= Q(scopes__contains=scope.name)
    longer = Q(LivesLonger(rules.max_lifetime))
    longer_writing = writing & Q(LivesLonger(rules.max_write_lifetime))
    rows = []
    if not rules.no_expiration_allowed:
        rows.append(("No expiration", Q(expires_at__isnull=True)))
    rows.append((f"Lives longer than {rules.max_lifetime.days} days", longer))
    if rules.max_write_lifetime < rules.max_lifetime:
        words = f"Holds a write scope, lives longer than {rules.max_write_lifetime.days} days"
        rows.append((words, longer_writing))
    if len(rules.allowed_scopes) < len(catalogue.BY_NAME):
        rows.append(("Holds a scope that is not allowed", barred))
    return rows
