"""A token's row before it is stored: made from a wish, and written many at once for seeding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, connections
from django.db.models import Field

from tokens import policy, secret
from tokens.models import AccessToken, Created, Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for when a token is made."""

    name: str
    scopes: Sequence[str]
    expires_at: datetime | None
    description: str = ""
    projects: Sequence[Project] | None = None


def new_row(
    owner: Any,
    name: str,
    scopes: str,
    wish: Wish,
    value: secret.Plaintext,
    via: Created,
    now: datetime,
) -> AccessToken:
    """Return the unsaved row of a token that was checked already."""
    raw = value.reveal()
    pepper_id, digest = secret.digest(raw)
    return AccessToken(
        owner=owner,
        name=name,
        name_key=policy.name_key(name),
        description=wish.description.strip(),
        digest=digest,
        pepper_id=pepper_id,
        head4=raw[7:11],
        last4=raw[-4:],
        scopes=scopes,
        projects_limited=wish.projects is not None,
        created_at=now,
        created_via=via,
        expires_at=wish.expires_at,
    )


def insert_many(tokens: Sequence[AccessToken]) -> None:
    """Write many new rows with one statement; they get no primary key."""
    # ``bulk_create`` compiles every value of every row, which costs more than all the rest of a
    # seeding. Here one statement is run for all rows, and a repeated value is prepared once a field.
    meta = AccessToken._meta
    fields = [field for field in meta.concrete_fields if not field.primary_key]
    prepare = [(field.attname, functools.cache(_preparing(field))) for field in fields]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    # Only names from the model are written into the statement; every value is a parameter.
    statement = f"INSERT INTO {quote(meta.db_table)} ({columns}) VALUES ({marks})"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [[ready(getattr(token, name)) for name, ready in prepare] for token in tokens],
        )


def _preparing(field: Field[Any, Any]) -> Callable[[Any], Any]:
    # The name ``connection`` is looked up anew at each use, which would be half of the work here.
    database = connections[connection.alias]
    return lambda value: field.get_db_prep_save(value, database)
