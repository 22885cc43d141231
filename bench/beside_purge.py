"""Measure how long people wait while a purge runs beside them; see bench/README.md.

The console answers wrk, in turn without and with ``purge_expired_tokens`` beside it: a token's own
facts over the API, and a person's list of tokens. Prints the p99 of each and their ratio.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from bench import stage

PLACES = {"api": "/api/v1/token", "page": "/settings/tokens"}
LARGEST_RATIO = 2.0
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def main() -> int:
    """Measure both places on each database; return 1 when people wait more than twice as long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=stage.bounded(1, 40), default=4)
    parser.add_argument("--seconds", type=stage.bounded(1, 60), default=6)
    parser.add_argument("--connections", type=stage.bounded(1, 64), default=2)
    parser.add_argument("--tokens", type=stage.bounded(1_000, 2_000_000), default=150_000)
    parser.add_argument("--places", default=",".join(PLACES), help="which of api, page")
    parser.add_argument("--databases", default=",".join(stage.DATABASES))
    parser.add_argument("--server", type=stage.check_loopback, default=stage.SERVER)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside)
        return 0
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: it is the only client here that measures a p99.")
    worst = 0.0
    for database in options.databases.split(","):
        with stage.stage(database, users=50, tokens=1_000, server=options.server) as here:
            printed = stage.run(
                here.environ, "-m", "bench.beside_purge", f"--inside={options.tokens}"
            )
            stage.run(here.environ, "manage.py", "collectstatic", "--no-input", "--verbosity=0")
            worst = max(worst, measure(database, here, printed.split()[-1], options))
    print(f"worst ratio {worst:.2f}, allowed {LARGEST_RATIO}")
    return int(worst > LARGEST_RATIO)


def measure(database: str, here: stage.Stage, session: str, options: argparse.Namespace) -> float:
    """Load each place in turn with and without a purge; return the worst ratio of the medians."""
    value = here.values.read_text().split("\n", 1)[0]
    headers = {
        "api": f"Authorization: Bearer {value}",
        "page": f"Cookie: session={session}",
    }
    waits: dict[tuple[str, bool], list[float]] = {}
    log = here.folder / "log"
    with stage.serving("skytells_console.wsgi", here.environ, workers=2, log=log) as port:
        load(port, "api", headers["api"], options.connections, 2)
        load(port, "page", headers["page"], options.connections, 2)
        for each in range(options.rounds):
            for place in options.places.split(","):
                for purging in (False, True) if each % 2 else (True, False):
                    beside = _purge(here) if purging else None
                    found = load(port, place, headers[place], options.connections, options.seconds)
                    if beside is not None:
                        if beside.poll() is not None:
                            sys.exit("The purge was done before the load was: give more --tokens.")
                        beside.kill()
                        beside.wait()
                    waits.setdefault((place, purging), []).append(found)
    worst = 0.0
    for place in options.places.split(","):
        quiet, busy = (statistics.median(waits[place, purging]) for purging in (False, True))
        worst = max(worst, busy / quiet)
        print(f"{database} {place}: p99 {quiet:.1f} ms, beside a purge {busy:.1f} ms, ", end="")
        print(f"ratio {busy / quiet:.2f}  {waits[place, False]} {waits[place, True]}", flush=True)
    return worst


def load(port: int, place: str, header: str, connections: int, seconds: int) -> float:
    """Ask for ``place`` for that long; return the p99 in milliseconds."""
    url = f"http://{stage.HOST}:{port}{PLACES[place]}"
    command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", header, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    if "Non-2xx" in done.stdout:
        sys.exit(f"{place} did not answer 200:\n{done.stdout}")
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert found, done.stdout
    return float(found[1]) * _UNITS[found[2]]


def _purge(here: stage.Stage) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "purge_expired_tokens"],
        cwd=Path(stage.ROOT),
        env=here.environ,
        stdout=subprocess.DEVNULL,
    )


def inside(tokens: int) -> None:
    """Fill the database with what a purge removes, and print the key of a session."""
    import django

    django.setup()
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from bench.purge import fill
    from skytells_console.models import User

    fill(tokens // 2)
    person = User.objects.order_by("pk").first()
    assert person is not None
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    print(session.session_key)


if __name__ == "__main__":
    sys.exit(main())
