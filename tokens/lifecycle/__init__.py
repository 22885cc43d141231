"""How a token comes to be, changes and ends: the only writer of ``AccessToken``.

Each function is one transaction that holds policy, a conditional update whose rows are counted, and
the event. Repeating a call changes nothing and writes no second event. ``origin.at`` is the clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q

from tokens import audit, notices, policy, scopes as catalogue, secret
from tokens.lifecycle.rows import Wish, insert_many, new_row
from tokens.models import AccessToken, Created, Project, RevokeKind, TokenProject
from tokens.models.liveness import ended_q, not_ended_q
from tokens.origin import Origin

__all__ = [
    "AlreadyIssued",
    "Issued",
    "Wish",
    "confirm_stored",
    "issue",
    "issue_many",
    "narrow",
    "note_first_use",
    "redigest",
    "rename",
    "revoke",
]


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and its value: the only moment at which the two are together."""

    token: AccessToken
    plaintext: secret.Plaintext


class AlreadyIssued(Exception):  # noqa: N818 - the first request succeeded; this tells of it
    """The same request minted before; its value was shown then and cannot be shown again."""

    def __init__(self, token: AccessToken) -> None:
        super().__init__("This request has made its token already.")
        self.token = token


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
        _lock_owner(owner.pk)
        if request_id is not None:
            earlier = AccessToken.objects.filter(owner=owner, request_id=request_id).first()
            if earlier is not None:
                raise AlreadyIssued(earlier)
        rules = policy.current_rules()
        name, scopes = _check_wish(wish, rules, now)
        policy.check_room(owner.pk, rules, now=now)
        _claim_name(owner.pk, name, now)
        value = secret.mint()
        token = new_row(owner, name, scopes, wish, value, via, now)
        token.request_id = request_id
        token.save(force_insert=True)
        _limit_to_projects(token, wish.projects)
        audit.record(
            audit.Kind.ISSUED,
            origin=origin,
            owner_id=owner.pk,
            token_public_id=token.public_id,
            token_name=token.name,
            data={"scopes": scopes, "expires_at": _text(wish.expires_at), "via": str(via)},
        )
        notices.token_created(token, origin)
    return Issued(token, value)


def issue_many(*, owners: Sequence[Any], wishes: Sequence[Wish], origin: Origin) -> list[Issued]:
    """Make one token a wish for the owner at the same place, fast, with one event for all.

    For seeding only: limits and names are not checked one by one, rows carry no ``name_key``, and
    the returned ones do not know their ids.
    """
    rules = policy.current_rules()
    made = []
    for owner, wish in zip(owners, wishes, strict=True):
        scopes = policy.check_scopes(wish.scopes, rules)
        value = secret.mint()
        row = new_row(owner, wish.name, scopes, wish, value, Created.COMMAND, origin.at)
        row.name_key = None
        made.append(Issued(row, value))
    with transaction.atomic():
        insert_many([each.token for each in made])
        audit.record_batch(
            audit.Kind.ISSUED_BATCH,
            origin=origin,
            token_public_ids=[each.token.public_id for each in made],
            data={"via": str(Created.COMMAND)},
        )
    return made


def revoke(
    *, token: AccessToken, origin: Origin, kind: RevokeKind = RevokeKind.OWNER, reason: str = ""
) -> bool:
    """End the token now. Return whether this call ended it: a second one keeps the first's facts.

    Raises ``policy.Refused`` for a reason that holds a token or unreadable characters.
    """
    cleaned = reason.strip()[: policy.MAX_REASON]
    policy.check_text(cleaned, field="reason", what="The reason")
    with transaction.atomic():
        # The condition decides, not what was read before: two simultaneous calls end it once.
        ended = _update(
            Q(pk=token.pk, revoked_at__isnull=True) & not_ended_q(origin.at),
            revoked_at=origin.at,
            revoked_by_id=origin.actor_id,
            revoke_kind=kind,
            reason=cleaned,
            name_key=None,
        )
        if ended:
            _remember(audit.Kind.REVOKED, token, origin, kind=str(kind), reason_given=bool(cleaned))
            notices.token_revoked(token, kind=kind, origin=origin)
    return ended


def rename(*, token: AccessToken, name: str, description: str, origin: Origin) -> bool:
    """Change name and description of a live token. Return whether anything changed.

    Raises ``policy.Refused`` when the name is taken or cannot be used.
    """
    cleaned = policy.check_name(name)
    about = _check_description(description)
    with transaction.atomic():
        _lock_owner(token.owner_id)
        holder = AccessToken.objects.get(pk=token.pk)
        if (holder.name, holder.description) == (cleaned, about):
            return False
        if holder.name_key is not None:
            _claim_name(token.owner_id, cleaned, origin.at, but_for=token.pk)
        key = None if holder.name_key is None else policy.name_key(cleaned)
        what = ["name"] * (holder.name != cleaned) + ["description"] * (holder.description != about)
        changed = _update(
            _unrevoked(pk=token.pk) & not_ended_q(origin.at),
            name=cleaned,
            name_key=key,
            description=about,
        )
        if changed:
            holder.name = cleaned
            _remember(audit.Kind.RENAMED, holder, origin, changed=what)
    return changed


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
        changed = wanted != held and _update(
            _unrevoked(pk=token.pk, scopes=held) & not_ended_q(origin.at), scopes=wanted
        )
        if changed:
            _remember(audit.Kind.NARROWED, token, origin, before=held, after=wanted)
    return changed


def note_first_use(*, token_id: int, origin: Origin) -> bool:
    """Write down that the token was used for the first time. Return whether it was this call.

    Synchronous, unlike the rest of use: rotation and device redemption rest on it.
    """
    with transaction.atomic():
        noted = _update(Q(pk=token_id, first_used_at__isnull=True), first_used_at=origin.at)
        if noted:
            token = AccessToken.objects.get(pk=token_id)
            _remember(audit.Kind.FIRST_USED, token, origin)
    return noted


def confirm_stored(*, token: AccessToken, origin: Origin) -> bool:
    """Write down that the person has stored the value. Return whether it was this call."""
    with transaction.atomic():
        noted = _update(Q(pk=token.pk, stored_at__isnull=True), stored_at=origin.at)
        if noted:
            _remember(audit.Kind.STORED, token, origin)
    return noted


def redigest(*, token_id: int, value: str, origin: Origin) -> bool:
    """Store the digest of a token under the pepper that signs now. Return whether it changed."""
    pepper_id, digest = secret.digest(value)
    with transaction.atomic():
        changed = _update(
            Q(pk=token_id) & ~Q(pepper_id=pepper_id), pepper_id=pepper_id, digest=digest
        )
        if changed:
            token = AccessToken.objects.get(pk=token_id)
            _remember(audit.Kind.REDIGESTED, token, origin, pepper_id=pepper_id)
    return changed


# --- Steps shared by the writers above -----------------------------------------------------------


def _lock_owner(owner_id: int) -> None:
    # Limits and names are counted over many rows, so one writer an owner at a time. SQLite's
    # IMMEDIATE transaction holds the whole database; PostgreSQL locks the owner's row.
    get_user_model().objects.select_for_update().only("pk").get(pk=owner_id)


def _check_wish(wish: Wish, rules: policy.Rules, now: datetime) -> tuple[str, str]:
    name = policy.check_name(wish.name)
    scopes = policy.check_scopes(wish.scopes, rules)
    policy.check_expiry(wish.expires_at, wish.scopes, now=now, rules=rules)
    _check_description(wish.description)
    return name, scopes


def _check_description(text: str) -> str:
    cleaned = text.strip()
    if len(cleaned) > policy.MAX_DESCRIPTION:
        raise policy.Refused(
            "description",
            "description_too_long",
            f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters.",
        )
    policy.check_text(cleaned, field="description", what="The description")
    return cleaned


def _claim_name(owner_id: int, name: str, now: datetime, but_for: int = 0) -> None:
    """Free the name if its holder has ended by time alone; refuse when somebody holds it."""
    key = policy.name_key(name)
    holders = AccessToken.objects.filter(owner_id=owner_id, name_key=key).exclude(pk=but_for)
    holders.filter(ended_q(now)).update(name_key=None)
    if holders.exists():
        raise policy.Refused(
            "name",
            "name_taken",
            f"You already have an active token called {name}. Pick another name, or revoke that one.",
        )


def _limit_to_projects(token: AccessToken, projects: Sequence[Project] | None) -> None:
    if projects is None:
        return
    if any(project.owner_id != token.owner_id for project in projects):
        raise policy.Refused("projects", "unknown_project", "Choose projects of your own.")
    # A project that was sent twice is one project.
    TokenProject.objects.bulk_create(
        [TokenProject(token=token, project=project) for project in dict.fromkeys(projects)]
    )


def _unrevoked(**facts: Any) -> Q:
    # A revocation counts at once, also for a caller whose clock was read a moment before it.
    return Q(revoked_at__isnull=True, **facts)


def _update(condition: Q, **values: Any) -> bool:
    """Update at most one row, only while the condition holds; return whether it did."""
    return AccessToken.objects.filter(condition).update(**values) == 1


def _remember(event: audit.Kind, token: AccessToken, origin: Origin, /, **data: Any) -> None:
    audit.record(
        event,
        origin=origin,
        owner_id=token.owner_id,
        token_public_id=token.public_id,
        token_name=token.name,
        data=data,
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
