"""Events on their way out: as JSON lines for programs, as CSV for spreadsheets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from django.db.models import QuerySet

from tokens.models import EventDetail, TokenEvent

COLUMNS = ("id", "at", "kind", "door", "actor_id", "owner_id", "token_public_id", "data")
DETAILS = ("address", "client", "token_name", "request_id")
_READ = 2_000
# A spreadsheet takes a cell that begins with one of these for a formula and carries it out; some do
# so for the wide forms that Chinese and Japanese keyboards write.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def exported(events: QuerySet[TokenEvent], *, details: bool) -> Iterator[dict[str, Any]]:
    """Yield the facts of each event by its id; with ``details`` what can identify a person, too."""
    last = 0
    while True:
        found = list(events.filter(pk__gt=last).order_by("pk")[:_READ])
        sides = _sides(found) if details else {}
        for event in found:
            yield _facts(event) | (_side(sides.get(event.pk)) if details else {})
        if len(found) < _READ:
            return
        last = found[-1].pk


def _facts(event: TokenEvent) -> dict[str, Any]:
    return {
        "id": event.pk,
        "at": event.at.astimezone(UTC).isoformat(),
        "kind": event.kind,
        "door": event.door,
        "actor_id": event.actor_id,
        "owner_id": event.owner_id,
        "token_public_id": str(event.token_public_id) if event.token_public_id else None,
        "data": event.data,
    }


def _sides(events: list[TokenEvent]) -> dict[int, EventDetail]:
    return EventDetail.objects.in_bulk([event.pk for event in events])


def _side(detail: EventDetail | None) -> dict[str, Any]:
    return {name: getattr(detail, name, None) for name in DETAILS}


def cells(facts: dict[str, Any]) -> list[str]:
    """Return an event as the cells of a spreadsheet's row, none of which is a formula."""
    return [safe_cell(_text(value)) for value in facts.values()]


def safe_cell(text: str) -> str:
    """Return ``text`` such that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return "" if value is None else str(value)
