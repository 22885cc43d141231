"""A device's request to sign in goes a day after its end, whatever became of it."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

_FORGET = """
DELETE FROM tokens_devicegrant WHERE id IN (
    SELECT id FROM tokens_devicegrant WHERE expires_at < %s
    ORDER BY expires_at LIMIT %s {skip_locked}
)
"""


def forget_spent(before: datetime, *, at_most: int) -> int:
    """Remove up to ``at_most`` grants that ended before ``before``; return how many went."""
    locked = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    stored = connection.ops.adapt_datetimefield_value(before)
    with connection.cursor() as cursor:
        cursor.execute(_FORGET.format(skip_locked=locked), [stored, at_most])
        return int(cursor.rowcount)
