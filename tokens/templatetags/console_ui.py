"""What the pages say and draw: icons, times in the person's zone, token ids, error links."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from django import template
from django.forms import BaseForm
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOURS_UNTIL = timedelta(hours=48)
DAYS_UNTIL = timedelta(days=365)

# What a browser's own field for a date and a time can hold.
_SHOWN_AS_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?", re.ASCII)

# A field that nobody sees: no link leads to it.
_NOT_ON_THE_PAGE = frozenset({"request_id"})


class ErrorLink(NamedTuple):
    """One line of the error summary: where it leads (empty for the form as a whole) and what it says."""

    href: str
    text: str


# ------------------------------------------------------------------------------------------------ times


def day_words(moment: datetime, zone: tzinfo) -> str:
    """Return the calendar day of ``moment`` in ``zone``: ``27 Nov 2026``."""
    local = moment.astimezone(zone)
    return f"{local.day} {MONTHS[local.month - 1]} {local.year}"


def zone_words(moment: datetime, zone: tzinfo) -> str:
    """Return what people call ``zone`` at ``moment``: ``CET``, or ``UTC+03`` where no letters are in use."""
    name = moment.astimezone(zone).tzname() or "UTC"
    return name if name[0].isalpha() else f"UTC{name}"


def instant_words(moment: datetime, zone: tzinfo) -> str:
    """Return ``moment`` to the minute with its zone: ``27 Nov 2026, 23:59 UTC``."""
    return f"{day_words(moment, zone)}, {moment.astimezone(zone):%H:%M} {zone_words(moment, zone)}"


def relative(moment: datetime, now: datetime) -> str:
    """Return how long ago or how soon: hours below 48 hours, days below a year, else the date."""
    distance = abs(now - moment)
    if distance < MINUTE:
        return "just now" if moment <= now else "in less than a minute"
    if distance >= DAYS_UNTIL:
        return day_words(moment, timezone.get_current_timezone())
    if distance < HOUR:
        count, unit = distance // MINUTE, "minute"
    elif distance < HOURS_UNTIL:
        count, unit = distance // HOUR, "hour"
    else:
        count, unit = distance // DAY, "day"
    words = f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{words} ago" if moment < now else f"in {words}"


def time_element(moment: datetime, words: str) -> SafeString:
    """Return ``words`` as a ``<time>`` that holds the instant in UTC."""
    return format_html(
        '<time datetime="{}">{}</time>', f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", words
    )


@register.simple_tag
def day(moment: datetime) -> SafeString:
    """Show the calendar day in the active zone."""
    return time_element(moment, day_words(moment, timezone.get_current_timezone()))


@register.simple_tag
def instant(moment: datetime) -> SafeString:
    """Show day, minute and zone in the active zone."""
    return time_element(moment, instant_words(moment, timezone.get_current_timezone()))


@register.simple_tag
def clock(moment: datetime) -> SafeString:
    """Show the time of day with its zone: ``23:52 UTC``."""
    zone = timezone.get_current_timezone()
    return time_element(moment, f"{moment.astimezone(zone):%H:%M} {zone_words(moment, zone)}")


@register.simple_tag(name="relative")
def relative_tag(moment: datetime) -> SafeString:
    """Show how long ago or how soon, seen from now."""
    return time_element(moment, relative(moment, timezone.now()))


@register.simple_tag
def timed(moment: datetime, words: str) -> SafeString:
    """Show words the view has chosen, with the instant they speak of behind them."""
    return time_element(moment, words)


# ------------------------------------------------------------------------------------- icons and tokens


@register.simple_tag
def icon(name: str, modifier: str = "") -> SafeString:
    """Draw one symbol of ``static/icons/sprite.svg``; it is decoration, the word beside it counts."""
    classes = f"icon icon--{modifier}" if modifier else "icon"
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        classes,
        static("icons/sprite.svg"),
        name,
    )


@register.filter
def tid(masked: str) -> SafeString:
    """Show ``sk_pat_9f3a…c41e`` with a quiet prefix and the two fours that people compare."""
    start, _, last = masked.partition("…")
    prefix, underscore, head = start.rpartition("_")
    return format_html(
        '<span class="tid">{}<b>{}</b>…<b>{}</b></span>', prefix + underscore, head, last
    )


@register.filter
def commands(sentence: str) -> SafeString:
    """Show a sentence whose commands stand between backticks, as they are typed."""
    return _marked(sentence, "`", "<code>{}</code>")


@register.filter
def stressed(sentence: str) -> SafeString:
    """Show a sentence whose facts stand between two pairs of asterisks, so that they stand out."""
    return _marked(sentence, "**", "<strong>{}</strong>")


def _marked(sentence: str, mark: str, element: str) -> SafeString:
    pieces = (
        format_html(element, part) if position % 2 else part
        for position, part in enumerate(sentence.split(mark))
    )
    return format_html_join("", "{}", ((piece,) for piece in pieces))


@register.simple_tag
def linked(sentence: str, words: str, url: str) -> SafeString:
    """Show a sentence in which these words, where it holds them, lead somewhere."""
    before, found, after = sentence.rpartition(words)
    if not found:
        return format_html("{}", sentence)
    return format_html('{}<a href="{}">{}</a>{}', before, url, found, after)


@register.filter
def time_input(typed: str | None) -> str:
    """Return the type of the field that gives a date and a time back as they were typed.

    A browser's own field drops what is no such time, and with it what the person has to correct.
    """
    if not typed:
        return "datetime-local"
    try:
        datetime.fromisoformat(typed if _SHOWN_AS_TIME.fullmatch(typed) else "")
    except ValueError:
        return "text"
    return "datetime-local"


@register.filter
def initials(name: str) -> str:
    """Return at most two capitals for a name or, where only an address is known, for its local part."""
    words = re.findall(r"\w+", name.partition("@")[0].replace("_", " "))
    chosen = words[:1] + words[-1:] if len(words) > 1 else words
    return "".join(word[0] for word in chosen).upper()


# ----------------------------------------------------------------------------------------------- errors


def first_sentence(text: str) -> str:
    """Return the first sentence of ``text`` without its full stop."""
    return re.split(r"\.(?:\s+(?=[A-Z])|\s*$)", text, maxsplit=1)[0]


@register.simple_tag
def error_links(form: BaseForm) -> list[ErrorLink]:
    """Return a line for each error: those of the whole form first, then in the order of fields."""
    # An error of the whole form stands nowhere else, so it keeps all its sentences.
    links = [ErrorLink("", str(error)) for error in form.non_field_errors()]
    for field in form:
        href = "" if field.name in _NOT_ON_THE_PAGE else f"#{field.auto_id}"
        links += [ErrorLink(href, first_sentence(str(error))) for error in field.errors]
    return links
