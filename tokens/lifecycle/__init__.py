"""How a token comes to be, changes and ends: the only writer of ``AccessToken``.

Each function is one transaction that holds policy, a conditional update whose rows are counted, and
the event. Repeating a call changes nothing and writes no second event. ``origin.at`` is the clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from tokens import audit, notices, policy, scopes as catalogue, secret
from tokens.lifecycle.pausing import pause, resume
from tokens.lifecycle.purging import Batch, hold_ended, purge
from tokens.lifecycle.rotation import RotationWish, rotate, skip_check, tick
from tokens.lifecycle.rotation_end import (
    cancel_rotation,
    close_with,
    open_rotation,
    retire,
    unclosed_rotation,
)
from tokens.lifecycle.rows import AlreadyIssued, Issued, Wish, new_row
from tokens.lifecycle.seeding import Seeded, issue_many
from tokens.lifecycle.steps import (
    check_description,
    claim_name,
    iso,
    limit_to_projects,
    lock_owner,
    remember,
    unrevoked,
    update,
)
from tokens.models import AccessToken, Created, RevokeKind
from tokens.models.liveness import not_ended_q
from tokens.origin import Origin

__all__ = [
    "AlreadyIssued",
    "Batch",
    "Issued",
    "RotationWish",
    "Seeded",
    "Wish",
    "cancel_rotation",
    "confirm_stored",
    "hold_ended",
    "issue",
    "issue_many",
    "narrow",
    "note_first_use",
    "open_rotation",
    "pause",
    "purge",
    "redigest",
    "rename",
    "resume",
    "retire",
    "revoke",
    "rotate",
    "skip_check",
    "tick",
]


def issue(
    *,
    owner: Any,
    wish: Wish,
    origin: Origin,
    request_id: uuid.UUID | None = None,
    via: Created = Created.CONSOLE,
) -> Issued:
    """Make a token and return it with its value.

    Raises ``policy.Refused`` when a rule forbids it, ``AlreadyIssued`` when ``request_id`` was used.
    """
    now = origin.at
    with transaction.atomic():
        lock_owner(owner.pk)
        if request_id is not None:
            earlier = AccessToken.objects.filter(owner=owner, request_id=request_id).first()
            if earlier is not None:
                raise AlreadyIssued(earlier)
        rules = policy.current_rules()
        name, scopes = _check_wish(wish, rules, now)
        policy.check_room(owner.pk, rules, now=now)
        claim_name(owner.pk, name, now)
        value = secret.mint()
        token = new_row(owner, name, scopes, wish, value, via, now)
        token.request_id = request_id
        token.save(force_insert=True)
        limit_to_projects(token, wish.projects)
        audit.record(
            audit.Kind.ISSUED,
            origin=origin,
            owner_id=owner.pk,
            token_public_id=token.public_id,
            token_name=token.name,
            data={"scopes": scopes, "expires_at": iso(wish.expires_at), "via": str(via)},
        )
        notices.token_created(token, origin)
    return Issued(token, value)


def revoke(
    *,
    token: AccessToken,
    origin: Origin,
    kind: RevokeKind = RevokeKind.OWNER,
    reason: str = "",
    unless_used: bool = False,
) -> bool:
    """End the token now. Return whether this call ended it: a second one keeps the first's facts.

    With ``unless_used`` it ends only if nothing has used it yet. Raises ``policy.Refused`` for a
    reason that holds a token or unreadable characters.
    """
    cleaned = reason.strip()[: policy.MAX_REASON]
    policy.check_text(cleaned, field="reason", what="The reason")
    with transaction.atomic():
        rotation = unclosed_rotation(token.pk)
        # The condition decides, not what was read before: two simultaneous calls end it once.
        unused = Q(first_used_at__isnull=True) if unless_used else Q()
        ended = update(
            unrevoked(pk=token.pk) & unused & not_ended_q(origin.at),
            revoked_at=origin.at,
            revoked_by_id=origin.actor_id,
            revoke_kind=kind,
            reason=cleaned,
            name_key=None,
        )
        if ended:
            remember(audit.Kind.REVOKED, token, origin, kind=str(kind), reason_given=bool(cleaned))
            notices.token_revoked(token, kind=kind, origin=origin)
            close_with(token, rotation, origin)
    return ended


def rename(*, token: AccessToken, name: str, description: str, origin: Origin) -> bool:
    """Change name and description of a live token. Return whether anything changed.

    Raises ``policy.Refused`` when the name is taken or cannot be used.
    """
    cleaned = policy.check_name(name)
    about = check_description(description)
    with transaction.atomic():
        lock_owner(token.owner_id)
        return _rename(AccessToken.objects.get(pk=token.pk), cleaned, about, origin)


def _rename(holder: AccessToken, name: str, about: str, origin: Origin) -> bool:
    """Name a token; during a rotation both of its tokens, which have one name, held by the replacement."""
    if (holder.name, holder.description) == (name, about):
        return False
    replacement = open_rotation(holder.pk, origin.at)
    keeper = replacement or holder
    if keeper.name_key is not None:
        claim_name(holder.owner_id, name, origin.at, but_for=keeper.pk)
    key = None if keeper.name_key is None else policy.name_key(name)
    what = ["name"] * (holder.name != name) + ["description"] * (holder.description != about)
    words = {"name": name, "description": about}
    going = not_ended_q(origin.at)
    if not update(unrevoked(pk=keeper.pk) & going, **words, name_key=key):
        return False
    if replacement is not None:
        update(unrevoked(pk=replacement.replaces_id) & going, **words)
    holder.name = name
    remember(audit.Kind.RENAMED, holder, origin, changed=what)
    return True


def narrow(*, token: AccessToken, scopes: Iterable[str], origin: Origin) -> bool:
    """Take scopes away from a live token. Return whether anything changed.

    Raises ``policy.Refused`` for a scope the token does not have: a token is never widened.
    """
    wanted = policy.check_scopes(scopes, policy.current_rules())
    with transaction.atomic():
        held = AccessToken.objects.values_list("scopes", flat=True).get(pk=token.pk)
        if not set(catalogue.split(wanted)) <= set(catalogue.split(held)):
            raise policy.Refused(
                "scopes",
                "scopes_widened",
                "A token can only lose scopes. Create another token for more.",
            )
        # The scopes read above are part of the condition: a narrowing that came in between wins.
        changed = wanted != held and update(
            unrevoked(pk=token.pk, scopes=held) & not_ended_q(origin.at), scopes=wanted
        )
        if changed:
            remember(audit.Kind.NARROWED, token, origin, before=held, after=wanted)
    return changed


def note_first_use(*, token_id: int, origin: Origin) -> bool:
    """Write down that the token was used for the first time. Return whether it was this call.

    Synchronous, unlike the rest of use: rotation and device redemption rest on it.
    """
    with transaction.atomic():
        noted = update(Q(pk=token_id, first_used_at__isnull=True), first_used_at=origin.at)
        if noted:
            token = AccessToken.objects.get(pk=token_id)
            remember(audit.Kind.FIRST_USED, token, origin)
    return noted


def confirm_stored(*, token: AccessToken, origin: Origin) -> bool:
    """Write down that the person has stored the value. Return whether it was this call."""
    with transaction.atomic():
        noted = update(Q(pk=token.pk, stored_at__isnull=True), stored_at=origin.at)
        if noted:
            remember(audit.Kind.STORED, token, origin)
    return noted


def redigest(*, token_id: int, value: str, origin: Origin) -> bool:
    """Store the digest of a token under the pepper that signs now. Return whether it changed."""
    pepper_id, digest = secret.digest(value)
    with transaction.atomic():
        changed = update(
            Q(pk=token_id) & ~Q(pepper_id=pepper_id), pepper_id=pepper_id, digest=digest
        )
        if changed:
            token = AccessToken.objects.get(pk=token_id)
            remember(audit.Kind.REDIGESTED, token, origin, pepper_id=pepper_id)
    return changed


def _check_wish(wish: Wish, rules: policy.Rules, now: datetime) -> tuple[str, str]:
    name = policy.check_name(wish.name)
    scopes = policy.check_scopes(wish.scopes, rules)
    policy.check_expiry(wish.expires_at, wish.scopes, now=now, rules=rules)
    check_description(wish.description)
    return name, scopes
