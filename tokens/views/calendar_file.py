"""Planned ends as an iCalendar object (RFC 5545): all-day entries, each with an alarm before the instant."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo

from django.conf import settings
from django.urls import reverse
from icalendar import Alarm, Calendar, Event

from tokens.notices.calendar import PlannedEnd
from tokens.templatetags.console_ui import instant_words

NAME = "Skytells access tokens"
REFRESH = timedelta(hours=6)
# As long before as the mails: a rotation's end is hours away, an expiration weeks.
BEFORE_EXPIRY, BEFORE_ROTATION = timedelta(days=1), timedelta(hours=1)
_NO_NAME = "An access token"


def calendar_file(ends: Iterable[PlannedEnd], *, zone: tzinfo, with_names: bool) -> bytes:
    """Return the calendar of these ends; the same ends are the same bytes at any time.

    ``zone`` decides on which day an end falls. There is no METHOD, which would make this an invitation
    to be answered; and DTSTAMP then says when the facts last changed (RFC 5545, 3.8.7.2).
    """
    calendar = Calendar()
    calendar.add("version", "2.0")
    calendar.add("prodid", "-//Skytells//Console//EN")
    calendar.add("calscale", "GREGORIAN")
    # RFC 7986, and what the calendars that are older than it understand.
    calendar.add("name", NAME)
    calendar.add("x-wr-calname", NAME)
    calendar.add("refresh-interval", REFRESH, parameters={"value": "DURATION"})
    calendar.add("x-published-ttl", "PT6H")
    for end in ends:
        calendar.add_component(_event(end, zone, with_names=with_names))
    return bytes(calendar.to_ical())


def _event(end: PlannedEnd, zone: tzinfo, *, with_names: bool) -> Event:
    title = end.token.name if with_names else _NO_NAME
    summary = f"{title} {'is rotated out' if end.by_rotation else 'expires'}"
    address = settings.PUBLIC_URL + reverse(
        "tokens:detail", kwargs={"public_id": end.token.public_id}
    )
    day = end.at.astimezone(zone).date()
    event = Event()
    event.add("uid", _uid(end))
    event.add("dtstamp", end.said_at.astimezone(UTC).replace(microsecond=0))
    event.add("summary", summary)
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("description", f"It stops working on {_instant(end.at, zone)}.\n{address}")
    event.add("url", address)
    # An end takes nobody's time, and whoever shares a calendar does not share its entries.
    event.add("transp", "TRANSPARENT")
    event.add("class", "PRIVATE")
    event.add_component(_alarm(end, summary))
    return event


def _uid(end: PlannedEnd) -> str:
    """Return the same name for the same end for ever, whatever the token is called (RFC 7986, 5.3)."""
    return str(uuid.uuid5(end.token.public_id, "retires" if end.by_rotation else "expires"))


def _alarm(end: PlannedEnd, summary: str) -> Alarm:
    # By the clock and not by the day, whose beginning each calendar places in a zone of its own.
    before = BEFORE_ROTATION if end.by_rotation else BEFORE_EXPIRY
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", summary)
    at = (end.at - before).astimezone(UTC).replace(microsecond=0)
    alarm.add("trigger", at, parameters={"value": "DATE-TIME"})
    return alarm


def _instant(at: datetime, zone: tzinfo) -> str:
    here = instant_words(at, zone)
    there = instant_words(at, UTC)
    return here if here == there else f"{here} ({there})"
