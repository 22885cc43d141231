"""``manage.py replay_revocations``: after a backup was restored, revoke again what had been revoked."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from tokens.management.operation import Operation
from tokens.management.replaying import UnreadableError, apply, fates


class Command(Operation):
    """Reads events that ``export_events`` printed before; running it again changes nothing."""

    help = "Revoke and narrow again what exported events say was revoked and narrowed."
    changes = "nothing is revoked"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where the events are."""
        super().add_arguments(parser)
        parser.add_argument(
            "events", nargs="?", default="-", help="a file of JSON lines; without it standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Read everything before anything is changed, then change and count."""
        try:
            count, found = self._read(options["events"])
        except UnreadableError as fault:
            raise CommandError(str(fault)) from None
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "it is no text"
            raise CommandError(f"The events cannot be read: {reason}.") from None
        # Owners were told when it happened.
        origin = replace(self.origin(), quiet=True)
        counts = apply(found, origin=origin, dry_run=options["dry_run"])
        self.answer({"events": count, **counts}, options)
        if counts["retire_by_hand"] or counts["pause_by_hand"]:
            self.note("Ends and pauses that lie ahead are their owners' to set again; tell them.")

    def _read(self, name: str) -> Any:
        if name == "-":
            return fates(sys.stdin)
        with Path(name).open(encoding="utf-8") as lines:
            return fates(lines)
