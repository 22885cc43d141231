"""Mails go with the token they were about; others once they were sent long ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from tokens.models import Notice
from tokens.models.many import one_of


def forget(token_ids: Sequence[int]) -> int:
    """Remove the mails about these tokens, also those still owed; return how many went."""
    these, ids = one_of(token_ids)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM tokens_notice WHERE token_id {these}", [ids])  # noqa: S608
        return int(cursor.rowcount)


def forget_sent(before: datetime, *, at_most: int) -> int:
    """Remove mails that are about no token and were sent before ``before``; return how many went.

    A mail about a token stays as long as the token: its row is what keeps a second one from being sent.
    """
    old = Notice.objects.filter(token__isnull=True, sent_at__lt=before).order_by("pk")
    these, ids = one_of(list(old.values_list("pk", flat=True)[:at_most]))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM tokens_notice WHERE id {these}", [ids])  # noqa: S608
        return int(cursor.rowcount)
