"""What is known of use goes with its token, and earlier where it is too old to be shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.db import connection

from tokens.models import MutedScope, TokenActivity, TokenConsumer, TokenUse
from tokens.models.many import one_of

# What is known of a token's use goes with the token.
OF_A_TOKEN: tuple[Any, ...] = (TokenUse, TokenConsumer, TokenActivity, MutedScope)
_OLD = """
DELETE FROM {table} WHERE id IN (
    SELECT id FROM {table} WHERE {column} < %s ORDER BY {column} LIMIT %s {skip_locked}
)
"""


def forget(token_ids: Sequence[int]) -> int:
    """Remove all use of these tokens; return how many rows went. Part of the caller's transaction."""
    these, ids = one_of(token_ids)
    gone = 0
    with connection.cursor() as cursor:
        for model in OF_A_TOKEN:
            # The table's name is that of a model in the list above.
            table = model._meta.db_table
            cursor.execute(f"DELETE FROM {table} WHERE token_id {these}", [ids])  # noqa: S608
            gone += cursor.rowcount
    return gone


def forget_days(before: date, *, at_most: int) -> int:
    """Remove up to ``at_most`` daily lines of days before ``before``; return how many went."""
    return _forget_old(
        "tokens_tokenuse", "day", connection.ops.adapt_datefield_value(before), at_most
    )


def forget_consumers(before: datetime, *, at_most: int) -> int:
    """Remove up to ``at_most`` consumers last seen before ``before``; return how many went."""
    stored = connection.ops.adapt_datetimefield_value(before)
    return _forget_old("tokens_tokenconsumer", "last_at", stored, at_most)


def _forget_old(table: str, column: str, before: Any, at_most: int) -> int:
    locked = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(
            _OLD.format(table=table, column=column, skip_locked=locked), [before, at_most]
        )
        return int(cursor.rowcount)
