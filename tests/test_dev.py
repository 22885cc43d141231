from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import dev
import dev_programs

REQUIREMENTS = sorted((dev.ROOT / "requirements").glob("*.txt"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the lists of requirements, in the place of this one."""
    (tmp_path / "requirements").mkdir()
    for lock in dev.LOCKS:
        (tmp_path / "requirements" / f"{lock}.txt").write_text(f"# {lock}\n")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def venv(project: Path) -> Path:
    """An environment that looks as if it had been made."""
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    return project / ".venv"


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.create_server((dev.HOST, 0)) as server:
        yield server.getsockname()[1]


# --- The requirements ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_is_pinned_by_a_hash_and_none_names_a_host(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_each_list_of_requirements_holds_the_one_before_it() -> None:
    pins = {
        lock: set(
            re.findall(r"^(\S+==\S+)", (dev.ROOT / f"requirements/{lock}.txt").read_text(), re.M)
        )
        for lock in dev.LOCKS
    }
    assert pins["base"] < pins["postgres"] < pins["metrics"] < pins["dev"]


def test_a_python_with_nothing_installed_can_run_it() -> None:
    command = [sys.executable, "-S", str(dev.ROOT / "dev.py"), "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert "serve the console on this machine" in told.stdout


# --- The virtual environment --------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 8, 19), (3, 10, 14)])
def test_an_old_python_is_refused_in_one_sentence(version: tuple[int, ...]) -> None:
    with pytest.raises(dev.DevError, match=r"^Python 3.11 or newer is needed, but this is 3\."):
        dev.check_python(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 2), (4, 0, 0)])
def test_python_from_3_11_on_is_accepted(version: tuple[int, ...]) -> None:
    dev.check_python(version)


def test_without_a_stamp_nothing_counts_as_installed(venv: Path) -> None:
    assert not dev.is_installed(venv, "base")


@pytest.mark.parametrize(
    ("installed", "enough_for"),
    [
        ("base", ["base"]),
        ("postgres", ["base", "postgres"]),
        ("metrics", ["base", "postgres", "metrics"]),
        ("dev", ["base", "postgres", "metrics", "dev"]),
    ],
)
def test_a_stamp_counts_for_its_own_list_and_the_shorter_ones(
    venv: Path, installed: str, enough_for: list[str]
) -> None:
    (venv / "requirements.stamp").write_text(dev.stamp_of(installed))
    assert [lock for lock in dev.LOCKS if dev.is_installed(venv, lock)] == enough_for


def test_a_changed_list_is_installed_again(project: Path, venv: Path) -> None:
    (venv / "requirements.stamp").write_text(dev.stamp_of("base"))
    (project / "requirements" / "base.txt").write_text("# newer\n")
    assert not dev.is_installed(venv, "base")


def test_an_environment_whose_interpreter_is_gone_is_made_again(venv: Path) -> None:
    (venv / "requirements.stamp").write_text(dev.stamp_of("base"))
    python = venv / "bin" / "python"
    python.unlink()
    python.symlink_to("python-of-a-machine-that-was-upgraded")
    assert not dev.is_installed(venv, "base")


def test_an_installed_environment_is_left_alone(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (venv / "requirements.stamp").write_text(dev.stamp_of("dev"))
    monkeypatch.setattr(dev, "run_quietly", lambda *_: pytest.fail("something was run"))
    assert dev.ensure_environment("base", {}) == str(venv / "bin" / "python")


def test_the_environment_is_made_and_installed_into_where_venv_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "requirements" / "base.txt").write_text("")
    for _ in range(2):
        python = dev.ensure_environment("base", {"NO_UV": "1", "VENV": "elsewhere"})
    assert python == str(project / "elsewhere" / "bin" / "python")
    prefix = subprocess.check_output([python, "-c", "import sys; print(sys.prefix)"], text=True)
    assert Path(prefix.strip()) == project / "elsewhere"
    assert dev.is_installed(project / "elsewhere", "base")


def test_a_failed_install_shows_the_end_of_what_pip_said_and_leaves_no_stamp(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = "import sys; print(*range(40), sep='\\n'); sys.exit('no such version')"
    monkeypatch.setattr(dev, "installer", lambda *_: [sys.executable, "-c", failing])
    with pytest.raises(dev.DevError) as caught:
        dev.ensure_environment("base", {"NO_UV": "1"})
    sentence, _, tail = str(caught.value).partition("\n\n")
    assert sentence == "The requirements could not be installed. Its last lines were:"
    assert tail.splitlines() == [*map(str, range(26, 40)), "no such version"]
    assert not dev.is_installed(venv, "base")


def test_a_python_without_venv_names_the_package_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(dev.DevError, match="apt-get install python3-venv"):
        dev.ensure_environment("base", {"NO_UV": "1"})


def test_no_uv_leaves_uv_aside_and_a_broken_uv_is_not_used(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\nexit 0\n")
    uv.chmod(0o755)
    path = {"PATH": str(tmp_path)}
    assert dev.find_uv(path) == str(uv)
    assert dev.find_uv({**path, "NO_UV": "1"}) is None
    uv.write_text("#!/bin/sh\nexit 127\n")
    assert dev.find_uv(path) is None


# --- The secrets --------------------------------------------------------------------------------


def test_the_secrets_are_written_once_for_the_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "state"
    environ = dev.serving_defaults(8000, {"STATE_DIR": str(state)})
    dev.write_secrets(environ)
    first = {path.name: path.read_text() for path in state.iterdir()}
    assert sorted(first) == ["secret_key", "token_peppers"]
    assert len(first["secret_key"].strip()) >= 64
    assert re.fullmatch(r"1:[0-9a-f]{64}\n", first["token_peppers"])
    assert mode(state) == 0o700
    assert [mode(path) for path in state.iterdir()] == [0o600, 0o600]
    dev.write_secrets(environ)
    assert {path.name: path.read_text() for path in state.iterdir()} == first


def test_a_generous_umask_opens_no_secret(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        dev.write_secrets(dev.serving_defaults(8000, {"STATE_DIR": str(tmp_path / "state")}))
    finally:
        os.umask(before)
    assert mode(tmp_path / "state") == 0o700
    assert mode(tmp_path / "state" / "secret_key") == 0o600


@pytest.mark.parametrize(("before", "after"), [(0o755, 0o700), (0o700, 0o700), (0o1777, 0o1777)])
def test_a_state_folder_that_was_there_is_closed_to_others(
    tmp_path: Path, before: int, after: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(before)
    dev.write_secrets(dev.serving_defaults(8000, {"STATE_DIR": str(state)}))
    assert mode(state) == after


def test_of_many_writers_at_once_one_wins_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"

    def write_and_read(number: int) -> str:
        dev.write_once(path, f"value {number}")
        return path.read_text()

    with ThreadPoolExecutor(16) as pool:
        seen = set(pool.map(write_and_read, range(64)))
    assert len(seen) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret_key"]


def test_secrets_that_the_operator_keeps_are_not_written(tmp_path: Path) -> None:
    given = {
        "STATE_DIR": str(tmp_path / "state"),
        "SECRET_KEY": "given by value",
        "TOKEN_PEPPERS_FILE": str(tmp_path / "mounted"),
    }
    environ = {**given, **dev.serving_defaults(8000, given)}
    dev.write_secrets(environ)
    assert list((tmp_path / "state").iterdir()) == []
    assert not (tmp_path / "mounted").exists()
    assert "SECRET_KEY_FILE" not in environ


# --- Serving ------------------------------------------------------------------------------------


def test_what_the_environment_already_has_is_kept() -> None:
    given = {"PUBLIC_URL": "https://console.example.com", "SECRET_KEY_FILE": "/run/secrets/key"}
    defaults = dev.serving_defaults(8123, given)
    assert not given.keys() & defaults.keys()
    assert defaults["DJANGO_SETTINGS_MODULE"] == "skytells_console.settings"
    assert dev.serving_defaults(8123, {})["PUBLIC_URL"] == "http://127.0.0.1:8123"


def test_a_relative_state_folder_means_the_place_where_the_command_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dev.serving_defaults(8000, {"STATE_DIR": "here"})["STATE_DIR"] == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("given", "lock"),
    [
        ({}, "base"),
        ({"DATABASE_URL_FILE": "/run/secrets/database"}, "postgres"),
        ({"METRICS_SECRET": "x" * 32}, "metrics"),
        ({"DATABASE_URL": "sqlite:///a", "METRICS_SECRET_FILE": "/run/secrets/m"}, "metrics"),
    ],
)
def test_only_what_the_environment_asks_for_is_installed(given: dict[str, str], lock: str) -> None:
    assert dev.wanted_lock(given) == lock


def test_a_used_port_is_told_before_anything_is_installed(
    used_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        dev, "ensure_environment", lambda *_: pytest.fail("something was installed")
    )
    assert dev.main(["serve", "--port", str(used_port)]) == 1
    assert capsys.readouterr().err == (
        f"dev.py: Port {used_port} cannot be used (Address already in use): "
        f"choose another one, for example --port {used_port + 1}.\n"
    )


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(dev.DevError, match="from 1 to 65535"):
        dev.check_port(port)


def test_a_failed_command_of_the_application_is_named(project: Path) -> None:
    (project / "manage.py").write_text("raise SystemExit(3)")
    with pytest.raises(dev.DevError, match=r"^manage\.py migrate failed"):
        dev.manage(sys.executable, os.environ, "migrate")


# --- Testing ------------------------------------------------------------------------------------


def program(path: Path) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_chromium_is_the_one_that_is_named_else_the_first_on_the_path(tmp_path: Path) -> None:
    path = {"PATH": str(tmp_path)}
    assert dev_programs.find_program(dev_programs.CHROMIUM, path) is None
    chrome = program(tmp_path / "google-chrome")
    assert dev_programs.find_program(dev_programs.CHROMIUM, path) == chrome
    chromium = program(tmp_path / "chromium")
    assert dev_programs.find_program(dev_programs.CHROMIUM, path) == chromium
    assert dev_programs.find_program(dev_programs.CHROMIUM, {**path, "CHROMIUM": chrome}) == chrome
    named = {**path, "CHROMIUM": str(tmp_path / "missing")}
    assert dev_programs.find_program(dev_programs.CHROMIUM, named) is None


def test_nginx_is_found_where_only_root_looks(tmp_path: Path) -> None:
    path = {"PATH": str(tmp_path)}
    assert dev_programs.find_program(dev_programs.NGINX, path) in {None, "/usr/sbin/nginx"}
    nginx = program(tmp_path / "nginx")
    assert dev_programs.find_program(dev_programs.NGINX, path) == nginx
    assert dev_programs.find_program(dev_programs.NGINX, {**path, "NGINX": nginx}) == nginx


@pytest.mark.parametrize("wanted", [dev_programs.CHROMIUM, dev_programs.NGINX])
def test_where_a_program_may_not_be_installed_one_sentence_says_so(
    wanted: dev_programs.Program,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dev_programs, "succeeds", lambda *_: False)
    assert dev_programs.install_program(wanted, {"PATH": ""}) is None
    assert capsys.readouterr().out == (
        f"No {wanted.title} was found, nor may it be installed from here: "
        f"install it or set {wanted.variable}.\n"
    )


def test_a_variable_that_names_no_program_installs_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dev_programs, "run_quietly", lambda *_: pytest.fail("apt-get ran"))
    assert dev_programs.install_program(dev_programs.NGINX, {"NGINX": "/nowhere"}) is None
    assert capsys.readouterr().out == (
        "NGINX names no program, so nothing runs the tests of proxies.\n"
    )


def test_the_package_is_installed_as_root_and_the_program_found_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(_sentence: str, *command: str) -> None:
        ran.append(command)
        if "install" in command:
            program(tmp_path / "nginx")

    monkeypatch.setattr(dev_programs.shutil, "which", which_with_apt(dev_programs.shutil.which))
    monkeypatch.setattr(dev_programs, "run_quietly", run)
    found = dev_programs.install_program(dev_programs.NGINX, {"PATH": str(tmp_path)})
    assert found == str(tmp_path / "nginx")
    assert ran[-2][-3:] == ("install", "--no-install-recommends", "nginx")
    assert ran[-1][-4:] == ("systemctl", "disable", "--now", "nginx")


def which_with_apt(which: Callable[..., str | None]) -> Callable[..., str | None]:
    """Return a ``which`` that finds apt-get on every machine, and nothing in root's folders."""

    def found(name: str, path: str | None = None) -> str | None:
        return "/usr/bin/apt-get" if name == "apt-get" else which(Path(name).name, path=path)

    return found


def test_all_arguments_go_to_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    turned_into: list[list[str]] = []
    monkeypatch.setattr(dev, "ensure_environment", lambda *_: "python")
    monkeypatch.setattr(dev, "find_program", lambda *_: "found")
    monkeypatch.setattr(dev.os, "chdir", lambda _: None)
    monkeypatch.setattr(dev.os, "execve", lambda _, command, __: turned_into.append(command))
    dev.test(["-k", "name", "--help"])
    assert turned_into == [["python", "-m", "pytest", "-k", "name", "--help"]]
