"""What happened to one token: read from its events, newest first, grouped by day."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.utils import timezone

from tokens import audit
from tokens.models import EventDetail, TokenEvent
from tokens.usage import Knocks
from tokens.views.event_words import Words, knocked_words, time_of, words

PAGE_SIZE = 20
_CURSOR = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_PAUSES = (audit.Kind.PAUSED, audit.Kind.PAUSE_MOVED)
_AFTER_A_PAUSE = (*_PAUSES, audit.Kind.RESUMED, audit.Kind.REVOKED)
_THROUGH = {
    "browser": "in the console",
    "api": "through the API",
    "admin": "in the administration",
    "command": "by a command",
    "device": "by device login",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    clock: str
    words: Words
    place: str


@dataclass(frozen=True, slots=True)
class Day:
    """The entries of one calendar day in the person's zone."""

    label: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One page of events, and the cursor of the page of older ones (None when there is none)."""

    days: list[Day]
    older: int | None


def read(
    public_id: uuid.UUID,
    *,
    viewer_id: int,
    now: datetime,
    cursor: str = "",
    knocks: Mapping[str, Knocks] | None = None,
    end: datetime | None = None,
) -> Timeline:
    """Return a page of what happened to the token, with one query.

    The cursor is an event and not a number of events, so a page stays right while others come. ``end``
    is when the token ends or ended; a pause that lasts until then is never over.
    """
    page = list(_events(public_id, cursor)[: PAGE_SIZE + 1])
    entries: list[Entry] = []
    for event in page[:PAGE_SIZE]:
        over = _ran_out(event, knocks or {}, end, now)
        if over is not None:
            # What happened during the pause stands on the same page, or on the one of newer events.
            place = next((i for i, each in enumerate(entries) if each.at < over.at), len(entries))
            entries.insert(place, over)
        said = words(event, viewer_id, knocks)
        entries.append(Entry(event.at, _clock(event.at), said, _place(event)))
    older = page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None
    return Timeline(_by_day(entries, now), older)


def _events(public_id: uuid.UUID, cursor: str) -> QuerySet[TokenEvent]:
    """Return the events before the cursor, each with its side row and with what cut its pause short."""
    detail = EventDetail.objects.filter(event_id=OuterRef("pk"))
    cut_short = TokenEvent.objects.filter(
        token_public_id=OuterRef("token_public_id"), pk__gt=OuterRef("pk"), kind__in=_AFTER_A_PAUSE
    )
    events = TokenEvent.objects.filter(token_public_id=public_id).annotate(
        address=Subquery(detail.values("address")),
        client=Subquery(detail.values("client")),
        token_name=Subquery(detail.values("token_name")),
        cut_short_at=Case(
            When(kind__in=_PAUSES, then=Subquery(cut_short.order_by("pk").values("at")[:1]))
        ),
    )
    if _CURSOR.match(cursor):
        events = events.filter(pk__lt=int(cursor))
    return events.order_by("-pk")


def _ran_out(
    event: TokenEvent, knocks: Mapping[str, Knocks], end: datetime | None, now: datetime
) -> Entry | None:
    """Return the line for a pause that ended by itself: nobody did it, so no event tells of it."""
    since, until = time_of(event, "since"), time_of(event, "until")
    if event.kind not in _PAUSES or since is None or until is None or until > now:
        return None
    cut_short_at = getattr(event, "cut_short_at", None)
    if (cut_short_at and cut_short_at < until) or (end and end <= until):
        return None
    lasted = max(int((until - since).total_seconds() // 60), 1)
    text = f"after {lasted} minute{'s' if lasted > 1 else ''}"
    knocked = knocked_words(event, knocks) or "Nobody knocked meanwhile"
    return Entry(until, _clock(until), Words("Resumed by itself", text, "play"), knocked)


def _clock(at: datetime) -> str:
    return f"{timezone.localtime(at):%H:%M}"


def _place(event: TokenEvent) -> str:
    address, client = (getattr(event, name, "") or "" for name in ("address", "client"))
    door = "" if event.kind == audit.Kind.ISSUED else _THROUGH.get(event.door, "")
    place = ", ".join(part for part in (address, client, door) if part)
    return place[:1].upper() + place[1:] if place == door else place


def _by_day(entries: Iterable[Entry], now: datetime) -> list[Day]:
    """Group the entries by calendar day in the active zone, keeping their order."""
    days = itertools.groupby(entries, key=lambda entry: timezone.localdate(entry.at))
    today = timezone.localdate(now)
    return [Day(_day_label(day, today), list(group)) for day, group in days]


def _day_label(day: Any, today: Any) -> str:
    named = f"{day:%-d %B}" if day.year == today.year else f"{day:%-d %B %Y}"
    if day == today:
        return f"Today, {named}"
    return "Yesterday" if day == today - timedelta(days=1) else named
