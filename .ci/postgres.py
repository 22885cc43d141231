"""Run a command with DATABASE_URL naming a PostgreSQL server that it may create databases on.

    python .ci/postgres.py COMMAND [ARGUMENT ...]

The server is, in this order: the one that DATABASE_URL names; the one that answers on this
machine's standard port (as $PGUSER or postgres); a throw-away cluster, started from the server
programs that are installed here and removed at the end. CI_POSTGRES=throwaway takes the last one
at once. Nothing but psycopg is needed to ask a server, so psql need not be installed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

HOST = "127.0.0.1"
OLDEST = 140000  # Django 5.2 supports PostgreSQL from version 14 on.
# Speed is all that counts in a cluster that is deleted at the end, whatever happens to the machine.
CARELESS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def main(command: list[str]) -> int:
    """Find or start a server, run the command with its address, and return the exit code."""
    # A stop from outside must reach the clean-up below, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with server() as url:
        environ = {**os.environ, "DATABASE_URL": url}
        return subprocess.run(command, env=environ, check=False).returncode


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yield the address of a database on a server that can be used."""
    if os.environ.get("DATABASE_URL"):
        print("PostgreSQL: the server that DATABASE_URL names", flush=True)
        yield os.environ["DATABASE_URL"]
        return
    user = os.environ.get("PGUSER", "postgres")
    if os.environ.get("CI_POSTGRES") != "throwaway" and may_create_databases(user):
        print(f"PostgreSQL: the server on port 5432 of this machine, as {user}", flush=True)
        yield database_url(user, 5432)
        return
    programs = server_programs()
    if not programs:
        sys.exit(
            "No PostgreSQL is to be had: give DATABASE_URL, start a server on port 5432, "
            "or install the server programs (Debian's package postgresql)."
        )
    with cluster(programs) as port:
        print(f"PostgreSQL: a throw-away cluster from {programs}", flush=True)
        yield database_url("postgres", port)


def database_url(user: str, port: int) -> str:
    """Return the address of a database of this run's own; the tests create and drop it."""
    return f"postgresql://{quote(user, safe='')}@{HOST}:{port}/console_ci_{os.getpid()}"


def may_create_databases(user: str) -> bool:
    """Ask the server on the standard port whether it is new enough and obeys this user."""
    question = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    try:
        with psycopg.connect(
            host=HOST, port=5432, user=user, dbname="postgres", connect_timeout=5
        ) as connection:
            row = connection.execute(question).fetchone()
            return row == (True,) and connection.info.server_version >= OLDEST
    except psycopg.Error:
        return False


def server_programs() -> Path | None:
    """Return the folder that holds initdb and pg_ctl, the newest one where there are several."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).resolve().parent] if on_path else []
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found += sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@contextlib.contextmanager
def cluster(programs: Path) -> Iterator[int]:
    """Start a cluster in a temporary folder, yield its port, and leave nothing behind."""
    account = unprivileged_account()
    folder = Path(tempfile.mkdtemp(prefix="console-ci-"))
    data, log = str(folder / "data"), str(folder / "log")
    port = free_port()
    settings = ("listen_addresses=" + HOST, f"port={port}", f"unix_socket_directories={folder}")
    options = " ".join(f"-c {setting}" for setting in (*settings, *CARELESS))
    pg_ctl = str(programs / "pg_ctl")
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        trusting = ["--auth=trust", "--username=postgres", "--no-sync"]
        utf8 = ["--encoding=UTF8", "--locale=C.UTF-8"]
        run([str(programs / "initdb"), "--pgdata", data, *trusting, *utf8], account)
        run([pg_ctl, "--pgdata", data, "--log", log, "--wait", "-o", options, "start"], account)
        try:
            yield port
        finally:
            run([pg_ctl, "--pgdata", data, "--mode=immediate", "stop"], account)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged_account() -> dict[str, Any]:
    """Return whom to run the server as; it refuses root, and otherwise runs as oneself."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def free_port() -> int:
    """Return a port on which nothing listens at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def run(command: list[str], account: dict[str, Any]) -> None:
    """Run one of the server's programs, and stop with what it said when it fails."""
    # The server keeps standard output open, so a pipe would never end; a file does.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **account,
        )
        if done.returncode:
            output.seek(0)
            sys.exit(f"{Path(command[0]).name} failed: {output.read().strip()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
