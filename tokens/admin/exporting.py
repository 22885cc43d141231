"""Lists on their way out, streamed row by row; never a value, a digest or a formula."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from tokens.audit.exporting import COLUMNS, DETAILS, cells, exported, safe_cell
from tokens.models import AccessToken, TokenEvent
from tokens.models.status import status_of

TOKEN_COLUMNS = (
    "public_id",
    "owner",
    "name",
    "value",
    "status",
    "scopes",
    "created_at",
    "created_via",
    "expires_at",
    "last_used_at",
    "revoked_at",
    "revoke_kind",
    "reason",
)
_READ = 1_000


class _Line:
    """What the csv module writes to: it hands each line back."""

    def write(self, text: str) -> str:
        return text


def csv_of_tokens(tokens: QuerySet[Any]) -> Any:
    """Answer with the tokens as a spreadsheet reads them, by id."""
    now = timezone.now()
    rows = ([safe_cell(cell) for cell in _cells(token, now)] for token in _walk(tokens))
    return _sent(_csv(TOKEN_COLUMNS, rows), "tokens.csv", "text/csv; charset=utf-8")


def csv_of_events(events: QuerySet[TokenEvent]) -> Any:
    """Answer with the events as a spreadsheet reads them, by id."""
    rows = (cells(facts) for facts in exported(events, details=True))
    return _sent(_csv((*COLUMNS, *DETAILS), rows), "events.csv", "text/csv; charset=utf-8")


def lines_of_events(events: QuerySet[TokenEvent]) -> Any:
    """Answer with the events as programs read them: one JSON object a line."""
    lines = (f"{json.dumps(facts, default=str)}\n" for facts in exported(events, details=True))
    return _sent(lines, "events.jsonl", "application/x-ndjson")


def _sent(lines: Iterator[str], name: str, kind: str) -> HttpResponseBase:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type=kind, headers=headers)


def _csv(columns: Iterable[str], rows: Iterable[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(list(columns))
    for row in rows:
        yield writer.writerow(row)


def _walk(tokens: QuerySet[Any]) -> Iterator[Any]:
    """Yield the tokens by id, some a query, so that their number costs no memory."""
    rows = tokens.select_related("owner", "activity").order_by("pk")
    last = 0
    while True:
        found = list(rows.filter(pk__gt=last)[:_READ])
        yield from found
        if len(found) < _READ:
            return
        last = found[-1].pk


def _cells(token: AccessToken, now: datetime) -> list[str]:
    activity = getattr(token, "activity", None)
    used = activity.last_used_at if activity else None
    rotating = bool(getattr(token, "rotating", False))
    return [
        str(token.public_id),
        token.owner.email,
        token.name,
        token.masked,
        status_of(token.liveness(), used, now, rotating=rotating).label,
        token.scopes,
        _iso(token.created_at),
        token.created_via,
        _iso(token.expires_at),
        _iso(used),
        _iso(token.revoked_at),
        token.revoke_kind,
        token.reason,
    ]


def _iso(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at else ""
