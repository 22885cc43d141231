"""How far a rotation has moved over: each place of the old token, and whether it uses the replacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from tokens.insight.consumers import UNKNOWN_RHYTHM, Consumer, consumers_of_each
from tokens.insight.places import Place, listed


class Standing(Enum):
    """Where one place stands between the two tokens."""

    # It called with the old token after its last call with the replacement, or with the old one only.
    ON_THE_OLD = "on_the_old"
    # It calls too seldom to have been seen since: silent, not gone.
    TO_COME = "to_come"
    MOVED = "moved"
    # Nobody is expected there any more.
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Move:
    """A place of the old token, when it was last seen with the replacement, and what follows."""

    place: Place
    replaced_at: datetime | None
    standing: Standing

    @property
    def key(self) -> str:
        """The one key under which a person's note about this place is kept."""
        return self.place.keys[0]


def moves(old_id: int, replacement_id: int, now: datetime) -> list[Move]:
    """Return the places of the old token, those that would break first. One query."""
    return moves_and_arrived(old_id, replacement_id, now)[0]


def moves_and_arrived(old_id: int, replacement_id: int, now: datetime) -> tuple[list[Move], int]:
    """Return the places of the old token, and from how many the replacement was used. One query.

    Both are counted as the pages list places: hosted runners are one.
    """
    found = consumers_of_each([old_id, replacement_id], now)
    every = [_move(place, found[replacement_id], now) for place in listed(found[old_id], now)]
    every.sort(key=lambda move: list(Standing).index(move.standing))
    return every, len(listed(found[replacement_id], now))


def _move(place: Place, on_the_new: Sequence[Consumer], now: datetime) -> Move:
    replaced_at = max((each.last_at for each in on_the_new if _same(place, each)), default=None)
    return Move(place, replaced_at, _standing(place, replaced_at, now))


def _same(place: Place, consumer: Consumer) -> bool:
    # Hosted runners never come from the same network twice, so they are known by what they call themselves.
    if place.networks > 1:
        return (place.client, place.name) == (consumer.client, consumer.name)
    return consumer.key in place.keys


def _standing(place: Place, replaced_at: datetime | None, now: datetime) -> Standing:
    if replaced_at is not None and replaced_at >= place.last_at:
        return Standing.MOVED
    if place.quiet:
        return Standing.MOVED if replaced_at else Standing.SILENT
    if place.next_day is not None and now - place.last_at >= UNKNOWN_RHYTHM:
        return Standing.TO_COME
    return Standing.ON_THE_OLD
