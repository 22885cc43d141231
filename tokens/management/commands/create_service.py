"""``manage.py create_service``: register a service that may ask whether tokens are good."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from tokens import relying_parties
from tokens.management.operation import Operation


class Command(Operation):
    """Prints the id and the secret; the secret cannot be shown again."""

    help = "Register a service that may ask about tokens, and print its secret once."
    changes = "no service is registered"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the service's name and the scopes it may ask about."""
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument(
            "--scopes", required=True, help="separated by commas, such as projects.read,keys.read"
        )

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        """Register the service and print how it proves itself."""
        names = [name.strip() for name in options["scopes"].split(",")]
        with transaction.atomic():
            made = relying_parties.create(
                name=options["name"], scopes=filter(None, names), origin=self.origin()
            )
            # Made in earnest and undone, so that nothing is left out of what is checked.
            transaction.set_rollback(options["dry_run"])
        if options["dry_run"]:
            self.note("Such a service can be registered.")
            return
        facts = {
            "service": made.service.name,
            "scopes": made.service.scopes,
            "client_id": made.service.client_id,
            "client_secret": made.secret.reveal(),
        }
        if options["format"] == "json":
            self.stdout.write(json.dumps(facts))
        else:
            for name, fact in facts.items():
                self.stdout.write(f"{name.replace('_', ' ').capitalize()}: {fact}")
        self.note("Store the secret now: it cannot be shown again.")
