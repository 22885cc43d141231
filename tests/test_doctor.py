from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.test import override_settings

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.operations import run
from tokens import audit, diagnosis, health
from tokens.models import Notice, Policy

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the release's static files were collected."""
    folder = tmp_path_factory.mktemp("collected")
    with override_settings(STATIC_ROOT=str(folder)):
        call_command("collectstatic", "--no-input", "--no-post-process", "--verbosity=0")
    return folder


@pytest.fixture
def well(
    clock: Clock,
    settings: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    collected: Path,
) -> SimpleNamespace:
    """Return the settings of an installation with which nothing is wrong."""
    settings.STATIC_ROOT = str(collected)
    mark = tmp_path / "backup-done"
    mark.touch()
    settings.PUBLIC_URL, settings.TLS = "https://console.example.com", True
    settings.TRUSTED_PROXY_COUNT = 1
    settings.EMAIL_HOST, settings.DEFAULT_FROM_EMAIL = "smtp.example.com", "<c@example.com>"
    settings.BACKUP_MARK = str(mark)
    os.utime(mark, (NOON.timestamp(), NOON.timestamp()))
    monkeypatch.setattr(diagnosis, "get_connection", LocmemBackend)
    if connection.vendor == "sqlite":
        Path(connection.settings_dict["NAME"]).chmod(0o600)
    return settings


def findings() -> list[dict[str, str]]:
    printed = StringIO()
    try:
        call_command("doctor", "--format=json", stdout=printed)
    except CommandError as fault:
        assert "Faults: " in str(fault)  # noqa: PT017 - the findings are what is asked for
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def wrong() -> list[dict[str, str]]:
    return [each for each in findings() if each["verdict"] != "well"]


def test_a_console_that_is_well_is_told_so(well: SimpleNamespace) -> None:
    assert {each["about"] for each in findings()} == set(diagnosis.CHECKS)
    assert wrong() == []
    printed = run("doctor")
    assert printed.count("Nothing is wrong.") == len(diagnosis.CHECKS)


# --- One failing case for each thing that is looked at ------------------------------------------------


def debug(well: Any, here: Any) -> None:
    well.DEBUG = True


def plain_http(well: Any, here: Any) -> None:
    well.PUBLIC_URL, well.TLS = "http://console.example.com", False


def bench(well: Any, here: Any) -> None:
    well.CONSOLE_BENCH = True


def open_secret(well: Any, here: Any) -> None:
    secret = here.folder / "pepper"
    secret.write_text("x")
    secret.chmod(0o644)
    here.patch.setenv("TOKEN_PEPPERS_FILE", str(secret))


def open_database_url(well: Any, here: Any) -> None:
    secret = here.folder / "database_url"
    secret.write_text("x")
    secret.chmod(0o640)
    here.patch.setenv("DATABASE_URL_FILE", str(secret))


def nothing_collected(well: Any, here: Any) -> None:
    well.STATIC_ROOT = str(here.folder / "static")


def collected_from_another_release(well: Any, here: Any) -> None:
    old = here.folder / "static"
    shutil.copytree(well.STATIC_ROOT, old)
    (old / "css/console.css").write_text("")
    well.STATIC_ROOT = str(old)


def migrations_wait(well: Any, here: Any) -> None:
    here.patch.setattr(health, "_migrations_wait", lambda: True)


def database_away(well: Any, here: Any) -> None:
    def refuse() -> None:
        raise DatabaseError

    here.patch.setattr(health.connection, "cursor", refuse)


def no_mail_server(well: Any, here: Any) -> None:
    well.EMAIL_HOST = ""


def nobodys_address(well: Any, here: Any) -> None:
    well.DEFAULT_FROM_EMAIL = "Skytells Console <console@localhost>"


def mail_server_away(well: Any, here: Any) -> None:
    class Away(LocmemBackend):
        def open(self) -> bool:
            raise ConnectionRefusedError("smtp.internal.example")

    here.patch.setattr(diagnosis, "get_connection", Away)


def mails_wait(well: Any, here: Any) -> None:
    issue(here.alice, at=NOON - DAY)
    here.patch.setattr(audit.seals, "head", lambda: None)


def not_sealed(well: Any, here: Any) -> None:
    audit.record(audit.Kind.RENAMED, origin=origin(at=NOON - 3 * DAY))


def not_purged(well: Any, here: Any) -> None:
    issue(here.alice, at=NOON - 101 * DAY, expires_at=NOON - 100 * DAY)
    Notice.objects.update(sent_at=NOON)
    call_command("audit", "seal", stdout=StringIO())


def unused_still_work(well: Any, here: Any) -> None:
    Policy.objects.create(created_at=NOON, revoke_unused_after_days=90)
    token = issue(here.alice, at=NOON - 120 * DAY, expires_at=None).token
    Notice.objects.update(sent_at=NOON)
    Notice.objects.create(
        owner=here.alice,
        token=token,
        kind="revoked_soon",
        subject="s",
        due_at=NOON - 20 * DAY,
        sent_at=NOON - 20 * DAY,
    )
    call_command("audit", "seal", stdout=StringIO())


def no_proxy_believed(well: Any, here: Any) -> None:
    well.TRUSTED_PROXY_COUNT = 0


def all_from_here(well: Any, here: Any) -> None:
    for _ in range(20):
        audit.record(audit.Kind.RENAMED, origin=origin(at=NOON, address="127.0.0.1"))


def no_backup_told(well: Any, here: Any) -> None:
    well.BACKUP_MARK = ""


def backup_missing(well: Any, here: Any) -> None:
    well.BACKUP_MARK = str(here.folder / "nothing")


def backup_old(well: Any, here: Any) -> None:
    here.clock.tick(hours=27)


CASES: dict[Callable[[Any, Any], None], tuple[str, str, str, str]] = {
    debug: ("settings", "fault", "DEBUG", "Remove DEBUG"),
    plain_http: ("settings", "fault", "in the clear", "https address"),
    bench: ("settings", "fault", "CONSOLE_BENCH", "Remove CONSOLE_BENCH"),
    open_secret: ("settings", "fault", "TOKEN_PEPPERS_FILE", "chmod 600"),
    open_database_url: ("settings", "fault", "DATABASE_URL_FILE", "chmod 600"),
    nothing_collected: ("pages", "fault", "not those of this release", "collectstatic"),
    collected_from_another_release: ("pages", "fault", "not those of", "reload or restart"),
    migrations_wait: ("database", "fault", "Migrations wait", "migrate"),
    database_away: ("database", "fault", "does not answer", "DATABASE_URL"),
    no_mail_server: ("mail", "warning", "only printed", "EMAIL_HOST"),
    nobodys_address: ("mail", "warning", "nobody's address", "DEFAULT_FROM_EMAIL"),
    mail_server_away: ("mail", "fault", "cannot be reached (ConnectionRefused", "EMAIL_PORT"),
    mails_wait: ("timers", "fault", "more than an hour: 1", "send_token_notices"),
    not_sealed: ("timers", "fault", "not sealed", "audit seal"),
    not_purged: ("timers", "warning", "97 days", "purge_expired_tokens"),
    unused_still_work: ("timers", "fault", "still work", "revoke_unused_tokens"),
    no_proxy_believed: ("proxies", "fault", "redirected for ever", "TRUSTED_PROXY_COUNT"),
    all_from_here: ("proxies", "fault", "from this machine", "X-Forwarded-For"),
    no_backup_told: ("backups", "warning", "last backup", "BACKUP_MARK"),
    backup_missing: ("backups", "fault", "cannot be looked at", "Run the backup"),
    backup_old: ("backups", "fault", "27 hours old", "backup.timer"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_is_wrong_is_named_with_the_way_to_mend_it(
    well: SimpleNamespace,
    clock: Clock,
    alice: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Callable[[Any, Any], None],
) -> None:
    about, verdict, what, mend = CASES[case]
    here = SimpleNamespace(alice=alice, clock=clock, folder=tmp_path, patch=monkeypatch)
    case(well, here)
    (finding,) = [each for each in wrong() if each["about"] == about]
    assert finding["verdict"] == verdict
    assert what in finding["what"]
    assert mend in finding["mend"]
    assert "smtp.internal" not in str(finding)


def test_every_check_has_a_failing_case() -> None:
    assert {about for about, *_ in CASES.values()} == set(diagnosis.CHECKS)


@pytest.mark.sqlite
def test_a_database_that_others_can_read_is_a_fault(well: SimpleNamespace) -> None:
    path = Path(connection.settings_dict["NAME"])
    path.chmod(0o644)
    try:
        (finding,) = wrong()
    finally:
        path.chmod(0o600)
    assert "can read the database" in finding["what"]


@pytest.mark.postgresql
def test_missing_triggers_are_a_fault(well: SimpleNamespace) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse_change ON tokens_tokenevent")
    (finding,) = wrong()
    assert "tokens_tokenevent can be changed" in finding["what"]
    assert "audit verify" in finding["mend"]


def test_only_faults_fail_the_command(well: SimpleNamespace) -> None:
    well.BACKUP_MARK = ""
    assert "warning  backups" in run("doctor")
    well.DEBUG = True
    with pytest.raises(CommandError, match="Faults: 1") as fault:
        run("doctor")
    assert fault.value.returncode == 1


def test_without_a_database_the_rest_is_told_all_the_same(
    well: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise DatabaseError

    monkeypatch.setitem(diagnosis.CHECKS, "timers", refuse)
    (finding,) = wrong()
    assert (finding["about"], finding["mend"]) == ("timers", "Mend the database first.")
    assert time.time() == pytest.approx(NOON.timestamp())


@pytest.mark.parametrize("arguments", [["--format=xml"], ["please"]])
def test_what_the_doctor_cannot_read_is_said(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("doctor", *arguments)
