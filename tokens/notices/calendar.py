"""The address of a person's calendar of planned ends: made, replaced, revoked and looked up here alone.

The address holds a secret of 256 random bits, stored as a keyed digest as a token is. Whoever knows it
reads the calendar without signing in, so it can be taken back by itself, and nothing else rests on it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import (
    Case,
    DateTimeField,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from tokens import audit, secret
from tokens.models import AccessToken, CalendarFeed, TokenEvent
from tokens.origin import Origin

logger = logging.getLogger(__name__)

# What has just ended stays for a while, so that its day does not lose its entry at the very instant.
KEPT = timedelta(days=7)
MOST = 500
# Calendars ask every few minutes to hours; the page says when they did to this precision.
NOTED_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PlannedEnd:
    """One entry: which token ends when, by its date or by a rotation, and since when that is said so."""

    token: AccessToken
    at: datetime
    by_rotation: bool
    said_at: datetime


def feed_of(owner_id: int) -> CalendarFeed | None:
    """Return the facts about the person's calendar address, or None while there is none."""
    return CalendarFeed.objects.filter(owner_id=owner_id).first()


def create(*, owner_id: int, with_names: bool, origin: Origin) -> secret.Plaintext | None:
    """Give the person an address and return its secret, which exists nowhere else from now on.

    Returns None when there is one already, so that a repeated form neither shows nor changes anything.
    """
    value = secret.mint_for_calendar()
    facts = _facts(value, origin)
    try:
        with transaction.atomic():
            CalendarFeed.objects.create(owner_id=owner_id, with_names=with_names, **facts)
            _remember(audit.Kind.CALENDAR_CREATED, owner_id, origin, with_names=with_names)
    except IntegrityError:
        return None
    return value


def replace(*, owner_id: int, made_at: datetime, origin: Origin) -> secret.Plaintext | None:
    """Put a new secret in the place of the one that was made at ``made_at``, and return the new one.

    Returns None when that one has gone already, so that a repeated form does not end its successor.
    """
    value = secret.mint_for_calendar()
    facts = _facts(value, origin)
    with transaction.atomic():
        mine = CalendarFeed.objects.filter(owner_id=owner_id, created_at=made_at)
        if not mine.update(last_read_at=None, last_reader="", **facts):
            return None
        _remember(audit.Kind.CALENDAR_REPLACED, owner_id, origin)
    return value


def revoke(*, owner_id: int, made_at: datetime, origin: Origin) -> bool:
    """Take the address that was made at ``made_at`` back. Return whether this call did."""
    with transaction.atomic():
        gone, _ = CalendarFeed.objects.filter(owner_id=owner_id, created_at=made_at).delete()
        if gone:
            _remember(audit.Kind.CALENDAR_REVOKED, owner_id, origin)
    return bool(gone)


def choose_names(*, owner_id: int, with_names: bool, origin: Origin) -> bool:
    """Write names of tokens into the calendar, or leave them out. Return whether that changed."""
    with transaction.atomic():
        mine = CalendarFeed.objects.filter(owner_id=owner_id).exclude(with_names=with_names)
        changed = mine.update(with_names=with_names) == 1
        if changed:
            kind = audit.Kind.CALENDAR_NAMES_CHOSEN
            _remember(kind, owner_id, origin, with_names=with_names)
    return changed


def find(value: str) -> CalendarFeed | None:
    """Return the calendar behind an address, with its owner; None for every other address.

    Unknown, replaced and revoked addresses and those of people who were switched off are one answer
    after one query; what cannot be an address costs none.
    """
    if not secret.is_calendar_secret(value):
        return None
    found = (
        CalendarFeed.objects.select_related("owner")
        .filter(digest__in=secret.digests(value), owner__is_active=True)
        .first()
    )
    if found is not None and found.pepper_id != secret.peppers().signing_id:
        pepper_id, digest = secret.digest(value)
        _write_if_possible(found, pepper_id=pepper_id, digest=digest)
    return found


def note_read(feed: CalendarFeed, *, reader: str, at: datetime) -> None:
    """Remember who read the calendar last; a busy database never keeps anybody from reading it."""
    fresh = feed.last_read_at is not None and at - feed.last_read_at < NOTED_EVERY
    if not fresh or feed.last_reader != reader:
        _write_if_possible(feed, last_read_at=at, last_reader=reader)


def planned_ends(owner_id: int, now: datetime) -> list[PlannedEnd]:
    """Return when the person's tokens end, what is to come first, with one query whatever their number.

    At most ``MOST``; tokens that ended up to ``KEPT`` ago are among them, revoked ones are not.
    """
    said = TokenEvent.objects.filter(token_public_id=OuterRef("public_id")).order_by("-id")
    since = now - KEPT
    rows = (
        AccessToken.objects.filter(owner_id=owner_id, revoked_at__isnull=True)
        # A rotation never plans an end beyond the token's own, so where there are two it is the first.
        .annotate(
            ends_at=Case(
                When(retire_at__isnull=False, then=F("retire_at")),
                default=F("expires_at"),
                output_field=DateTimeField(),
            ),
            said_at=Coalesce(Subquery(said.values("at")[:1]), F("created_at")),
        )
        .filter(Q(retire_at__gt=since) | Q(retire_at__isnull=True, expires_at__gt=since))
        .annotate(
            over=Case(
                When(ends_at__lte=now, then=Value(1)),
                default=Value(0),
                output_field=IntegerField(),
            )
        )
        .order_by("over", "ends_at", "pk")[:MOST]
    )
    return [_planned_end(row) for row in rows]


def _planned_end(row: Any) -> PlannedEnd:
    return PlannedEnd(
        token=row, at=row.ends_at, by_rotation=row.retire_at is not None, said_at=row.said_at
    )


def _facts(value: secret.Plaintext, origin: Origin) -> dict[str, Any]:
    pepper_id, digest = secret.digest(value.reveal())
    return {
        "pepper_id": pepper_id,
        "digest": digest,
        "last4": value.reveal()[-4:],
        "created_at": origin.at,
    }


def _write_if_possible(feed: CalendarFeed, **facts: Any) -> None:
    # With the digest that was read, so that an address that was replaced meanwhile stays untouched.
    mine = CalendarFeed.objects.filter(pk=feed.pk, digest=feed.digest)
    try:
        mine.update(**facts)
    except DatabaseError:
        logger.exception("What is known of calendar %s could not be written.", feed.pk)


def _remember(kind: audit.Kind, owner_id: int, origin: Origin, **data: Any) -> None:
    audit.record(kind, origin=origin, owner_id=owner_id, data=data)
