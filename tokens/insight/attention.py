"""What of a person's tokens needs a look now, in numbers; read anew each time and never stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q

from tokens import policy
from tokens.models import AccessToken
from tokens.models.liveness import live_q
from tokens.models.standing import expiring_soon_q

# A rotation that is younger is under way; the mail about it comes after the same time.
LEFT_OPEN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Attention:
    """How many tokens expire soon and when the first of them, how many rotations were left open, and
    how many tokens announced rules refuse since or from when.
    """

    expiring: int
    first_end: datetime | None
    left_open: int
    outside: int
    blocks_from: datetime | None


def attention(owner_id: int, now: datetime) -> Attention:
    """Return what needs a look, with two queries whatever the number of tokens."""
    rules = policy.current_rules()
    replacing = policy.open_replacement_q(now)
    soon = expiring_soon_q(now) & ~replacing
    found = (
        AccessToken.objects.filter(owner_id=owner_id)
        .alias(fits=policy.fits(rules, now))
        .aggregate(
            expiring=Count("pk", filter=soon),
            first_end=Min("expires_at", filter=soon),
            left_open=Count("pk", filter=replacing & Q(created_at__lte=now - LEFT_OPEN)),
            outside=Count("pk", filter=live_q(now) & Q(fits=False)),
        )
    )
    if rules.blocks_from is None:
        # Rules that block nobody only decide what may be made from now on.
        found["outside"] = 0
    return Attention(**found, blocks_from=rules.blocks_from)
