"""The policy's end for what nothing uses: first a mail, and only days after it went out the end.

A token is revoked when it has been unused for as long as the policy says *and* its owner was mailed so
many days ago. A mail that could not be sent therefore postpones the end, and a use cancels it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Coalesce

from tokens import lifecycle
from tokens.models import AccessToken, Notice, Policy, RevokeKind
from tokens.models.liveness import not_ended_q
from tokens.models.token import AccessTokenQuerySet
from tokens.notices import Kind, reminding
from tokens.notices.reminding import Reminder
from tokens.origin import Origin

_WALK = 500
_DAY = timedelta(days=1)


def limit() -> timedelta | None:
    """Return after how long without use the policy ends a token; None when it ends none."""
    days = Policy.objects.order_by("-id").values_list("revoke_unused_after_days", flat=True).first()
    return timedelta(days=days) if days else None


def to_warn(now: datetime, *, after: timedelta, warning: timedelta) -> AccessTokenQuerySet:
    """Return what will be ended ``warning`` from now or earlier, and whose owner was not told yet."""
    told = Notice.objects.filter(
        token=OuterRef("pk"), kind=Kind.REVOKED_SOON, due_at__gt=OuterRef("idle_since")
    )
    return _idle(now, max(after - warning, _DAY)).filter(~Exists(told))


def to_revoke(now: datetime, *, after: timedelta, warning: timedelta) -> AccessTokenQuerySet:
    """Return what has been unused for too long, and whose owner was mailed long enough ago."""
    mailed = Notice.objects.filter(
        token=OuterRef("pk"),
        kind=Kind.REVOKED_SOON,
        sent_at__lte=now - warning,
        sent_at__gt=OuterRef("idle_since"),
    )
    return _idle(now, after).filter(Exists(mailed))


def warn(now: datetime, *, after: timedelta, warning: timedelta) -> int:
    """Owe the mails before the end; return how many tokens are told of for the first time."""
    rows = to_warn(now, after=after, warning=warning).order_by("owner_id", "pk")
    reminders = []
    for token in rows.iterator():
        since: datetime = token.idle_since  # type: ignore[attr-defined]
        end = max(since + after, now + warning)
        facts = {"since": since.isoformat(), "end": end.isoformat(), "days": str(after.days)}
        subject = f"{token.public_id} {since:%Y-%m-%dT%H:%M}"
        kind = Kind.REVOKED_SOON
        reminders.append(Reminder(token.owner_id, token.pk, kind, subject, facts))
    return sum(reminding.owe(part, at=now) for part in _whole_people(reminders))


def revoke(origin: Origin, *, after: timedelta, warning: timedelta) -> Iterator[bool]:
    """Revoke what is due, one token a transaction; yield whether this call ended it."""
    last = 0
    while True:
        rows = to_revoke(origin.at, after=after, warning=warning)
        found = list(rows.filter(pk__gt=last).order_by("pk")[:_WALK])
        for token in found:
            # Read again: since the batch was read somebody may have used the token.
            still = rows.filter(pk=token.pk).exists()
            yield still and lifecycle.revoke(token=token, origin=origin, kind=RevokeKind.UNUSED)
        if len(found) < _WALK:
            return
        last = found[-1].pk


def _idle(now: datetime, after: timedelta) -> AccessTokenQuerySet:
    """Return tokens that have not ended and were not used since, with ``idle_since``."""
    return AccessToken.objects.annotate(
        idle_since=Coalesce(F("activity__last_used_at"), F("created_at"))
    ).filter(not_ended_q(now), owner__is_active=True, idle_since__lte=now - after)


def _whole_people(reminders: list[Reminder]) -> Iterator[list[Reminder]]:
    """Yield parts of about five hundred, none of which ends within one person's reminders."""
    part: list[Reminder] = []
    for each in reminders:
        if len(part) >= _WALK and part[-1].owner_id != each.owner_id:
            yield part
            part = []
        part.append(each)
    if part:
        yield part
