"""Every screen of the admin among a million tokens: python -m bench.admin.

Each screen is asked of an installation of many ages and states, through every middleware and template,
in this process: once as found, then up to four times more, of which the best counts; a last time to count
its queries. Prints a table; a screen that takes longer than a second at its best is marked, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.admin_screens import Screen, screens
from bench.stage import DATABASES, SERVER, bounded, check_loopback, refuse_what_is_real, run, stage

SIZES = {"postgresql": (10_000, 1_000_000), "sqlite": (1_000, 100_000)}
REPEATS = 4
SLOWEST = 1_000.0
BEGINNING = 20_000
EMAIL, PASSWORD = "bench-root@example.invalid", "only for the bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make an installation on each database, and ask it for every screen."""
    parser = argparse.ArgumentParser(prog="python -m bench.admin", description=__doc__)
    parser.add_argument("--databases", default=",".join(DATABASES))
    parser.add_argument("--server", type=check_loopback, default=SERVER)
    parser.add_argument("--people", type=bounded(1, 100_000))
    parser.add_argument("--tokens", type=bounded(2_000, 20_000_000))
    parser.add_argument("--whole-exports", action="store_true", help="read exports to their end")
    parser.add_argument("--only", default="", help="screens whose name holds this word")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        return inside(options.only, whole=options.whole_exports)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    slow = 0
    for database in options.databases.split(","):
        people, tokens = SIZES[database]
        people, tokens = options.people or people, options.tokens or tokens
        with stage(database, users=people, tokens=0, server=options.server) as here:
            environ = here.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
            code = f"django.setup(); from bench import crowd; crowd.fill({people}, {tokens})"
            run(environ, "-c", f"import django; {code}")
            asked = ["--inside", f"--only={options.only}"]
            asked += ["--whole-exports"] if options.whole_exports else []
            printed = run(environ, "-m", "bench.admin", *asked)
        print(f"{database}, {tokens} tokens of {people} people:\n{printed}", flush=True)
        slow += "**" in printed
    return int(slow > 0)


def inside(only: str, *, whole: bool) -> int:
    """Ask for every screen in this process, and print what each cost."""
    import django

    django.setup()
    refuse_what_is_real()
    from django.core import management

    management.call_command("migrate", verbosity=0)
    client = _signed_in()
    print(f"{'screen':<46} {'best, ms':>9} {'first, ms':>9} {'queries':>7} {'KB':>6}")
    for screen in screens():
        if only not in screen.name:
            continue
        answer = _measure(client, screen, whole=whole)
        linked = re.findall(r"[?&;]p=(\d+)", answer.content.decode()) if screen.leafed else []
        pages = max(map(int, linked), default=1)
        if pages > 1:
            path = f"{screen.path}&p={pages}"
            _measure(client, Screen(f"{screen.name}, page {pages}", path), whole=whole)
    return 0


def _signed_in() -> Any:
    from allauth.account.models import EmailAddress
    from django.test import Client

    from skytells_console.models import User

    client = Client(SERVER_NAME="localhost")
    User.objects.filter(email=EMAIL).first() or User.objects.create_superuser(EMAIL, PASSWORD)
    user = User.objects.get(email=EMAIL)
    user.set_password(PASSWORD)
    user.save()
    EmailAddress.objects.get_or_create(user=user, email=EMAIL, verified=True, primary=True)
    answer = client.post("/account/sign-in", {"login": EMAIL, "password": PASSWORD})
    assert answer.status_code == 302, answer.status_code
    return client


def _measure(client: Any, screen: Screen, *, whole: bool) -> Any:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from tokens.models import RateLimit

    times = []
    for _ in range(1 + REPEATS):
        times.append(_ask(client, screen))
        if times[-1] > SLOWEST and len(times) > 2:
            break
    RateLimit.objects.all().delete()
    with CaptureQueriesContext(connection) as queries:
        answer = _sent(client, screen)
        size = _size(answer, screen)
    best, first = min(times[1:] or times), times[0]
    mark = "**" if best > SLOWEST else ""
    print(
        f"{screen.name:<46} {mark}{best:>9.1f}{mark} {first:>9.1f} {len(queries):>7} {size:>6}",
        flush=True,
    )
    if screen.exported and whole:
        began = time.perf_counter()
        size = sum(map(len, client.get(screen.path).streaming_content)) // 1024
        print(f"{screen.name + ', to its end':<46} {time.perf_counter() - began:>9.1f} s {size} KB")
    return answer


def _ask(client: Any, screen: Screen) -> float:
    began = time.perf_counter()
    _size(_sent(client, screen), screen)
    return (time.perf_counter() - began) * 1_000


def _sent(client: Any, screen: Screen) -> Any:
    if screen.sent is None:
        return client.get(screen.path)
    return client.post(screen.path, screen.sent)


def _size(answer: Any, screen: Screen) -> int:
    """Read the answer, of an export no more than its beginning; return its kilobytes."""
    assert answer.status_code in {200, 303}, (screen, answer.status_code)
    if not screen.exported:
        return len(b"".join(answer) if answer.streaming else answer.content) // 1024
    read = 0
    for piece in answer.streaming_content:
        read += len(piece)
        if read > BEGINNING:
            break
    answer.close()
    return read // 1024


if __name__ == "__main__":
    sys.exit(main())
