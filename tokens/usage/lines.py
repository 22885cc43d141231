"""Lines of use, and how many of them are written at once.

A line costs one row of three statements that carry all lines of a transaction, instead of some ten
queries of its own: measured, 50 µs a line on SQLite where single rows took 3,200 (bench/README.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from tokens.models import TokenConsumer, TokenUse
from tokens.origin import Consumer
from tokens.usage.gaps import with_gap

MAX_CONSUMERS_PER_DAY = 32
# Whoever holds an ended token can only knock, so less is remembered of them.
MAX_CONSUMERS_OF_ENDED = 8
# What stands in the place of the scope where an ended token was presented; no scope begins so.
ENDED = "#ended"
WAIT_MILLISECONDS = 50
OTHERS = Consumer(network="others", client="")

_ADD_USE = """
INSERT INTO tokens_tokenuse
    (token_id, day, scope, consumer_key, network, client, consumer_name, service,
     allowed, refused, last_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (token_id, day, scope, consumer_key) DO UPDATE SET
    allowed = tokens_tokenuse.allowed + excluded.allowed,
    refused = tokens_tokenuse.refused + excluded.refused,
    last_at = CASE WHEN excluded.last_at > tokens_tokenuse.last_at
                   THEN excluded.last_at ELSE tokens_tokenuse.last_at END
"""
_ADD_CONSUMER = """
INSERT INTO tokens_tokenconsumer
    (token_id, scope, consumer_key, network, client, consumer_name, service,
     first_at, last_at, days, count, gaps)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (token_id, scope, consumer_key) DO UPDATE SET
    last_at = CASE WHEN excluded.last_at > tokens_tokenconsumer.last_at
                   THEN excluded.last_at ELSE tokens_tokenconsumer.last_at END,
    days = excluded.days,
    count = tokens_tokenconsumer.count + excluded.count,
    gaps = excluded.gaps
"""
# Conditional, so that a late flush never turns the clock back.
_MOVE_LAST_USE = """
INSERT INTO tokens_tokenactivity (token_id, last_used_at, address, client)
VALUES (%s, %s, %s, %s)
ON CONFLICT (token_id) DO UPDATE SET
    last_used_at = excluded.last_used_at, address = excluded.address, client = excluded.client
WHERE excluded.last_used_at >= tokens_tokenactivity.last_used_at
"""


class Crowd(NamedTuple):
    """The consumers that are counted against one cap: those of a token's day, before or after its end."""

    token_id: int
    day: date
    after_end: bool

    @property
    def room(self) -> int:
        """How many of them are told apart; the rest are "others"."""
        return MAX_CONSUMERS_OF_ENDED if self.after_end else MAX_CONSUMERS_PER_DAY


class Key(NamedTuple):
    """One line of use: a token's scope used by a consumer on a day.

    ``scope`` is what the call needed, or the mark of a knock (``tokens.usage.knocks``).
    """

    token_id: int
    day: date
    scope: str
    consumer: Consumer

    @property
    def crowd(self) -> Crowd:
        """The consumers among which this line's one is counted."""
        return Crowd(self.token_id, self.day, self.scope == ENDED)


@dataclass(slots=True)
class Tally:
    """What was counted for a key since it was last written."""

    allowed: int = 0
    refused: int = 0
    last_at: datetime | None = None
    # A refused call is no use of the token, so the last use is remembered apart from it.
    used_at: datetime | None = None
    address: str | None = None

    def add(self, other: Tally) -> None:
        """Count another tally in; of two times the later one stays, whichever came first."""
        self.allowed += other.allowed
        self.refused += other.refused
        if other.last_at and (self.last_at is None or other.last_at >= self.last_at):
            self.last_at = other.last_at
        if other.used_at and (self.used_at is None or other.used_at >= self.used_at):
            self.used_at, self.address = other.used_at, other.address


def write_lines(tallies: Mapping[Key, Tally]) -> None:
    """Add the tallies to their days, consumers and last uses, in one transaction.

    Raises ``django.db.Error`` when the database cannot take them within 50 milliseconds a lock.
    """
    with _short_wait(), transaction.atomic():
        lines = _capped(tallies)
        _write_uses(lines)
        _write_consumers({key: tally for key, tally in lines.items() if tally.used_at})
        _write_last_uses(lines)


@contextmanager
def _short_wait() -> Iterator[None]:
    """Bound the wait for locks around one write, on either database."""
    if connection.vendor == "postgresql":
        with transaction.atomic():
            _execute(f"SET LOCAL lock_timeout = {WAIT_MILLISECONDS}")
            yield
            _execute("SET LOCAL lock_timeout = DEFAULT")
        return
    _execute(f"PRAGMA busy_timeout = {WAIT_MILLISECONDS}")
    try:
        yield
    finally:
        usual = int(settings.DATABASES["default"].get("OPTIONS", {}).get("timeout", 5))
        _execute(f"PRAGMA busy_timeout = {usual * 1000}")


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _execute_many(sql: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def _capped(tallies: Mapping[Key, Tally]) -> dict[Key, Tally]:
    """Return the lines in the one order of all writers, consumers beyond the cap as "others".

    One order, so that two writers cannot wait for each other.
    """
    # "Others" are never one of those who are told apart, so they take nobody's place.
    known: dict[Crowd, set[str]] = {key.crowd: {_OTHERS_KEY} for key in tallies}
    rows = TokenUse.objects.filter(
        token_id__in={crowd.token_id for crowd in known}, day__in={crowd.day for crowd in known}
    ).annotate(after_end=Q(scope=ENDED))
    columns = ("token_id", "day", "after_end", "consumer_key")
    for token_id, day, after_end, used_by in rows.values_list(*columns).distinct():
        known.setdefault(Crowd(token_id, day, bool(after_end)), {_OTHERS_KEY}).add(used_by)
    lines: dict[Key, Tally] = {}
    for key in sorted(tallies, key=_order):
        seen, name = known[key.crowd], consumer_key(key.consumer)
        has_room = name in seen or len(seen) <= key.crowd.room
        line = key if has_room else key._replace(consumer=OTHERS)
        if has_room:
            seen.add(name)
        lines.setdefault(line, Tally()).add(tallies[key])
    return lines


def _write_uses(lines: Mapping[Key, Tally]) -> None:
    day = connection.ops.adapt_datefield_value
    _execute_many(
        _ADD_USE,
        [
            (
                key.token_id,
                day(key.day),
                *_facts(key),
                tally.allowed,
                tally.refused,
                _at(tally.last_at),
            )
            for key, tally in lines.items()
        ],
    )


def _write_consumers(lines: Mapping[Key, Tally]) -> None:
    """Roll the uses up by consumer; the rows that exist are held until all are written."""
    known = {
        (row.token_id, row.scope, row.consumer_key): row
        for row in TokenConsumer.objects.select_for_update()
        .filter(
            token_id__in={key.token_id for key in lines},
            consumer_key__in={consumer_key(key.consumer) for key in lines},
        )
        .order_by("pk")
    }
    rows = []
    for key, tally in lines.items():
        assert tally.used_at is not None  # noqa: S101 - the caller gives used lines only
        row = known.get((key.token_id, key.scope, consumer_key(key.consumer)))
        days, gaps = _days_and_gaps(row, tally.used_at)
        at = _at(tally.used_at)
        rows.append((key.token_id, *_facts(key), at, at, days, tally.allowed, json.dumps(gaps)))
    _execute_many(_ADD_CONSUMER, rows)


def _days_and_gaps(row: TokenConsumer | None, at: datetime) -> tuple[int, list[int]]:
    if row is None:
        return 1, []
    gap = int((at - row.last_at).total_seconds())
    return row.days + (at.date() > row.last_at.date()), with_gap(row.gaps, gap)


def _write_last_uses(lines: Mapping[Key, Tally]) -> None:
    latest: dict[int, tuple[datetime, str | None, str]] = {}
    for key, tally in lines.items():
        if tally.used_at and (
            key.token_id not in latest or tally.used_at >= latest[key.token_id][0]
        ):
            latest[key.token_id] = (tally.used_at, tally.address, key.consumer.client)
    _execute_many(
        _MOVE_LAST_USE,
        [
            (token_id, _at(at), address, client)
            for token_id, (at, address, client) in sorted(latest.items())
        ],
    )


def _facts(key: Key) -> tuple[str, ...]:
    consumer = key.consumer
    return (
        key.scope,
        consumer_key(consumer),
        consumer.network,
        consumer.client,
        consumer.name,
        consumer.service,
    )


def _at(at: datetime | None) -> Any:
    return connection.ops.adapt_datetimefield_value(at)


def consumer_key(consumer: Consumer) -> str:
    """Return the short key under which a consumer is counted."""
    text = "\x1f".join((consumer.network, consumer.client, consumer.name, consumer.service))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


_OTHERS_KEY = consumer_key(OTHERS)


def _order(key: Key) -> tuple[int, date, str, str]:
    return key.token_id, key.day, key.scope, consumer_key(key.consumer)
