"""What recording use adds to a verified request, in µs and in statements: python -m bench.recording.

Four kinds of a request are taken in turn, so that whatever else the machine does slows all of them
alike; the best batch of each counts. Nothing leaves this process.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.stage import DATABASES, SERVER, bounded, check_loopback, stage

if TYPE_CHECKING:
    from bench.calls import Calls

Batch = Callable[[], object]
WITHOUT = "without recording"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make an installation, load the application into this process, and print what recording adds."""
    options = parse(arguments)
    # A stop from outside must reach the clean-up of the database, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = {"users": max(options.tokens // 10, 1), "tokens": options.tokens}
    with stage(options.database, **sizes, server=options.server, flush_seconds=0) as ready:
        os.environ.update(ready.environ)
        values = ready.values.read_text().split()[: options.rotation]
        import django

        django.setup()
        from bench.calls import Calls

        calls = Calls(values)
        try:
            report(options, measured(kinds(calls), options.batches), len(values))
        finally:
            calls.close()
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.recording", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--server", default=os.environ.get("DATABASE_URL") or SERVER)
    parser.add_argument("--tokens", type=bounded(10, 20_000_000), default=20_000)
    parser.add_argument("--rotation", type=bounded(1, 100_000), default=500)
    parser.add_argument("--batches", type=bounded(1, 1_000), default=15)
    options = parser.parse_args(arguments)
    if options.database == "postgresql":
        check_loopback(options.server)
    return options


def kinds(calls: Calls) -> dict[str, tuple[Batch, Batch]]:
    """Return, by title, what prepares a batch and the batch: each token once, or one flush of all."""
    from tokens import usage

    record = usage.record

    def every_token() -> None:
        for _ in calls.values:
            calls.request()

    def count(*, counting: bool) -> None:
        usage.record = record if counting else lambda **_: None

    def without() -> None:
        count(counting=False)

    def seen_before() -> None:
        count(counting=True)
        every_token()
        usage.flush()

    def first_sight() -> None:
        count(counting=True)
        usage.forget_gathered()

    def one_more_of_each() -> None:
        seen_before()
        every_token()

    return {
        WITHOUT: (without, every_token),
        "with recording, counted in memory": (seen_before, every_token),
        "with recording, first sight of the day": (first_sight, every_token),
        "the flush, a line": (one_more_of_each, usage.flush),
    }


def measured(
    batches: dict[str, tuple[Batch, Batch]], rounds: int
) -> dict[str, tuple[list[float], list[float], float]]:
    """Return CPU and elapsed seconds of each batch, and how many statements one of them needed."""
    from django.db import connection

    found: dict[str, tuple[list[float], list[float], float]] = {}
    # Each token's first use is noted once in its life, which is no cost of recording.
    batches[WITHOUT][1]()
    for title, (prepare, batch) in batches.items():
        prepare()
        statements = Statements()
        with connection.execute_wrapper(statements):
            batch()
        found[title] = ([], [], statements.number)
    for _ in range(rounds):
        for title, (prepare, batch) in batches.items():
            prepare()
            began, began_cpu = time.perf_counter(), time.process_time()
            batch()
            found[title][0].append(time.process_time() - began_cpu)
            found[title][1].append(time.perf_counter() - began)
    return found


class Statements:
    """Counts what is sent to the database; ``executemany`` counts once, whatever the rows."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        """Pass a statement on and count it."""
        self.number += 1
        return execute(sql, params, many, context)


def report(
    options: argparse.Namespace,
    found: dict[str, tuple[list[float], list[float], float]],
    each: int,
) -> None:
    """Print the costs of one request, and how many times the cost without recording that is."""
    plain = min(found[WITHOUT][1])
    ratios = {
        title: statistics.median(
            mine / bare for mine, bare in zip(elapsed, found[WITHOUT][1], strict=True)
        )
        for title, (_, elapsed, _) in found.items()
    }
    print(f"\n## {options.database}, µs a request, best of {options.batches} batches of {each}\n")
    print("| a request | CPU | elapsed | more than without | ratio, median | statements |")
    print("|---|---|---|---|---|---|")
    for title, (cpu, elapsed, statements) in found.items():
        more = (min(elapsed) - plain) / each * 1e6
        print(
            f"| {title} | {min(cpu) / each * 1e6:.0f} | {min(elapsed) / each * 1e6:.0f} "
            f"| {more:+.0f} | {ratios[title]:.2f} | {statements / each:.2f} |"
        )


if __name__ == "__main__":
    sys.exit(main())
