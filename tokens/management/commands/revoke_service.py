"""``manage.py revoke_service``: end a service's right to ask about tokens."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q
from django.utils import timezone

from tokens import relying_parties
from tokens.models import Service
from tokens.origin import Door, Origin


class Command(BaseCommand):
    """Revokes at once: the service's next question is refused."""

    help = "Revoke a service, named by its name or its client id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which service it is."""
        parser.add_argument("service", help="its name or its client id")

    def handle(self, *args: Any, **options: Any) -> None:
        """Revoke the service and say since when it is."""
        asked = options["service"].strip()
        service = Service.objects.filter(Q(name=asked) | Q(client_id=asked)).first()
        if service is None:
            known = ", ".join(
                Service.objects.filter(revoked_at__isnull=True)
                .order_by("name")
                .values_list("name", flat=True)
            )
            raise CommandError(
                f"There is no such service. The services are: {known}."
                if known
                else "There is no such service, nor any other."
            )
        origin = Origin(at=timezone.now(), door=Door.COMMAND)
        if relying_parties.revoke(service=service, origin=origin):
            self.stdout.write(f"Revoked: {service.name}. Its next question is refused.")
        else:
            service.refresh_from_db()
            self.stdout.write(
                f"{service.name} was revoked on {service.revoked_at:%Y-%m-%d %H:%M} UTC already."
            )
