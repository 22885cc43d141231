"""What time alone brings about and a person should hear of: ends that come near, tokens left unused.

Each thing is looked for in a window, so that a timer which runs often finds little, one that was off
for some days misses nothing, and a console that is switched on late does not flood anybody.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import groupby, islice

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from tokens.models import AccessToken, Notice
from tokens.models.liveness import not_ended_q, not_paused_q
from tokens.models.standing import with_rotation
from tokens.models.token import AccessTokenQuerySet
from tokens.notices import Kind, reminding
from tokens.notices.reminding import Reminder

__all__ = ["ahead_of", "due", "owe_due"]

DAY = timedelta(days=1)
UNUSED_AFTER = timedelta(days=60)
UNSTORED_AFTER = timedelta(days=7)
# How late a reminder may still come, where nothing else bounds it.
_LATE = timedelta(days=30)
_PEOPLE = 100
# Before its end by so much; the window ends where the next reminder takes over, or a week later.
_STAGES = (
    (Kind.EXPIRES_30, timedelta(days=30), timedelta(days=23)),
    (Kind.EXPIRES_7, timedelta(days=7), DAY),
)


def owe_due(now: datetime) -> int:
    """Owe everything that is due now and was not told yet; return how many reminders are new."""
    new = 0
    people = groupby(_by_person(now), key=lambda each: each.owner_id)
    mine = (list(reminders) for _, reminders in people)
    while some := list(islice(mine, _PEOPLE)):
        new += reminding.owe([each for reminders in some for each in reminders], at=now)
    return new


def due(now: datetime) -> list[Reminder]:
    """Return everything that is due now and was not told yet, also what its owner does not want."""
    return list(_by_person(now))


def ahead_of(token: AccessToken, now: datetime, wanted: Collection[Kind]) -> list[datetime]:
    """Return when this token's end will still be recalled, of the kinds its owner wants; no query."""
    end = token.expires_at
    if end is None:
        return []
    lives = end - token.created_at
    stages = [(kind, before, 2 * before) for kind, before, _ in _STAGES]
    stages += [(Kind.EXPIRES_1, DAY, 2 * DAY), (Kind.EXPIRES_0, timedelta(0), DAY)]
    told = [end - before for kind, before, least in stages if kind in wanted and lives >= least]
    return [at for at in told if at > now]


def _by_person(now: datetime) -> Iterator[Reminder]:
    found = [*_expiring(now), *_last_day(now), *_unused(now), *_never_used(now), *_unstored(now)]
    yield from sorted(found, key=lambda each: each.owner_id)


# --- Ends that come near ----------------------------------------------------------------------------


def _expiring(now: datetime) -> Iterator[Reminder]:
    """Find what ends in some days, unless it lives little longer than that: then its owner knows."""
    for kind, before, until in _STAGES:
        rows = _untold(_standing(now), kind).filter(
            expires_at__gt=now + until,
            expires_at__lte=now + before,
            created_at__lte=F("expires_at") - 2 * before,
        )
        for token in rows.iterator():
            yield _reminder(kind, token)


def _last_day(now: datetime) -> Iterator[Reminder]:
    """Find what ends within a day, and what ends on this day of its owner's calendar or just did."""
    near = _untold(_standing(now), Kind.EXPIRES_0).filter(
        expires_at__gt=now - DAY,
        expires_at__lte=now + DAY,
        created_at__lte=F("expires_at") - DAY,
    )
    told = Exists(_notices(Kind.EXPIRES_1))
    for token in near.annotate(told_before=told).iterator():
        end = token.expires_at
        assert end is not None  # noqa: S101 - the query asks for it
        if end <= now or _same_day(end, now, _zone(token)):
            yield _reminder(Kind.EXPIRES_0, token)
        elif not token.told_before and token.created_at <= end - 2 * DAY:  # type: ignore[attr-defined]
            yield _reminder(Kind.EXPIRES_1, token)


def _same_day(one: datetime, other: datetime, zone: tzinfo) -> bool:
    return one.astimezone(zone).date() == other.astimezone(zone).date()


def _zone(token: AccessToken) -> tzinfo:
    zone: tzinfo = getattr(token.owner, "zone", zoneinfo.ZoneInfo("UTC"))
    return zone


# --- What nothing uses ------------------------------------------------------------------------------


def _unused(now: datetime) -> Iterator[Reminder]:
    """Find what was used and then no more; told again only after another use."""
    last = F("activity__last_used_at")
    since = now - UNUSED_AFTER
    told = Notice.objects.filter(
        token=OuterRef("pk"), kind=Kind.UNUSED, due_at__gt=OuterRef("activity__last_used_at")
    )
    rows = _alive(now, ending=30 * DAY).filter(
        ~Exists(told),
        activity__last_used_at__lte=since,
        activity__last_used_at__gt=since - _LATE,
    )
    for token in rows.annotate(idle_since=last).iterator():
        yield _idle(Kind.UNUSED, token, token.idle_since)  # type: ignore[attr-defined]


def _never_used(now: datetime) -> Iterator[Reminder]:
    since = now - UNUSED_AFTER
    rows = _untold(_alive(now, ending=30 * DAY), Kind.UNUSED).filter(
        activity__isnull=True, created_at__lte=since, created_at__gt=since - _LATE
    )
    for token in rows.iterator():
        yield _idle(Kind.UNUSED, token, token.created_at)


def _unstored(now: datetime) -> Iterator[Reminder]:
    since = now - UNSTORED_AFTER
    rows = _untold(_alive(now, ending=7 * DAY), Kind.NEVER_STORED).filter(
        stored_at__isnull=True,
        first_used_at__isnull=True,
        activity__isnull=True,
        created_at__lte=since,
        created_at__gt=since - _LATE,
    )
    for token in rows.iterator():
        yield _reminder(Kind.NEVER_STORED, token)


def _alive(now: datetime, *, ending: timedelta) -> AccessTokenQuerySet:
    """Leave out what ends so soon that the mail about its end says the same."""
    lasts = Q(expires_at__isnull=True) | Q(expires_at__gt=now + ending)
    return _standing(now).filter(not_ended_q(now) & not_paused_q(now) & lasts)


# --- Shared -----------------------------------------------------------------------------------------


def _standing(now: datetime) -> AccessTokenQuerySet:
    """Return tokens that nobody ended and that nothing is about to replace."""
    return with_rotation(AccessToken.objects.select_related("owner"), now).filter(
        Q(rotating=False), owner__is_active=True, revoked_at__isnull=True, retire_at__isnull=True
    )


def _untold(tokens: AccessTokenQuerySet, kind: Kind) -> AccessTokenQuerySet:
    return tokens.filter(~Exists(_notices(kind)))


def _notices(kind: Kind) -> QuerySet[Notice]:
    return Notice.objects.filter(token=OuterRef("pk"), kind=kind)


def _reminder(kind: Kind, token: AccessToken) -> Reminder:
    return Reminder(token.owner_id, token.pk, kind, str(token.public_id), {})


def _idle(kind: Kind, token: AccessToken, since: datetime) -> Reminder:
    """Return a reminder that may come again for another time without use."""
    subject = f"{token.public_id} {since:%Y-%m-%dT%H:%M}"
    return Reminder(token.owner_id, token.pk, kind, subject, {"since": since.isoformat()})
