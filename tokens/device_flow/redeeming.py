"""A terminal asks again and again whether it may have its token, and gets it once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import F

from tokens import lifecycle, policy, scopes as catalogue
from tokens.device_flow import codes
from tokens.device_flow.grants import base_name, numbered
from tokens.models import AccessToken, Created, DeviceGrant, RevokeKind
from tokens.origin import Origin

# What RFC 8628, 3.5 adds to the interval each time, and where adding stops.
STEP, MAX_INTERVAL = 5, 300
# A clock and a network are not exact; who keeps to the interval is not called too fast for that.
_GRACE = timedelta(seconds=1)
_NAMING_TRIES = 5


class Reply(StrEnum):
    """What a terminal is told."""

    DELIVERED = "delivered"
    PENDING = "pending"
    TOO_FAST = "too_fast"
    DENIED = "denied"
    EXPIRED = "expired"
    SPENT = "spent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a terminal is told: with ``DELIVERED`` comes the token, with ``DENIED`` the reason."""

    reply: Reply
    issued: lifecycle.Issued | None = None
    interval: int = 0
    sentence: str = ""


_DENIED = Redemption(Reply.DENIED, sentence="The request was denied.")


def redeem(*, device_code: str, client_id: str, origin: Origin) -> Redemption:
    """Return the token of an approved request, once, or say what the request waits for.

    A code is good only for the client that began with it. Whoever comes second has found or stolen
    the code, or the first answer was lost: the token is then revoked, unless it was used.
    """
    grant = DeviceGrant.objects.filter(device_digest__in=codes.device_digests(device_code)).first()
    if grant is None or grant.client_id != client_id:
        return Redemption(Reply.UNKNOWN)
    if grant.redeemed_at is not None:
        return _spent(grant, origin)
    if grant.denied_at is not None or grant.expires_at <= origin.at:
        return _DENIED if grant.denied_at is not None else Redemption(Reply.EXPIRED)
    if grant.approved_at is None:
        return _wait(grant, origin.at)
    return _deliver(grant, origin)


def _spent(grant: DeviceGrant, origin: Origin) -> Redemption:
    if grant.token is not None:
        lifecycle.revoke(token=grant.token, origin=origin, kind=RevokeKind.LOST, unless_used=True)
    return Redemption(Reply.SPENT)


def _wait(grant: DeviceGrant, now: datetime) -> Redemption:
    """Note when the terminal asked; who asks too soon is to wait longer from now on."""
    last = grant.last_polled_at
    too_fast = last is not None and now - last < timedelta(seconds=grant.interval) - _GRACE
    # Enough is enough: a storm of polls costs one read each, and no write.
    if too_fast and grant.interval >= MAX_INTERVAL:
        return Redemption(Reply.TOO_FAST, interval=grant.interval)
    row = DeviceGrant.objects.filter(pk=grant.pk, interval__lt=MAX_INTERVAL)
    if not too_fast:
        seen = DeviceGrant.objects.filter(pk=grant.pk, last_polled_at=last)
        if seen.update(last_polled_at=now) == 1:
            return Redemption(Reply.PENDING, interval=grant.interval)
    # Too fast, or another poll came in between, which makes this one too fast as well.
    row.update(last_polled_at=now, interval=F("interval") + STEP)
    return Redemption(Reply.TOO_FAST, interval=min(grant.interval + STEP, MAX_INTERVAL))


def _deliver(grant: DeviceGrant, origin: Origin) -> Redemption:
    """Mint in the transaction that redeems, so that neither is without the other."""
    try:
        with transaction.atomic():
            # A joined table would move the condition into a subquery, which PostgreSQL does not ask
            # again after it has waited for another redemption: then both of them would deliver.
            redeemable = DeviceGrant.objects.filter(
                pk=grant.pk,
                approved_at__isnull=False,
                denied_at__isnull=True,
                redeemed_at__isnull=True,
                expires_at__gt=origin.at,
                user__in=get_user_model().objects.filter(is_active=True),
            )
            if redeemable.update(redeemed_at=origin.at) == 1:
                issued = _issue(grant, replace(origin, actor_id=grant.user_id))
                DeviceGrant.objects.filter(pk=grant.pk).update(token=issued.token)
                return Redemption(Reply.DELIVERED, issued)
    except policy.Refused as refused:
        # What was allowed when it was approved may be forbidden now.
        return Redemption(Reply.DENIED, sentence=refused.sentence)
    grant.refresh_from_db()
    return _spent(grant, origin) if grant.redeemed_at is not None else _DENIED


def _issue(grant: DeviceGrant, origin: Origin) -> lifecycle.Issued:
    """Issue the token under the first name of its client that nobody holds."""
    owner: Any = grant.user
    held = AccessToken.objects.owned_by(owner).filter(name_key__isnull=False)
    number = 0
    for tries_left in reversed(range(_NAMING_TRIES)):
        taken = set(held.live(origin.at).values_list("name_key", flat=True))
        number += 1
        while policy.name_key(numbered(base_name(grant), number)) in taken:
            number += 1
        wish = lifecycle.Wish(
            name=numbered(base_name(grant), number),
            scopes=catalogue.split(grant.granted_scopes),
            expires_at=grant.token_expires_at,
        )
        try:
            return lifecycle.issue(owner=owner, wish=wish, origin=origin, via=Created.DEVICE)
        except policy.Refused as refused:
            # Somebody took the name meanwhile.
            if refused.code != "name_taken" or not tries_left:
                raise
    raise AssertionError("The last try either returns or raises.")
