"""What the recorded use means: who calls, how often, who would break, and which scopes lie idle.

Everything here reads; ``usage`` writes. Every answer is "at least" and up to a minute old, because
use is gathered before it is written. ``now`` is the caller's clock.
"""

from __future__ import annotations

from datetime import datetime

from tokens.insight.attention import Attention, attention
from tokens.insight.breaks import Breakage, Verdict, in_words, who_breaks, who_breaks_each
from tokens.insight.consumers import (
    Consumer,
    consumers,
    consumers_of_each,
    usual_gap,
    with_knocks,
)
from tokens.insight.days import DayCount, Refused, daily, refused
from tokens.insight.held import ScopeUse, scope_use
from tokens.insight.places import Place, places
from tokens.insight.seen import Seen, seen

__all__ = [
    "Attention",
    "Breakage",
    "Consumer",
    "DayCount",
    "Place",
    "Refused",
    "ScopeUse",
    "Seen",
    "Verdict",
    "attention",
    "consumers",
    "consumers_of_each",
    "daily",
    "in_words",
    "is_quiet",
    "places",
    "refused",
    "scope_use",
    "seen",
    "usual_gap",
    "who_breaks",
    "who_breaks_each",
]


def is_quiet(token_id: int, now: datetime) -> bool:
    """Say whether nobody who ever used the token is expected any more; a token never used is quiet.

    Whoever knocks while it is paused is not quiet.
    """
    found = with_knocks(consumers_of_each([token_id], now), now)
    return all(consumer.is_quiet(now) for consumer in found[token_id])
