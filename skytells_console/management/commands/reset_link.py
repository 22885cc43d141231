"""``manage.py reset_link``: a one-time link to choose a new password, where no mail is sent."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.core.management.base import BaseCommand, CommandError

from skytells_console.accounts import reset_url
from skytells_console.models import User


class Command(BaseCommand):
    """Prints the link; it ends after an hour, after its first use, and when the password changes."""

    help = "Print a one-time link with which a person chooses a new password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare whose link it is."""
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the link of an active account."""
        # Bytes of the command line that are no text are in no address, and no database takes them.
        email = options["email"].strip().encode(errors="replace").decode()
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is None:
            raise CommandError("There is no active account with this address.")
        uid, key = user_pk_to_url_str(user), default_token_generator.make_token(user)
        self.stdout.write(reset_url(uid, key))
