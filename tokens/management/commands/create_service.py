"""``manage.py create_service``: register a service that may ask whether tokens are good."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tokens import policy, relying_parties
from tokens.origin import Door, Origin


class Command(BaseCommand):
    """Prints the id and the secret; the secret cannot be shown again."""

    help = "Register a service that may ask about tokens, and print its secret once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the service's name and the scopes it may ask about."""
        parser.add_argument("name")
        parser.add_argument(
            "--scopes", required=True, help="separated by commas, such as projects.read,keys.read"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Register the service and print how it proves itself."""
        names = [name.strip() for name in options["scopes"].split(",")]
        origin = Origin(at=timezone.now(), door=Door.COMMAND)
        try:
            made = relying_parties.create(
                name=options["name"], scopes=filter(None, names), origin=origin
            )
        except policy.Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"Service: {made.service.name}")
        self.stdout.write(f"Scopes: {made.service.scopes}")
        self.stdout.write(f"Client id: {made.service.client_id}")
        self.stdout.write(f"Client secret: {made.secret.reveal()}")
        self.stderr.write("Store the secret now: it cannot be shown again.")
