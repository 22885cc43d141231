"""How many tokens a person may have and make."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q

from tokens.models import AccessToken
from tokens.models.liveness import live_q
from tokens.policy.refusal import Refused
from tokens.policy.rules import Rules

DAY = timedelta(days=1)


def check_room(owner_id: int, rules: Rules, *, now: datetime) -> None:
    """Raise ``Refused`` when the person has too many tokens, made too many today, or none may be made.

    Exact only under the owner's lock, which ``lifecycle.issue`` holds.
    """
    if not rules.new_tokens_allowed:
        raise Refused(
            "", "no_new_tokens", "New tokens are switched off for now. Ask your administrator."
        )
    mine = AccessToken.objects.filter(owner_id=owner_id)
    if mine.filter(live_q(now)).exclude(open_replacement_q(now)).count() >= rules.max_live_tokens:
        raise Refused(
            "",
            "too_many_tokens",
            f"You have reached {rules.max_live_tokens} active tokens. Revoke one first.",
        )
    daily = settings.TOKENS_MAX_NEW_PER_DAY
    if mine.filter(created_at__gt=now - DAY).count() >= daily:
        raise Refused(
            "",
            "too_many_new_tokens",
            f"You have made {daily} tokens in the last 24 hours. Wait until tomorrow.",
        )


def open_replacement_q(now: datetime) -> Q:
    """Return the condition for replacements whose rotation is open: the pair counts as one token."""
    old_goes_on = (
        (Q(replaces__revoked_at__isnull=True) | Q(replaces__revoked_at__gt=now))
        & (Q(replaces__retire_at__isnull=True) | Q(replaces__retire_at__gt=now))
        & (Q(replaces__expires_at__isnull=True) | Q(replaces__expires_at__gt=now))
    )
    return Q(replaces__isnull=False, rotation_closed_at__isnull=True) & old_goes_on
