"""What this process counted and did not write yet, in memory that is bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from tokens.origin import Consumer
from tokens.usage.lines import OTHERS, Crowd, Key, Tally

MAX_GATHERED = 50_000
KNOCK_PAUSE = timedelta(minutes=1)


class Gathered:
    """The counts of one process, which its requests add to while its flush takes them away."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tallies: dict[Key, Tally] = {}
        # The consumers seen of each token and day, so that one caller who invents names fills
        # neither the memory of all nor the database with first sights.
        self.consumers: dict[Crowd, set[Consumer]] = {}
        # When a knock at a paused token was last written at once.
        self.knocked: dict[int, datetime] = {}
        self.lost = 0

    def count(self, key: Key, tally: Tally) -> tuple[Key, bool]:
        """Add a tally; return the key that was counted, and whether it has to be written at once."""
        with self.lock:
            key = self._listed(key)
            gathered = self.tallies.get(key)
            first_sight = gathered is None
            if gathered is None:
                if len(self.tallies) >= MAX_GATHERED:
                    self.lost += 1
                    return key, False
                gathered = self.tallies[key] = Tally()
            gathered.add(tally)
        return key, first_sight

    def _listed(self, key: Key) -> Key:
        """Return the key, or that of "others" once this process saw too many consumers that day."""
        seen = self.consumers.setdefault(key.crowd, set())
        if key.consumer not in seen:
            if len(seen) >= key.crowd.room:
                return key._replace(consumer=OTHERS)
            seen.add(key.consumer)
        return key

    def is_a_minute_later(self, token_id: int, at: datetime) -> bool:
        """Say whether a paused token's last knock that was written at once is a minute ago."""
        with self.lock:
            last = self.knocked.get(token_id)
            # A clock that was set back must not silence a token until it has caught up.
            if last is not None and last <= at < last + KNOCK_PAUSE:
                return False
            self.knocked[token_id] = at
            return True

    def waiting(self, today: date) -> tuple[list[Key], int]:
        """Return the keys to write and how many uses were lost since; let go of what is idle.

        A key without a new count stays until its day (UTC) ends, so that a token which is used every
        few minutes is counted in memory and not written again at once each time. Half of the memory
        is kept for that; beyond it idle keys are let go.
        """
        with self.lock:
            self._let_go(today)
            lost, self.lost = self.lost, 0
            return [key for key, tally in self.tallies.items() if tally.last_at], lost

    def _let_go(self, today: date) -> None:
        crowded = len(self.tallies) > MAX_GATHERED // 2
        for key, tally in list(self.tallies.items()):
            if tally.last_at is None and (crowded or key.day < today):
                del self.tallies[key]
        busy = {key.crowd for key in self.tallies}
        for crowd in self.consumers.keys() - busy:
            del self.consumers[crowd]
        for token_id in self.knocked.keys() - {crowd.token_id for crowd in busy}:
            del self.knocked[token_id]

    def take(self, keys: Iterable[Key]) -> dict[Key, Tally]:
        """Hand over what was counted for ``keys``, for writing."""
        taken = {}
        with self.lock:
            for key in keys:
                tally = self.tallies.get(key)
                if tally is not None and tally.last_at is not None:
                    taken[key] = tally
                    # An empty tally stays behind, so that the next use is not a first sight.
                    self.tallies[key] = Tally()
        return taken

    def put_back(self, taken: dict[Key, Tally]) -> None:
        """Keep for later what could not be written."""
        with self.lock:
            for key, tally in taken.items():
                self.tallies.setdefault(key, Tally()).add(tally)
