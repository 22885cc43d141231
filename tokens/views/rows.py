"""What the list shows of one token, in words."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils import timezone

from tokens import policy, scopes as catalogue
from tokens.models import AccessToken, Created, RevokeKind
from tokens.models.liveness import ended_at
from tokens.models.rotation import Rotation, Step
from tokens.models.status import Status, status_of
from tokens.templatetags.console_ui import zone_words
from tokens.templatetags.drawings import Kind, Life

# What the day arc draws of each status.
_DRAWN: dict[Status, Kind] = {
    Status.ACTIVE: "live",
    Status.EXPIRING_SOON: "attention",
    Status.UNUSED: "unused",
    Status.NEVER_USED: "never_used",
    Status.PAUSED: "paused",
    Status.ROTATING: "rotating",
    Status.EXPIRED: "expired",
    Status.REVOKED: "revoked",
    Status.ROTATED_OUT: "rotated_out",
}

# What is to be done next, where a row asks for something, and the page on which it is done.
_NEXT = {
    Status.EXPIRING_SOON: ("Rotate", "tokens:rotate"),
    Status.UNUSED: ("Review", "tokens:detail"),
    Status.PAUSED: ("Resume", "tokens:resume"),
    Status.ROTATING: ("Continue", "tokens:rotate"),
}


@dataclass(frozen=True, slots=True)
class ShownStatus:
    """A status with the sentence beside it and the instant it speaks of."""

    key: str
    label: str
    family: str
    text: str
    instant: datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    public_id: uuid.UUID
    name: str
    description: str
    masked: str
    head: str
    last4: str
    scopes: tuple[str, ...]
    access_label: str
    access_note: str
    last_used_at: datetime | None
    last_used_from: str
    created_at: datetime
    by_device: bool
    status: ShownStatus
    ended: bool
    reason: str
    misfit: str
    revoke_url: str
    rotate_url: str
    next_label: str
    next_url: str
    rotation: Rotation | None
    life: Life


def row_of(
    token: AccessToken,
    now: datetime,
    rotation: Rotation | None = None,
    rules: policy.Rules | None = None,
) -> Row:
    """Return the line of ``token``, which comes with its owner and activity loaded.

    ``rotation`` is the open one that would replace it; by ``rules`` the line says what is outside.
    """
    activity = getattr(token, "activity", None)
    last_used_at = activity.last_used_at if activity else None
    status = status_of(token.liveness(), last_used_at, now, rotating=rotation is not None)
    names = token.scope_names
    next_label, next_page = _NEXT.get(status, ("", ""))
    return Row(
        public_id=token.public_id,
        name=token.name,
        description=token.description,
        masked=token.masked,
        head=token.head4,
        last4=token.last4,
        scopes=names,
        access_label=catalogue.bundle_title(names),
        access_note=access_note(names),
        last_used_at=last_used_at,
        last_used_from=(activity.address or "") if activity else "",
        created_at=token.created_at,
        by_device=token.created_via == Created.DEVICE,
        status=_shown(token, status, now, rotation),
        ended=status.is_ended,
        reason=token.reason if status is Status.REVOKED else "",
        misfit="" if rules is None or status.is_ended else _misfit(token, rules, now),
        revoke_url="" if status.is_ended else _page_of(token, "tokens:revoke"),
        rotate_url="" if status.is_ended else _page_of(token, "tokens:rotate"),
        next_label=next_label,
        next_url=_page_of(token, next_page) if next_page else "",
        rotation=rotation,
        life=_life(token, status, rotation),
    )


def _page_of(token: AccessToken, name: str) -> str:
    return reverse(name, kwargs={"public_id": token.public_id})


def _misfit(token: AccessToken, rules: policy.Rules, now: datetime) -> str:
    facts = policy.TokenFacts(token.created_at, token.expires_at, token.scope_names)
    words = policy.misfit(facts, rules)
    refused = rules.blocks_from is not None and rules.blocks_from <= now
    return f"Refused: {words[0].lower()}{words[1:]}" if words and refused else words


def _life(token: AccessToken, status: Status, rotation: Rotation | None) -> Life:
    # A token that lives sets at the earliest of its ends; one that ended shows where it was going.
    end = ended_at(token.liveness())
    kind: Kind = _DRAWN[status]
    if status.is_ended:
        return Life(token.created_at, token.expires_at, end, kind)
    if kind == "rotating" and rotation is not None and rotation.replacement.first_used_at:
        kind = "replacement_works"
    endless = status is Status.ACTIVE and end is None
    return Life(token.created_at, end, None, "no_expiration" if endless else kind)


def access_note(names: tuple[str, ...]) -> str:
    """Return the number of scopes in words, and how many of them write."""
    writes = sum(catalogue.BY_NAME[name].writes for name in names if name in catalogue.BY_NAME)
    scopes = "1 scope" if len(names) == 1 else f"{len(names)} scopes"
    if not writes:
        return f"{scopes}, no writes"
    return f"{scopes}, {writes} write{'s' if writes > 1 else ''}"


def _shown(
    token: AccessToken, status: Status, now: datetime, rotation: Rotation | None
) -> ShownStatus:
    facts = token.liveness()
    end = ended_at(facts)
    if status is Status.REVOKED:
        text = f"{_by_whom(token)}, {day_of(token.revoked_at)}"
        end = token.revoked_at
    elif status.is_ended:
        text = day_of(end)
    elif status is Status.PAUSED:
        text, end = _pause_words(token, now), token.paused_until
    elif rotation is not None and status is Status.ROTATING:
        text, end = _rotation_words(rotation, now), token.retire_at
    elif end is None:
        text = "No expiration"
    else:
        text = f"{time_left(end, now)}, {day_of(end)}"
    return ShownStatus(status.key, status.label, status.family, text, end)


def _pause_words(token: AccessToken, now: datetime) -> str:
    if token.paused_until is None:
        return "Until resumed, by you"
    return f"Until {clock_words(token.paused_until, now)}, by you"


def _rotation_words(rotation: Rotation, now: datetime) -> str:
    """Say how far a rotation is: its planned end, or its step and whether the replacement was used."""
    if rotation.old.retire_at is not None:
        return f"Old one ends {clock_words(rotation.old.retire_at, now)}"
    works = rotation.replacement.first_used_at is not None
    said = "replacement works" if works else "replacement not used yet"
    return f"Step {rotation.step} of {len(Step)}, {said}"


def clock_words(at: datetime, now: datetime) -> str:
    """Return the time of day with its zone, and the day where it is another one."""
    zone = timezone.get_current_timezone()
    words = f"{timezone.localtime(at):%H:%M} {zone_words(at, zone)}"
    same_day = timezone.localtime(at).date() == timezone.localtime(now).date()
    return words if same_day else f"{day_of(at)}, {words}"


def _by_whom(token: AccessToken) -> str:
    if token.revoke_kind in {RevokeKind.OWNER, RevokeKind.ROTATED, RevokeKind.CANCELLED}:
        return "By you"
    if token.revoke_kind == RevokeKind.SELF:
        return "By the token itself"
    if token.revoke_kind == RevokeKind.LOST:
        return "Lost on its way"
    return "By your administrator"


def time_left(end: datetime, now: datetime) -> str:
    """Return the time to the end in the largest unit that is still honest, rounded down."""
    seconds = int((end - now).total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'s' if number > 1 else ''} left"
    return "Less than a minute left"


def day_of(at: datetime | None) -> str:
    """Return the calendar day in the person's zone, or nothing."""
    return f"{timezone.localtime(at):%-d %b %Y}" if at else ""
