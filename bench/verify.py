"""What a verified request costs, as ratios: python -m bench.verify --help, and bench/README.md."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.load import Load, Sample, Target, answer_of, measure
from bench.stage import DATABASES, SERVER, Stage, bounded, check_loopback, serving, stage

BARE, ONE_QUERY, OURS = "bare", "one-query", "console"
APPLICATIONS = {
    BARE: ("bench.bare:application", "/bare", "Django view, constant JSON, nothing else"),
    ONE_QUERY: ("bench.one_query:application", "/one-query", "one ORM query + HMAC, no middleware"),
    OURS: ("skytells_console.wsgi:application", "/api/v1/token", "the console as it is served"),
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
            rotation = _rotation(ready, options.rotation)
            load = Load(options.wrk, options.connections, rotation)
            print(f"\n## {database}\n\nSeeded: {ready.seeded}\nLoad: {load}.", flush=True)
            with targets(ready, options.workers) as served:
                samples = rounds(served, load, options)
        print(table(list(APPLICATIONS), samples), flush=True)
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
    return options


def _rotation(ready: Stage, number: int) -> Path:
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
    """Serve all three applications and yield them once each has answered as it should."""
    with contextlib.ExitStack() as stack:
        served = []
        for name, (application, path, what) in APPLICATIONS.items():
            environ = dict(ready.environ)
            if name == ONE_QUERY:
                environ["DJANGO_SETTINGS_MODULE"] = "bench.one_query_settings"
            log = ready.folder / f"{name}.log"
            port = stack.enter_context(serving(application, environ, workers=workers, log=log))
            target = Target(name, what, port, path)
            try:
                _check(target, ready.values.read_text().split()[0])
            except OSError as error:
                sys.exit(f"{name} does not answer ({error}): {log.read_text()[-2000:]}")
            served.append(target)
        yield served


def _check(target: Target, value: str) -> None:
    status, body = answer_of(target, value)
    if status != 200:
        sys.exit(f"{target.name} answers {status}: {body[:200]}")
    # The wrong value differs in one digit, so that its checksum fails too.
    wrong = value[:-1] + ("0" if value[-1] != "0" else "1")
    if target.name != BARE and answer_of(target, wrong)[0] != 401:
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

    The first sight of a token is written at once in each process; a day's later requests are not
    like it, and they are what is measured. A worker may miss a token in one pass, hence several.
    """
    for target in served:
        passes = 4 * options.workers if target.name == OURS else 1
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
            f"`{name}` {APPLICATIONS[name][2]}",
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
