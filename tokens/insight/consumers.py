"""Who uses a token: its consumers, each with its rhythm. All verdicts rest on these."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tokens.models import TokenConsumer, TokenUse

KEPT = timedelta(days=400)
LEAST_GAPS = 3
QUIET_AFTER_GAPS = 3
QUIET_AT_LEAST = timedelta(minutes=15)
EXPECTED_FOR_GAPS = 2
LATE_AFTER_GAPS = 1.5
# Whose rhythm is not known yet may well call again within a day.
UNKNOWN_RHYTHM = timedelta(hours=24)
# Below this the next call is too close, and too uncertain, to be worth a date.
DATED_FROM = timedelta(hours=12)
# Bounds what one page can be made to read: a token has at most 32 consumers a day and scope.
MOST_ROWS = 2_000

# How far back knocks at a paused token are looked for; older ones say no more than the last use.
RECENT_KNOCKS = timedelta(days=7)
# What such a knock has in the place of a scope begins so.
PAUSED = "#paused"
OTHERS = "others"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """One network, client and claimed name (or one service) that used a token, over all its scopes.

    ``name`` is what the caller says of itself and was never checked. ``days`` and ``count`` are
    lower bounds. ``usual_gap`` is None while fewer than three gaps are known.
    """

    key: str
    network: str
    client: str
    name: str
    service: str
    first_at: datetime
    last_at: datetime
    days: int
    count: int
    usual_gap: timedelta | None
    last_by_scope: tuple[tuple[str, datetime], ...]

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes it used; a request that needs none, such as ``/api/v1/token``, is not among them."""
        return tuple(scope for scope, _ in self.last_by_scope if scope)

    @property
    def place(self) -> str:
        """Where it calls from, as the pages name it."""
        return place_name(self.network, self.service)

    @property
    def next_at(self) -> datetime | None:
        """When it is expected again, or None where its rhythm is not known."""
        return self.last_at + self.usual_gap if self.usual_gap else None

    def is_quiet(self, now: datetime) -> bool:
        """Say whether it was silent for three usual gaps, and for fifteen minutes at least."""
        return now - self.last_at >= quiet_after(self.usual_gap)

    def is_expected(self, now: datetime) -> bool:
        """Say whether it will most likely call again: seen within a day or within two usual gaps."""
        return now - self.last_at < expected_for(self.usual_gap)


def place_name(network: str, service: str) -> str:
    """Return the words for a network, or for the service that asked on somebody's behalf."""
    if service:
        return service
    return {OTHERS: "other places", UNKNOWN: "an unknown network"}.get(network, network)


def usual_gap(gaps: Iterable[int]) -> timedelta | None:
    """Return the median of the remembered gaps, or None of fewer than three.

    A negative number is no gap: with it the writer keeps how long the present run of calls lasts.
    """
    known = [gap for gap in gaps if gap > 0]
    if len(known) < LEAST_GAPS:
        return None
    return timedelta(seconds=round(statistics.median(known)))


def quiet_after(gap: timedelta | None) -> timedelta:
    """Return how long a silence must last before nobody is expected any more."""
    return UNKNOWN_RHYTHM if gap is None else max(QUIET_AFTER_GAPS * gap, QUIET_AT_LEAST)


def expected_for(gap: timedelta | None) -> timedelta:
    """Return how long after its last call a consumer still counts as one that would break."""
    return UNKNOWN_RHYTHM if gap is None else max(EXPECTED_FOR_GAPS * gap, UNKNOWN_RHYTHM)


def consumers(token_id: int, now: datetime) -> list[Consumer]:
    """Return who used the token within the last 400 days, whoever called last first. One query."""
    return consumers_of_each([token_id], now)[token_id]


def consumers_of_each(token_ids: Collection[int], now: datetime) -> dict[int, list[Consumer]]:
    """Return the consumers of each of the tokens, with one query for all of them."""
    rows = list(
        TokenConsumer.objects.filter(token_id__in=token_ids, last_at__gt=now - KEPT).order_by(
            "-last_at", "pk"
        )[: MOST_ROWS * max(len(token_ids), 1)]
    )
    found: dict[int, list[Consumer]] = {token_id: [] for token_id in token_ids}
    by_consumer = sorted(rows, key=lambda row: (row.token_id, row.consumer_key))
    for (token_id, _), group in itertools.groupby(
        by_consumer, key=lambda row: (row.token_id, row.consumer_key)
    ):
        found[token_id].append(_merged(list(group)))
    for each in found.values():
        each.sort(key=lambda consumer: (consumer.last_at, consumer.key), reverse=True)
    return found


def with_knocks(found: dict[int, list[Consumer]], now: datetime) -> dict[int, list[Consumer]]:
    """Return the same consumers, where one that knocks at a paused token was last seen knocking.

    It is refused and so not counted as use; but it still holds the token, and would break for good
    with it. One query.
    """
    knocks = TokenUse.objects.filter(
        token_id__in=found, day__gt=(now - RECENT_KNOCKS).date(), scope__startswith=PAUSED
    )
    latest: dict[tuple[int, str], datetime] = {}
    for token_id, key, at in knocks.values_list("token_id", "consumer_key", "last_at"):
        latest[token_id, key] = max(latest.get((token_id, key), at), at)
    return {
        token_id: sorted(
            (
                replace(
                    each, last_at=max(each.last_at, latest.get((token_id, each.key), each.last_at))
                )
                for each in consumers
            ),
            key=lambda each: (each.last_at, each.key),
            reverse=True,
        )
        for token_id, consumers in found.items()
    }


def _merged(rows: list[TokenConsumer]) -> Consumer:
    """Return the one consumer that these rows, one a scope, are about.

    It calls at least as often as for its most frequent scope, so the shortest rhythm is its own.
    """
    known = [gap for gap in (usual_gap(row.gaps) for row in rows) if gap is not None]
    one = rows[0]
    return Consumer(
        key=one.consumer_key,
        network=one.network,
        client=one.client,
        name=one.consumer_name,
        service=one.service,
        first_at=min(row.first_at for row in rows),
        last_at=max(row.last_at for row in rows),
        days=max(row.days for row in rows),
        count=sum(row.count for row in rows),
        usual_gap=min(known, default=None),
        last_by_scope=tuple(sorted((row.scope, row.last_at) for row in rows)),
    )
