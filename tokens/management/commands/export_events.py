"""``manage.py export_events``: events for another system, or to be kept where nobody here can write."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentParser
from typing import Any

from tokens.audit import Kind
from tokens.audit.exporting import COLUMNS, DETAILS, cells, exported
from tokens.management.operation import Operation, instant, whole_number
from tokens.models import TokenEvent


class Command(Operation):
    """Prints one event a line, the earliest first; ``--after-id`` goes on where the last one ended."""

    help = "Print events as JSON lines or CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which events, and how they are written."""
        parser.add_argument("--format", choices=("json", "csv"), default="json")
        parser.add_argument("--since", type=instant, metavar="TIME", help="from this time on")
        parser.add_argument("--until", type=instant, metavar="TIME", help="before this time")
        parser.add_argument("--kind", choices=[str(kind) for kind in Kind], action="append")
        parser.add_argument(
            "--after-id", type=whole_number(0, 10**11), default=0, help="the last id already kept"
        )
        parser.add_argument(
            "--details", action="store_true", help="with addresses, clients and tokens' names"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them, and on standard error how many there were."""
        events = TokenEvent.objects.filter(pk__gt=options["after_id"])
        if options["since"] is not None:
            events = events.filter(at__gte=options["since"])
        if options["until"] is not None:
            events = events.filter(at__lt=options["until"])
        if options["kind"]:
            events = events.filter(kind__in=options["kind"])
        bar = self.progress(events.count)
        write = csv.writer(self.stdout).writerow
        if options["format"] == "csv":
            write([*COLUMNS, *(DETAILS if options["details"] else ())])
        count, last = 0, options["after_id"]
        for facts in exported(events, details=options["details"]):
            if options["format"] == "csv":
                write(cells(facts))
            else:
                self.stdout.write(json.dumps(facts, sort_keys=True))
            count, last = count + 1, facts["id"]
            bar.add(1)
        bar.end()
        self.note(f"Events: {count}. The last id: {last}.")
