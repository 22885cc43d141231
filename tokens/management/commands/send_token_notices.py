"""``manage.py send_token_notices``: owe what has fallen due, and send all mails that are owed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from tokens import mailer, notices, reminders
from tokens.management.operation import Operation

_COUNTED = 1_000_000


class Command(Operation):
    """Run it every few minutes. Twice, or twice at once, it sends nothing twice.

    What a mail server does not take is kept and tried again by the next run; the exit code says so.
    """

    help = "Send the mails that are owed, reminders of ends and of unused tokens among them."
    changes = "nothing is owed or sent"

    def handle(self, *args: Any, **options: Any) -> None:
        """Owe the reminders, send batch after batch while something goes out, say how it went."""
        now = self.origin().at
        if options["dry_run"]:
            due = reminders.due(now)
            people = len({each.owner_id for each in due})
            owed = len(notices.due(now, _COUNTED))
            self.answer({"reminders": len(due), "people": people, "owed_before": owed}, options)
            return
        new = reminders.owe_due(now)
        bar = self.progress(lambda: len(notices.due(now, _COUNTED)))
        sent, failed = mailer.deliver_all(bar.add)
        bar.end()
        self.answer({"reminders": new, "sent": sent, "kept_for_later": failed}, options)
        if failed:
            raise CommandError(
                f"Could not be sent and are kept for later: {failed}. The next run tries again; "
                "if it fails too, look at the mail server and at EMAIL_HOST."
            )
