"""Pages by keyset: each goes on after the last row of the one before, whatever came or went meanwhile.

A cursor holds the values of its row and not the row itself: a row that moves in between, because
it was used or renamed, takes nothing else along.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from django.db.models import F, Q
from django.db.models.expressions import OrderBy

MAX_CURSOR = 1_000
MAX_TEXT = 255
_INSTANT = "%Y-%m-%dT%H:%M:%S.%f"


class Column(NamedTuple):
    """One key of a sort: a field or an annotation, what it holds, and which way it runs."""

    name: str
    holds: Literal["number", "text", "time", "id"]
    descending: bool = False


# Two rows never share it, so it decides between equal keys; the row's own number stays private.
LAST = Column("public_id", "id")
SORTS: dict[str, tuple[Column, ...]] = {
    "status": (
        Column("rank", "number"),
        Column("planned_end", "time"),
        Column("created_at", "time", descending=True),
        LAST,
    ),
    "token": (Column("name_sorted", "text"), LAST),
    "used": (Column("used_at", "time", descending=True), LAST),
    "created": (Column("created_at", "time", descending=True), LAST),
}


def order(columns: Sequence[Column]) -> list[OrderBy]:
    """Return the order of the rows; what is not there comes last, in both directions."""
    return [
        F(column.name).desc(nulls_last=True)
        if column.descending
        else F(column.name).asc(nulls_last=True)
        for column in columns
    ]


def beyond(columns: Sequence[Column], values: Sequence[Any]) -> Q:
    """Return the condition for rows that come after the one with these values."""
    found, same = Q(pk__in=[]), Q()
    for column, value in zip(columns, values, strict=True):
        if value is not None:
            step = "lt" if column.descending else "gt"
            further = Q(**{f"{column.name}__{step}": value})
            found |= same & (further | Q(**{f"{column.name}__isnull": True}))
        same &= Q(**{column.name: value}) if value is not None else _missing(column)
    return found


def _missing(column: Column) -> Q:
    return Q(**{f"{column.name}__isnull": True})


def cursor_of(columns: Sequence[Column], row: object) -> str:
    """Return the text that stands in the address for "after this row"."""
    values = [_written(getattr(row, column.name)) for column in columns]
    packed = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(columns: Sequence[Column], text: str) -> list[Any] | None:
    """Return the values in a cursor, or None for anything that is no cursor of this sort."""
    try:
        packed = text.encode("ascii")
        if len(packed) > MAX_CURSOR:
            return None
        values = json.loads(base64.b64decode(packed + b"=" * (-len(packed) % 4), b"-_", True))
        if not isinstance(values, list) or len(values) != len(columns):
            return None
        return [_read(column, value) for column, value in zip(columns, values, strict=True)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):{_INSTANT}}"
    return str(value) if isinstance(value, uuid.UUID) else value


def _read(column: Column, value: Any) -> Any:
    """Return one value as the database takes it. Raises ``ValueError`` for a foreign one."""
    if value is None and column.holds in {"text", "time"}:
        return None
    if column.holds == "number":
        if type(value) is int and 0 <= value < 100:
            return value
        raise ValueError(value)
    if not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
        raise ValueError(value)
    if column.holds == "time":
        return datetime.strptime(value, _INSTANT).replace(tzinfo=UTC)
    return uuid.UUID(value) if column.holds == "id" else value
