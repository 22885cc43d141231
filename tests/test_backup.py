from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from skytells_console import backups
from skytells_console.models import User
from tests.cast import issue, origin
from tests.operations import database_url, process, run
from tests.test_logging import assert_hidden
from tokens import lifecycle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[str]:
    """The address of another database, with nothing in it."""
    if connection.vendor == "sqlite":
        yield database_url(str(tmp_path / "fresh.sqlite3"))
        return
    name = f"{connection.settings_dict['NAME']}_fresh"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    yield database_url(name)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def ran(url: str, *command: str) -> str:
    """Run a command on another database; return what it printed, or what it complained about."""
    running = process(*command, url=url)
    printed, complaint = running.communicate(timeout=60)
    assert running.returncode in {0, 1}, complaint
    return complaint if running.returncode else printed


def statuses(url: str) -> dict[str, str]:
    lines = ran(url, "list_tokens", "--state=any", "--format=json").splitlines()
    return {each["name"]: each["status"] for each in map(json.loads, lines)}


def test_a_restored_backup_holds_all_and_a_replay_ends_what_was_revoked_since(
    alice: User, tmp_path: Path, fresh: str
) -> None:
    kept, before, after = (issue(alice, name) for name in ("kept", "before", "after"))
    lifecycle.revoke(token=before.token, origin=origin(alice))
    run("audit", "seal")
    run("backup", str(tmp_path / "backups"))
    (copy,) = (tmp_path / "backups").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    lifecycle.revoke(token=after.token, origin=origin(alice))
    (tmp_path / "events.jsonl").write_text(run("export_events"))

    assert "Before the console serves" in ran(fresh, "restore", str(copy))
    assert ran(fresh, "migrate", "--check") == ""
    assert "Touched   no" in ran(fresh, "audit", "verify")
    restored = statuses(fresh)
    assert restored["before"] == "revoked"
    assert restored["after"] == restored["kept"] != "revoked"
    replay = ("replay_revocations", str(tmp_path / "events.jsonl"), "--format=json")
    assert json.loads(ran(fresh, *replay))["revoked"] == 1
    assert json.loads(ran(fresh, *replay))["revoked"] == 0
    assert statuses(fresh) == {**restored, "after": "revoked"}
    for each in (kept, before, after):
        assert_hidden(each.plaintext.reveal(), copy.read_bytes().decode("latin-1"))


def test_a_database_that_holds_something_is_never_overwritten(alice: User, tmp_path: Path) -> None:
    run("backup", str(tmp_path))
    (copy,) = tmp_path.iterdir()
    with pytest.raises(CommandError, match="not empty"):
        run("restore", str(copy))
    assert User.objects.get() == alice


def test_only_a_backup_of_the_same_kind_is_restored(tmp_path: Path, fresh: str) -> None:
    (tmp_path / "notes.txt").write_text("SQLite formatted notes")
    assert "is no backup of" in ran(fresh, "restore", str(tmp_path / "notes.txt"))
    assert "cannot be read" in ran(fresh, "restore", str(tmp_path / "nothing"))


def test_half_a_backup_restores_nothing(alice: User, tmp_path: Path, fresh: str) -> None:
    run("backup", str(tmp_path))
    (copy,) = tmp_path.glob("console-*")
    copy.write_bytes(copy.read_bytes()[: copy.stat().st_size * 2 // 3])
    assert not ran(fresh, "restore", str(copy)).startswith("Restored.")
    assert "Restored." not in ran(fresh, "restore", str(copy))
    assert "The database" in ran(fresh, "list_tokens")


def test_the_newest_copies_stay_and_the_mark_is_touched_at_the_end(
    alice: User, tmp_path: Path, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BACKUP_MARK = str(tmp_path / "done")  # type: ignore[attr-defined]
    noon = timezone.now()
    for day in range(4):
        backups.back_up(tmp_path, keep=2, now=noon + timedelta(days=day))
    assert len(list(tmp_path.glob("console-*"))) == 2
    assert not (tmp_path / "done").exists()

    def fail(*_: object) -> None:
        raise backups.BackupError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(backups, "_copy_sqlite", fail)
        patch.setattr(backups, "_run", fail)
        with pytest.raises(CommandError, match="the disk is full"):
            run("backup", str(tmp_path))
    assert not (tmp_path / "done").exists()
    assert not list(tmp_path.glob(".console-*"))
    run("backup", str(tmp_path), keep=2)
    assert time.time() - (tmp_path / "done").stat().st_mtime < 60


def test_no_copy_is_kept_of_nothing(alice: User, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--keep must be 1 or more"):
        run("backup", str(tmp_path), keep=0)


@pytest.mark.sqlite
def test_a_copy_is_made_while_somebody_writes(alice: User, tmp_path: Path) -> None:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=0)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE skytells_console_user SET name = 'half written'")
        run("backup", str(tmp_path))
        writer.rollback()
    (copy,) = tmp_path.iterdir()
    with closing(sqlite3.connect(copy)) as read:
        assert read.execute("SELECT name FROM skytells_console_user").fetchall() == [(alice.name,)]


@pytest.mark.postgresql
def test_the_password_of_the_database_is_in_no_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@ $PGPASSWORD" >&2\nexit 1\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "hunter2")
    with pytest.raises(backups.BackupError) as failed:
        backups.back_up(tmp_path / "b", keep=1, now=timezone.now())
    assert str(failed.value).endswith(" hunter2")
    assert str(failed.value).count("hunter2") == 1
