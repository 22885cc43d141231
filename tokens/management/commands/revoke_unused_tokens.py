"""``manage.py revoke_unused_tokens``: warn by mail, then revoke what nothing uses, as the policy says."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from tokens import mailer
from tokens.management.operation import Operation, whole_number
from tokens.reminders import unused


class Command(Operation):
    """Run it every day. A token is revoked only days after its owner's mail went out."""

    help = "Warn of and revoke tokens that nothing used for as long as the policy says."
    changes = "nobody is mailed and nothing is revoked"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how long before the end the mail goes out."""
        super().add_arguments(parser)
        parser.add_argument("--warn-days", type=whole_number(1, 90), default=7, metavar="DAYS")

    def handle(self, *args: Any, **options: Any) -> None:
        """Warn, send the mails, revoke; a policy without such an end leaves nothing to do."""
        after, origin = unused.limit(), self.origin()
        if after is None:
            self.note("The policy ends no unused tokens, so there is nothing to do.")
            self.answer({"warned": 0, "revoked": 0}, options)
            return
        times = {"after": after, "warning": timedelta(days=options["warn_days"])}
        due = unused.to_revoke(origin.at, **times)
        if options["dry_run"]:
            counts = {"warned": unused.to_warn(origin.at, **times).count(), "revoked": due.count()}
            self.answer(counts, options)
            return
        warned = unused.warn(origin.at, **times)
        bar, revoked = self.progress(due.count), 0
        with mailer.later():
            for ended in unused.revoke(origin, **times):
                revoked += ended
                bar.add(1)
        bar.end()
        failed = mailer.deliver_all().failed
        self.answer({"warned": warned, "revoked": revoked}, options)
        if failed:
            raise CommandError(
                f"Mails that could not be sent: {failed}. Their tokens stay until the mails have gone "
                "out; send_token_notices tries again."
            )
