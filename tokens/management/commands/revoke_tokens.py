"""``manage.py revoke_tokens``: end tokens that an operator chooses, or whose values leaked."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from tokens import device_flow, lifecycle, mailer, notices, policy
from tokens.management.leaks import readable, tokens_of, values_in
from tokens.management.operation import Operation, Progress
from tokens.management.selection import CHOICES, add_choices, chosen, person, walk
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import is_ended, not_ended_q
from tokens.origin import Origin


class Command(Operation):
    """Revokes one token a transaction; a second run, or one beside it, finds nothing left to do."""

    help = "Revoke the tokens that fit all the options, and tell their owners by mail."
    changes = "nothing is revoked"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which tokens, and why."""
        super().add_arguments(parser)
        add_choices(parser)
        parser.add_argument(
            "--leaked",
            action="store_true",
            help="those whose values stand anywhere in the text on standard input",
        )
        parser.add_argument("--reason", default="", help="told to the owners")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse a call that chooses nothing, then revoke and count."""
        choices = [name for name in CHOICES if options[name]]
        if options["leaked"] == bool(choices):
            names = ", ".join(f"--{name.replace('_', '-')}" for name in CHOICES)
            raise CommandError(f"Say which tokens: either --leaked alone, or some of {names}.")
        if len(options["reason"].strip()) > policy.MAX_REASON:
            raise CommandError(f"A reason can be up to {policy.MAX_REASON} characters.")
        policy.check_text(options["reason"], field="reason", what="The reason")
        origin = self.origin()
        if options["leaked"]:
            self._revoke_leaked(origin, options)
            self._tell(options)
            return
        if choices == ["user"] and not options["dry_run"]:
            # All of a person's tokens are meant, and an approved device is a token to come.
            device_flow.withdraw(user_id=person(options["user"]).pk, origin=origin)
        tokens = chosen(options, origin.at).filter(not_ended_q(origin.at))
        bar = self.progress(tokens.count)
        counts = self._revoke(walk(tokens), RevokeKind.ADMIN, origin, options, bar)
        self.answer(counts, options)
        self._tell(options)

    def _revoke_leaked(self, origin: Origin, options: dict[str, Any]) -> None:
        if sys.stdin.isatty():
            self.note("Paste the text that holds the values, then press Ctrl-D.")
        found = list(tokens_of(values_in(readable(sys.stdin))))
        known = [token for token in found if token is not None]
        bar = self.progress(lambda: len(known))
        counts = self._revoke(known, RevokeKind.LEAKED, origin, options, bar)
        self.answer({"values": len(found), "unknown": len(found) - len(known), **counts}, options)

    def _revoke(
        self,
        tokens: Iterable[AccessToken],
        kind: RevokeKind,
        origin: Origin,
        options: dict[str, Any],
        bar: Progress,
    ) -> dict[str, int]:
        """Revoke, or count what would be; what ended before this call came to it is told apart."""
        counts = {"matched": 0, "revoked": 0, "already_ended": 0}
        with mailer.later():
            for token in tokens:
                counts["matched"] += 1
                if options["dry_run"]:
                    ends = not is_ended(token.liveness(), origin.at)
                else:
                    ends = lifecycle.revoke(
                        token=token, origin=origin, kind=kind, reason=options["reason"]
                    )
                counts["revoked" if ends else "already_ended"] += 1
                bar.add(1)
        bar.end()
        return counts

    def _tell(self, options: dict[str, Any]) -> None:
        """Send a batch of mails once the answer stands there; nobody waits here for all that is owed."""
        if options["dry_run"]:
            return
        self.stdout.flush()
        failed = mailer.deliver_due().failed
        if failed or notices.due(timezone.now(), 1):
            self.note("Some mails wait to be sent: send_token_notices sends them.")
