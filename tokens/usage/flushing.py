"""How what was gathered is written: by a small thread, in short transactions, late rather than never."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import DataError, Error as DatabaseFault, IntegrityError, connection
from django.utils import timezone

from tokens.usage.gathering import Gathered
from tokens.usage.knocks import tell_owners
from tokens.usage.lines import ENDED, Key, Tally, write_lines

LINES_A_TRANSACTION = 100
# A transaction costs as much as seventy lines, and no page is looked at within this time (seconds).
MOMENT = 0.05
TRIES_AT_EXIT = 20

logger = logging.getLogger(__name__)


class Flusher:
    """What one process gathered, and the thread that writes it."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.thread: threading.Thread | None = None
        # First sights that the thread is to write at once, and what wakes it.
        self.unseen: list[Key] = []
        self.wake = threading.Event()
        self.ending = False
        self._lock = threading.Lock()

    # --- The thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start this process's flush thread once; after a fork the child starts its own."""
        if self.thread is not None or not settings.USE_FLUSH_SECONDS:
            return
        with self._lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="use", daemon=True)
                self.thread.start()
                atexit.register(flush_at_exit)

    def _run(self) -> None:
        """Write first sights whenever some are there, and everything else each time the interval ends."""
        due = time.monotonic() + settings.USE_FLUSH_SECONDS
        while not self.ending:
            woken = self.wake.wait(max(due - time.monotonic(), 0))
            try:
                connection.close_if_unusable_or_obsolete()
                if woken:
                    time.sleep(MOMENT)
                    self.write_first_sights()
                if time.monotonic() >= due:
                    due = time.monotonic() + settings.USE_FLUSH_SECONDS
                    self.flush()
                    # Opened anew when it is needed, because an idle one may be cut without a word.
                    connection.close()
            except Exception:
                logger.exception("Gathered use could not be written; the next round tries again.")
                connection.close()
        connection.close()

    def end(self) -> None:
        """End the thread: what it holds while it writes would be lost if the process ended under it."""
        self.ending = True
        self.wake.set()
        if self.thread is not None:
            self.thread.join(1)

    # --- Writing ---------------------------------------------------------------------------------

    def write_soon(self, key: Key) -> None:
        """Have a first sight written at once, by the thread where it runs: the request does not wait."""
        if self.thread is None:
            self.write_now([key])
            return
        with self._lock:
            self.unseen.append(key)
        self.wake.set()

    def write_first_sights(self) -> None:
        """Write the first sights that came up to now."""
        self.wake.clear()
        with self._lock:
            unseen, self.unseen = self.unseen, []
        self._write_all(unseen)

    def flush(self) -> int:
        """Write everything gathered and return how many lines were written."""
        waiting, lost = self.gathered.waiting(timezone.now().date())
        if lost:
            logger.warning("%s uses were not counted, because too many were waiting.", lost)
        written = self._write_all(waiting)
        _tell_owners({key.token_id for key in waiting if key.scope == ENDED})
        return written

    def _write_all(self, keys: Sequence[Key]) -> int:
        """Write many lines in short transactions, which keep the write lock free for everybody else."""
        starts = range(0, len(keys), LINES_A_TRANSACTION)
        return sum(self.write_now(keys[start : start + LINES_A_TRANSACTION]) for start in starts)

    def write_now(self, keys: Iterable[Key]) -> int:
        """Write the tallies of ``keys``; put them back when the database cannot take them in time."""
        taken = self.gathered.take(keys)
        if not taken:
            return 0
        try:
            write_lines(taken)
        except (DataError, IntegrityError):
            return self._write_one_by_one(taken)
        except DatabaseFault as error:
            logger.info("Use will be written later: %s", type(error).__name__)
            self.gathered.put_back(taken)
            return 0
        return len(taken)

    def _write_one_by_one(self, taken: dict[Key, Tally]) -> int:
        """Write each line by itself, and drop one that can never be written, such as a purged token's.

        Kept, it would be tried for ever, and would take the other lines of its transaction with it.
        """
        if len(taken) == 1:
            logger.warning("A line of use was dropped, because the database cannot hold it.")
            return 0
        self.gathered.put_back(taken)
        return sum(self.write_now([key]) for key in taken)


flusher = Flusher()


def _start_anew() -> None:
    """Leave the parent's counts to the parent: its thread writes them, and its locks may be held."""
    global flusher  # noqa: PLW0603 - one flusher a process
    flusher = Flusher()


os.register_at_fork(after_in_child=_start_anew)


def flush() -> int:
    """Write everything this process gathered and return how many lines were written."""
    return flusher.flush()


def flush_at_exit() -> None:
    """Write the rest when the process ends; a child that was forked writes its own."""
    # There is no later round, so a busy database is asked again, for about a second in all.
    try:
        flusher.end()
        for _ in range(TRIES_AT_EXIT):
            flusher.flush()
            if not any(tally.last_at for tally in flusher.gathered.tallies.values()):
                return
        logger.warning("Gathered use was lost at exit, because the database was busy.")
    except Exception:
        logger.exception("Gathered use was lost at exit.")


def forget_gathered() -> None:
    """Drop what this process gathered, without writing it; for tests."""
    flusher.gathered = Gathered()
    flusher.unseen.clear()


def _tell_owners(token_ids: set[int]) -> None:
    """Owe a mail about each token that was tried after its end, here and never while a call waits."""
    if not token_ids:
        return
    try:
        tell_owners(token_ids)
    except DatabaseFault as error:
        # The lines are written; whoever goes on knocking brings this back.
        logger.info("Mails about knocks will be owed later: %s", type(error).__name__)
