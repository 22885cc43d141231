"""``manage.py seed_bench``: fill a throw-away database for measuring; see bench/README.md."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TextIO

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from skytells_console.models import User
from tokens import lifecycle
from tokens.lifecycle import Wish
from tokens.origin import Door, Origin
from tokens.scopes import PRESETS

# One event names every token of its batch, so the batch also bounds the event's size.
BATCH = 2_000
LIFETIME = timedelta(days=90)
ADDRESS = "bench-{:06d}@example.invalid"


class Command(BaseCommand):
    """Makes accounts that nobody can sign in to, and tokens whose values go into a private file.

    This is the one command that writes many values down, so it runs only where ``CONSOLE_BENCH=1``
    says that the installation holds nothing real.
    """

    help = "Make many accounts and tokens for measuring, and write the values to a private file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare how many of each, and where the values go."""
        parser.add_argument("--users", type=_positive, required=True)
        parser.add_argument("--tokens", type=_positive, required=True)
        parser.add_argument("--out", required=True, help="a new file for the values, one a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse outside a bench, then make everything and say how fast it went."""
        if not settings.CONSOLE_BENCH:
            raise CommandError(
                "This command writes the values of tokens to a file. "
                "Set CONSOLE_BENCH=1 if this installation holds nothing real."
            )
        with _private_file(options["out"]) as out:
            owners = _make_users(options["users"])
            began = time.perf_counter()
            for wishes in _batches(options["tokens"], owners):
                _make_tokens(wishes, out)
            seconds = time.perf_counter() - began
        rate = options["tokens"] / seconds
        self.stdout.write(
            f"{options['users']} users and {options['tokens']} tokens: "
            f"{seconds:.1f} s, {rate:.0f} tokens a second."
        )


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError("must be a whole number from 1 on")
    return int(text)


def _private_file(path: str) -> TextIO:
    """Open a file that did not exist and that only its owner can read."""
    try:
        # The mode is given with the creation: a chmod afterwards would leave a moment in between.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} exists already. Name another file, or remove it.") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be made: {error.strerror}.") from None
    return os.fdopen(descriptor, "w", encoding="ascii")


def _make_users(number: int) -> list[User]:
    """Make accounts without a usable password, numbered on from those of earlier runs."""
    first = _last_number() + 1
    return User.objects.bulk_create(
        [
            User(email=ADDRESS.format(each), password=make_password(None))
            for each in range(first, first + number)
        ],
        batch_size=500,
    )


def _last_number() -> int:
    """Return the highest number among the accounts of earlier runs, or 0."""
    before, after = ADDRESS.split("{:06d}")
    addresses = User.objects.filter(email__startswith=before, email__endswith=after)
    numbers = (
        each[len(before) : -len(after)] for each in addresses.values_list("email", flat=True)
    )
    return max((int(each) for each in numbers if each.isdigit()), default=0)


def _batches(number: int, owners: list[User]) -> Iterator[list[tuple[User, Wish]]]:
    """Yield the wishes for ``number`` tokens, handed round the owners, a batch at a time."""
    expires_at = timezone.now() + LIFETIME
    for start in range(0, number, BATCH):
        yield [
            (
                owners[each % len(owners)],
                Wish(
                    name=f"bench-{each // len(owners) + 1:06d}",
                    scopes=tuple(PRESETS[each % len(PRESETS)].scopes),
                    expires_at=expires_at,
                ),
            )
            for each in range(start, min(start + BATCH, number))
        ]


def _make_tokens(batch: list[tuple[User, Wish]], out: TextIO) -> None:
    origin = Origin(at=timezone.now(), door=Door.COMMAND)
    owners, wishes = zip(*batch, strict=True)
    issued = lifecycle.issue_many(owners=owners, wishes=wishes, origin=origin)
    out.writelines(f"{each.plaintext.reveal()}\n" for each in issued)
