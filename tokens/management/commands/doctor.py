"""``manage.py doctor``: what is wrong with this installation, and how it is mended."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from tokens import diagnosis
from tokens.diagnosis import Verdict
from tokens.management.operation import Operation


class Command(Operation):
    """Looks at everything and changes nothing. Warnings are told; faults make it fail."""

    help = "Look at settings, database, mail, timers, proxies and backups."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was found, the way to mend it below each."""
        found = list(diagnosis.examine(self.origin().at))
        if options["format"] == "json":
            self.rows(diagnosis.Finding._fields, found, options)
        else:
            for finding in found:
                self.stdout.write(f"{finding.verdict:<8} {finding.about:<9} {finding.what}")
                if finding.mend:
                    self.stdout.write(f"{'':<18} → {finding.mend}")
        faults = sum(finding.verdict is Verdict.FAULT for finding in found)
        if faults:
            raise CommandError(f"Faults: {faults}. Each has its way to mend it beside it.")
