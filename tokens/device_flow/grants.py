"""What a stored request is at a given time, and what it is called."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from tokens import policy
from tokens.models import DeviceGrant

UNNAMED = "Device login"


def undecided_q() -> Q:
    """Return the condition for requests that nobody has approved or denied."""
    return Q(approved_at__isnull=True, denied_at__isnull=True, redeemed_at__isnull=True)


def pending_q(now: datetime) -> Q:
    """Return the condition for requests that wait for a person at ``now``."""
    return undecided_q() & Q(expires_at__gt=now)


def is_pending(grant: DeviceGrant, now: datetime) -> bool:
    """Say whether the request waits for a person at ``now``; the twin of ``pending_q``."""
    decided = (grant.approved_at, grant.denied_at, grant.redeemed_at)
    return decided == (None, None, None) and grant.expires_at > now


def client_of(grant: DeviceGrant) -> str:
    """Return what the client calls itself, "" when it says nothing; never to be trusted."""
    return grant.client_name or grant.client_id


def base_name(grant: DeviceGrant) -> str:
    """Return the name of the tokens that come of such a request, before any number."""
    return client_of(grant) or UNNAMED


def numbered(base: str, number: int) -> str:
    """Return the name of the ``number``-th token of a client; the first one has no number."""
    if number == 1:
        return base
    suffix = f" ({number})"
    return base[: policy.MAX_NAME - len(suffix)].rstrip() + suffix
