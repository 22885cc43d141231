"""What a token's owner does not want to be told again: refused calls, and scopes that go unused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from tokens.models import MutedScope

KEPT_FOR = timedelta(days=60)
# What stands before a scope that is kept although nothing uses it. No scope and no mark of a knock
# begins so, and no refused call bears it.
_KEPT = "kept: "


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


def keep(*, token_id: int, scopes: Iterable[str], at: datetime) -> None:
    """Note that these scopes are kept although nothing uses them; a repeat counts from now on."""
    for scope in scopes:
        MutedScope.objects.update_or_create(
            token_id=token_id, scope=f"{_KEPT}{scope}", defaults={"at": at}
        )


def kept_scopes(token_id: int, now: datetime) -> frozenset[str]:
    """Return the scopes whose owner need not be asked yet whether to keep them. One query."""
    rows = MutedScope.objects.filter(
        token_id=token_id, scope__startswith=_KEPT, at__gt=now - KEPT_FOR
    )
    return frozenset(name.removeprefix(_KEPT) for name in rows.values_list("scope", flat=True))
