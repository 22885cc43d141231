"""A throw-away installation to measure on: its own secrets, state and database, gone at the end."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
DATABASES = ("sqlite", "postgresql")
# What is set outside must not decide what is measured.
FOREIGN = ("DATABASE_URL", "SECRET_KEY", "TOKEN_PEPPERS", "TOKEN_PEPPER_ID", "PUBLIC_URL", "DEBUG")


@dataclass(frozen=True, slots=True)
class Stage:
    """An installation that is migrated and seeded, and the values of its tokens."""

    environ: dict[str, str]
    folder: Path
    seeded: str

    @property
    def values(self) -> Path:
        """The file with the values, one a line."""
        return self.folder / "values"


@contextlib.contextmanager
def stage(
    database: str, *, users: int, tokens: int, server: str = SERVER, flush_seconds: int = 60
) -> Iterator[Stage]:
    """Make an installation on ``database`` with that many users and tokens; remove it at the end.

    Without tokens it is left empty, for a bench that fills it in its own way.
    """
    with (
        tempfile.TemporaryDirectory(prefix="console-bench-") as name,
        _database(database, server) as url,
    ):
        environ = {
            key: value
            for key, value in os.environ.items()
            if key.removesuffix("_FILE") not in FOREIGN
        }
        environ |= {
            "CONSOLE_BENCH": "1",
            "DJANGO_SETTINGS_MODULE": "skytells_console.settings",
            "SECRET_KEY": secrets.token_hex(32),
            "STATE_DIR": name,
            "TOKEN_PEPPERS": f"1:{secrets.token_hex(32)}",
            "USE_FLUSH_SECONDS": str(flush_seconds),
            **({"DATABASE_URL": url} if url else {}),
        }
        run(environ, "manage.py", "migrate", "--verbosity=0")
        seeded = _seeded(environ, Path(name) / "values", users, tokens) if tokens else ""
        yield Stage(environ, Path(name), seeded)


def _seeded(environ: dict[str, str], out: Path, users: int, tokens: int) -> str:
    """Make new tokens that are alike, and return what the seeder said."""
    sizes = [f"--users={users}", f"--tokens={tokens}"]
    said = run(environ, "manage.py", "seed_bench", *sizes, f"--out={out}")
    _analyze(environ)
    return said.strip()


def run(environ: dict[str, str], *command: str) -> str:
    """Run a Python program of the project and return what it printed."""
    done = subprocess.run(  # noqa: S603 - the project's own programs
        [sys.executable, *command],
        check=False,
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def refuse_what_is_real() -> None:
    """Exit unless the installation is said to hold nothing real; called once Django is set up."""
    from django.conf import settings

    if not settings.CONSOLE_BENCH:
        sys.exit("Set CONSOLE_BENCH=1 if this installation holds nothing real.")


def bounded(low: int, high: int) -> Callable[[str], int]:
    """Return the type of an option that is a whole number between two bounds."""

    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return int(text)

    return number


def check_loopback(url: str) -> str:
    """Return the address of a server on this machine; exit for any other."""
    host = urlsplit(url).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        sys.exit("The bench talks to this machine only: name a server on 127.0.0.1.")
    return url


@contextlib.contextmanager
def _database(kind: str, server: str) -> Iterator[str]:
    """Yield the address of a new database, or "" for the file in the state folder."""
    if kind == "sqlite":
        yield ""
        return
    import psycopg
    from psycopg import sql

    # A run may have two installations at once.
    name = f"console_bench_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(check_loopback(server), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlunsplit(urlsplit(server)._replace(scheme="postgresql", path=f"/{quote(name)}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)


def _analyze(environ: dict[str, str]) -> None:
    # Both planners know nothing of freshly filled tables; autovacuum would come at some later round.
    code = "from django.db import connection as c; c.cursor().execute('ANALYZE')"
    run(environ, "-c", f"import django; django.setup(); {code}")


@contextlib.contextmanager
def serving(
    application: str,
    environ: dict[str, str],
    *,
    workers: int,
    log: Path,
    kind: Sequence[str] = ("--worker-class", "sync", "--threads", "1"),
) -> Iterator[int]:
    """Serve an application with gunicorn on a free port, and yield the port.

    More than one thread would quietly turn the sync worker into the threaded one.
    """
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "skytells_console/gunicorn.conf.py"]
    command += [*kind, "--workers", str(workers)]
    command += ["--bind", f"{HOST}:{port}", "--log-level", "warning", application]
    with log.open("a") as output:
        server = subprocess.Popen(  # noqa: S603 - the project's own server
            command, cwd=ROOT, env=environ, stdout=output, stderr=output
        )
    try:
        _wait_for(port, server, log)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    server.kill()
    sys.exit(f"The server did not come up: {log.read_text()[-2000:]}")
