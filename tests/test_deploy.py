"""The files of ``deploy/``: units that start what exists, settings that are read, an export that fits."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

import dev_programs
from skytells_console.models import User
from tests.cast import issue, origin
from tests.operations import database_url, run
from tokens import diagnosis, lifecycle

DEPLOY = Path(settings.BASE_DIR) / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.*[!d]"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
CURRENT = "/opt/skytells-console/current/"
PYTHON = f"{CURRENT}.venv/bin/python"


def settings_of(unit: Path) -> list[tuple[str, str, str]]:
    """Read a unit file: section, name and value of each of its lines."""
    section, found = "", []
    for line in unit.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            continue
        name, mark, value = line.partition("=")
        assert mark and section, f"{unit.name}: {line}"  # noqa: PT018 - one line that cannot be read
        found.append((section, name, value))
    return found


def commands(unit: Path) -> list[list[str]]:
    return [shlex.split(value) for _, name, value in settings_of(unit) if name == "ExecStart"]


# --- systemd -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_a_service_starts_what_exists(unit: Path) -> None:
    ours = get_commands()
    assert commands(unit)
    for program, *arguments in commands(unit):
        if program != PYTHON:
            script = DEPLOY.parent / program.removeprefix(CURRENT)
            assert os.access(script, os.X_OK), script
        elif arguments[0] == "manage.py":
            name, *options = arguments[1:]
            assert ours[name] in {"tokens", "skytells_console"}
            parser = load_command_class(ours[name], name).create_parser("manage.py", name)
            parser.parse_args(options)
        else:
            assert arguments[0] == f"{CURRENT}.venv/bin/gunicorn"
            assert (DEPLOY.parent / arguments[2]).exists()


def test_the_server_is_told_the_link_that_it_runs_from() -> None:
    shared = settings_of(DEPLOY / "systemd/skytells-console-.service.d/shared.conf")
    server = settings_of(DEPLOY / "systemd/skytells-console-web.service")
    link = CURRENT.removesuffix("/")
    assert ("Service", "WorkingDirectory", link) in shared
    assert ("Service", "Environment", f"RELEASE_LINK={link}") in server


def test_every_task_has_a_timer_and_every_timer_a_task() -> None:
    timers = {unit.stem for unit in UNITS if unit.suffix == ".timer"}
    assert timers == {unit.stem for unit in SERVICES} - {"skytells-console-web"}
    for unit in UNITS:
        if unit.suffix == ".timer":
            assert ("Install", "WantedBy", "timers.target") in settings_of(unit)


def test_the_doctor_names_timers_that_exist() -> None:
    source = Path(diagnosis.__file__).read_text()
    named = set(re.findall(r"skytells-console-\w+(?=\.timer)", source))
    assert len(named) == 5
    for name in named:
        assert (DEPLOY / "systemd" / f"{name}.timer").exists(), name


def test_the_rights_of_all_services_are_said_once() -> None:
    shared = {
        name
        for _, name, _ in settings_of(DEPLOY / "systemd/skytells-console-.service.d/shared.conf")
    }
    assert {"User", "NoNewPrivileges", "ProtectSystem", "CapabilityBoundingSet"} <= shared
    for unit in SERVICES:
        assert unit.name.startswith("skytells-console-")
        assert not shared & {name for _, name, _ in settings_of(unit)}


@pytest.mark.systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyze = dev_programs.find_program(dev_programs.SYSTEMD, os.environ)
    assert analyze is not None
    folder = tmp_path / "etc/systemd/system"
    shutil.copytree(DEPLOY / "systemd", folder)
    for program in (PYTHON, f"{CURRENT}deploy/export-events", f"{CURRENT}deploy/hand-over"):
        (tmp_path / program[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program[1:]).touch(mode=0o755)
    # A unit that is not there is not what is asked about: this is no whole machine.
    command = [
        analyze,
        "verify",
        f"--root={tmp_path}",
        "--man=no",
        "--recursive-errors=no",
    ]
    done = subprocess.run(
        [*command, *(unit.name for unit in UNITS)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# --- The environment -----------------------------------------------------------------------------


def test_the_shell_and_systemd_read_the_example_alike_and_the_console_knows_every_name() -> None:
    text = (DEPLOY / "environment.example").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("# ")]
    told = dict(
        re.fullmatch(r'#?([A-Z_]+)="([^"$`\\]*)"', line).groups()
        for line in lines
        if line[:2] != "# " and "=" in line
    )  # type: ignore[union-attr]
    shell = subprocess.check_output(
        ["/bin/sh", "-c", 'set -a; . "$1"; exec env -0', "sh", str(DEPLOY / "environment.example")],
        env={},
        text=True,
    )
    read = dict(entry.split("=", 1) for entry in shell.split("\0") if entry)
    set_here = {name: value for name, value in told.items() if f'\n{name}="' in text}
    assert {name: read[name] for name in set_here} == set_here
    sources = "".join(
        (DEPLOY.parent / "skytells_console" / f"{each}.py").read_text()
        for each in ("settings", "gunicorn.conf")
    )
    for name in told:
        assert f'"{name.removesuffix("_FILE")}"' in sources, name


# --- The export ----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_was_exported_each_hour_can_be_replayed_together(alice: User, tmp_path: Path) -> None:
    first, second = issue(alice, "first"), issue(alice, "second")
    lifecycle.revoke(token=first.token, origin=origin(alice))
    export(tmp_path)
    lifecycle.revoke(token=second.token, origin=origin(alice))
    export(tmp_path)
    files = sorted(tmp_path.glob("*.jsonl"))
    assert [len(each.read_text().splitlines()) for each in files] == [3, 1]
    (tmp_path / "all").write_text("".join(each.read_text() for each in files))
    counts = json.loads(run("replay_revocations", str(tmp_path / "all"), "--format=json"))
    assert (counts["events"], counts["revoked"]) == (4, 0)


@pytest.mark.django_db(transaction=True)
def test_an_event_that_was_not_sealed_yet_is_exported_again_with_the_next(
    alice: User, tmp_path: Path
) -> None:
    issue(alice, "first")
    run("audit", "seal")
    issue(alice, "not sealed")
    script(tmp_path)
    export(tmp_path)
    kept = [
        json.loads(line)["id"]
        for each in sorted(tmp_path.glob("*.jsonl"))
        for line in each.read_text().splitlines()
    ]
    assert len(kept) == 3
    assert len(set(kept)) == 2


def export(folder: Path) -> None:
    """Do what the hourly service does."""
    run("audit", "seal")
    script(folder)


def script(folder: Path) -> None:
    environ = {
        **os.environ,
        "PYTHON": sys.executable,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "TOKEN_PEPPERS": settings.TOKEN_PEPPERS,
    }
    subprocess.run([DEPLOY / "export-events", folder], env=environ, check=True, capture_output=True)
