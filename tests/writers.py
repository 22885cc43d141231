"""Watches every statement of the suite: each table has one module that writes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

WRITERS = {
    "tokens_accesstoken": "tokens.lifecycle",
    "tokens_tokenproject": "tokens.lifecycle",
    "tokens_rotationtick": "tokens.lifecycle",
    "tokens_tokenevent": "tokens.audit",
    "tokens_eventdetail": "tokens.audit",
    "tokens_auditseal": "tokens.audit",
    "tokens_tokenuse": "tokens.usage",
    "tokens_tokenactivity": "tokens.usage",
    "tokens_tokenconsumer": "tokens.usage",
    "tokens_mutedscope": "tokens.usage",
    "tokens_ratelimit": "tokens.ratelimit",
    "tokens_policy": "tokens.policy_change",
    "tokens_project": "tokens.projects",
    "tokens_service": "tokens.relying_parties",
    "tokens_devicegrant": "tokens.device_flow",
    "tokens_notice": "tokens.notices",
    "tokens_calendarfeed": "tokens.notices",
    "tokens_mailpreference": "tokens.notices",
}
# COPY counts as writing in both directions: nobody reads a table with it.
_WRITE = re.compile(r'\s*(?:INSERT INTO|UPDATE|DELETE FROM|COPY)\s+"?(tokens_\w+)"?', re.IGNORECASE)


class StrangerError(AssertionError):
    """A module wrote a table that is not its own."""


def writer_of_this_call() -> str | None:
    """Return the module of ours that is writing, or None when a test writes by itself."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        # Models and migrations are what is written with, not who writes.
        if module.startswith("tokens.") and not module.startswith(
            ("tokens.models", "tokens.migrations")
        ):
            return str(module)
        if module.startswith("tests.") and module != __name__:
            return None
        frame = frame.f_back
    return None


def check(sql: object) -> None:
    """Raise ``StrangerError`` when ``sql`` writes a table and the writer is not the table's own."""
    found = _WRITE.match(str(sql))
    if found is None:
        return
    table = found[1].lower()
    module = writer_of_this_call()
    room = WRITERS.get(table, "")
    if module is not None and module != room and not module.startswith(f"{room}."):
        raise StrangerError(f"{module} writes {table}, which belongs to {WRITERS.get(table)}.")


def watched_methods() -> list[tuple[type, str]]:
    """Return what statements pass on their way: Django's cursor, and below it PostgreSQL's driver.

    The driver is watched as well, because COPY and whoever takes the driver's own cursor do not pass
    Django's. SQLite's driver is written in C and cannot be wrapped; test_conventions.py names the
    modules that may ask for it.
    """
    methods: list[tuple[type, str]] = [(CursorWrapper, "execute"), (CursorWrapper, "executemany")]
    if connection.vendor == "postgresql":
        driver: Any = connection.Database  # type: ignore[attr-defined]
        methods += [(driver.Cursor, name) for name in ("execute", "executemany", "stream", "copy")]
    return methods


@pytest.fixture(scope="session", autouse=True)
def every_writer_is_watched() -> Iterator[None]:
    """Wrap the cursors for the whole run, so that threads and live servers are watched too."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in watched_methods()]

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(cursor: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
            check(sql)
            return original(cursor, sql, *args, **kwargs)

        return call

    for owner, name, original in originals:
        setattr(owner, name, watched(original))
    yield
    for owner, name, original in originals:
        setattr(owner, name, original)
