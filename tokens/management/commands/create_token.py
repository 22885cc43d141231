"""``manage.py create_token``: make a token for a person, and print its value once."""

from __future__ import annotations

import json
import re
import uuid
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from tokens import lifecycle, policy, scopes as catalogue
from tokens.lifecycle import AlreadyIssued, Issued, Wish
from tokens.management.operation import Operation
from tokens.management.selection import person
from tokens.models import Created, Project

NEVER = "never"
_DAYS = re.compile(r"[1-9][0-9]{0,3}\Z", re.ASCII)


class Command(Operation):
    """Makes one token under the same rules as the console; its owner is told by mail.

    Standard output holds the value and nothing else, so that it can be caught by a shell; the facts
    go to standard error. With ``--request-id`` a repeated call makes no second token.
    """

    help = "Make a token for a person and print its value, which is shown this once."
    changes = "no token is made"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the token is."""
        super().add_arguments(parser)
        parser.add_argument("email", help="whose token it will be")
        parser.add_argument("--name", required=True)
        parser.add_argument(
            "--scopes", required=True, help="separated by commas, or a preset: cli, ci, read"
        )
        parser.add_argument(
            "--expires-in", type=_lifetime, default="30", metavar="DAYS", help="or never"
        )
        parser.add_argument("--description", default="")
        parser.add_argument("--project", action="append", help="its slug; may be repeated")
        parser.add_argument("--request-id", type=_request_id, help="a UUID of your own")

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        """Check everything, then make the token and print its value."""
        origin = self.origin()
        owner = person(options["email"])
        if not owner.is_active:
            raise CommandError("This account is switched off, so its tokens would be refused.")
        wish = Wish(
            name=options["name"],
            scopes=_scopes(options["scopes"]),
            expires_at=_end(options["expires_in"], _scopes(options["scopes"]), owner, origin.at),
            description=options["description"],
            projects=_projects(owner, options["project"]),
        )
        try:
            with transaction.atomic():
                issued = lifecycle.issue(
                    owner=owner,
                    wish=wish,
                    origin=origin,
                    request_id=options["request_id"],
                    via=Created.COMMAND,
                )
                # Made in earnest and undone, so that nothing is left out of what is checked.
                transaction.set_rollback(options["dry_run"])
        except AlreadyIssued as earlier:
            raise CommandError(
                f"This request made the token {earlier.token.public_id} before. Its value was "
                "shown then and cannot be shown again."
            ) from None
        if options["dry_run"]:
            self.note("Such a token can be made.")
            return
        self._print(issued, options["format"])

    @sensitive_variables()
    def _print(self, issued: Issued, form: str) -> None:
        token, value = issued.token, issued.plaintext.reveal()
        facts = {
            "public_id": str(token.public_id),
            "name": token.name,
            "scopes": token.scopes,
            "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        }
        if form == "json":
            self.stdout.write(json.dumps({"token": value, **facts}))
            return
        self.stdout.write(value)
        self.note("\n".join(f"{name}: {fact}" for name, fact in facts.items()))


def _scopes(text: str) -> Sequence[str]:
    presets = {preset.key: preset.scopes for preset in catalogue.PRESETS}
    if text in presets:
        return sorted(presets[text])
    names = [name for name in re.split(r"[,\s]+", text) if name]
    if not names or catalogue.unknown(names):
        known = ", ".join(catalogue.BY_NAME)
        raise CommandError(
            f"--scopes must hold some of {known}, or be one of {', '.join(presets)}."
        )
    return names


def _end(wanted: str, scopes: Sequence[str], owner: Any, now: datetime) -> datetime | None:
    if wanted == NEVER:
        return None
    allowed = policy.longest(policy.current_rules(), scopes)
    if int(wanted) > allowed.days:
        raise CommandError(f"--expires-in can be up to {allowed.days} days with these scopes.")
    return policy.preset_expiry(int(wanted), now=now, zone=owner.zone, longest_allowed=allowed)


def _projects(owner: Any, slugs: list[str] | None) -> list[Project] | None:
    if slugs is None:
        return None
    known = {each.slug: each for each in Project.objects.owned_by(owner.pk).filter(slug__in=slugs)}
    if len(known) < len(set(slugs)):
        raise CommandError("--project must be the slug of a project of this person.")
    return [known[slug] for slug in slugs]


def _lifetime(text: str) -> str:
    if text != NEVER and not _DAYS.match(text):
        raise ArgumentTypeError("must be a whole number of days, or never")
    return text


def _request_id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ArgumentTypeError("must be a UUID") from None
