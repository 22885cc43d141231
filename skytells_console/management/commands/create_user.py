"""``manage.py create_user``: make an account; the console has no sign-up page."""

from __future__ import annotations

import secrets
import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from skytells_console.models import User, validate_person_name


class Command(BaseCommand):
    """Makes an account whose address counts as verified, since an operator vouches for it."""

    help = "Make an account that can sign in."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the address and what may be said about the person."""
        parser.add_argument("email")
        parser.add_argument("--name", default="")
        parser.add_argument("--time-zone", default="UTC", help="for example Europe/Berlin")
        parser.add_argument("--staff", action="store_true", help="may open the admin")
        parser.add_argument(
            "--random-password", action="store_true", help="make a password and print it once"
        )
        parser.add_argument(
            "--if-none", action="store_true", help="only if there is no account yet"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check what was given, make the account, and print how to sign in."""
        if options["if_none"] and get_user_model().objects.exists():
            return
        email = options["email"].strip().lower()
        draft = User(email=email, name=options["name"].strip(), time_zone=options["time_zone"])
        _check(draft)
        password = secrets.token_urlsafe(15) if options["random_password"] else _ask_password()
        try:
            validate_password(password, draft)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        try:
            _make(draft, password, staff=options["staff"])
        except IntegrityError:
            # Somebody else made the same account since it was looked for.
            raise _taken(email) from None
        self.stdout.write(f"Account: {email}")
        if options["random_password"]:
            self.stdout.write(f"Password: {password}")


def _check(draft: User) -> None:
    try:
        draft.clean_fields(exclude=["password"])
        validate_person_name(draft.name)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    if User.objects.filter(email__iexact=draft.email).exists():
        raise _taken(draft.email)


def _make(draft: User, password: str, *, staff: bool) -> None:
    with transaction.atomic():
        user = User.objects.create_user(
            draft.email, password, name=draft.name, time_zone=draft.time_zone, is_staff=staff
        )
        EmailAddress.objects.create(user=user, email=draft.email, verified=True, primary=True)


def _taken(email: str) -> CommandError:
    return CommandError(f"There is an account for {email} already.")


def _ask_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first, second = getpass("Password: "), getpass("Password again: ")
    if first != second:
        raise CommandError("The two passwords differ. Try again.")
    return first
