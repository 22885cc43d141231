"""Seals: a hash over each new stretch of events and the seal before it, so that a change shows.

Nothing is chained while requests are answered, because a chain would make every writer wait for the one
before. A timer seals what has come since. Whoever can write to the database can make all seals anew;
against that, the last seal (the head) is written down elsewhere and compared later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from tokens.models import AuditSeal, TokenEvent

STRETCH = 10_000
FIRST = b"\0" * 32
_READ = 2_000
_WAIT_MILLISECONDS = 2_000
_FACTS = ("id", "at", "kind", "door", "actor_id", "owner_id", "token_public_id", "data")


@dataclass(frozen=True, slots=True)
class Touched:
    """The first stretch whose events or seal are not what was sealed, and how that shows."""

    first_id: int
    last_id: int
    sealed_at: datetime
    how: str


def seal_next(*, now: datetime) -> AuditSeal | None:
    """Seal the next stretch of events; None when there are none, or somebody else seals them."""
    previous = head()
    first = previous.last_id + 1 if previous else 1
    last = _last_of_stretch(first)
    if last is None:
        return None
    digest = _hash(bytes(previous.hash) if previous else FIRST, first, last)
    with transaction.atomic():
        _only_one_seals()
        # The hash was made without a lock, so that nobody waited for it; it counts only if no other
        # seal came in between.
        if head() != previous:
            return None
        return AuditSeal.objects.create(at=now, first_id=first, last_id=last, hash=digest)


def unsealed() -> int:
    """Return how many events came after the last seal."""
    last = head()
    return TokenEvent.objects.filter(id__gt=last.last_id if last else 0).count()


def head() -> AuditSeal | None:
    """Return the last seal: all the others are in its hash."""
    return AuditSeal.objects.order_by("-last_id").first()


def checked() -> Iterator[tuple[AuditSeal, Touched | None]]:
    """Yield each seal, the first one first, with what is wrong about it.

    After a fault the rest says nothing, since every later seal rests on what was touched.
    """
    before, expected = FIRST, 1
    for seal in AuditSeal.objects.order_by("last_id").iterator():
        yield seal, _fault(seal, before, expected)
        before, expected = bytes(seal.hash), seal.last_id + 1


def _fault(seal: AuditSeal, before: bytes, expected: int) -> Touched | None:
    if seal.first_id != expected:
        first, last = sorted((expected, seal.first_id - 1))
        return Touched(first, last, seal.at, "a seal is missing or was moved")
    if _hash(before, seal.first_id, seal.last_id) != bytes(seal.hash):
        how = "an event was changed, added or taken away"
        return Touched(seal.first_id, seal.last_id, seal.at, how)
    return None


def _last_of_stretch(first: int) -> int | None:
    """Return the last event to seal: no earlier one can still be written when this returns."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # Ids are given out before the commit, so a lower one may appear after a higher one. The
            # lock waits for the writers under way, and holds new ones only while one query runs.
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {_WAIT_MILLISECONDS}")
                cursor.execute("LOCK TABLE tokens_tokenevent IN SHARE MODE")
        events = TokenEvent.objects.filter(id__gte=first).order_by("id")
        ids = events.values_list("id", flat=True)[:STRETCH]
        last: int | None = ids.aggregate(last=Max("id"))["last"]
        return last


def _only_one_seals() -> None:
    # On SQLite the transaction itself is the only writer.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tokens_auditseal IN SHARE ROW EXCLUSIVE MODE")


def _hash(before: bytes, first: int, last: int) -> bytes:
    digest = hashlib.sha256(before)
    digest.update(f"{first}-{last}\n".encode())
    events = TokenEvent.objects.filter(id__gte=first, id__lte=last).order_by("id")
    for facts in events.values_list(*_FACTS).iterator(chunk_size=_READ):
        digest.update(canonical(facts))
    return digest.digest()


def canonical(facts: tuple[Any, ...]) -> bytes:
    """Return the one way to write an event's facts down, the same on both databases."""
    number, at, kind, door, actor_id, owner_id, public_id, data = facts
    written = [
        number,
        at.astimezone(UTC).isoformat(timespec="microseconds"),
        kind,
        door,
        actor_id,
        owner_id,
        str(public_id) if public_id else None,
        data,
    ]
    text = json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii") + b"\n"
