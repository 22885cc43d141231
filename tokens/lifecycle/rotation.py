"""Replacing a token by another one while both work: how it begins, and what is noted on the way."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from tokens import audit, notices, policy, secret
from tokens.lifecycle.rotation_end import close, unclosed_q
from tokens.lifecycle.rows import AlreadyIssued, Issued, Wish, new_row
from tokens.lifecycle.steps import (
    claim_name,
    iso,
    limit_to_projects,
    lock_owner,
    remember,
    unrevoked,
    update,
)
from tokens.models import AccessToken, Created, Project, RotationTick, TokenProject
from tokens.models.liveness import ended_at, not_ended_q
from tokens.models.rotation import as_rotation, open_replacement_q
from tokens.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationWish:
    """What a person asks of a replacement; name and description stay those of the old token."""

    scopes: Sequence[str]
    expires_at: datetime | None
    projects: Sequence[Project] | None = None


def rotate(
    *,
    token: AccessToken,
    wish: RotationWish,
    origin: Origin,
    request_id: uuid.UUID | None = None,
) -> Issued:
    """Make a replacement that takes over the name, and return it with its value.

    The old token stays as it is: working, or paused.

    Raises ``policy.Refused`` when a rule forbids it, ``AlreadyIssued`` when ``request_id`` was used.
    """
    now = origin.at
    with transaction.atomic():
        lock_owner(token.owner_id)
        earlier = AccessToken.objects.filter(owner_id=token.owner_id, request_id=request_id)
        repeated = earlier.first() if request_id is not None else None
        if repeated is not None:
            raise AlreadyIssued(repeated)
        replacing, rotating = _settle(token, origin)
        old = _hold(token)
        policy.check_rotatable(old, replacing=replacing, rotating=rotating, now=now)
        scopes = _check_wish(old, wish, now)
        claim_name(old.owner_id, old.name, now, but_for=old.pk)
        # The condition decides, not what was read before: a revocation may have come in between.
        if not update(unrevoked(pk=old.pk) & not_ended_q(now), name_key=None):
            old.revoked_at = now
            policy.check_rotatable(old, replacing=False, rotating=False, now=now)
        issued = _insert(old, scopes, wish, request_id, origin)
        remember(audit.Kind.ROTATION_STARTED, old, origin, replacement=str(issued.token.public_id))
        notices.token_created(issued.token, origin)
        notices.rotation_started(issued.token, origin)
    return issued


def skip_check(*, replacement: AccessToken, origin: Origin) -> bool:
    """Write down that the person goes on without seeing the replacement work."""
    with transaction.atomic():
        noted = update(
            unrevoked(
                pk=replacement.pk,
                skipped_at__isnull=True,
                first_used_at__isnull=True,
                replaces__isnull=False,
                rotation_closed_at__isnull=True,
            )
            & not_ended_q(origin.at),
            skipped_at=origin.at,
        )
        if noted:
            remember(audit.Kind.CHECK_SKIPPED, replacement, origin)
    return noted


def tick(
    *,
    replacement: AccessToken,
    ticked: Collection[str],
    unticked: Collection[str] = (),
    origin: Origin,
) -> bool:
    """Note which consumers the person has updated, or has not after all. Return whether that is news.

    The notes belong to the rotation and change neither token; after its end nothing is noted.
    """
    with transaction.atomic():
        going = AccessToken.objects.filter(open_replacement_q(origin.at), pk=replacement.pk)
        if not going.exists():
            return False
        mine = RotationTick.objects.filter(token=replacement)
        known = set(mine.values_list("consumer_key", flat=True))
        new, gone = set(ticked) - known, set(unticked) & known
        rows = [RotationTick(token=replacement, consumer_key=key, at=origin.at) for key in new]
        # Two tabs may tick the same place at once; it is ticked either way.
        RotationTick.objects.bulk_create(rows, ignore_conflicts=True)
        mine.filter(consumer_key__in=gone).delete()
        if new or gone:
            remember(
                audit.Kind.PLACES_TICKED, replacement, origin, ticked=len(new), unticked=len(gone)
            )
    return bool(new or gone)


def _hold(token: AccessToken) -> AccessToken:
    """Hold and return the old token's row, so that what is judged is what the replacement is made of.

    A scope that is taken away meanwhile comes before the rotation or after it, and never in between,
    where the replacement would not know of it; a pause concerns the old token alone. Its key is not
    held: use of the token refers to that and is written on.
    """
    rows = AccessToken.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("owner").get(pk=token.pk)


def _settle(token: AccessToken, origin: Origin) -> tuple[bool, bool]:
    """Stamp rotations that time has ended; return whether the token is still replacing, or replaced."""
    replacing = rotating = False
    rows = AccessToken.objects.filter(unclosed_q(token.pk))
    for rotation in map(as_rotation, rows.select_related("owner", "replaces__owner")):
        if not rotation.is_open(origin.at):
            ends = (ended_at(each.liveness()) for each in (rotation.old, rotation.replacement))
            close(rotation.replacement, min(end for end in ends if end is not None), origin)
        elif rotation.old.pk == token.pk:
            rotating = True
        else:
            replacing = True
    return replacing, rotating


# --- Steps of the writers above --------------------------------------------------------------------


def _check_wish(old: AccessToken, wish: RotationWish, now: datetime) -> str:
    rules = policy.current_rules()
    policy.check_room(old.owner_id, rules, now=now, replacing=True)
    policy.check_subset(old.scope_names, wish.scopes)
    scopes = policy.check_scopes(wish.scopes, rules)
    rows = TokenProject.objects.filter(token=old).values_list("project_id", flat=True)
    held = frozenset(rows) if old.projects_limited else None
    chosen = None if wish.projects is None else [project.pk for project in wish.projects]
    policy.check_projects(held, chosen)
    policy.check_expiry(wish.expires_at, wish.scopes, now=now, rules=rules)
    return scopes


def _insert(
    old: AccessToken,
    scopes: str,
    wish: RotationWish,
    request_id: uuid.UUID | None,
    origin: Origin,
) -> Issued:
    full = Wish(
        name=old.name,
        scopes=wish.scopes,
        expires_at=wish.expires_at,
        description=old.description,
        projects=wish.projects,
    )
    value = secret.mint()
    token = new_row(old.owner, old.name, scopes, full, value, Created.ROTATION, origin.at)
    token.family, token.generation = old.family, old.generation + 1
    token.replaces, token.request_id = old, request_id
    token.save(force_insert=True)
    limit_to_projects(token, wish.projects)
    remember(
        audit.Kind.ISSUED,
        token,
        origin,
        scopes=scopes,
        expires_at=iso(wish.expires_at),
        via=str(Created.ROTATION),
        generation=token.generation,
    )
    return Issued(token, value)
