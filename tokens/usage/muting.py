"""Refused calls that a token's owner expects: muted here, and heard again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tokens.models import MutedScope


def mute(*, token_id: int, scope: str, at: datetime) -> bool:
    """Note that refused calls for the scope are expected; say whether that is new.

    A repeat keeps the time of the first.
    """
    _, created = MutedScope.objects.get_or_create(
        token_id=token_id, scope=scope, defaults={"at": at}
    )
    return created


def unmute(*, token_id: int, scopes: Iterable[str]) -> int:
    """Hear of refused calls for these scopes again; return how many were muted."""
    removed, _ = MutedScope.objects.filter(token_id=token_id, scope__in=list(scopes)).delete()
    return removed
