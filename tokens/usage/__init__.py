"""What used a token: gathered in the process, written soon, and never at a request's expense.

A small thread writes the first sight of a token, scope and consumer at once, together with those of
the same moment; later uses are counted in memory and written every minute and at exit. A write waits
at most 50 milliseconds; what could not be written stays in memory, whose size is bounded. Pages
therefore say "within a minute" and "at least". Where no thread runs, as in most tests, a first sight
is written by the call itself.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import DataError, Error as DatabaseFault, IntegrityError, connection
from django.utils import timezone

from tokens.origin import Consumer
from tokens.usage.knocks import (
    NOBODY,
    Knocker,
    Knocks,
    after_end,
    during_pause,
    knocks_of,
    mark_of_pause,
    tell_owners,
)
from tokens.usage.lines import (
    ENDED,
    OTHERS,
    Crowd,
    Key,
    Tally,
    consumer_key,
    write_lines,
)
from tokens.usage.muting import mute, unmute

__all__ = [
    "ENDED",
    "NOBODY",
    "OTHERS",
    "Key",
    "Knocker",
    "Knocks",
    "Tally",
    "after_end",
    "consumer_key",
    "during_pause",
    "flush",
    "forget_gathered",
    "knock",
    "knocks_of",
    "mark_of_pause",
    "mute",
    "record",
    "unmute",
]

MAX_GATHERED = 50_000
LINES_A_TRANSACTION = 100
# A transaction costs as much as seventy lines, and no page is looked at within this time (seconds).
MOMENT = 0.05
TRIES_AT_EXIT = 20
KNOCK_PAUSE = timedelta(minutes=1)

logger = logging.getLogger(__name__)


class _Gathered:
    """The counts of this process. A forked child starts its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[Key, Tally] = {}
        # The consumers seen of each token and day, so that one caller who invents names fills
        # neither the memory of all nor the database with first sights.
        self.consumers: dict[Crowd, set[Consumer]] = {}
        # When a knock at a paused token was last written at once.
        self.knocked: dict[int, datetime] = {}
        self.lost = 0
        self.thread: threading.Thread | None = None
        # First sights that the thread is to write at once, and what wakes it.
        self.unseen: list[Key] = []
        self.wake = threading.Event()
        self.ending = False


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
    """Count one use. Never raises, and waits for no database where the flush thread runs."""
    tally = Tally(int(allowed), int(not allowed), at, at if allowed else None, address)
    key, first_sight = _gather(Key(token_id, at.date(), scope, consumer), tally)
    if first_sight:
        _write_soon(key)


def _write_soon(key: Key) -> None:
    """Have a first sight written at once, by the thread where it runs: the request does not wait."""
    if _gathered.thread is None:
        _write_now([key])
        return
    with _gathered.lock:
        _gathered.unseen.append(key)
    _gathered.wake.set()


def knock(*, token_id: int, mark: str, consumer: Consumer, at: datetime) -> None:
    """Count one request of a token that is paused or has ended, without slowing its refusal.

    ``mark`` is ``ENDED`` or that of the pause. An ended token's knocks are written by the flush alone. A
    paused one's owner may be watching, so its first sights are written at once, one a minute at most.
    """
    key, first_sight = _gather(Key(token_id, at.date(), mark, consumer), Tally(0, 1, at))
    if first_sight and mark != ENDED and _is_a_minute_later(token_id, at):
        _write_soon(key)


def _gather(key: Key, tally: Tally) -> tuple[Key, bool]:
    """Count in memory; return the key that was counted, and whether it has to be written at once."""
    _start_flushing()
    with _gathered.lock:
        key = _listed(key)
        gathered = _gathered.tallies.get(key)
        first_sight = gathered is None
        if gathered is None:
            if len(_gathered.tallies) >= MAX_GATHERED:
                _gathered.lost += 1
                return key, False
            gathered = _gathered.tallies[key] = Tally()
        gathered.add(tally)
    return key, first_sight


def _listed(key: Key) -> Key:
    """Return the key, or that of "others" once this process saw too many consumers that day."""
    seen = _gathered.consumers.setdefault(key.crowd, set())
    if key.consumer not in seen:
        if len(seen) >= key.crowd.room:
            return key._replace(consumer=OTHERS)
        seen.add(key.consumer)
    return key


def _is_a_minute_later(token_id: int, at: datetime) -> bool:
    with _gathered.lock:
        last = _gathered.knocked.get(token_id)
        # A clock that was set back must not silence a token until it has caught up.
        if last is not None and last <= at < last + KNOCK_PAUSE:
            return False
        _gathered.knocked[token_id] = at
        return True


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
    written = _write_all(waiting)
    _tell_owners({key.token_id for key in waiting if key.scope == ENDED})
    return written


def _tell_owners(token_ids: set[int]) -> None:
    """Owe a mail about each token that was tried after its end, here and never while a call waits."""
    if not token_ids:
        return
    try:
        tell_owners(token_ids)
    except DatabaseFault as error:
        # The lines are written; whoever goes on knocking brings this back.
        logger.info("Mails about knocks will be owed later: %s", type(error).__name__)


def _let_go(today: date) -> None:
    crowded = len(_gathered.tallies) > MAX_GATHERED // 2
    for key, tally in list(_gathered.tallies.items()):
        if tally.last_at is None and (crowded or key.day < today):
            del _gathered.tallies[key]
    busy = {key.crowd for key in _gathered.tallies}
    for crowd in _gathered.consumers.keys() - busy:
        del _gathered.consumers[crowd]
    for token_id in _gathered.knocked.keys() - {crowd.token_id for crowd in busy}:
        del _gathered.knocked[token_id]


def forget_gathered() -> None:
    """Drop what this process gathered, without writing it; for tests."""
    with _gathered.lock:
        _gathered.tallies.clear()
        _gathered.consumers.clear()
        _gathered.knocked.clear()
        _gathered.unseen.clear()
        _gathered.lost = 0


# --- Writing -------------------------------------------------------------------------------------


def _write_all(keys: Sequence[Key]) -> int:
    """Write many lines in short transactions, which keep the write lock free for everybody else."""
    starts = range(0, len(keys), LINES_A_TRANSACTION)
    return sum(_write_now(keys[start : start + LINES_A_TRANSACTION]) for start in starts)


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
            _gathered.thread = threading.Thread(
                target=_flush_forever, args=[_gathered], name="use", daemon=True
            )
            _gathered.thread.start()
            atexit.register(_flush_at_exit)


def _flush_forever(gathered: _Gathered) -> None:
    """Write first sights whenever some are there, and everything else each time its interval ends."""
    due = time.monotonic() + settings.USE_FLUSH_SECONDS
    while not gathered.ending:
        woken = gathered.wake.wait(max(due - time.monotonic(), 0))
        try:
            connection.close_if_unusable_or_obsolete()
            if woken:
                time.sleep(MOMENT)
                _write_first_sights(gathered)
            if time.monotonic() >= due:
                due = time.monotonic() + settings.USE_FLUSH_SECONDS
                flush()
                # Opened anew when it is needed, because an idle one may be cut without a word.
                connection.close()
        except Exception:
            logger.exception("Gathered use could not be written; the next round tries again.")
            connection.close()
    connection.close()


def _write_first_sights(gathered: _Gathered) -> None:
    gathered.wake.clear()
    with gathered.lock:
        unseen, gathered.unseen = gathered.unseen, []
    _write_all(unseen)


def _end_thread(gathered: _Gathered) -> None:
    # What the thread holds while it writes would be lost if the process ended under it.
    gathered.ending = True
    gathered.wake.set()
    if gathered.thread is not None:
        gathered.thread.join(1)


def _flush_at_exit() -> None:
    # There is no later round, so a busy database is asked again, for about a second in all.
    try:
        _end_thread(_gathered)
        for _ in range(TRIES_AT_EXIT):
            flush()
            if not any(tally.last_at for tally in _gathered.tallies.values()):
                return
        logger.warning("Gathered use was lost at exit, because the database was busy.")
    except Exception:
        logger.exception("Gathered use was lost at exit.")
