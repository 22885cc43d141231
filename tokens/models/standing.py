"""The SQL twins of the shown status: what the list counts, finds and puts first.

``status_of`` says the same in Python of one token; a property test keeps the two equal.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    Value,
    When,
)

from tokens.models.liveness import ended_q, not_ended_q, not_paused_q, paused_q, to_come_q
from tokens.models.status import EXPIRING_SOON, UNUSED, Status
from tokens.models.token import AccessToken, AccessTokenQuerySet
from tokens.models.use import TokenActivity

# A pause without an end is forgotten sooner than one that runs out by itself.
LONG_PAUSE = timedelta(hours=24)
# What needs a look comes first, what is over comes last.
_BY_NEED = (
    Status.EXPIRING_SOON,
    Status.UNUSED,
    Status.PAUSED,
    Status.ROTATING,
    Status.ACTIVE,
    Status.NEVER_USED,
    Status.EXPIRED,
    Status.ROTATED_OUT,
    Status.REVOKED,
)
RANK = {status: rank for rank, status in enumerate(_BY_NEED)}


def with_rotation(tokens: AccessTokenQuerySet, now: datetime) -> AccessTokenQuerySet:
    """Add ``rotating``: whether an open replacement stands beside the token, which itself may have ended."""
    replacements = AccessToken.objects.filter(
        not_ended_q(now),
        replaces=OuterRef("pk"),
        replaces__isnull=False,
        rotation_closed_at__isnull=True,
    )
    return tokens.annotate(rotating=Exists(replacements))


def expiring_soon_q(now: datetime) -> Q:
    """Return the condition for tokens that have not ended and will soon, by their date."""
    return not_ended_q(now) & Q(expires_at__lte=now + EXPIRING_SOON)


def unused_q(now: datetime) -> Q:
    """Return the condition for tokens that have not ended and were last used long ago."""
    return not_ended_q(now) & Q(activity__last_used_at__lte=now - UNUSED)


def never_used_q(now: datetime) -> Q:
    """Return the condition for tokens that have not ended and never were used."""
    return not_ended_q(now) & Q(activity__isnull=True)


def endless_q(now: datetime) -> Q:
    """Return the condition for tokens that have not ended and have no date on which they would."""
    return not_ended_q(now) & Q(expires_at__isnull=True)


def rotating_q(now: datetime) -> Q:
    """Return the condition for tokens with an open replacement; needs ``with_rotation``."""
    return not_ended_q(now) & Q(rotating=True)


def switched_off_q(now: datetime) -> Q:
    """Return the condition for tokens that are paused and have not ended."""
    return not_ended_q(now) & paused_q(now)


def revoked_q(now: datetime) -> Q:
    """Return the condition for tokens that a person or a rotation ended."""
    return Q(revoked_at__lte=now) | Q(retire_at__lte=now)


def expired_q(now: datetime) -> Q:
    """Return the condition for tokens that ended by their date alone, NULLs spelled out."""
    return (
        Q(expires_at__lte=now)
        & (Q(revoked_at__isnull=True) | Q(revoked_at__gt=now))
        & (Q(retire_at__isnull=True) | Q(retire_at__gt=now))
    )


def needs_a_look_q(now: datetime) -> Q:
    """Return the condition for tokens that somebody should look at; each counts once."""
    forgotten = Q(paused_at__lte=now - LONG_PAUSE, paused_until__isnull=True)
    return expiring_soon_q(now) | unused_q(now) | (not_ended_q(now) & forgotten)


def status_rank(now: datetime) -> Case:
    """Return the place of a token's status, what needs a look first; needs ``with_rotation``."""

    def then(status: Status) -> Value:
        return Value(RANK[status])

    return Case(
        When(revoked_at__lte=now, then=then(Status.REVOKED)),
        When(retire_at__lte=now, then=then(Status.ROTATED_OUT)),
        When(expires_at__lte=now, then=then(Status.EXPIRED)),
        When(paused_q(now), then=then(Status.PAUSED)),
        When(rotating=True, then=then(Status.ROTATING)),
        When(expires_at__lte=now + EXPIRING_SOON, then=then(Status.EXPIRING_SOON)),
        When(activity__isnull=True, then=then(Status.NEVER_USED)),
        When(activity__last_used_at__lte=now - UNUSED, then=then(Status.UNUSED)),
        default=then(Status.ACTIVE),
        output_field=IntegerField(),
    )


def last_use_q(**condition: datetime) -> Q:
    """Return the condition for tokens whose last use fulfils one.

    It is looked up of one token after the other, in the order of the list. Joined, SQLite begins with
    all that was used and sorts it, to show the first few.
    """
    return Q(Exists(TokenActivity.objects.filter(token=OuterRef("pk"), **condition)))


def status_q(status: Status, now: datetime) -> Q:
    """Return the condition for tokens that show a status; needs ``with_rotation``.

    It says the same as comparing ``status_rank``, in terms that a database can estimate and look up.
    """
    awake = not_ended_q(now) & not_paused_q(now)
    alone = awake & Q(rotating=False)
    lasting = alone & (Q(expires_at__isnull=True) | Q(expires_at__gt=now + EXPIRING_SOON))
    conditions = {
        Status.REVOKED: Q(revoked_at__lte=now),
        Status.ROTATED_OUT: Q(retire_at__lte=now) & to_come_q("revoked_at", now),
        Status.EXPIRED: expired_q(now),
        Status.PAUSED: switched_off_q(now),
        Status.ROTATING: awake & Q(rotating=True),
        Status.EXPIRING_SOON: alone & Q(expires_at__lte=now + EXPIRING_SOON),
        Status.NEVER_USED: lasting & Q(activity__isnull=True),
        Status.UNUSED: lasting & last_use_q(last_used_at__lte=now - UNUSED),
        Status.ACTIVE: lasting & last_use_q(last_used_at__gt=now - UNUSED),
    }
    return conditions[status]


def planned_end(now: datetime) -> Case:
    """Return the date on which a living token expires, and nothing for one that has ended."""
    return Case(
        When(ended_q(now), then=Value(None)), default=F("expires_at"), output_field=DateTimeField()
    )
