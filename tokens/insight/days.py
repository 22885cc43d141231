"""Thirty days of requests: how many a day were allowed and refused, and what was refused to whom."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from django.db.models import Case, CharField, F, Max, OuterRef, Subquery, Sum, Value, When

from tokens.insight.consumers import place_name
from tokens.models import AccessToken, MutedScope, TokenUse

DAYS = 30
CALLERS_SHOWN = 3
# What stands in the place of a scope where a paused or ended token was presented. Such a knock is a
# refused request of its day, and no call for a scope.
KNOCK = "#"
_FACTS = ("network", "client", "consumer_name", "service")


class DayCount(NamedTuple):
    """The requests of one day (UTC)."""

    day: date
    allowed: int
    refused: int


class Caller(NamedTuple):
    """Who was refused: a place, a kind of client and a claimed name, none of them verified."""

    place: str
    client: str
    name: str
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The refused calls for one scope in thirty days.

    ``held`` says that the token has the scope, so that something else was in the way: a pause, a
    limit to projects, or a policy. ``muted_at`` is when the owner said that they are expected.
    """

    scope: str
    calls: int
    first_day: date
    last_at: datetime
    callers: tuple[Caller, ...]
    held: bool
    muted_at: datetime | None

    @property
    def shown_callers(self) -> tuple[Caller, ...]:
        """The callers that a page names: the latest few."""
        return self.callers[:CALLERS_SHOWN]

    @property
    def more_callers(self) -> int:
        """How many callers a page does not name."""
        return len(self.callers) - len(self.shown_callers)


class Line(NamedTuple):
    """The requests of one day for one scope; who made them is told only of the refused ones."""

    day: date
    scope: str
    network: str
    client: str
    consumer_name: str
    service: str
    allowed: int
    refused: int
    last_at: datetime
    muted_at: datetime | None

    @property
    def is_knock(self) -> bool:
        """Whether the token was presented while paused or after its end."""
        return self.scope.startswith(KNOCK)


def daily(token_id: int, now: datetime) -> list[DayCount]:
    """Return thirty days (UTC) of counts, the oldest first and today last. One query."""
    return counted(read_lines(token_id, now), now)


def refused(token: AccessToken, now: datetime) -> list[Refused]:
    """Return what was refused in thirty days, an entry a scope, the most recent first. One query."""
    return refused_of(read_lines(token.pk, now), token.scope_names)


def read_lines(token_id: int, now: datetime) -> list[Line]:
    """Return thirty days of use, summed as far as the page needs. One query.

    What was allowed is summed over all callers, so that many of them cost no more than one.
    """
    culprit = {
        f"by_{fact}": Case(
            When(refused__gt=0, then=F(fact)), default=Value(""), output_field=CharField()
        )
        for fact in _FACTS
    }
    muted = MutedScope.objects.filter(token_id=OuterRef("token_id"), scope=OuterRef("scope"))
    rows = (
        TokenUse.objects.filter(token_id=token_id, day__gt=_today(now) - timedelta(days=DAYS))
        .annotate(**culprit, muted_at=Subquery(muted.values("at")[:1]))
        .values("day", "scope", *culprit, "muted_at")
        .annotate(allows=Sum("allowed"), refuses=Sum("refused"), latest=Max("last_at"))
        .order_by("day")
    )
    columns = ("day", "scope", *culprit, "allows", "refuses", "latest", "muted_at")
    return [Line(*row) for row in rows.values_list(*columns)]


def counted(lines: list[Line], now: datetime) -> list[DayCount]:
    """Return the counts a day, also of the days on which nothing happened."""
    sums: dict[date, tuple[int, int]] = {}
    for line in lines:
        allowed, refusals = sums.get(line.day, (0, 0))
        sums[line.day] = (allowed + line.allowed, refusals + line.refused)
    first = _today(now) - timedelta(days=DAYS - 1)
    days = (first + timedelta(days=number) for number in range(DAYS))
    return [DayCount(day, *sums.get(day, (0, 0))) for day in days]


def refused_of(lines: list[Line], held: tuple[str, ...]) -> list[Refused]:
    """Return an entry for each scope that was refused, the most recent first."""
    turned_away = sorted(
        (line for line in lines if line.refused and not line.is_knock),
        key=lambda line: line.scope,
    )
    entries = [
        _entry(scope, list(group), held)
        for scope, group in itertools.groupby(turned_away, key=lambda line: line.scope)
    ]
    return sorted(entries, key=lambda entry: (entry.last_at, entry.scope), reverse=True)


def _entry(scope: str, lines: list[Line], held: tuple[str, ...]) -> Refused:
    calls: dict[tuple[str, str, str], int] = {}
    for line in sorted(lines, key=lambda line: line.last_at, reverse=True):
        who = (place_name(line.network, line.service), line.client, line.consumer_name)
        calls[who] = calls.get(who, 0) + line.refused
    return Refused(
        scope=scope,
        calls=sum(calls.values()),
        first_day=min(line.day for line in lines),
        last_at=max(line.last_at for line in lines),
        callers=tuple(Caller(*who, number) for who, number in calls.items()),
        held=not scope or scope in held,
        muted_at=lines[0].muted_at,
    )


def _today(now: datetime) -> date:
    # Use is counted by UTC day, whatever zone the person lives in.
    return now.astimezone(UTC).date()
