"""What happened to one token, in words: read from its events, newest first, grouped by day."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from tokens import audit
from tokens.models import Created, EventDetail, RevokeKind, TokenEvent

PAGE_SIZE = 20
_CURSOR = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
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


def read(public_id: uuid.UUID, *, viewer_id: int, cursor: str = "", now: datetime) -> Timeline:
    """Return a page of what happened to the token, with one query.

    The cursor is an event and not a number of events, so a page stays right while others come.
    """
    detail = EventDetail.objects.filter(event_id=OuterRef("pk"))
    events = TokenEvent.objects.filter(token_public_id=public_id).annotate(
        address=Subquery(detail.values("address")),
        client=Subquery(detail.values("client")),
        token_name=Subquery(detail.values("token_name")),
    )
    if _CURSOR.match(cursor):
        events = events.filter(pk__lt=int(cursor))
    page = list(events.order_by("-pk")[: PAGE_SIZE + 1])
    entries = [
        Entry(
            event.at,
            f"{timezone.localtime(event.at):%H:%M}",
            words(event, viewer_id),
            _place(event),
        )
        for event in page[:PAGE_SIZE]
    ]
    older = page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None
    return Timeline(_by_day(entries, now), older)


def words(event: TokenEvent, viewer_id: int) -> Words:
    """Return what is said of an event. A kind or data that nobody expected still gets a sentence."""
    data = event.data if isinstance(event.data, dict) else {}
    say = _WORDS.get(event.kind)
    return say(event, data, viewer_id) if say else Words(_plain(event.kind))


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


def _revoked(event: TokenEvent, data: dict[str, Any], viewer_id: int) -> Words:
    by_you = data.get("kind") == RevokeKind.OWNER and event.actor_id == viewer_id
    who = "by you" if by_you else _label(RevokeKind, data.get("kind"))
    return Words(f"Revoked {who}".strip(), icon="barred")


_WORDS: dict[str, Callable[[TokenEvent, dict[str, Any], int], Words]] = {
    audit.Kind.ISSUED: _issued,
    audit.Kind.RENAMED: _renamed,
    audit.Kind.NARROWED: _narrowed,
    audit.Kind.FIRST_USED: _first_used,
    audit.Kind.REDIGESTED: _redigested,
    audit.Kind.REVOKED: _revoked,
    "token.stored": _stored,
}


# --- Steps shared by the functions above ---------------------------------------------------------


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
    return ", ".join(part for part in (address, client, door) if part)


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
