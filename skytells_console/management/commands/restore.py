"""``manage.py restore FILE``: put a backup into the empty database that the settings name."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from skytells_console.backups import BackupError, restore


class Command(BaseCommand):
    """Overwrites nothing. Tokens that were revoked since the backup work again until they are replayed."""

    help = "Fill an empty database from a backup."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which copy."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore it, and say what must come before the console serves."""
        try:
            restore(options["file"])
        except (BackupError, DatabaseError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The backup cannot be read: {error.strerror}.") from error
        self.stdout.write(
            "Restored. Before the console serves: migrate, then replay_revocations with what was "
            "exported since, because tokens that were revoked after this backup work again."
        )
