"""A verdict among many tokens and among few, and which gunicorn worker gives it: python -m bench.growth.

Two installations, one with 1,000 tokens and one with 1,000,000, are asked the same in turn; then the
small one is served by each kind of worker in turn. In turn, because what else the machine does then
falls on all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.load import Load, Target, measure
from bench.stage import DATABASES, SERVER, Stage, bounded, serving, stage
from bench.verify import rotation

SMALL = 1_000
PATH = "/api/v1/auth/verify?scope=projects.read"
APPLICATION = "skytells_console.wsgi:application"
# A kind of worker is what gunicorn is told; each has two processes' worth of it.
WORKERS = {
    "2 sync": (2, ["--worker-class", "sync", "--threads", "1"]),
    "4 sync": (4, ["--worker-class", "sync", "--threads", "1"]),
    "2 gthread of 4, kept alive": (2, ["--worker-class", "gthread", "--threads", "4"]),
    "2 gthread of 4, not kept alive": (
        2,
        ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "0"],
    ),
    "1 gthread of 8, kept alive": (1, ["--worker-class", "gthread", "--threads", "8"]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--server", default=SERVER)
    parser.add_argument("--tokens", type=bounded(SMALL, 20_000_000), default=1_000_000)
    parser.add_argument("--rounds", type=bounded(1, 50), default=15)
    parser.add_argument("--seconds", type=bounded(1, 60), default=2)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        few, many = (
            stack.enter_context(
                stage(options.database, users=tokens // 10, tokens=tokens, server=options.server)
            )
            for tokens in (SMALL, options.tokens)
        )
        sizes = {f"{SMALL} tokens": few, f"{options.tokens} tokens": many}
        sync = WORKERS["2 sync"]
        compare(
            {name: stack.enter_context(served(each, name, *sync)) for name, each in sizes.items()},
            options,
        )
        compare(
            {name: stack.enter_context(served(few, name, *kind)) for name, kind in WORKERS.items()},
            options,
        )
    return 0


@contextlib.contextmanager
def served(
    ready: Stage, name: str, workers: int, kind: Sequence[str]
) -> Iterator[tuple[Target, Load]]:
    """Serve the console over an installation; yield what is asked of it, once it is warm."""
    values: Path = rotation(ready, SMALL)
    load = Load(shutil.which("wrk"), 8, values)
    log = ready.folder / "growth.log"
    with serving(APPLICATION, ready.environ, workers=workers, log=log, kind=kind) as port:
        target = Target(name, name, port, PATH, 204)
        for _ in range(3):
            measure(target, load, 2, 0)
        yield target, load


def compare(targets: dict[str, tuple[Target, Load]], options: argparse.Namespace) -> None:
    """Load all in turn, and print rates and each one's time by the first one's, round by round."""
    rates: dict[str, list[float]] = {name: [] for name in targets}
    idle: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(options.rounds):
        for name, (target, load) in random.sample(list(targets.items()), len(targets)):
            sample = measure(target, load, options.seconds, random.randrange(SMALL))
            assert not sample.errors, f"{name} refused {sample.errors} requests."
            rates[name].append(sample.rate)
            idle[name].append(sample.idle or 0.0)
    first = rates[next(iter(rates))]
    print("\n| | answers a second, median | spread | time ÷ the first's | CPU idle |")
    print("|---|---|---|---|---|")
    for name, each in rates.items():
        slower = statistics.median(mine / other for mine, other in zip(first, each, strict=True))
        print(
            f"| {options.database}: {name} | {statistics.median(each):.0f} "
            f"| {min(each):.0f}–{max(each):.0f} | {slower:.2f} "
            f"| {statistics.median(idle[name]):.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
