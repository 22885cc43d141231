"""``manage.py audit seal``, ``audit verify`` and ``audit head``: show that no event was touched."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from tokens.audit import seals
from tokens.management.operation import Operation
from tokens.models import AuditSeal

_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})\Z", re.ASCII)


class Command(Operation):
    """Seals what is new, checks all that was sealed, or prints the last seal to keep elsewhere."""

    help = "Seal new events, verify all sealed ones, or print the last seal."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three things that can be done."""
        actions = parser.add_subparsers(dest="action", required=True, metavar="seal|verify|head")
        # The options of every operation belong to the action, so that they may follow it.
        for action, words in (
            ("seal", "seal the events that have come since the last seal"),
            ("verify", "find the first stretch of events that is not what was sealed"),
            ("head", "print the last seal, to be kept where this database cannot be written from"),
        ):
            super().add_arguments(actions.add_parser(action, help=words))
        actions.choices["seal"].add_argument("--dry-run", action="store_true", help="count only")
        actions.choices["verify"].add_argument(
            "--head", type=_head, help="what audit head printed earlier, from where it was kept"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        {"seal": self._seal, "verify": self._verify, "head": self._head}[options["action"]](options)

    def _seal(self, options: dict[str, Any]) -> None:
        if options["dry_run"]:
            self.answer({"dry_run": True, "events": seals.unsealed()}, options)
            return
        now = self.origin().at
        made = []
        bar = self.progress(seals.unsealed)
        while seal := seals.seal_next(now=now):
            made.append(seal)
            bar.add(seal.last_id - seal.first_id + 1)
        bar.end()
        facts = {"seals": len(made), "unsealed": seals.unsealed(), "head": _written(seals.head())}
        self.answer(facts, options)

    def _verify(self, options: dict[str, Any]) -> None:
        count, anchored = 0, options["head"] is None
        bar = self.progress(AuditSeal.objects.count)
        for seal, fault in seals.checked():
            if fault is not None:
                raise CommandError(
                    f"Events {fault.first_id} to {fault.last_id} were touched: {fault.how} after "
                    f"{fault.sealed_at:%Y-%m-%d %H:%M} UTC. What stands before them is as it was."
                )
            count += 1
            anchored = anchored or _written(seal) == options["head"]
            bar.add(1)
        bar.end()
        if not anchored:
            raise CommandError(
                "The seals fit each other, but the one that was kept elsewhere is not among them: "
                "seals were taken away or all of them were made anew."
            )
        self.answer({"seals": count, "unsealed": seals.unsealed(), "touched": False}, options)

    def _head(self, options: dict[str, Any]) -> None:
        last = seals.head()
        if last is None:
            raise CommandError("Nothing was sealed yet. Run audit seal first.")
        if options["format"] == "json":
            self.answer({"head": _written(last), "at": last.at.isoformat()}, options)
        else:
            self.stdout.write(str(_written(last)))


def _written(seal: AuditSeal | None) -> str | None:
    return f"{seal.last_id}:{bytes(seal.hash).hex()}" if seal else None


def _head(text: str) -> str:
    if not _HEAD.match(text):
        raise ArgumentTypeError("must be a line that audit head printed")
    return text
