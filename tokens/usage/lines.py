"""One line of use, and how it is written: per day, per consumer, and as the last use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from tokens.models import TokenActivity, TokenConsumer, TokenUse
from tokens.origin import Consumer

MAX_CONSUMERS_PER_DAY = 32
MAX_GAPS = 9
WAIT_MILLISECONDS = 50
OTHERS = Consumer(network="others", client="")


class Key(NamedTuple):
    """One line of use: a token's scope used by a consumer on a day."""

    token_id: int
    day: date
    scope: str
    consumer: Consumer


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


@contextmanager
def short_wait() -> Iterator[None]:
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


def write_line(key: Key, tally: Tally) -> None:
    """Add one tally to the line of its day and, when it was allowed, to its consumer."""
    consumer = _capped(key)
    lookup = {"token_id": key.token_id, "scope": key.scope, "consumer_key": consumer_key(consumer)}
    facts = {
        "network": consumer.network,
        "client": consumer.client,
        "consumer_name": consumer.name,
        "service": consumer.service,
    }
    assert tally.last_at is not None  # noqa: S101 - _take gives only counted tallies
    use, made = TokenUse.objects.select_for_update().get_or_create(
        **lookup,
        day=key.day,
        defaults={
            **facts,
            "allowed": tally.allowed,
            "refused": tally.refused,
            "last_at": tally.last_at,
        },
    )
    if not made:
        TokenUse.objects.filter(pk=use.pk).update(
            allowed=use.allowed + tally.allowed,
            refused=use.refused + tally.refused,
            last_at=max(use.last_at, tally.last_at),
        )
    if tally.used_at is not None:
        _write_consumer(lookup, facts, tally.allowed, tally.used_at)


def _capped(key: Key) -> Consumer:
    """Return the key's consumer, or "others" when the token has had too many different ones today."""
    today = TokenUse.objects.filter(token_id=key.token_id, day=key.day)
    known = set(
        today.values_list("consumer_key", flat=True).distinct()[: MAX_CONSUMERS_PER_DAY + 1]
    )
    if len(known) < MAX_CONSUMERS_PER_DAY or consumer_key(key.consumer) in known:
        return key.consumer
    return OTHERS


def _write_consumer(
    lookup: dict[str, object], facts: dict[str, str], count: int, at: datetime
) -> None:
    row, made = TokenConsumer.objects.select_for_update().get_or_create(
        **lookup, defaults={**facts, "first_at": at, "last_at": at, "count": count}
    )
    if made:
        return
    gap = int((at - row.last_at).total_seconds())
    gaps = [*row.gaps, gap][-MAX_GAPS:] if gap >= 1 else row.gaps
    TokenConsumer.objects.filter(pk=row.pk).update(
        last_at=max(row.last_at, at),
        days=row.days + (at.date() > row.last_at.date()),
        count=row.count + count,
        gaps=gaps,
    )


def write_activity(taken: dict[Key, Tally]) -> None:
    """Move each token's last use forward to the latest of the tallies."""
    latest: dict[int, tuple[datetime, Tally, str]] = {}
    for key, tally in taken.items():
        if tally.used_at is None:
            continue
        if key.token_id not in latest or tally.used_at >= latest[key.token_id][0]:
            latest[key.token_id] = (tally.used_at, tally, key.consumer.client)
    for token_id, (at, tally, client) in sorted(latest.items()):
        values = {"last_used_at": at, "address": tally.address, "client": client}
        # Conditional, so that a late flush never turns the clock back.
        newer = TokenActivity.objects.filter(token_id=token_id, last_used_at__lte=at)
        if not newer.update(**values):
            TokenActivity.objects.get_or_create(token_id=token_id, defaults=values)


def consumer_key(consumer: Consumer) -> str:
    """Return the short key under which a consumer is counted."""
    text = "\x1f".join((consumer.network, consumer.client, consumer.name, consumer.service))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def sort_key(key: Key) -> tuple[int, str, str]:
    """Return the one order in which lines are written, so that writers cannot wait for each other."""
    return key.token_id, key.scope, consumer_key(key.consumer)
