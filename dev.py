#!/usr/bin/env python3
"""The two commands of this project; they need Python and nothing else.

    python3 dev.py serve [--port 8000] [--sample]     serve the console on this machine
    python3 dev.py test [pytest arguments]            run the tests

Both first make the virtual environment (.venv, or where VENV says) and install the locked
requirements into it. Only the standard library is used, because nothing else is there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dev_programs import (
    CHROMIUM,
    NGINX,
    SYSTEMD,
    DevError,
    find_program,
    install_program,
    run_quietly,
    succeeds,
)

ROOT = Path(__file__).resolve().parent
HOST = "127.0.0.1"
FIRST_USER = "demo@example.com"
# Each list of requirements holds all of the ones before it: what the tests need also serves.
LOCKS = ("base", "postgres", "metrics", "dev")
VENV_HINT = "on Debian and Ubuntu, install the package python3-venv: apt-get install python3-venv"


# --- The virtual environment --------------------------------------------------------------------


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python for which the requirements are not locked."""
    if version < (3, 11):
        found = ".".join(str(part) for part in version)
        raise DevError(
            f"Python 3.11 or newer is needed, but this is {found}; "
            "run dev.py with a newer one, for example: python3.11 dev.py serve"
        )


def stamp_of(lock: str) -> str:
    """Return what the stamp file says once this list of requirements is installed."""
    content = (ROOT / "requirements" / f"{lock}.txt").read_bytes()
    return f"{lock} {hashlib.sha256(content).hexdigest()}"


def is_installed(venv: Path, lock: str) -> bool:
    """Tell whether the environment holds these requirements, alone or within a longer list."""
    stamp = venv / "requirements.stamp"
    if not stamp.exists() or not (venv / "bin" / "python").exists():
        return False
    return stamp.read_text() in [stamp_of(name) for name in LOCKS[LOCKS.index(lock) :]]


def ensure_environment(lock: str, environ: Mapping[str, str]) -> str:
    """Make the virtual environment hold the requirements of ``lock``; return its interpreter."""
    venv = ROOT / (environ.get("VENV") or ".venv")
    python = venv / "bin" / "python"
    if not is_installed(venv, lock):
        print(f"Installing requirements/{lock}.txt into {venv.name} ...")
        uv = find_uv(environ)
        if not python.exists():
            create_environment(venv, uv)
        stamp = venv / "requirements.stamp"
        stamp.unlink(missing_ok=True)
        requirements = str(ROOT / "requirements" / f"{lock}.txt")
        install = [*installer(str(python), uv), "--quiet", "--require-hashes", "-r", requirements]
        run_quietly("The requirements could not be installed.", *install)
        stamp.write_text(stamp_of(lock))
    return str(python)


def find_uv(environ: Mapping[str, str]) -> str | None:
    """Return uv if it is on the path and works; NO_UV=1 leaves it aside."""
    uv = None if environ.get("NO_UV") == "1" else shutil.which("uv", path=environ.get("PATH"))
    return uv if uv and succeeds(uv, "--version") else None


def create_environment(venv: Path, uv: str | None) -> None:
    """Make an empty virtual environment; neither way puts pip into it."""
    if uv:
        command = [uv, "venv", "--quiet", "--python", sys.executable]
    elif importlib.util.find_spec("venv"):
        command = [sys.executable, "-m", "venv", "--without-pip"]
    else:
        raise DevError(f"This Python has no venv module; {VENV_HINT}")
    # An environment whose interpreter is gone is made anew; any other folder is left as it is.
    clear = ["--clear"] if (venv / "pyvenv.cfg").exists() else []
    run_quietly("The virtual environment could not be made.", *command, *clear, str(venv))


def installer(python: str, uv: str | None) -> list[str]:
    """Return the command that installs into the environment of ``python``.

    The pip of this Python can install into another environment, one that uv made included; only
    where it is absent, or older than 22.3, does the environment get a pip of its own.
    """
    if uv:
        return [uv, "pip", "install", "--python", python]
    pip = [sys.executable, "-m", "pip", "--python", python]
    if not succeeds(*pip, "--version"):
        pip = [python, "-m", "pip"]
        if not succeeds(*pip, "--version") and not succeeds(python, "-m", "ensurepip"):
            raise DevError(f"This Python has neither pip nor ensurepip; {VENV_HINT}")
    return [*pip, "install", "--disable-pip-version-check", "--no-input"]


# --- Serving ------------------------------------------------------------------------------------


def serve(port: int, *, sample: bool) -> None:
    """Prepare this installation and turn into its web server."""
    check_port(port)
    environ = {**os.environ, **serving_defaults(port, os.environ)}
    python = ensure_environment(wanted_lock(environ), environ)
    write_secrets(environ)
    os.chdir(ROOT)
    manage(python, environ, "migrate", "--no-input", "--verbosity=0")
    manage(python, environ, "collectstatic", "--no-input", "--verbosity=0")
    manage(python, environ, "create_user", FIRST_USER, "--random-password", "--if-none")
    if sample:
        manage(python, environ, "create_sample")
    print(f"Skytells Console is at http://{HOST}:{port}/ (Ctrl-C stops it)")
    # This process becomes gunicorn, so that Ctrl-C and a supervisor's signals reach it directly.
    # No database connection is open here, hence none is shared with the workers.
    config = ["-c", "skytells_console/gunicorn.conf.py", "--bind", f"{HOST}:{port}"]
    command = [python, "-m", "gunicorn", *config, "skytells_console.wsgi:application"]
    os.execve(python, command, environ)  # noqa: S606


def wanted_lock(environ: Mapping[str, str]) -> str:
    """Return the shortest list of requirements that has what the environment asks for."""
    given = {name.removesuffix("_FILE") for name, value in environ.items() if value}
    if "METRICS_SECRET" in given:
        return "metrics"
    return "postgres" if "DATABASE_URL" in given else "base"


def check_port(port: int) -> None:
    """Find out before the long work whether the server will be able to listen."""
    if not 1 <= port <= 65535:
        raise DevError("A port is a number from 1 to 65535.")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # gunicorn sets this option too; without it a port counts as used for a while after a stop.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other = f"choose another one, for example --port {port % 65535 + 1}"
            raise DevError(f"Port {port} cannot be used ({error.strerror}): {other}.") from error


def serving_defaults(port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the application needs from the environment and does not have yet."""
    state = Path(environ.get("STATE_DIR") or ROOT / ".state").resolve()
    defaults = {
        "DJANGO_SETTINGS_MODULE": "skytells_console.settings",
        "PUBLIC_URL": f"http://{HOST}:{port}",
    }
    for name in ("SECRET_KEY", "TOKEN_PEPPERS"):
        # A secret that is given by value must not be given by file as well.
        if not environ.get(name):
            defaults[f"{name}_FILE"] = str(state / name.lower())
    missing = {name: value for name, value in defaults.items() if not environ.get(name)}
    # The application runs in the project's folder, so a relative path would mean another place.
    return {**missing, "STATE_DIR": str(state)}


def write_secrets(environ: Mapping[str, str]) -> None:
    """Write the installation's own secrets; secrets that stand elsewhere are the operator's."""
    state = Path(environ["STATE_DIR"])
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    tighten(state)
    # Pepper number 1 and its value, 64 hexadecimal digits.
    fresh = {"secret_key": secrets.token_urlsafe(64), "token_peppers": f"1:{secrets.token_hex(32)}"}
    for name, content in fresh.items():
        if environ.get(f"{name.upper()}_FILE") == str(state / name):
            write_once(state / name, content)


def tighten(folder: Path) -> None:
    """Close a folder that was there before to everybody but its owner.

    One with the sticky bit, such as /tmp, was made for many and would break for all of them.
    """
    mode = folder.stat().st_mode
    if mode & 0o077 and not mode & stat.S_ISVTX:
        folder.chmod(0o700)


def write_once(path: Path, content: str) -> None:
    """Create a file that only its owner may read, and never change one that exists.

    The content is written aside and then linked into place: linking fails when the name is taken,
    so of two processes one wins, and nobody ever reads a file half written.
    """
    if path.exists():
        return
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(content + "\n")
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def manage(python: str, environ: Mapping[str, str], *arguments: str) -> None:
    """Run one of the application's commands; what it prints is for the person to read."""
    done = subprocess.run([python, "manage.py", *arguments], cwd=ROOT, env=environ, check=False)
    if done.returncode:
        raise DevError(f"manage.py {arguments[0]} failed; its message stands above.")


# --- Testing ------------------------------------------------------------------------------------


def test(arguments: list[str]) -> None:
    """Prepare what the tests need and turn into pytest."""
    environ = dict(os.environ)
    python = ensure_environment("dev", environ)
    for program in (CHROMIUM, NGINX, SYSTEMD):
        found = find_program(program, environ) or install_program(program, environ)
        if found:
            environ[program.variable] = found
    # pytest-django would prefer this variable to the tests' own settings.
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    os.chdir(ROOT)
    os.execve(python, [python, "-m", "pytest", *arguments], environ)  # noqa: S606


# --- The terminal -------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Do what the command line asks; both commands turn into another program when all is well."""
    parser = argparse.ArgumentParser(prog="dev.py", description="Serve the console, or test it.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve the console on this machine")
    serving.add_argument("--port", type=int, default=8000, metavar="N")
    serving.add_argument("--sample", action="store_true", help="add sample tokens to look at")
    commands.add_parser("test", help="run the tests; all that follows goes to pytest")
    # Each line appears at once, also in a file and before this process turns into another program.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        check_python(sys.version_info[:3])
        # pytest has options of its own, --help among them, so argparse must not read them.
        if arguments[:1] == ["test"]:
            test(arguments[1:])
        options = parser.parse_args(arguments)
        serve(options.port, sample=options.sample)
    except (DevError, OSError) as error:
        print(f"dev.py: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
