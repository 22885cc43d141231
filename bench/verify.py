"""What a verified request costs, as ratios: python -m bench.verify --help, and bench/README.md."""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bench.load import Load, Sample, Target, answer_of, measure
from bench.stage import (
    DATABASES,
    HOST,
    SERVER,
    Stage,
    bounded,
    check_loopback,
    run,
    serving,
    stage,
)

BARE, OURS = "bare", "console"


class Served(NamedTuple):
    """An application under gunicorn, and the settings it needs."""

    application: str
    settings: str = "skytells_console.settings"


class Asked(NamedTuple):
    """One line of the table: which application is asked for what, and how it should answer."""

    served: str
    path: str
    what: str
    good: int = 200
    kind: str = "bearer"


SERVED = {
    BARE: Served("bench.bare:application"),
    "orm": Served("bench.one_query:application", "bench.one_query_settings"),
    "raw": Served("bench.raw_query:application", "bench.raw_query_settings"),
    OURS: Served("skytells_console.wsgi:application"),
}
# A further endpoint of the console is one more line here.
ASKED = {
    BARE: Asked(BARE, "/bare", "Django view, constant JSON, nothing else"),
    "one-query": Asked("orm", "/one-query", "one ORM query + HMAC, no middleware"),
    "raw-query": Asked("raw", "/raw-query", "one fixed statement + HMAC, no middleware"),
    OURS: Asked(OURS, "/api/v1/token", "the console: GET /api/v1/token"),
    "verify": Asked(
        OURS, "/api/v1/auth/verify?scope=projects.read", "the console: GET /api/v1/auth/verify", 204
    ),
    "malformed": Asked(
        OURS, "/api/v1/token", "the console: one digit of the token is wrong", 401, "spoilt"
    ),
    "introspect": Asked(
        OURS, "/api/oauth/introspect", "the console: POST /api/oauth/introspect", 200, "introspect"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure on every database that was asked for and print one table each."""
    options = parse(arguments)
    # A stop from outside must reach the clean-up of servers and databases, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for database in options.databases:
        sizes = {"users": max(options.tokens // 10, 1), "tokens": options.tokens}
        with stage(
            database, **sizes, server=options.server, flush_seconds=options.flush_seconds
        ) as ready:
            chosen = rotation(ready, options.rotation)
            load = Load(options.wrk, options.connections, chosen)
            print(f"\n## {database}\n\nSeeded: {ready.seeded}\nLoad: {load}.", flush=True)
            with targets(ready, options.workers) as served:
                chosen_ones = [target for target in served if target.name in options.targets]
                samples = rounds(chosen_ones, load, options)
        print(table(list(samples), samples), flush=True)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; every size is bounded, so that a run always ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.verify", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument(
        "--server",
        default=os.environ.get("DATABASE_URL") or SERVER,
        help="PostgreSQL on this machine, where a database may be made and dropped",
    )
    parser.add_argument("--tokens", type=bounded(10, 20_000_000), default=100_000)
    parser.add_argument("--rotation", type=bounded(1, 100_000), default=5_000)
    # With fewer, rounds are shorter, and whatever else the machine does falls on all of them alike.
    parser.add_argument("--targets", nargs="+", choices=ASKED, default=list(ASKED))
    parser.add_argument("--rounds", type=bounded(1, 50), default=9)
    parser.add_argument("--seconds", type=bounded(1, 60), default=3)
    parser.add_argument("--workers", type=bounded(1, 32), default=2)
    parser.add_argument("--connections", type=bounded(1, 128), default=8)
    parser.add_argument("--flush-seconds", type=bounded(0, 3600), default=60)
    parser.add_argument("--wrk", default=shutil.which("wrk"), help="path of wrk; empty for none")
    options = parser.parse_args(arguments)
    if "postgresql" in options.databases:
        check_loopback(options.server)
    options.rotation = min(options.rotation, options.tokens)
    # Every ratio is to this one.
    options.targets = [BARE, *(name for name in options.targets if name != BARE)]
    return options


def rotation(ready: Stage, number: int) -> Path:
    """Write the tokens that are sent, evenly taken from all, into a file beside the values."""
    values = ready.values.read_text().split()
    chosen = values[:: max(len(values) // number, 1)][:number]
    random.shuffle(chosen)
    path = ready.folder / "rotation"
    path.touch(mode=0o600)
    path.write_text("\n".join(chosen) + "\n")
    return path


@contextlib.contextmanager
def targets(ready: Stage, workers: int) -> Iterator[list[Target]]:
    """Serve all applications and yield what is asked of them, once each has answered as it should."""
    credentials = _service(ready)
    value = ready.values.read_text().split()[0]
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, (application, settings) in SERVED.items():
            environ = ready.environ | {"DJANGO_SETTINGS_MODULE": settings}
            log = ready.folder / f"{name}.log"
            ports[name] = stack.enter_context(
                serving(application, environ, workers=workers, log=log)
            )
        targets = [
            Target(name, asked.what, ports[asked.served], asked.path, asked.good, asked.kind)
            for name, asked in ASKED.items()
        ]
        targets = [replace(target, credentials=credentials) for target in targets]
        for target in targets:
            try:
                _check(target, value)
            except OSError as error:
                log = ready.folder / f"{ASKED[target.name].served}.log"
                sys.exit(f"{target.name} does not answer ({error}): {log.read_text()[-2000:]}")
        yield targets
        print(f"Peak memory of the console's processes: {_peaks(ports[OURS])} MB.", flush=True)


def _service(ready: Stage) -> str:
    """Register a service that may introspect, and return its credentials as a header."""
    code = (
        "import django; django.setup()\n"
        "from django.utils import timezone\n"
        "from tokens import relying_parties, scopes\n"
        "from tokens.origin import Door, Origin\n"
        "origin = Origin(at=timezone.now(), door=Door.COMMAND)\n"
        "made = relying_parties.create(name='bench', scopes=list(scopes.BY_NAME), origin=origin)\n"
        "print(f'{made.service.client_id}:{made.secret.reveal()}')"
    )
    pair = run(ready.environ, "-c", code).strip()
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _peaks(port: int) -> list[int]:
    """Return the largest resident size that each process listening on ``port`` ever had, in MB."""
    found = subprocess.run(  # noqa: S603
        ["/usr/bin/env", "pgrep", "-f", f"bind {HOST}:{port} "],
        check=False,
        capture_output=True,
        text=True,
    )
    peaks = []
    for pid in found.stdout.split():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            peaks.append(round(int(status.partition("VmHWM:")[2].split()[0]) / 1024))
    return peaks


def _check(target: Target, value: str) -> None:
    status, body = answer_of(target, value)
    if status != target.good or (target.kind == "introspect" and '"active":true' not in body):
        sys.exit(f"{target.name} answers {status}: {body[:200]}")
    # The wrong value differs in one digit, so that its checksum fails too.
    wrong = replace(target, kind="spoilt")
    if target.kind == "bearer" and target.name != BARE and answer_of(wrong, value)[0] != 401:
        sys.exit(f"{target.name} does not refuse a wrong token.")


def rounds(
    served: list[Target], load: Load, options: argparse.Namespace
) -> dict[str, list[Sample]]:
    """Warm up, then measure every target in every round, in a new order each time."""
    _warm_up(served, load, options)
    samples: dict[str, list[Sample]] = {target.name: [] for target in served}
    for number in range(options.rounds):
        for target in random.sample(served, len(served)):
            start = random.randrange(options.rotation)
            samples[target.name].append(measure(target, load, options.seconds, start))
        rates = ", ".join(f"{name} {each[-1].rate:.0f}" for name, each in samples.items())
        print(f"round {number + 1}: {rates}", file=sys.stderr, flush=True)
    return samples


def _warm_up(served: list[Target], load: Load, options: argparse.Namespace) -> None:
    """Load each target until its tokens have been seen by every worker.

    The first use of a token in its life, and its first sight in each process, are written down; a
    day's later requests are not like it, and they are what is measured. Which worker answers is
    chance: with two of them, one token in sixteen is missed by one after four passes.
    """
    for target in served:
        passes = 2 * options.workers if ASKED[target.name].served == OURS else 1
        passes = 1 if target.name == "malformed" else passes
        sent, stretches = 0, 0
        while sent < passes * options.rotation and stretches < 60:
            sent += measure(target, load, 2, sent).requests
            stretches += 1


def table(names: Sequence[str], samples: dict[str, list[Sample]]) -> str:
    """Return the Markdown table: medians, spreads, and ratios within each round."""
    lines = [
        "",
        "| target | rps median | spread | ÷ bare | spread of ÷ | errors | CPU idle |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        rates = [each.rate for each in samples[name]]
        # Ratios are taken within a round: what else the machine did then slowed both alike.
        ratios = [
            mine.rate / floor.rate if floor.rate else 0.0
            for mine, floor in zip(samples[name], samples[BARE], strict=True)
        ]
        idle = [each.idle for each in samples[name] if each.idle is not None]
        cells = [
            f"`{name}` {ASKED[name].what}",
            f"{statistics.median(rates):.0f}",
            f"{min(rates):.0f}–{max(rates):.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            str(sum(each.errors for each in samples[name])),
            f"{statistics.median(idle):.0%}" if idle else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
