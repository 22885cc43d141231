"""How much slower one person's list is where the database holds many other people's tokens.

    python bench/list.py [--rows 1000000] [--rounds 300] [--server postgres://… [--keep]]

Two processes hold a database each, a small and a large one, and answer the same request in turn: one
person's fifty tokens, through every middleware, with the templates. In turn, because whatever else
the machine does then falls on both. Prints the medians and their ratio; more than 1.15 is a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SMALL, LARGEST_RATIO = 1_000, 1.15
MINE = 50
BATCH = 5_000
WARM_UP = 30
VIEWS = ("", "?q=bench&sort=used")


def main() -> int:
    """Fill both databases, ask both in turn, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--server", default="", help="a PostgreSQL server on this machine")
    parser.add_argument("--keep", action="store_true", help="keep the server's databases")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    with tempfile.TemporaryDirectory(prefix="bench-list-") as folder:
        sizes = (SMALL, options.rows)
        small, large = (start(rows, f"{folder}/{rows}", options.server) for rows in sizes)
        try:
            return compare(small, large, options.rows, options.rounds)
        finally:
            for process in (small, large):
                process.stdin.close()
                process.wait(30)
            if options.server and not options.keep:
                for rows in sizes:
                    on_server(options.server, "DROP DATABASE IF EXISTS {}", rows)


def on_server(server: str, statement: str, rows: int) -> str:
    """Run a statement about the database for ``rows`` rows on the server, and return its name."""
    import psycopg
    from psycopg import errors, sql

    name = f"console_bench_list_{rows}"
    with (
        psycopg.connect(f"{server}/postgres", autocommit=True) as connection,
        # A database that an earlier run kept is used as it is.
        contextlib.suppress(errors.DuplicateDatabase),
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
    return name


def start(rows: int, folder: str, server: str) -> Any:
    """Start a process with a database of its own, and wait until it is filled."""
    Path(folder).mkdir()
    url = f"{server}/{on_server(server, 'CREATE DATABASE {}', rows)}" if server else ""
    environment = {
        **os.environ,
        "STATE_DIR": folder,
        **({"DATABASE_URL": url} if server else {}),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, __file__, "--serve", str(rows)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    print(process.stdout.readline().strip(), flush=True)
    return process


def compare(small: Any, large: Any, rows: int, rounds: int) -> int:
    """Ask both in turn, the first of a round being another each time; return 1 when it is too slow."""
    worst = 0.0
    for view in VIEWS:
        times: dict[Any, list[float]] = {small: [], large: []}
        for each in range(WARM_UP + rounds):
            for process in (small, large) if each % 2 else (large, small):
                process.stdin.write(f"{view}\n")
                process.stdin.flush()
                taken = float(process.stdout.readline())
                if each >= WARM_UP:
                    times[process].append(taken)
        low, high = (statistics.median(times[process]) * 1_000 for process in (small, large))
        worst = max(worst, high / low)
        print(
            f"/settings/tokens{view:<15} {SMALL} rows {low:6.2f} ms, {rows} rows {high:6.2f} ms, "
            f"ratio {high / low:.3f}"
        )
    print(f"worst ratio {worst:.3f}, allowed {LARGEST_RATIO}")
    return int(worst > LARGEST_RATIO)


# --- The process with the database --------------------------------------------------------------


def serve(rows: int) -> None:
    """Fill the database, then answer one request a line and print how many seconds it took."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", verbosity=0)
    began = time.perf_counter()
    person = filled(rows) or fill(rows)
    print(f"{rows} rows in {time.perf_counter() - began:.0f} s", flush=True)
    client = Client()
    client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    for line in sys.stdin:
        began = time.perf_counter()
        answer = client.get(f"/settings/tokens{line.strip()}")
        taken = time.perf_counter() - began
        assert answer.status_code == 200
        print(taken, flush=True)


def filled(rows: int) -> Any:
    """Return the person of a database that an earlier run has filled, or None for an empty one."""
    from skytells_console.models import User
    from tokens.models import AccessToken

    held = AccessToken.objects.count()
    assert held in {0, rows}, f"An interrupted run left {held} rows: drop the database."
    return User.objects.order_by("pk")[User.objects.count() // 2] if held else None


def fill(rows: int) -> Any:
    """Make the person's tokens, spread among everybody's, and half of all used; return the person."""
    from django.db import connection
    from django.utils import timezone

    from skytells_console.models import User
    from tokens import lifecycle
    from tokens.lifecycle import Wish
    from tokens.origin import Door, Origin

    now = timezone.now()
    people = User.objects.bulk_create(
        [User(email=f"bench-{each}@example.invalid") for each in range(max(rows // MINE, 1))],
        batch_size=500,
    )
    wish = Wish(
        name="bench", scopes=["account.read", "projects.read"], expires_at=now + timedelta(days=60)
    )
    for first in range(0, rows, BATCH):
        # Handed round the people, so that each one's rows lie far apart in the table.
        owners = [people[each % len(people)] for each in range(first, min(first + BATCH, rows))]
        lifecycle.issue_many(
            owners=owners,
            wishes=[wish] * len(owners),
            origin=Origin(at=now - timedelta(seconds=rows - first), door=Door.COMMAND),
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tokens_tokenactivity (token_id, last_used_at, address, client) "
            "SELECT id, created_at, '203.0.113.7', 'curl' FROM tokens_accesstoken WHERE id % 2 = 0"
        )
        cursor.execute("ANALYZE")
    return people[len(people) // 2]


if __name__ == "__main__":
    sys.exit(main())
