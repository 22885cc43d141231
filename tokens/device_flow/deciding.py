"""A signed-in person finds a request by its code, and says yes or no to it.

Looking changes nothing but the count of tries. Each decision is one conditional update whose rows
are counted, so of two that come together one holds, and the other is told what is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from tokens import audit, lifecycle, policy, ratelimit, scopes as catalogue
from tokens.device_flow import codes
from tokens.device_flow.grants import base_name, is_pending, numbered, pending_q
from tokens.models import AccessToken, Created, DeviceGrant
from tokens.origin import Origin

# A code that ended is told from one that never was for as long as somebody may still type it.
_REMEMBERED = timedelta(hours=1)
_MOST_EARLIER = 20
_NUMBER = re.compile(r" \(([0-9]{1,5})\)\Z", re.ASCII)


class State(StrEnum):
    """What a request is for the person who found it."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Found:
    """The request that a code belongs to, and the code as it is shown."""

    grant: DeviceGrant
    code: str
    state: State


class Miss(Exception):  # noqa: N818 - an answer, not a fault
    """No request for this person has that code. ``seconds`` is how long to wait, 0 for not at all."""

    def __init__(self, code: str, sentence: str, seconds: int = 0) -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.seconds = code, sentence, seconds


def look_up(*, user_id: int, typed: str, now: datetime) -> Found:
    """Return the request whose code was typed. Raises ``Miss``, five times in fifteen minutes.

    A try is counted before anything is looked for, so that simultaneous ones cannot pass together,
    and given back when it found something.
    """
    if not ratelimit.device_code(user_id, now=now):
        seconds = ratelimit.seconds_left(ratelimit.DEVICE_CODE, now=now)
        minutes = -(-seconds // 60)
        wait = "1 minute" if minutes == 1 else f"{minutes} minutes"
        raise Miss("too_many_tries", f"Too many tries. Wait {wait}.", seconds)
    code = codes.read_user_code(typed)
    if code is None:
        raise Miss(
            "malformed_code",
            "A code is eight letters without vowels, such as BCDF-GHJK. Check the terminal.",
        )
    grant, state = _find(code, user_id, now)
    ratelimit.device_code_found(user_id, now=now)
    return Found(grant, codes.shown(code), state)


def _find(code: str, user_id: int, now: datetime) -> tuple[DeviceGrant, State]:
    """Return the waiting request, or else the one that this very person has decided."""
    grants = DeviceGrant.objects.filter(
        user_digest__in=codes.user_digests(code), expires_at__gt=now - _REMEMBERED
    ).select_related("token")
    known = list(grants.order_by("-created_at")[:10])
    for grant in known:
        if is_pending(grant, now):
            return grant, State.PENDING
    for grant in known:
        if grant.user_id == user_id and grant.denied_at:
            return grant, State.DENIED
        if grant.user_id == user_id and (grant.redeemed_at or grant.expires_at > now):
            return grant, State.APPROVED
    if known:
        raise Miss("code_ended", "That code has ended. Run `skytells login` again.")
    raise Miss(
        "unknown_code",
        "No request has that code. Check the terminal, or run `skytells login` again.",
    )


def _granted(grant: DeviceGrant, scopes: Sequence[str], rules: policy.Rules) -> str:
    """Return the chosen scopes in their stored form, once the policy and the request allow them."""
    granted = policy.check_scopes(scopes, rules)
    if not set(catalogue.split(granted)) <= set(catalogue.split(grant.scopes)):
        raise policy.Refused(
            "scopes",
            "scopes_widened",
            "The terminal did not ask for all of these scopes. Choose from the ones below.",
        )
    return granted


def approve(
    *,
    grant: DeviceGrant,
    user: Any,
    scopes: Sequence[str],
    expires_at: datetime,
    end: Sequence[AccessToken] = (),
    origin: Origin,
) -> bool:
    """Allow the request's client one token. Return whether this call did.

    ``scopes`` may be fewer than were asked for; ``end`` are tokens of this person that end with the
    approval. Raises ``policy.Refused`` for scopes that were not asked for and for what the policy
    forbids; then nothing has changed.
    """
    rules = policy.current_rules()
    granted = _granted(grant, scopes, rules)
    policy.check_expiry(expires_at, scopes, now=origin.at, rules=rules)
    with transaction.atomic():
        approved = _decide(
            grant,
            origin.at,
            user=user,
            approved_at=origin.at,
            granted_scopes=granted,
            token_expires_at=expires_at,
        )
        if approved:
            # In one order for everybody, so that two approvals cannot block each other.
            for token in sorted(end, key=lambda each: each.pk):
                lifecycle.revoke(token=token, origin=origin)
            # Said here, where somebody reads it; what counts is checked again when it is minted.
            policy.check_room(user.pk, rules, now=origin.at)
            data = {"scopes": granted, "asked": grant.scopes, "expires_at": expires_at.isoformat()}
            audit.record(audit.Kind.DEVICE_APPROVED, origin=origin, owner_id=user.pk, data=data)
    return approved


def deny(*, grant: DeviceGrant, user: Any, origin: Origin) -> bool:
    """Refuse the request for good. Return whether this call did."""
    with transaction.atomic():
        denied = _decide(grant, origin.at, user=user, denied_at=origin.at)
        if denied:
            audit.record(audit.Kind.DEVICE_DENIED, origin=origin, owner_id=user.pk)
    return denied


def promised(*, user_id: int, now: datetime) -> int:
    """Return how many approvals of this person no terminal has used yet."""
    return _promised(user_id, now).count()


def _promised(user_id: int, now: datetime) -> QuerySet[DeviceGrant]:
    return DeviceGrant.objects.filter(
        user_id=user_id,
        approved_at__isnull=False,
        denied_at__isnull=True,
        redeemed_at__isnull=True,
        expires_at__gt=now,
    )


def withdraw(*, user_id: int, origin: Origin) -> int:
    """Take back this person's approvals that no terminal has used yet; return how many there were.

    An approved request is a token to come, so whoever ends all tokens ends these as well.
    """
    with transaction.atomic():
        number = _promised(user_id, origin.at).update(denied_at=origin.at)
        for _ in range(number):
            audit.record(audit.Kind.DEVICE_DENIED, origin=origin, owner_id=user_id)
    return number


def _decide(grant: DeviceGrant, now: datetime, **values: Any) -> bool:
    # The condition decides, not what was read before.
    waiting = DeviceGrant.objects.filter(pending_q(now), pk=grant.pk)
    return waiting.update(**values) == 1


def earlier_logins(*, user_id: int, grant: DeviceGrant, now: datetime) -> list[AccessToken]:
    """Return this person's live tokens from device logins of a client that goes by the same name.

    Their names are how they are known: they were named after the client, with a number where the
    name was taken. One that was renamed is on its own.
    """
    base = base_name(grant)
    live = AccessToken.objects.owned_by(user_id).live(now).filter(created_via=Created.DEVICE)
    newest = live.select_related("owner", "activity").newest_first()
    return [token for token in newest if _is_named_after(base, token.name)][:_MOST_EARLIER]


def _is_named_after(base: str, name: str) -> bool:
    number = _NUMBER.search(name)
    return name == base or (number is not None and name == numbered(base, int(number[1])))
