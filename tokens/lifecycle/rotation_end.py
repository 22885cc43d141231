"""How a rotation comes to its end: the old token retires, or the replacement is cancelled or ends.

Locks are taken in one order, owner, replacement, old token, so that no two writers wait for each other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from tokens import audit, notices, policy
from tokens.lifecycle.steps import iso, lock_owner, remember, unrevoked, update
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import not_ended_q
from tokens.models.rotation import open_replacement_q
from tokens.origin import Origin


def cancel_rotation(*, replacement: AccessToken, origin: Origin) -> bool:
    """Revoke a replacement that nothing used, and hand its name back. Return whether it was this call.

    Raises ``policy.Refused`` when the replacement was used: something would stop.
    """
    with transaction.atomic():
        lock_owner(replacement.owner_id)
        row = _hold(replacement, origin)
        if row is None:
            return False
        # A use that was counted a moment ago is seen here, because its writer held the same row.
        if not update(
            unrevoked(pk=row.pk, first_used_at__isnull=True),
            **_end(origin, RevokeKind.CANCELLED),
            rotation_closed_at=origin.at,
        ):
            raise policy.Refused(
                "",
                "replacement_used",
                "The replacement has been used, so cancelling would stop what uses it. "
                "Finish the rotation instead.",
            )
        remember(audit.Kind.REVOKED, row, origin, kind=str(RevokeKind.CANCELLED))
        _hand_back(row, origin)
    return True


def retire(*, replacement: AccessToken, at: datetime | None, origin: Origin) -> bool:
    """End the old token of an open rotation at ``at``, or now when that is None.

    A later time postpones an earlier one. Return whether anything changed: a repeat changes nothing.
    Raises ``policy.Refused`` for a time that has passed or lies beyond the old token's own end.
    """
    with transaction.atomic():
        row = _hold(replacement, origin)
        if row is None:
            return False
        old = AccessToken.objects.get(pk=_old_id(row))
        return _retire_now(row, old, origin) if at is None else _retire_at(row, old, at, origin)


# --- What the end of a token means for its rotation ------------------------------------------------


def unclosed_rotation(token_id: int) -> AccessToken | None:
    """Hold and return the replacement of the unclosed rotation this token is part of, or None.

    Whoever ends a token asks for it first, and hands it to ``close_with`` afterwards.
    """
    rows = AccessToken.objects.select_for_update().filter(unclosed_q(token_id))
    return rows.order_by("-generation").first()


def open_rotation(token_id: int, now: datetime) -> AccessToken | None:
    """Return the replacement of the open rotation this token is part of, or None."""
    rows = AccessToken.objects.filter(unclosed_q(token_id), open_replacement_q(now))
    return rows.order_by("-generation").first()


def close_with(ended: AccessToken, replacement: AccessToken | None, origin: Origin) -> None:
    """Close the rotation that is over because ``ended`` has ended; both or neither are committed."""
    if replacement is None:
        return
    if replacement.pk != ended.pk:
        close(replacement, origin.at, origin)
    elif update(Q(pk=ended.pk, rotation_closed_at__isnull=True), rotation_closed_at=origin.at):
        _hand_back(replacement, origin)


def unclosed_q(token_id: int) -> Q:
    """Return the condition for the replacement in an unclosed rotation that the token is part of."""
    mine = Q(pk=token_id) | Q(replaces_id=token_id)
    return Q(replaces__isnull=False, rotation_closed_at__isnull=True) & mine


def _hand_back(replacement: AccessToken, origin: Origin) -> None:
    """Give the name back to the old token, which goes on; a timed end was for a rotation that is no more."""
    handed = update(
        unrevoked(pk=_old_id(replacement)) & not_ended_q(origin.at),
        name=replacement.name,
        name_key=replacement.name_key,
        description=replacement.description,
        retire_at=None,
    )
    if handed:
        old = AccessToken.objects.get(pk=_old_id(replacement))
        remember(audit.Kind.ROTATION_CANCELLED, old, origin, replacement=str(replacement.public_id))


def close(replacement: AccessToken, at: datetime, origin: Origin) -> None:
    """Stamp a rotation that is over since ``at``; once."""
    if update(Q(pk=replacement.pk, rotation_closed_at__isnull=True), rotation_closed_at=at):
        remember(audit.Kind.ROTATION_FINISHED, replacement, origin, closed_at=iso(at))


# --- Steps of the writers above --------------------------------------------------------------------


def _hold(replacement: AccessToken, origin: Origin) -> AccessToken | None:
    """Hold the replacement's row if its rotation is open, so that whoever ends it comes before or after."""
    rows = AccessToken.objects.select_for_update(of=("self",)).filter(pk=replacement.pk)
    return rows.filter(open_replacement_q(origin.at)).first()


def _old_id(replacement: AccessToken) -> int:
    assert replacement.replaces_id is not None  # noqa: S101 - only replacements come here
    return replacement.replaces_id


def _retire_now(replacement: AccessToken, old: AccessToken, origin: Origin) -> bool:
    ended = update(
        unrevoked(pk=old.pk) & not_ended_q(origin.at), **_end(origin, RevokeKind.ROTATED)
    )
    if ended:
        remember(audit.Kind.REVOKED, old, origin, kind=str(RevokeKind.ROTATED))
        notices.token_revoked(old, kind=RevokeKind.ROTATED, origin=origin)
        close(replacement, origin.at, origin)
    return ended


def _retire_at(replacement: AccessToken, old: AccessToken, at: datetime, origin: Origin) -> bool:
    rules = policy.current_rules()
    policy.check_retirement(at, expires_at=old.expires_at, now=origin.at, rules=rules)
    planned = update(unrevoked(pk=old.pk) & not_ended_q(origin.at) & ~Q(retire_at=at), retire_at=at)
    if planned:
        before = iso(old.retire_at)
        remember(audit.Kind.RETIREMENT_SET, old, origin, at=iso(at), before=before)
        notices.retirement_planned(old, replacement, at=at, origin=origin)
    return planned


def _end(origin: Origin, kind: RevokeKind) -> dict[str, Any]:
    return {
        "revoked_at": origin.at,
        "revoked_by_id": origin.actor_id,
        "revoke_kind": kind,
        "name_key": None,
    }
