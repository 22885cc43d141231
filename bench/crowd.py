"""An installation as it looks after a year: tokens of all ages and states, their use, and events.

What ``seed_bench`` makes is new and alike, which no filter tells apart. Here tokens are issued by the
lifecycle with a clock that runs through the past; how they fared is written with plain statements, as
nothing real stands in this database.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from bench.stage import refuse_what_is_real

AGE = timedelta(days=300)
DAY = timedelta(days=1)
BATCH = 2_000
# Lifetimes in days and how many of a hundred tokens have each; 0 stands for "no expiration".
LIFETIMES = {0: 15, 366: 45, 90: 25, 30: 15}
USES = ("deploy", "ci", "billing-export", "notebook", "cli-macbook", "terraform", "smoke-tests")
CLIENTS = ("curl", "Node.js client", "Python requests", "Go client", "other")
NETWORKS = 2_000
SERVICES = 20
# Everybody has as many tokens as everybody else, but for one person with this share of them.
BUSIEST = 200


def fill(people: int, tokens: int, *, seed: int = 1) -> None:
    """Make the people, their tokens, what became of them, and more events than tokens."""
    from django.db import connection
    from django.utils import timezone

    refuse_what_is_real()
    draw = random.Random(seed)
    now = timezone.now()
    owners = _people(people)
    _issue(owners, tokens, now, draw)
    _fare(now, people, draw)
    _use(now, draw)
    _events(draw)
    with connection.cursor() as cursor:
        # What autovacuum would have done long ago.
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM")
        cursor.execute("ANALYZE")


def _people(number: int) -> list[Any]:
    from skytells_console.models import User

    made = User.objects.bulk_create(
        [
            User(
                email=f"person-{each:05d}@team{each % 97}.example.invalid",
                name=f"Person {each}",
                is_active=each % 100 != 99,
            )
            for each in range(number)
        ],
        batch_size=500,
    )
    services()
    return made


def services() -> None:
    """Register the services that some tokens are used through."""
    from django.utils import timezone

    from tokens import relying_parties
    from tokens.origin import Door, Origin

    origin = Origin(at=timezone.now(), door=Door.COMMAND)
    for each in range(SERVICES):
        relying_parties.create(name=f"service-{each}", scopes=["projects.read"], origin=origin)


def _issue(owners: list[Any], number: int, now: datetime, draw: random.Random) -> None:
    """Issue the tokens, the oldest first, handed round the people."""
    from tokens import lifecycle
    from tokens.lifecycle import Wish
    from tokens.origin import Door, Origin
    from tokens.scopes import PRESETS

    days, weights = list(LIFETIMES), list(LIFETIMES.values())
    for first in range(0, number, BATCH):
        size = min(BATCH, number - first)
        at = now - AGE * ((number - first) / number)
        lives = draw.choices(days, weights, k=size)
        lifecycle.issue_many(
            owners=[
                owners[0] if each % BUSIEST == 0 else owners[each % len(owners)]
                for each in range(first, first + size)
            ],
            wishes=[
                Wish(
                    name=f"{draw.choice(USES)}-{first + place:06d}",
                    scopes=tuple(draw.choice(PRESETS).scopes),
                    expires_at=at + life * DAY if life else None,
                )
                for place, life in enumerate(lives)
            ],
            origin=Origin(at=at, door=Door.COMMAND),
        )


def _fare(now: datetime, people: int, draw: random.Random) -> None:
    """Revoke, pause and rotate some of them at times that fit, and say how they were made."""
    from tokens.models import AccessToken, Created, RevokeKind

    rows = AccessToken.objects.order_by("pk").values_list("pk", "created_at", "expires_at")
    revoked, paused, old, new, made = [], [], [], [], []
    kinds = [str(kind) for kind in (RevokeKind.OWNER, RevokeKind.LEAKED, RevokeKind.UNUSED)]
    ways = [str(way) for way in (Created.CONSOLE, Created.CONSOLE, Created.DEVICE)]
    oldest = 0
    for pk, created, expires in rows.iterator(chunk_size=BATCH):
        oldest = oldest or pk
        until = min(now, expires) if expires else now
        some = created + (until - created) * draw.random()
        fate = draw.random()
        if fate < 0.08:
            revoked.append((some, draw.choice(kinds), pk))
        elif fate < 0.09:
            paused.append((some, pk))
        elif fate < 0.115 and pk - people >= oldest:
            # The person's token before this one; most of these rotations have come to their end.
            closed = some if fate < 0.11 else None
            new.append((pk - people, closed, Created.ROTATION.value, 2, pk))
            old.append((closed, pk - people))
        elif draw.random() < 0.3:
            made.append((draw.choice(ways), pk))
    _update(("revoked_at", "revoke_kind"), revoked)
    _update(("paused_at",), paused)
    _update(("replaces_id", "rotation_closed_at", "created_via", "generation"), new)
    _update(("retire_at",), [row for row in old if row[0]])
    _update(("created_via",), made)


def _update(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Set some columns of many tokens, whose ids stand last."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One statement for all rows: a statement a row takes a quarter of an hour.
            names = ", ".join(columns)
            cursor.execute(
                f"CREATE TEMPORARY TABLE fate ON COMMIT DROP AS"  # noqa: S608 - own words
                f" SELECT {names}, id FROM tokens_accesstoken LIMIT 0"
            )
            with cursor.copy(f"COPY fate ({names}, id) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            change = ", ".join(f"{name} = fate.{name}" for name in columns)
            cursor.execute(
                f"UPDATE tokens_accesstoken SET {change} FROM fate"  # noqa: S608 - own words
                " WHERE tokens_accesstoken.id = fate.id"
            )
            return
        change = ", ".join(f"{name} = %s" for name in columns)
        statement = f"UPDATE tokens_accesstoken SET {change} WHERE id = %s"  # noqa: S608 - own words
        cursor.executemany(statement, [[_stored(each) for each in row] for row in rows])


def _use(now: datetime, draw: random.Random) -> None:
    """Let seven of ten tokens have been used: some today, some lately, some long ago."""
    from tokens.models import AccessToken

    networks = [f"10.{each // 256}.{each % 256}.0/24" for each in range(NETWORKS)]
    rows = AccessToken.objects.order_by("pk").values_list(
        "pk", "created_at", "expires_at", "revoked_at", "retire_at"
    )
    activity, consumers, uses = [], [], []
    for pk, created, *ends in rows.iterator(chunk_size=BATCH):
        if draw.random() < 0.3:
            continue
        until = min([now, *filter(None, ends)])
        back = draw.choice((DAY, DAY, 30 * DAY, AGE)) * draw.random()
        last = max(created, until - back)
        client, network = draw.choice(CLIENTS), draw.choice(networks)
        service = f"service-{draw.randrange(SERVICES)}" if draw.random() < 0.05 else ""
        place = ("", f"key-{pk % 997}", "" if service else network, client, "", service)
        activity.append((pk, last, network.replace("0/24", "7"), client))
        consumers.append((pk, *place, created, last, 3, 40, "[]"))
        if now - last < 30 * DAY:
            uses.append((pk, last.date(), *place, 12, 0, last))
    where = ("scope", "consumer_key", "network", "client", "consumer_name", "service")
    _insert("tokenactivity", ("token_id", "last_used_at", "address", "client"), activity)
    _insert(
        "tokenconsumer",
        ("token_id", *where, "first_at", "last_at", "days", "count", "gaps"),
        consumers,
    )
    _insert("tokenuse", ("token_id", "day", *where, "allowed", "refused", "last_at"), uses)


def _events(draw: random.Random) -> None:
    """Tell of each token that it was issued, and of some that they were first used or revoked."""
    from tokens.models import AccessToken, TokenEvent

    rows = AccessToken.objects.order_by("pk").values_list(
        "public_id", "owner_id", "created_at", "revoked_at", "revoke_kind"
    )
    newest = TokenEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    events: list[tuple[Any, ...]] = []
    for token, owner, created, revoked, kind in rows.iterator(chunk_size=BATCH):
        events.append((created, "token.issued", "browser", owner, owner, token, "{}"))
        if revoked:
            data = f'{{"kind": "{kind}"}}'
            events.append((revoked, "token.revoked", "browser", owner, owner, token, data))
        if draw.random() < 0.05:
            events.append((created, "token.first_used", "api", None, owner, token, "{}"))
    columns = ("at", "kind", "door", "actor_id", "owner_id", "token_public_id", "data")
    events.sort(key=lambda row: row[0])
    _insert("tokenevent", columns, events)
    details = (
        (newest + place, "10.0.0.7", draw.choice(CLIENTS), "", uuid.UUID(int=place).hex)
        for place in range(1, len(events) + 1)
    )
    _insert("eventdetail", ("event_id", "address", "client", "token_name", "request_id"), details)


def _insert(table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Write many rows: by COPY where the database has it."""
    from django.db import connection, transaction

    names = f"tokens_{table} ({', '.join(columns)})"
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {names} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        marks = ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {names} VALUES ({marks})"  # noqa: S608 - own words
        stored: Callable[[Any], Any] = _stored
        lines: Iterator[list[Any]] = ([stored(each) for each in row] for row in rows)
        cursor.executemany(statement, lines)


def _stored(value: Any) -> Any:
    """Return a value as Django's field would hand it to the driver."""
    from django.db import connection

    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, uuid.UUID) and connection.vendor != "postgresql":
        return value.hex
    return value
