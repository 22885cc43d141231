"""How the rows of tokens that ended long ago go, while the events that tell of them stay.

``tokens.retention`` asks for a batch, has use and mails forgotten, and has the batch purged, in one
transaction. Statements name their rows in one parameter, so that a batch of any size is one statement.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection

from tokens import audit
from tokens.models.many import one_of
from tokens.origin import Origin

# One way to end a column. An expired token that was not revoked is in the partial index of its own;
# revoked ones are found by their revocation, which never comes after the planned end.
_BATCH = """
SELECT id, public_id, {column} FROM tokens_accesstoken
WHERE {column} <= %s AND ({column}, id) > (%s, %s) {partial}
ORDER BY {column}, id LIMIT %s {skip_locked}
"""
_LET_GO = (
    "UPDATE tokens_accesstoken SET replaces_id = NULL,"
    " rotation_closed_at = COALESCE(rotation_closed_at, %s) WHERE replaces_id "
)
_PARTIAL = {"revoked_at": "", "retire_at": "", "expires_at": "AND revoked_at IS NULL"}
WAYS_TO_END = tuple(_PARTIAL)


class Place(NamedTuple):
    """How far a purge came through one way to end: the last row's time, as stored, and its id."""

    at: Any
    token_id: int


class Batch(NamedTuple):
    """Tokens that are held for this transaction, and where the next batch begins."""

    token_ids: list[int]
    public_ids: list[uuid.UUID]
    place: Place


def start() -> Place:
    """Return the place before every row."""
    return Place(_stored(datetime(1, 1, 2, tzinfo=UTC)), 0)


def hold_ended(way: str, *, before: datetime, after: Place, at_most: int) -> Batch | None:
    """Hold the next tokens that ended in this way until ``before``; None when there are no more.

    Needs a transaction. On PostgreSQL rows that somebody else holds are passed over, so two purges
    share the work; on SQLite the transaction itself is the only writer.
    """
    locked = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    # Only names of columns from the list above are written into the statement.
    sql = _BATCH.format(column=way, partial=_PARTIAL[way], skip_locked=locked)
    with connection.cursor() as cursor:
        cursor.execute(sql, [_stored(before), *after, at_most])
        rows = cursor.fetchall()
    if not rows:
        return None
    last_id, _, last_at = rows[-1]
    public_ids = [each if isinstance(each, uuid.UUID) else uuid.UUID(each) for _, each, _ in rows]
    return Batch([row[0] for row in rows], public_ids, Place(last_at, last_id))


def purge(batch: Batch, *, origin: Origin) -> None:
    """Remove the batch's tokens with what lifecycle keeps of them, and leave one event with their ids.

    A replacement that outlives what it replaced keeps working; only the reference goes, and the
    rotation is stamped as closed. Use and mails must be gone before.
    """
    these, ids = one_of(batch.token_ids)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM tokens_rotationtick WHERE token_id {these}", [ids])  # noqa: S608
        cursor.execute(f"DELETE FROM tokens_tokenproject WHERE token_id {these}", [ids])  # noqa: S608
        cursor.execute(_LET_GO + these, [_stored(origin.at), ids])
        cursor.execute(f"DELETE FROM tokens_accesstoken WHERE id {these}", [ids])  # noqa: S608
    audit.record_batch(
        audit.Kind.PURGED_BATCH, origin=origin, token_public_ids=batch.public_ids, data={}
    )


def _stored(at: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(at)
