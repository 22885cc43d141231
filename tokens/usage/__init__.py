"""What used a token: gathered in the process, written soon, and never at a request's expense.

The first sight of a token, scope and consumer is written at once; later uses are counted in memory
and a small thread writes them every minute and at exit. A write waits at most 50 milliseconds; what
could not be written stays in memory, whose size is bounded. Pages therefore say "within a minute"
and "at least".
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterable
from datetime import date, datetime

from django.conf import settings
from django.db import DataError, Error as DatabaseFault, IntegrityError, connection
from django.utils import timezone

from tokens.origin import Consumer
from tokens.usage.lines import (
    MAX_CONSUMERS_PER_DAY,
    OTHERS,
    Key,
    Tally,
    consumer_key,
    write_lines,
)

__all__ = ["OTHERS", "Key", "Tally", "consumer_key", "flush", "forget_gathered", "record"]

MAX_GATHERED = 50_000
TRIES_AT_EXIT = 20

logger = logging.getLogger(__name__)


class _Gathered:
    """The counts of this process. A forked child starts its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[Key, Tally] = {}
        # The consumers seen of each token and day, so that one caller who invents names fills
        # neither the memory of all nor the database with first sights.
        self.consumers: dict[tuple[int, date], set[Consumer]] = {}
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
    day = at.date()
    with _gathered.lock:
        key = Key(token_id, day, scope, _listed(token_id, day, consumer))
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


def _listed(token_id: int, day: date, consumer: Consumer) -> Consumer:
    """Return the consumer, or "others" once this process saw too many of the token that day."""
    seen = _gathered.consumers.setdefault((token_id, day), set())
    if consumer not in seen:
        if len(seen) >= MAX_CONSUMERS_PER_DAY:
            return OTHERS
        seen.add(consumer)
    return consumer


def flush() -> int:
    """Write everything gathered and return how many lines were written.

    A key without a new count stays until its day (UTC) ends, so that a token which is used every few
    minutes is counted in memory and not written again at once each time. Half of the memory is kept
    for that; beyond it idle keys are let go.
    """
    with _gathered.lock:
        _let_go(timezone.now().date())
        waiting = [key for key, tally in _gathered.tallies.items() if tally.last_at is not None]
        lost, _gathered.lost = _gathered.lost, 0
    if lost:
        logger.warning("%s uses were not counted, because too many were waiting.", lost)
    written = 0
    # A short transaction a hundred lines keeps the write lock free for everybody else.
    for start in range(0, len(waiting), 100):
        written += _write_now(waiting[start : start + 100])
    return written


def _let_go(today: date) -> None:
    crowded = len(_gathered.tallies) > MAX_GATHERED // 2
    for key, tally in list(_gathered.tallies.items()):
        if tally.last_at is None and (crowded or key.day < today):
            del _gathered.tallies[key]
    busy = {(key.token_id, key.day) for key in _gathered.tallies}
    for token_day in _gathered.consumers.keys() - busy:
        del _gathered.consumers[token_day]


def forget_gathered() -> None:
    """Drop what this process gathered, without writing it; for tests."""
    with _gathered.lock:
        _gathered.tallies.clear()
        _gathered.consumers.clear()
        _gathered.lost = 0


# --- Writing -------------------------------------------------------------------------------------


def _write_now(keys: Iterable[Key]) -> int:
    """Write the tallies of ``keys``; put them back when the database cannot take them in time."""
    taken = _take(keys)
    if not taken:
        return 0
    try:
        write_lines(taken)
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
