"""``manage.py backup FOLDER``: copy the database while the console serves."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone

from skytells_console.backups import BackupError, back_up


class Command(BaseCommand):
    """Run it from a timer; it reads the copy back, and touches ``BACKUP_MARK`` only then."""

    help = "Copy the database into a folder, and keep the newest copies there."
    requires_system_checks: tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where the copies are, and how many of them stay."""
        parser.add_argument("folder", type=Path)
        parser.add_argument("--keep", type=int, default=14, help="how many copies stay (14)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the copy, and print its path and size."""
        if options["keep"] < 1:
            raise CommandError("--keep must be 1 or more: the copy that is made now stays.")
        try:
            path = back_up(options["folder"], keep=options["keep"], now=timezone.now())
            if settings.BACKUP_MARK:
                Path(settings.BACKUP_MARK).touch()
        except (BackupError, DatabaseError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The copy cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{path} ({path.stat().st_size} bytes)")
