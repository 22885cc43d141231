"""Copies of the database: made while the console serves, looked at, and put back where nothing is."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from django.db import connection

# What names a copy, for each kind of database, and how such a file begins.
ENDINGS = {"sqlite": ".sqlite3", "postgresql": ".dump"}
BEGINNINGS = {"sqlite": b"SQLite format 3\0", "postgresql": b"PGDMP"}
_ABANDONED = 24 * 3600
# What libpq takes from the environment, by the names of Django's settings and of the URL's query.
_LIBPQ = {
    **{name: f"PG{name}" for name in ("HOST", "PORT", "USER", "PASSWORD")},
    "NAME": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


class BackupError(Exception):
    """What went wrong, as the sentence that the operator reads."""


def back_up(folder: Path, *, keep: int, now: datetime) -> Path:
    """Write a copy of the database into ``folder``, keep the newest ``keep`` there, return its path.

    The copy is read back before it gets its name: a file with a name is a whole one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ending = ENDINGS[connection.vendor]
    path = folder / f"console-{now:%Y%m%dT%H%M%SZ}{ending}"
    with _aside(folder) as part:
        if connection.vendor == "sqlite":
            _copy_sqlite(_sqlite_file(), part)
        else:
            _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={part}")
            _run("pg_restore", "--list", str(part))
        with part.open("rb") as whole:
            os.fsync(whole.fileno())
        part.rename(path)
    # This copy stays even where a clock that was wrong once has named later ones.
    others = sorted(set(folder.glob(f"console-*{ending}")) - {path}, reverse=True)
    for old in others[keep - 1 :]:
        old.unlink(missing_ok=True)
    return path


def restore(path: Path) -> None:
    """Fill the database that the settings name from a copy; raise ``BackupError`` unless it is empty."""
    with path.open("rb") as copy:
        beginning = copy.read(16)
    if not beginning.startswith(BEGINNINGS[connection.vendor]):
        kind = "an SQLite" if connection.vendor == "sqlite" else "a PostgreSQL"
        raise BackupError(f"{path} is no backup of {kind} database, which the settings name.")
    if connection.introspection.table_names():
        raise BackupError(
            "The database that the settings name is not empty. Restore into a new one, or move "
            "this one away first."
        )
    connection.close()
    if connection.vendor == "sqlite":
        target = _sqlite_file()
        with _aside(target.parent) as part:
            _copy_sqlite(path, part)
            part.rename(target)
    else:
        # In one transaction: what fails leaves nothing behind.
        one = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        database = connection.settings_dict["NAME"]
        _run("pg_restore", *one, f"--dbname={database}", str(path))


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Yield a new file for its owner alone; remove it unless it was renamed, and older leavings."""
    for part in folder.glob("*.part"):
        # A copy that was killed left it; one that is being made now is younger.
        if time.time() - part.stat().st_mtime > _ABANDONED:
            part.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".console-", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sqlite_file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that may be in use: all pages in one step, as they were when it began."""
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
            ) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            # A single file, which is whole without side files beside it.
            new.execute("PRAGMA journal_mode=DELETE")
            (state,) = new.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"The database cannot be copied: {error}.") from error
    if state != "ok":
        raise BackupError(f"The copy is damaged: {state}.")


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the settings' database, its password in no argument."""
    found = shutil.which(program)
    if not found:
        raise BackupError(f"{program} is not installed (Debian's package postgresql-client).")
    settings = connection.settings_dict
    given = {**settings.get("OPTIONS", {}), **settings}
    libpq = {variable: str(given[name]) for name, variable in _LIBPQ.items() if given.get(name)}
    done = subprocess.run(  # noqa: S603 - the program is one of the three that stand in this file
        [found, "--no-password", *arguments] if program == "pg_dump" else [found, *arguments],
        env={**os.environ, **libpq},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BackupError(f"{program} failed: {said[0]}")
