"""The places of a token as a page lists them: consumers, with hosted CI folded into one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokens.insight.consumers import (
    DATED_FROM,
    LATE_AFTER_GAPS,
    OTHERS,
    UNKNOWN,
    Consumer,
    consumers,
    expected_for,
    usual_gap,
)

# A hosted runner comes from another network every time; so many of them are one line of the page.
FOLDED_DAYS = 2
FOLDED_FROM = 4
_GAPS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One line of a list of places: a consumer, or several networks of hosted CI folded into one.

    ``expected`` says that revoking would most likely break it, ``quiet`` that nobody is expected
    any more, ``late`` that it did not come when it should have. All three hold per network: a
    folded line is expected when one of its networks is, and quiet when all are. ``may_return`` is the
    warning that this leaves out: no single network is expected, but all of them together have a
    rhythm that says somebody will call.
    """

    title: str
    client: str
    name: str
    first_at: datetime
    last_at: datetime
    days: int
    count: int
    networks: int
    usual_gap: timedelta | None
    next_at: datetime | None
    expected: bool
    quiet: bool
    late: bool
    keys: tuple[str, ...]
    may_return: bool = False
    is_service: bool = False

    @property
    def job(self) -> str:
        """The words for a job that calls once a month or once a week, else nothing."""
        days = self.usual_gap / timedelta(days=1) if self.usual_gap else 0
        if 25 <= days <= 35:
            return "Monthly job"
        return "Weekly job" if 6 <= days <= 8 else ""

    @property
    def next_day(self) -> datetime | None:
        """When it is expected, where its gap is long enough for a day to say something."""
        return self.next_at if self.usual_gap and self.usual_gap >= DATED_FROM else None


def places(token_id: int, now: datetime) -> list[Place]:
    """Return the places of a token, whoever called last first. One query."""
    return listed(consumers(token_id, now), now)


def listed(found: Iterable[Consumer], now: datetime) -> list[Place]:
    """Return the lines for these consumers, whoever called last first.

    Networks seen on at most two days are folded where one kind of client came from four or more of
    them. One kind only, so that a stranger's client never disappears among the runners.
    """
    every = list(found)
    passing = sorted(
        (each for each in every if _passed_through(each, every)),
        key=lambda each: (each.client, each.name),
    )
    lines, folded = [], set()
    for _, group in itertools.groupby(passing, key=lambda each: (each.client, each.name)):
        runners = list(group)
        if len({runner.network for runner in runners}) >= FOLDED_FROM:
            lines.append(_folded(runners, now))
            folded |= {runner.key for runner in runners}
    lines += [_line(each, now) for each in every if each.key not in folded]
    return sorted(lines, key=lambda line: (line.last_at, line.keys), reverse=True)


def _passed_through(consumer: Consumer, every: list[Consumer]) -> bool:
    if consumer.service or consumer.network in {OTHERS, UNKNOWN}:
        return False
    same = [each for each in every if each.network == consumer.network]
    return max(each.days for each in same) <= FOLDED_DAYS


def _line(consumer: Consumer, now: datetime) -> Place:
    return Place(
        title=consumer.place,
        client=consumer.client,
        name=consumer.name,
        first_at=consumer.first_at,
        last_at=consumer.last_at,
        days=consumer.days,
        count=consumer.count,
        networks=1,
        usual_gap=consumer.usual_gap,
        next_at=consumer.next_at,
        expected=consumer.is_expected(now),
        quiet=consumer.is_quiet(now),
        late=_is_late(consumer.last_at, consumer.usual_gap, now),
        keys=(consumer.key,),
        is_service=bool(consumer.service),
    )


def _folded(runners: list[Consumer], now: datetime) -> Place:
    networks = len({runner.network for runner in runners})
    last_at = max(runner.last_at for runner in runners)
    gap = _gap_between(runners)
    expected = any(runner.is_expected(now) for runner in runners)
    return Place(
        title=f"hosted CI, {networks} networks",
        client=runners[0].client,
        name=runners[0].name,
        first_at=min(runner.first_at for runner in runners),
        last_at=last_at,
        days=max(runner.days for runner in runners),
        count=sum(runner.count for runner in runners),
        networks=networks,
        usual_gap=gap,
        next_at=last_at + gap if gap else None,
        expected=expected,
        quiet=all(runner.is_quiet(now) for runner in runners),
        late=_is_late(last_at, gap, now),
        keys=tuple(runner.key for runner in runners),
        may_return=not expected and gap is not None and now - last_at < expected_for(gap),
    )


def _gap_between(runners: list[Consumer]) -> timedelta | None:
    """Return the usual gap from one runner to the next: each is seen once, all together are a job."""
    starts = sorted(runner.first_at for runner in runners)
    gaps = [int((b - a).total_seconds()) for a, b in itertools.pairwise(starts)]
    return usual_gap(gaps[-_GAPS:])


def _is_late(last_at: datetime, gap: timedelta | None, now: datetime) -> bool:
    return gap is not None and gap >= DATED_FROM and now - last_at > LATE_AFTER_GAPS * gap
