"""What used a token: gathered in the process, written soon, and never at a request's expense.

The first sight of a token, scope and consumer is written at once; later uses are counted in memory
and a small thread writes them every minute and at exit. A write waits at most 50 milliseconds; what
could not be written stays in memory, whose size is bounded. Pages therefore say "within a minute"
and "at least".
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import DataError, Error as DatabaseFault, IntegrityError, connection, transaction

from tokens.models import TokenActivity, TokenConsumer, TokenUse
from tokens.origin import Consumer

MAX_GATHERED = 20_000
MAX_CONSUMERS_PER_DAY = 32
MAX_GAPS = 9
WAIT_MILLISECONDS = 50
TRIES_AT_EXIT = 20
OTHERS = Consumer(network="others", client="")

logger = logging.getLogger(__name__)


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


class _Gathered:
    """The counts of this process. A forked child starts its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[Key, Tally] = {}
        self.lost = 0
        self.thread: threading.Thread | None = None


_gathered = _Gathered()


def _start_anew() -> None:
    """Leave the parent's counts to the parent: its thread writes them, and its lock may be held."""
    global _gathered  # noqa: PLW0603 - one gatherer a process
    _gathered = _Gathered()


os.register_at_fork(after_in_child=_start_anew)


def record(
    *,
    token_id: int,
    scope: str,
    consumer: Consumer,
    address: str | None,
    at: datetime,
    allowed: bool = True,
) -> None:
    """Count one use. Never raises and never waits longer than 50 milliseconds."""
    _start_flushing()
    key = Key(token_id, at.date(), scope, consumer)
    with _gathered.lock:
        tally = _gathered.tallies.get(key)
        first_sight = tally is None
        if tally is None:
            if len(_gathered.tallies) >= MAX_GATHERED:
                _gathered.lost += 1
                return
            tally = _gathered.tallies[key] = Tally()
        tally.add(Tally(int(allowed), int(not allowed), at, at if allowed else None, address))
    if first_sight:
        _write_now([key])


def flush() -> int:
    """Write everything gathered and return how many lines were written.

    Keys without a new count are let go, so that memory holds only what is used right now; the next
    use of such a key is a first sight again and is written at once.
    """
    with _gathered.lock:
        idle = [key for key, tally in _gathered.tallies.items() if tally.last_at is None]
        for key in idle:
            del _gathered.tallies[key]
        waiting = list(_gathered.tallies)
        lost, _gathered.lost = _gathered.lost, 0
    if lost:
        logger.warning("%s uses were not counted, because too many were waiting.", lost)
    written = 0
    # A short transaction a hundred lines keeps the write lock free for everybody else.
    for start in range(0, len(waiting), 100):
        written += _write_now(waiting[start : start + 100])
    return written


def forget_gathered() -> None:
    """Drop what this process gathered, without writing it; for tests."""
    with _gathered.lock:
        _gathered.tallies.clear()
        _gathered.lost = 0


# --- Writing -------------------------------------------------------------------------------------


def _write_now(keys: Iterable[Key]) -> int:
    """Write the tallies of ``keys``; put them back when the database cannot take them in time."""
    taken = _take(keys)
    if not taken:
        return 0
    try:
        with _short_wait(), transaction.atomic():
            # One order for everybody, so that two writers cannot wait for each other.
            for key in sorted(taken, key=_sort_key):
                _write_line(key, taken[key])
            _write_activity(taken)
    except (DataError, IntegrityError):
        return _write_one_by_one(taken)
    except DatabaseFault as error:
        logger.info("Use will be written later: %s", type(error).__name__)
        _put_back(taken)
        return 0
    return len(taken)


def _write_one_by_one(taken: dict[Key, Tally]) -> int:
    """Write each line by itself, and drop one that can never be written, such as a purged token's.

    Kept, it would be tried for ever, and would take the other lines of its transaction with it.
    """
    if len(taken) == 1:
        logger.warning("A line of use was dropped, because the database cannot hold it.")
        return 0
    _put_back(taken)
    return sum(_write_now([key]) for key in taken)


def _take(keys: Iterable[Key]) -> dict[Key, Tally]:
    taken = {}
    with _gathered.lock:
        for key in keys:
            tally = _gathered.tallies.get(key)
            if tally is not None and tally.last_at is not None:
                taken[key] = tally
                # An empty tally stays behind, so that the next use is not a first sight.
                _gathered.tallies[key] = Tally()
    return taken


def _put_back(taken: dict[Key, Tally]) -> None:
    with _gathered.lock:
        for key, tally in taken.items():
            _gathered.tallies.setdefault(key, Tally()).add(tally)


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


def _write_line(key: Key, tally: Tally) -> None:
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


def _write_activity(taken: dict[Key, Tally]) -> None:
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


def _sort_key(key: Key) -> tuple[int, str, str]:
    return key.token_id, key.scope, consumer_key(key.consumer)


# --- The flush thread ----------------------------------------------------------------------------


def _start_flushing() -> None:
    """Start this process's flush thread once; after a fork the child starts its own."""
    if _gathered.thread is not None or not settings.USE_FLUSH_SECONDS:
        return
    with _gathered.lock:
        if _gathered.thread is None:
            _gathered.thread = threading.Thread(target=_flush_forever, name="use", daemon=True)
            _gathered.thread.start()
            atexit.register(_flush_at_exit)


def _flush_forever() -> None:
    wake = threading.Event()
    while not wake.wait(settings.USE_FLUSH_SECONDS):
        try:
            flush()
        except Exception:
            logger.exception("Gathered use could not be written; the next round tries again.")
        finally:
            connection.close()


def _flush_at_exit() -> None:
    # There is no later round, so a busy database is asked again, for about a second in all.
    try:
        for _ in range(TRIES_AT_EXIT):
            flush()
            if not any(tally.last_at for tally in _gathered.tallies.values()):
                return
        logger.warning("Gathered use was lost at exit, because the database was busy.")
    except Exception:
        logger.exception("Gathered use was lost at exit.")
