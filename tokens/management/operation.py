"""What all operators' commands have in common: their options, their answers, their exit codes.

0 means done, 1 that something could not be done or was found wrong, 2 that the command was called
with options it cannot read, 130 that it was interrupted. Timers may start any of them twice at once.
"""

from __future__ import annotations

import io
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain, islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from tokens import policy
from tokens.origin import Door, Origin

INTERRUPTED = 130
_BAR = 30
_LAID_OUT = 1_000
_DIGITS = 12


class Operation(BaseCommand):
    """A command that answers in a table or in JSON and turns every fault into a sentence."""

    requires_system_checks: tuple[str, ...] = ()
    # What ``--dry-run`` leaves undone; a command that changes nothing has no such option.
    changes = ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options that every operation has."""
        if self.changes:
            parser.add_argument(
                "--dry-run", action="store_true", help=f"count only: {self.changes}"
            )
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="how the answer is printed"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; what the database or the person breaks off is a sentence, no traceback."""
        # A name that this terminal has no letters for is written in escapes, and is no fault.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().execute(*args, **options)
        except policy.Refused as refused:
            raise CommandError(refused.sentence) from None
        except UnicodeEncodeError:
            # Bytes of the command line that are no text reach Python as halves of a character.
            raise CommandError("An option holds bytes that are no text.", returncode=2) from None
        except DatabaseError as error:
            raise CommandError(
                f"The database did not take part ({type(error).__name__}). What was done so far "
                "is kept; run the command again."
            ) from error
        except BrokenPipeError:
            # Whoever reads closed the pipe, as head does. Nothing is left to be printed to it.
            sys.stderr.close()
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. What was done so far is kept; run the command again to finish.",
                returncode=INTERRUPTED,
            ) from None

    def origin(self) -> Origin:
        """Return who acts: an operator, now."""
        return Origin(at=timezone.now(), door=Door.COMMAND)

    def answer(self, facts: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Print named facts: one a line, or one JSON object on one line."""
        if self.changes:
            facts = {"dry_run": options["dry_run"], **facts}
        if options["format"] == "json":
            self.stdout.write(json.dumps(facts, default=str))
            return
        width = max(map(len, facts))
        for name, value in facts.items():
            self.stdout.write(f"{_words(name):<{width}}  {_shown(value)}")

    def rows(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], options: Mapping[str, Any]
    ) -> int:
        """Print rows under their columns, or one JSON object a row; return how many there were."""
        if options["format"] == "json":
            count = 0
            for row in rows:
                self.stdout.write(json.dumps(dict(zip(columns, row, strict=True)), default=str))
                count += 1
            return count
        remaining = iter(rows)
        # The first rows set the widths, so that a table of any length costs no more memory than these.
        cells = [[_words(column) for column in columns]]
        cells += [[_shown(value) for value in row] for row in islice(remaining, _LAID_OUT)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        count = -1
        for row in chain(cells, ([_shown(value) for value in row] for row in remaining)):
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            self.stdout.write(line.rstrip())
            count += 1
        return count

    def note(self, sentence: str) -> None:
        """Tell the person something that is no part of the answer, on standard error."""
        self.stderr.write(sentence, lambda text: text)

    def progress(self, total: Callable[[], int]) -> Progress:
        """Return a bar on a terminal, and elsewhere something that stays silent and counts nothing."""
        screen: Any = self.stderr
        screen = getattr(screen, "_out", screen)
        return Progress(screen, total() if screen.isatty() else 0)


class Progress:
    """A bar that is drawn over itself; ``total`` 0 means that nobody looks."""

    def __init__(self, screen: Any, total: int) -> None:
        self._screen, self._total, self._done = screen, total, 0

    def add(self, number: int) -> None:
        """Move on by ``number``."""
        self._done += number
        if self._total:
            part = min(self._done / self._total, 1)
            bar = "#" * int(part * _BAR)
            self._screen.write(f"\r[{bar:<{_BAR}}] {part:4.0%} {self._done} of {self._total}")
            self._screen.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._total and self._done:
            self._screen.write("\n")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number from ``low`` to ``high``."""

    def number(text: str) -> int:
        # Python refuses to read numbers of thousands of digits, so the length is looked at first.
        plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS
        if not plain or not low <= int(text) <= high:
            raise ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return int(text)

    return number


def instant(text: str) -> datetime:
    """Return the time of an option: a date means its first moment, and no zone means UTC."""
    try:
        day: date | None = parse_date(text)
        found = parse_datetime(text) if day is None else datetime(day.year, day.month, day.day)  # noqa: DTZ001
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError("must be a date or a time, such as 2026-11-23 or 2026-11-23T08:00Z")
    # The first and the last day of the calendar have no other zone to be put into.
    if not 1 < found.year < 9999:
        raise ArgumentTypeError("must lie between the years 2 and 9998")
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def days(number: int) -> timedelta:
    """Return that many days."""
    return timedelta(days=number)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    return "–" if value is None else str(value)
