"""What used a token: gathered in the process, written soon, and never at a request's expense.

A small thread writes the first sight of a token, scope and consumer at once, together with those of
the same moment; later uses are counted in memory and written every minute and at exit. A write waits
at most 50 milliseconds; what could not be written stays in memory, whose size is bounded. Pages
therefore say "within a minute" and "at least". Where no thread runs, as in most tests, a first sight
is written by the call itself.
"""

from __future__ import annotations

from datetime import datetime

from tokens.origin import Consumer
from tokens.usage import flushing
from tokens.usage.flushing import flush, forget_gathered
from tokens.usage.knocks import (
    NOBODY,
    Knocker,
    Knocks,
    after_end,
    during_pause,
    knocks_of,
    mark_of_pause,
)
from tokens.usage.lines import ENDED, OTHERS, Key, Tally, consumer_key
from tokens.usage.muting import KEPT_FOR, keep, kept_scopes, mute, unmute

__all__ = [
    "ENDED",
    "KEPT_FOR",
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
    "keep",
    "kept_scopes",
    "knock",
    "knocks_of",
    "mark_of_pause",
    "mute",
    "record",
    "unmute",
]


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
    flusher = flushing.flusher
    flusher.start()
    tally = Tally(int(allowed), int(not allowed), at, at if allowed else None, address)
    key, first_sight = flusher.gathered.count(Key(token_id, at.date(), scope, consumer), tally)
    if first_sight:
        flusher.write_soon(key)


def knock(*, token_id: int, mark: str, consumer: Consumer, at: datetime) -> None:
    """Count one request of a token that is paused or has ended, without slowing its refusal.

    ``mark`` is ``ENDED`` or that of the pause. An ended token's knocks are written by the flush alone. A
    paused one's owner may be watching, so its first sights are written at once, one a minute at most.
    """
    flusher = flushing.flusher
    flusher.start()
    key, first_sight = flusher.gathered.count(
        Key(token_id, at.date(), mark, consumer), Tally(0, 1, at)
    )
    if first_sight and mark != ENDED and flusher.gathered.is_a_minute_later(token_id, at):
        flusher.write_soon(key)
