"""What happened to one token, in words: read from its events, newest first, grouped by day."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, OuterRef, QuerySet, Subquery, When
from django.utils import timezone

from tokens import audit
from tokens.models import Created, EventDetail, RevokeKind, TokenEvent
from tokens.templatetags.console_ui import instant_words
from tokens.usage import Knocks, mark_of_pause
from tokens.views.knocks import places_that_knocked
from tokens.views.rows import clock_words

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
class Words:
    """What is said of one event: the fact, what follows it, and scopes before and after."""

    title: str
    text: str = ""
    icon: str = "info"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


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
    since, until = _when(event, "since"), _when(event, "until")
    if event.kind not in _PAUSES or since is None or until is None or until > now:
        return None
    cut_short_at = getattr(event, "cut_short_at", None)
    if (cut_short_at and cut_short_at < until) or (end and end <= until):
        return None
    lasted = max(int((until - since).total_seconds() // 60), 1)
    text = f"after {lasted} minute{'s' if lasted > 1 else ''}"
    knocked = _knocked(event, knocks) or "Nobody knocked meanwhile"
    return Entry(until, _clock(until), Words("Resumed by itself", text, "play"), knocked)


def words(event: TokenEvent, viewer_id: int, knocks: Mapping[str, Knocks] | None = None) -> Words:
    """Return what is said of an event. A kind or data that nobody expected still gets a sentence."""
    data = event.data if isinstance(event.data, dict) else {}
    say = _WORDS.get(event.kind)
    said = say(event, data, viewer_id) if say else Words(_plain(event.kind))
    if event.kind == audit.Kind.RESUMED and knocks:
        return replace(said, text=_knocked(event, knocks))
    return said


# --- One function a kind of event ----------------------------------------------------------------


def _issued(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    how = _label(Created, data.get("via"))
    scopes = _scopes(data.get("scopes"))
    count = f"with {len(scopes)} scope{'s' if len(scopes) != 1 else ''}" if scopes else ""
    return Words(f"Created {how}".strip(), count, "key")


def _renamed(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    name = getattr(event, "token_name", "") or ""
    changed = data.get("changed")
    parts = changed if isinstance(changed, list) else ["name"]
    if "name" not in parts:
        return Words("Description changed", icon="edit")
    also = "and described anew" if "description" in parts else ""
    return Words(f"Renamed to {name}" if name else "Renamed", also, "edit")


def _narrowed(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    before, after = _scopes(data.get("before")), _scopes(data.get("after"))
    return Words("Scopes narrowed", icon="barred", before=before, after=after)


def _first_used(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("First used", icon="terminal")


def _redigested(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Stored anew", "under the newest key of this installation", "info")


def _stored(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Confirmed as stored", icon="check")


def _paused(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words(f"Paused{_by_you(event, viewer_id)}", _pause_end(event), "pause")


def _pause_moved(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words(f"Pause changed{_by_you(event, viewer_id)}", _pause_end(event), "pause")


def _resumed(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words(f"Resumed{_by_you(event, viewer_id)}", icon="play")


def _revoked(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    by_you = data.get("kind") == RevokeKind.OWNER and event.actor_id == viewer_id
    who = "by you" if by_you else _label(RevokeKind, data.get("kind"))
    return Words(f"Revoked {who}".strip(), icon="barred")


def _rotation_started(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Rotation started", "with a replacement that works beside it", "rotate")


def _rotation_cancelled(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Rotation cancelled", "and the replacement revoked", "rotate")


def _rotation_finished(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Rotation finished", "and the token before it ended", "rotate")


def _retirement_set(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    title = "End moved" if data.get("before") else "End planned"
    at = data.get("at")
    try:
        when = datetime.fromisoformat(at) if isinstance(at, str) else None
    except ValueError:
        when = None
    zone = timezone.get_current_timezone()
    return Words(title, f"to {instant_words(when, zone)}" if when else "", "clock")


def _check_skipped(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Check skipped", "rotated without seeing it work", "warning")


def _places_ticked(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    return Words("Noted what was updated", icon="check")


_WORDS: dict[str, Callable[[TokenEvent, dict[str, Any], int], Words]] = {
    audit.Kind.ISSUED: _issued,
    audit.Kind.RENAMED: _renamed,
    audit.Kind.NARROWED: _narrowed,
    audit.Kind.FIRST_USED: _first_used,
    audit.Kind.REDIGESTED: _redigested,
    audit.Kind.PAUSED: _paused,
    audit.Kind.PAUSE_MOVED: _pause_moved,
    audit.Kind.RESUMED: _resumed,
    audit.Kind.REVOKED: _revoked,
    audit.Kind.STORED: _stored,
    audit.Kind.ROTATION_STARTED: _rotation_started,
    audit.Kind.ROTATION_CANCELLED: _rotation_cancelled,
    audit.Kind.ROTATION_FINISHED: _rotation_finished,
    audit.Kind.RETIREMENT_SET: _retirement_set,
    audit.Kind.CHECK_SKIPPED: _check_skipped,
    audit.Kind.PLACES_TICKED: _places_ticked,
}


# --- Steps shared by the functions above ---------------------------------------------------------


def _by_you(event: TokenEvent, viewer_id: int) -> str:
    return " by you" if event.actor_id == viewer_id else ""


def _pause_end(event: TokenEvent) -> str:
    until = _when(event, "until")
    return f"until {clock_words(until, event.at)}" if until else "until resumed"


def _knocked(event: TokenEvent, knocks: Mapping[str, Knocks]) -> str:
    since = _when(event, "since")
    found = knocks.get(mark_of_pause(since)) if since else None
    return places_that_knocked(found) if found else ""


def _when(event: TokenEvent, name: str) -> datetime | None:
    """Return a time from an event's data, or None for whatever else stands there."""
    stored = event.data.get(name) if isinstance(event.data, dict) else None
    try:
        at = datetime.fromisoformat(stored) if isinstance(stored, str) else None
    except ValueError:
        return None
    return at if at and at.tzinfo else None


def _clock(at: datetime) -> str:
    return f"{timezone.localtime(at):%H:%M}"


def _plain(kind: str) -> str:
    """Return readable words for a kind that a newer release wrote: ``token.paused`` is "Paused"."""
    said = kind.rpartition(".")[2].replace("_", " ").strip()
    return said[:1].upper() + said[1:] if said else "Something changed"


def _label(choices: Any, value: Any) -> str:
    return str(choices(value).label) if value in choices.values else ""


def _scopes(stored: Any) -> tuple[str, ...]:
    return tuple(stored.split()) if isinstance(stored, str) else ()


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
