"""``manage.py purge_expired_tokens``: remove tokens that ended long ago, and what is too old to keep."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from tokens import retention
from tokens.management.operation import Operation, whole_number


class Command(Operation):
    """Removes a batch at a time. Killed at any moment it leaves whole batches; run again it finishes."""

    help = "Remove tokens that ended long ago, with their use; the events about them stay."
    changes = "nothing is removed"

    def run_from_argv(self, argv: list[str]) -> None:
        """Step back on a busy machine: whoever waits for a page comes first."""
        with suppress(OSError):
            os.nice(10)
        super().run_from_argv(argv)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how long ended tokens stay, and how many go in one transaction."""
        super().add_arguments(parser)
        # A grant goes a day after its end, and a token must never go before the grant that made it.
        kept = retention.ENDED_KEPT.days
        parser.add_argument(
            "--older-than", type=whole_number(2, 3660), default=kept, metavar="DAYS"
        )
        parser.add_argument("--batch-size", type=whole_number(1, 10_000), default=500, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove batch after batch, then say how many rows of each kind went."""
        older_than = timedelta(days=options["older_than"])
        origin = self.origin()
        if options["dry_run"]:
            self.answer(asdict(retention.waiting(origin=origin, older_than=older_than)), options)
            return
        bar = self.progress(lambda: retention.tokens_waiting(origin=origin, older_than=older_than))
        removed = retention.Removed()
        batches = retention.purge(
            origin=origin, older_than=older_than, batch_size=options["batch_size"]
        )
        for batch in batches:
            removed += batch
            bar.add(batch.tokens)
        bar.end()
        self.answer(asdict(removed), options)
