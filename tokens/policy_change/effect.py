"""What rules would put out of policy: counted with the very condition that the verdict rests on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from tokens import scopes as catalogue
from tokens.models import AccessToken
from tokens.models.liveness import live_q
from tokens.policy import Rules, fits


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of the preview: how many tokens of how many people break it, and how many are in use."""

    rule: str
    tokens: int
    people: int
    used: int


@dataclass(frozen=True, slots=True)
class Effect:
    """What a draft would do: each broken rule, and the total that counts each token once."""

    lines: list[Line]
    total: Line
    live: int
    idle: int

    @property
    def sentence(self) -> str:
        """The total in one sentence."""
        total = self.total
        if not total.tokens:
            return f"All {self.live} tokens fit." if self.live != 1 else "The one token fits."
        return (
            f"This would put {_count(total.tokens, 'token', 'tokens')} of "
            f"{_count(total.people, 'person', 'people')} out of policy; "
            f"{total.used} of these {'was' if total.used == 1 else 'were'} used today."
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def outside(rows: QuerySet[Any], rules: Rules, now: datetime) -> QuerySet[Any]:
    """Narrow to live tokens that the rules would refuse once they block."""
    inside = fits(rules, now)
    found: QuerySet[Any] = rows.filter(live_q(now)).alias(inside=inside).filter(inside=False)
    return found


def effect(
    rules: Rules, now: datetime, *, today: datetime, idle_after_days: int | None = None
) -> Effect:
    """Return what the rules would put out of policy at ``now``. Two queries, exact.

    ``today`` is the first moment of the reader's day; ``idle_after_days`` counts what is so long
    unused that the policy would begin to end it.
    """
    broken = [*_broken(rules), ("In total, each token counted once", Q())]
    used = Q(activity__last_used_at__gte=today)
    counts: dict[str, Count] = {}
    for place, (_, condition) in enumerate(broken):
        counts[f"tokens_{place}"] = Count("pk", filter=condition)
        counts[f"people_{place}"] = Count("owner_id", distinct=True, filter=condition)
        counts[f"used_{place}"] = Count("pk", filter=condition & used)
    found = outside(AccessToken.objects.all(), rules, now).aggregate(**counts)
    living = _living(now, idle_after_days)
    *lines, total = [
        Line(rule, *(found[f"{what}_{place}"] for what in ("tokens", "people", "used")))
        for place, (rule, _) in enumerate(broken)
    ]
    return Effect([line for line in lines if line.tokens], total, living["live"], living["idle"])


def _broken(rules: Rules) -> list[tuple[str, Q]]:
    """Return each rule in words, with the condition for tokens that break it."""
    writing = Q(pk__isnull=True)
    barred = Q(pk__isnull=True)
    for scope in catalogue.SCOPES:
        if scope.writes:
            writing |= Q(scopes__contains=scope.name)
        if scope.name not in rules.allowed_scopes:
            barred |= Q(scopes__contains=scope.name)
    longer = Q(expires_at__gt=F("created_at") + rules.max_lifetime)
    longer_writing = writing & Q(expires_at__gt=F("created_at") + rules.max_write_lifetime)
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


def _living(now: datetime, idle_after_days: int | None) -> dict[str, int]:
    idle = Q(pk__isnull=True)
    if idle_after_days:
        since = now - timedelta(days=idle_after_days)
        idle = Q(activity__last_used_at__lte=since)
        idle |= Q(activity__isnull=True, created_at__lte=since)
    return AccessToken.objects.filter(live_q(now)).aggregate(
        live=Count("pk"), idle=Count("pk", filter=idle)
    )
