"""Compare a purge with bare batched DELETE statements of the same rows; see bench/README.md.

In one process and on one database, in turn: some tokens by ``tokens.retention``, as many by the fewest
statements that remove the same rows. In turn, because whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from datetime import timedelta
from typing import Any

from bench import stage

BATCH = 500
SMALLEST_RATIO = 0.5
PLACE = "scope, consumer_key, network, client, consumer_name, service"
# What a token that was used leaves behind, besides its own row.
TABLES = (
    "tokens_tokenuse",
    "tokens_tokenconsumer",
    "tokens_tokenactivity",
    "tokens_notice",
)


def main() -> int:
    """Measure on each database; return 1 when a purge is slower than half of the bare statements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=stage.bounded(1, 99), default=9)
    parser.add_argument("--tokens", type=stage.bounded(BATCH, 100_000), default=5_000)
    parser.add_argument("--databases", default=",".join(stage.DATABASES))
    parser.add_argument("--server", type=stage.check_loopback, default=stage.SERVER)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.rounds, options.tokens)
        return 0
    worst = 1.0
    for database in options.databases.split(","):
        with stage.stage(database, users=50, tokens=BATCH, server=options.server) as here:
            sizes = [f"--rounds={options.rounds}", f"--tokens={options.tokens}"]
            printed = stage.run(here.environ, "-m", "bench.purge", "--inside", *sizes)
        print(f"{database}: {printed.strip()}", flush=True)
        worst = min(worst, float(printed.split()[-1]))
    print(f"worst ratio {worst:.2f}, allowed {SMALLEST_RATIO}")
    return int(worst < SMALLEST_RATIO)


def inside(rounds: int, tokens: int) -> None:
    """Purge and delete in turn, and print the medians of tokens a second and their ratio last."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skytells_console.settings")
    django.setup()
    rates: dict[Any, list[float]] = {purge: [], delete: []}
    ratios = []
    for each in range(rounds):
        fill(tokens)
        for way in (purge, delete) if each % 2 else (delete, purge):
            began = time.perf_counter()
            way(tokens)
            rates[way].append(tokens / (time.perf_counter() - began))
        ratios.append(rates[purge][-1] / rates[delete][-1])
    ours, bare = (statistics.median(rates[way]) for way in (purge, delete))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(
        f"bare {bare:.0f} tokens a second, purge {ours:.0f}; ratio in a round {spread}, median "
        f"{statistics.median(ratios):.2f}"
    )


def fill(tokens: int) -> None:
    """Make twice as many ended tokens, each with use, its consumer, its last use and a mail."""
    from django.db import connection
    from django.utils import timezone

    from skytells_console.models import User
    from tokens import lifecycle
    from tokens.lifecycle import Wish
    from tokens.origin import Door, Origin

    now = timezone.now()
    owners = list(User.objects.all()[:50])
    wish = Wish(name="bench", scopes=["inference"], expires_at=now - timedelta(days=100))
    for _ in range(0, 2 * tokens, BATCH):
        lifecycle.issue_many(
            owners=[owners[n % len(owners)] for n in range(BATCH)],
            wishes=[wish] * BATCH,
            origin=Origin(at=now - timedelta(days=110), door=Door.COMMAND),
        )
    ended = "FROM tokens_accesstoken WHERE expires_at < %s"
    before = connection.ops.adapt_datetimefield_value(now - timedelta(days=90))
    for columns, values in (
        ("tokenactivity (token_id, last_used_at, client)", "id, created_at, 'curl'"),
        (
            f"tokenconsumer (token_id, {PLACE}, first_at, last_at, days, count, gaps)",
            "id, '', 'c', '', '', '', '', created_at, created_at, 1, 1, '[]'",
        ),
        (
            f"tokenuse (token_id, day, {PLACE}, allowed, refused, last_at)",
            "id, DATE(created_at), '', 'c', '', '', '', '', 1, 0, created_at",
        ),
        (
            "notice (owner_id, token_id, kind, subject, data, due_at, sent_at)",
            "owner_id, id, 'token_created', CAST(public_id AS text), '{}', created_at, created_at",
        ),
    ):
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO tokens_{columns} SELECT {values} {ended}", [before])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def purge(tokens: int) -> None:
    """Remove as many tokens as retention does it, with its locks, its events and its rests."""
    from django.utils import timezone

    from tokens import retention
    from tokens.origin import Door, Origin

    origin = Origin(at=timezone.now(), door=Door.COMMAND)
    done = 0
    for batch in retention.purge(origin=origin, older_than=timedelta(days=90), batch_size=BATCH):
        done += batch.tokens
        if done >= tokens:
            return


def delete(tokens: int) -> None:
    """Remove as many tokens with the fewest statements: ids, and one DELETE a table."""
    from django.db import connection, transaction
    from django.utils import timezone

    from tokens.models.many import one_of

    now = timezone.now() - timedelta(days=90)
    before = connection.ops.adapt_datetimefield_value(now)
    choose = (
        "SELECT id FROM tokens_accesstoken WHERE expires_at < %s AND revoked_at IS NULL"
        " ORDER BY expires_at LIMIT %s"
    )
    for _ in range(0, tokens, BATCH):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(choose, [before, BATCH])
            these, ids = one_of([row[0] for row in cursor.fetchall()])
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table} WHERE token_id {these}", [ids])  # noqa: S608
            cursor.execute(f"DELETE FROM tokens_accesstoken WHERE id {these}", [ids])  # noqa: S608


if __name__ == "__main__":
    sys.exit(main())
