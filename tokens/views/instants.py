"""An instant as the person reads it has UTC beside it."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from tokens.templatetags.console_ui import instant_words


def utc_words(moment: datetime, zone: tzinfo) -> str:
    """Return the instant in UTC, without the day where it is the same; nothing where zones agree."""
    here, there = moment.astimezone(zone), moment.astimezone(UTC)
    if here.utcoffset() == there.utcoffset():
        return ""
    return f"{there:%H:%M} UTC" if here.date() == there.date() else instant_words(moment, UTC)
