"""Where a verified request's time goes, in this process and without sockets: python -m bench.layers.

Not called ``profile``: a file of that name beside a program hides the standard library's module,
which ``cProfile`` imports.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import signal
import sys
import time
from collections.abc import Callable, Sequence

from bench.stage import DATABASES, SERVER, bounded, check_loopback, stage


def main(arguments: Sequence[str] | None = None) -> int:
    """Make an installation, load the application into this process, and print the layers."""
    options = parse(arguments)
    # A stop from outside must reach the clean-up of the database, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = {"users": max(options.tokens // 10, 1), "tokens": options.tokens}
    # Nothing is flushed by itself, because a flush in the middle would be counted as a layer.
    with stage(options.database, **sizes, server=options.server, flush_seconds=0) as ready:
        os.environ.update(ready.environ)
        values = ready.values.read_text().split()[: options.rotation]
        import django

        django.setup()
        from bench.calls import Calls

        calls = Calls(values)
        try:
            print(f"\n## {options.database}, µs a call, best of {options.batches} batches\n")
            print("| layer | CPU of this process | elapsed |\n|---|---|---|")
            for title, call in calls.layers():
                cpu, elapsed = timed(call, options.calls, options.batches, warm=len(values))
                print(f"| {title} | {cpu:.1f} | {elapsed:.1f} |", flush=True)
            if options.profile:
                print(f"\n```\n{profiled(calls.request, options.calls)}```")
        finally:
            calls.close()
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=__doc__)
    parser.add_argument("--database", choices=DATABASES, default="sqlite")
    parser.add_argument("--server", default=os.environ.get("DATABASE_URL") or SERVER)
    parser.add_argument("--tokens", type=bounded(10, 20_000_000), default=100_000)
    parser.add_argument("--rotation", type=bounded(1, 100_000), default=500)
    parser.add_argument("--calls", type=bounded(1, 100_000), default=500, help="calls of a batch")
    parser.add_argument("--batches", type=bounded(1, 1_000), default=25)
    parser.add_argument("--profile", action="store_true", help="print cProfile's table as well")
    options = parser.parse_args(arguments)
    if options.database == "postgresql":
        check_loopback(options.server)
    return options


def timed(
    call: Callable[[], object], calls: int, batches: int, *, warm: int
) -> tuple[float, float]:
    """Return the microseconds of one call: of this process's CPU, and on the clock.

    The best batch counts, because whatever else runs on the machine can only make one slower.
    """
    for _ in range(warm):
        call()
    cpu, elapsed = [], []
    for _ in range(batches):
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        cpu.append(time.process_time() - began_cpu)
        elapsed.append(time.perf_counter() - began)
    return min(cpu) / calls * 1e6, min(elapsed) / calls * 1e6


def profiled(call: Callable[[], object], calls: int) -> str:
    """Return the functions in which ``call`` spends its time, the costliest first."""
    profile = cProfile.Profile()
    with profile:
        for _ in range(calls):
            call()
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(40)
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
