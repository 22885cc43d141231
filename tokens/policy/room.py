"""How many tokens a person may have and make."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from tokens.models import AccessToken
from tokens.models.liveness import live_q
from tokens.models.rotation import open_replacement_q
from tokens.models.token import AccessTokenQuerySet
from tokens.policy.refusal import Refused
from tokens.policy.rules import Rules

DAY = timedelta(days=1)


def check_room(owner_id: int, rules: Rules, *, now: datetime, replacing: bool = False) -> None:
    """Raise ``Refused`` when the person has too many tokens, made too many today, or none may be made.

    A replacement needs no room of its own, because the pair counts as one token. Exact only under the
    owner's lock, which ``lifecycle`` holds.
    """
    if not rules.new_tokens_allowed:
        raise Refused(
            "", "no_new_tokens", "New tokens are switched off for now. Ask your administrator."
        )
    mine = AccessToken.objects.filter(owner_id=owner_id)
    if not replacing and _count_live(mine, now) >= rules.max_live_tokens:
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


def _count_live(mine: AccessTokenQuerySet, now: datetime) -> int:
    return mine.filter(live_q(now)).exclude(open_replacement_q(now)).count()
