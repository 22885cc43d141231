"""``manage.py send_token_notices``: send the mails that are still owed, for instance from a timer."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tokens import mailer


class Command(BaseCommand):
    """Sends what could not be sent before. Running it twice, or twice at once, sends nothing twice."""

    help = "Send the mails that are owed; run it every few minutes."

    def handle(self, *args: Any, **options: Any) -> None:
        """Send batch after batch while something goes out, then say how it went."""
        sent = failed = 0
        while True:
            round_ = mailer.deliver_due()
            sent, failed = sent + round_.sent, failed + round_.failed
            if not round_.sent:
                break
        self.stdout.write(f"Sent: {sent}")
        if failed:
            raise CommandError(f"Could not be sent and are kept for later: {failed}")
