"""What the pages say of recorded use: gaps, counts, clients and when a place is expected."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django import template
from django.utils import timezone

from tokens.insight import Place, ScopeUse
from tokens.templatetags.console_ui import DAY, HOUR, MINUTE, MONTHS, relative

register = template.Library()

# A gap of nearly a day is a day: clocks and runs are never that exact.
_DAYS_FROM = timedelta(hours=22)
_HOURS_FROM = timedelta(minutes=55)


@register.filter
def gap(length: timedelta) -> str:
    """Return a gap in its largest fitting unit, rounded: ``1 hour``, ``29 days``."""
    if length >= _DAYS_FROM:
        return counted(round(length / DAY), "day")
    if length >= _HOURS_FROM:
        return counted(round(length / HOUR), "hour")
    if length >= MINUTE:
        return counted(round(length / MINUTE), "minute")
    return "less than a minute"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 request``, ``1,702 requests``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@register.filter
def requests(number: int) -> str:
    """Return a number of requests in words."""
    return counted(number, "request")


@register.filter
def counted_calls(number: int) -> str:
    """Return a number of calls in words."""
    return counted(number, "call")


@register.filter
def of(uses: dict[str, ScopeUse], scope: str) -> ScopeUse | None:
    """Return the use of one scope out of those of a token."""
    return uses.get(scope)


@register.filter
def heading(title: str) -> str:
    """Return a place's title for the start of a line: words with a capital, names as they are."""
    words = title.startswith(("hosted CI,", "other places", "an unknown network"))
    return f"{title[:1].upper()}{title[1:]}" if words else title


@register.filter
def near_day(moment: datetime | date) -> str:
    """Return a day of this year or the next months without its year: ``2 Dec``."""
    day = timezone.localtime(moment).date() if isinstance(moment, datetime) else moment
    return f"{day.day} {MONTHS[day.month - 1]}"


@register.filter
def client_words(label: str) -> str:
    """Return what kind of client it was, as it says of itself."""
    return {"": "", "other": "An unknown client"}.get(label, label)


@register.filter
def rhythm(place: Place) -> str:
    """Return what is known of a place's rhythm: late, a job, its usual gap, or nothing.

    A date is given only where the gap is long enough for one to say something.
    """
    now = timezone.now()
    if place.usual_gap is None:
        return ""
    expected = ""
    if place.next_day:
        word = "next ≈" if place.next_day > now else "expected"
        expected = f", {word} {near_day(place.next_day)}"
    if place.late and place.next_at:
        missed = near_day(place.next_at)
        return f"Expected {missed}, did not come. Last seen {relative(place.last_at, now)}"
    usual = f"Usual gap {gap(place.usual_gap)}"
    if place.job:
        return f"{place.job}, last seen {relative(place.last_at, now)}{expected}"
    return f"{usual}{expected}"
