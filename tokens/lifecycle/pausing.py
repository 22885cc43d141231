"""Switching a token off for a while, and on again.

A pause is two times on the token's row. The verdict compares them, so a pause with an end is over at
that instant, whether or not anything of the console runs then.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Case, F, Q, Value, When

from tokens import audit, policy
from tokens.lifecycle.steps import iso, remember, unrevoked, update
from tokens.models import AccessToken
from tokens.models.liveness import not_ended_q
from tokens.origin import Origin


def pause(
    *, token: AccessToken, until: datetime | None, origin: Origin, may_shorten: bool = True
) -> bool:
    """Refuse a living token's requests until ``until``, or until it is resumed when that is None.

    A pause that is on already keeps its beginning and takes the new end; without ``may_shorten`` only
    one that is not sooner, because power that comes back sooner is a resumption. Return whether
    anything changed. Raises ``policy.Refused`` for an end that has passed.
    """
    now = origin.at
    if until is not None and until <= now:
        raise policy.Refused("until", "pause_over", "Choose an end that is still to come.")
    alive = unrevoked(pk=token.pk) & not_ended_q(now)
    with transaction.atomic():
        if update(alive & ~_begun(now), paused_at=now, paused_until=until):
            remember(audit.Kind.PAUSED, token, origin, since=iso(now), until=iso(until))
            return True
        # Whoever began it a moment ago, this is the later word about its end.
        reachable = Q() if may_shorten else _ends_by(until)
        moved = update(
            alive & _begun(now) & reachable & (~_ends(until) | Q(paused_at__gt=now)),
            # A clock that was set back must find the pause on, so the beginning goes back with it.
            paused_at=Case(When(paused_at__gt=now, then=Value(now)), default=F("paused_at")),
            paused_until=until,
        )
        if moved:
            since = _paused_since(token)
            remember(audit.Kind.PAUSE_MOVED, token, origin, since=iso(since), until=iso(until))
    return moved


def resume(*, token: AccessToken, origin: Origin) -> bool:
    """Let a paused token work again now. Return whether it was this call.

    A pause that ran out, or a token that has ended, stays as it is.
    """
    now = origin.at
    with transaction.atomic():
        since = _paused_since(token)
        resumed = since is not None and update(
            unrevoked(pk=token.pk) & not_ended_q(now) & Q(paused_at=since) & _begun(now),
            paused_at=None,
            paused_until=None,
        )
        if resumed:
            remember(audit.Kind.RESUMED, token, origin, since=iso(since))
    return resumed


def _paused_since(token: AccessToken) -> datetime | None:
    return AccessToken.objects.values_list("paused_at", flat=True).get(pk=token.pk)


def _begun(now: datetime) -> Q:
    # A pause counts at once, also for a caller whose clock was read a moment before it, or set back.
    return Q(paused_at__isnull=False) & (Q(paused_until__isnull=True) | Q(paused_until__gt=now))


def _ends(until: datetime | None) -> Q:
    # Spelled out, because a NULL is neither equal to a time nor different from it.
    if until is None:
        return Q(paused_until__isnull=True)
    return Q(paused_until__isnull=False, paused_until=until)


def _ends_by(until: datetime | None) -> Q:
    if until is None:
        return Q()
    return Q(paused_until__isnull=False, paused_until__lte=until)
