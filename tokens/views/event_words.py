"""What is said of one event of a token: a sentence for every kind, and for those nobody expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from tokens import audit
from tokens.models import Created, RevokeKind, TokenEvent
from tokens.templatetags.console_ui import instant_words
from tokens.usage import Knocks, mark_of_pause
from tokens.views.knocks import places_that_knocked
from tokens.views.rows import clock_words


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of one event: the fact, what follows it, and scopes before and after."""

    title: str
    text: str = ""
    icon: str = "info"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def words(event: TokenEvent, viewer_id: int, knocks: Mapping[str, Knocks] | None = None) -> Words:
    """Return what is said of an event. A kind or data that nobody expected still gets a sentence."""
    data = event.data if isinstance(event.data, dict) else {}
    say = _WORDS.get(event.kind)
    said = say(event, data, viewer_id) if say else Words(_plain(event.kind))
    if event.kind == audit.Kind.RESUMED and knocks:
        return replace(said, text=knocked_words(event, knocks))
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
    return Words("First used", icon="prompt")


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
    until = time_of(event, "until")
    return f"until {clock_words(until, event.at)}" if until else "until resumed"


def knocked_words(event: TokenEvent, knocks: Mapping[str, Knocks]) -> str:
    """Return who knocked during the pause that an event is about, or ""."""
    since = time_of(event, "since")
    found = knocks.get(mark_of_pause(since)) if since else None
    return places_that_knocked(found) if found else ""


def time_of(event: TokenEvent, name: str) -> datetime | None:
    """Return a time from an event's data, or None for whatever else stands there."""
    stored = event.data.get(name) if isinstance(event.data, dict) else None
    try:
        at = datetime.fromisoformat(stored) if isinstance(stored, str) else None
    except ValueError:
        return None
    return at if at and at.tzinfo else None


def _plain(kind: str) -> str:
    """Return readable words for a kind that a newer release wrote: ``token.paused`` is "Paused"."""
    said = kind.rpartition(".")[2].replace("_", " ").strip()
    return said[:1].upper() + said[1:] if said else "Something changed"


def _label(choices: Any, value: Any) -> str:
    return str(choices(value).label) if value in choices.values else ""


def _scopes(stored: Any) -> tuple[str, ...]:
    return tuple(stored.split()) if isinstance(stored, str) else ()
