"""Commands as an operator or a timer runs them: in this process, or as a process that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def run(command: str, *arguments: str, **options: Any) -> str:
    """Run a command and return what it printed."""
    printed = StringIO()
    call_command(command, *arguments, stdout=printed, **options)
    return printed.getvalue()


def answer(command: str, *arguments: str, **options: Any) -> dict[str, Any]:
    """Run a command and return its one JSON object."""
    found: dict[str, Any] = json.loads(run(command, *arguments, "--format=json", **options))
    return found


def database_url(name: str = "") -> str:
    """Return the address of the tests' database, or of another one on the same server."""
    database = {**connection.settings_dict, **({"NAME": name} if name else {})}
    if connection.vendor == "postgresql":
        given = {key: str(database[key]) for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")}
        login = given["USER"] + (f":{given['PASSWORD']}" if given["PASSWORD"] else "")
        place = given["HOST"] + (f":{given['PORT']}" if given["PORT"] else "")
        return f"postgresql://{login}@{place}/{given['NAME']}"
    return f"sqlite:///{database['NAME']}"


def process(*command: str, url: str = "", **environ: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own, on the database of the tests or on another one."""
    environment = {
        **os.environ,
        **environ,
        "DATABASE_URL": url or database_url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "TOKEN_PEPPERS": settings.TOKEN_PEPPERS,
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
