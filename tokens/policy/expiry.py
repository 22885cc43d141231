"""For how long a token may live, and when its presets end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from tokens.policy.refusal import Refused
from tokens.policy.rules import Rules, longest

PRESET_DAYS = (7, 30, 60, 90)
MIN_LIFETIME = timedelta(hours=1)
_MORNING = time(10)
_SATURDAY = 5


def preset_expiry(
    days: int, *, now: datetime, zone: ZoneInfo, longest_allowed: timedelta
) -> datetime:
    """Return the end of a token that should last about ``days`` days: a working day's 10:00.

    A token that ends on a Sunday night ends when nobody is there to see it, so the end moves on to
    the next working morning in the person's zone; where the policy forbids that, back to the last
    one before its limit, or to the limit itself when there is none an hour from now.
    """
    limit = now + longest_allowed
    wanted = now + timedelta(days=days)
    end = _morning(wanted, zone, step=1)
    if end > limit:
        end = _morning(min(wanted, limit), zone, step=-1)
    if end < now + MIN_LIFETIME:
        end = limit
    return end


def _morning(at: datetime, zone: ZoneInfo, *, step: int) -> datetime:
    """Return the nearest working day's 10:00 from ``at`` on, forwards or backwards, in UTC."""
    day = at.astimezone(zone).date()
    while True:
        morning = datetime.combine(day, _MORNING, tzinfo=zone).astimezone(UTC)
        if day.weekday() < _SATURDAY and (morning - at) * step >= timedelta(0):
            return morning
        day += timedelta(days=step)


def check_expiry(
    expires_at: datetime | None,
    scopes: Iterable[str],
    *,
    now: datetime,
    rules: Rules,
    zone: tzinfo = UTC,
) -> None:
    """Raise ``Refused`` unless the token may end then: an hour from now at least, or never if allowed.

    The sentence names the latest time in ``zone``, where the person reads it.
    """
    if expires_at is None:
        if not rules.no_expiration_allowed:
            raise Refused(
                "expires",
                "expiration_required",
                "Your administrator asks for an expiration. Choose one.",
            )
        return
    limit = now + longest(rules, scopes)
    if not now + MIN_LIFETIME <= expires_at <= limit:
        raise Refused(
            "expires_custom",
            "expiry_out_of_range",
            f"Choose a time between one hour from now and {limit.astimezone(zone):%-d %b %Y, %H:%M %Z}.",
        )
