"""What ``dev.py`` asks of the machine: other programs, and how to run one without its noise.

Like ``dev.py`` it uses the standard library only, because nothing else is there yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple


class DevError(Exception):
    """What went wrong, as the sentence that the person at the terminal reads."""


def succeeds(*command: str) -> bool:
    """Tell whether a command can be started and ends well."""
    try:
        run_quietly("", *command)
    except (DevError, OSError):
        return False
    return True


def run_quietly(sentence: str, *command: str) -> None:
    """Run a command; when it fails, show the end of what it said, below the sentence."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).decode(errors="replace").rstrip().splitlines()
        raise DevError("\n".join([f"{sentence} Its last lines were:", "", *lines[-15:]]))


# --- Programs that tests need -------------------------------------------------------------------


class Program(NamedTuple):
    """A program of the machine that tests need: the variable that may name it, and its names."""

    title: str
    variable: str
    package: str
    names: tuple[str, ...]
    tests: str


CHROMIUM = Program(
    "Chromium",
    "CHROMIUM",
    "chromium",
    ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "browser tests",
)
# Servers stand in a folder that is on nobody's path but root's.
NGINX = Program("nginx", "NGINX", "nginx", ("nginx", "/usr/sbin/nginx"), "tests of proxies")
SYSTEMD = Program(
    "systemd-analyze", "SYSTEMD_ANALYZE", "systemd", ("systemd-analyze",), "tests of units"
)


def find_program(program: Program, environ: Mapping[str, str]) -> str | None:
    """Return the program that its variable names, else the first one on the path, else nothing."""
    named = environ.get(program.variable)
    found = (
        shutil.which(name, path=environ.get("PATH"))
        for name in ([named] if named else program.names)
    )
    return next((path for path in found if path), None)


def install_program(program: Program, environ: Mapping[str, str]) -> str | None:
    """Install Debian's package where that is allowed; return the program, or say why there is none."""
    become_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if environ.get(program.variable):
        print(f"{program.variable} names no program, so nothing runs the {program.tests}.")
        return None
    if not shutil.which("apt-get") or not succeeds(*become_root, "true"):
        print(
            f"No {program.title} was found, nor may it be installed from here: "
            f"install it or set {program.variable}."
        )
        return None
    print(f"Installing Debian's package {program.package} for the {program.tests} ...")
    # On a machine that has just started, another apt-get may hold the lock for a while.
    apt = [*become_root, "env", "DEBIAN_FRONTEND=noninteractive"]
    apt += ["apt-get", "--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"]
    try:
        run_quietly("The list of Debian's packages could not be read.", *apt, "update")
        install = ["install", "--no-install-recommends", program.package]
        run_quietly(f"Debian's package {program.package} could not be installed.", *apt, *install)
        # A server that was installed for tests alone must not serve anything by itself.
        succeeds(*become_root, "systemctl", "disable", "--now", program.package)
    except DevError as error:
        print(error)
    return find_program(program, environ)
