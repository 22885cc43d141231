"""``manage.py revoke_service``: end a service's right to ask about tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q

from tokens import relying_parties
from tokens.management.operation import Operation
from tokens.models import Service


class Command(Operation):
    """Revokes at once: the service's next question is refused."""

    help = "Revoke a service, named by its name or its client id."
    changes = "the service is not revoked"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which service it is."""
        super().add_arguments(parser)
        parser.add_argument("service", help="its name or its client id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Revoke the service and say since when it is."""
        service = _named(options["service"])
        if options["dry_run"]:
            revoked = service.revoked_at is None
        else:
            revoked = relying_parties.revoke(service=service, origin=self.origin())
            service.refresh_from_db()
        if options["format"] == "json":
            since = service.revoked_at.isoformat() if service.revoked_at else None
            facts = {"service": service.name, "revoked": revoked, "revoked_at": since}
            self.answer(facts, options)
        elif not revoked:
            self.stdout.write(
                f"{service.name} was revoked on {service.revoked_at:%Y-%m-%d %H:%M} UTC already."
            )
        elif options["dry_run"]:
            self.stdout.write(f"{service.name} would be revoked.")
        else:
            self.stdout.write(f"Revoked: {service.name}. Its next question is refused.")


def _named(asked: str) -> Service:
    # Nothing that can be typed holds a NUL, and PostgreSQL has no text with one.
    name = asked.strip().replace("\0", "")
    service = Service.objects.filter(Q(name=name) | Q(client_id=name)).first()
    if service is None:
        living = Service.objects.filter(revoked_at__isnull=True).order_by("name")
        known = ", ".join(living.values_list("name", flat=True))
        raise CommandError(
            f"There is no such service. The services are: {known}."
            if known
            else "There is no such service, nor any other."
        )
    return service
