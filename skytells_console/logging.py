"""Log lines: UTC times, the request's id, and never a token or a calendar's address."""

from __future__ import annotations

import contextvars
import json
import logging
import re
import time
from datetime import UTC, datetime

from tokens.secret import redact

# Whoever knows a calendar's address reads the calendar, and part of a mistyped one is a secret too.
_CALENDAR = re.compile(r"(/calendar/)[^\s?#\"'<>]+", re.IGNORECASE)

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")


class RedactFilter(logging.Filter):
    """Masks anything shaped like a token before a handler sees it, and adds the request's id."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always let the record pass, with its message and traceback text masked."""
        record.msg = mask(_message(record))
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        record.request_id = request_id.get()
        return True


class WithoutTraceback(logging.Filter):
    """Drops the traceback of what a stranger can cause at will and the sentence tells in full."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always let the record pass."""
        record.exc_info = record.exc_text = None
        return True


def mask(text: str) -> str:
    """Return ``text`` without tokens and without the secret part of any calendar's address."""
    return _CALENDAR.sub(r"\1[redacted]", redact(text))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A filter that raised would break the code that only wanted to log.
        return f"{record.msg} (with arguments that do not fit: {record.args!r})"


class UtcFormatter(logging.Formatter):
    """Formats times in UTC, so that lines of several machines can be read together."""

    converter = staticmethod(time.gmtime)


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line, for programs that gather logs.

    The filter has masked the texts before: masking the finished line could cut its quotes away.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; a traceback stays on the one line."""
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            facts["exception"] = record.exc_text
        if record.stack_info:
            facts["stack"] = record.stack_info
        return json.dumps(facts)
