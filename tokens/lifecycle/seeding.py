"""Many tokens at once, for measuring and for tests of long lists; never for a person's request."""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction

from tokens import audit, policy, secret
from tokens.lifecycle.rows import Wish, new_row
from tokens.models import AccessToken, Created
from tokens.origin import Origin

_FIELDS = [field for field in AccessToken._meta.concrete_fields if not field.primary_key]
_NAMES = [field.attname for field in _FIELDS]
# The columns that differ from row to row; wishes that are alike share all the others.
_OWN = ("owner_id", "name", "public_id", "family", "digest", "pepper_id", "head4", "last4")


class Seeded(NamedTuple):
    """One token of a batch: the id that its event names, and its value."""

    public_id: uuid.UUID
    plaintext: secret.Plaintext


def issue_many(*, owners: Sequence[Any], wishes: Sequence[Wish], origin: Origin) -> list[Seeded]:
    """Make one token a wish for the owner at the same place, fast, with one event for all.

    For seeding only: limits and names are not checked one by one, and rows carry no ``name_key``.
    Raises ``policy.Refused``, and makes none, when a wish has scopes that the rules forbid.
    """
    rules = policy.current_rules()
    check = functools.cache(lambda names: policy.check_scopes(names, rules))
    pairs = list(zip(owners, wishes, strict=True))
    scopes = [check(tuple(wish.scopes)) for wish in wishes]
    number = len(pairs)
    made = list(map(Seeded._make, zip(_uuids(number), secret.mint_many(number), strict=True)))
    rows = _rows(pairs, scopes, made, origin.at)
    with transaction.atomic():
        _insert(rows)
        audit.record_batch(
            audit.Kind.ISSUED_BATCH,
            origin=origin,
            token_public_ids=[each.public_id for each in made],
            data={"via": str(Created.COMMAND)},
        )
    return made


def _uuids(number: int) -> Iterator[uuid.UUID]:
    # The system is asked for all random bytes at once, because each question costs as much as a row.
    pieces = os.urandom(16 * number)
    return (uuid.UUID(bytes=pieces[at : at + 16], version=4) for at in range(0, len(pieces), 16))


def _rows(
    pairs: list[tuple[Any, Wish]], scopes: list[str], made: list[Seeded], now: datetime
) -> list[list[Any]]:
    """Return the rows as the database takes them, in the order of ``_NAMES``.

    A model's instance and the preparation of its values cost five times the rest of a row, so both
    are done once for all wishes that are alike, and a row is a copy with its own values put in.
    """
    alike: dict[tuple[Any, ...], list[Any]] = {}
    places = [_NAMES.index(name) for name in _OWN]
    rows = []
    for (owner, wish), scope, each, family in zip(
        pairs, scopes, made, _uuids(len(made)), strict=True
    ):
        shared = (scope, wish.description, wish.expires_at, wish.projects is None)
        row = alike.get(shared)
        if row is None:
            row = alike[shared] = _prepared(owner, wish, scope, each.plaintext, now)
        row = row.copy()
        raw = each.plaintext.reveal()
        pepper_id, digest = secret.digest(raw)
        own = (
            owner.pk,
            wish.name,
            each.public_id.hex,
            family.hex,
            digest,
            pepper_id,
            raw[7:11],
            raw[-4:],
        )
        for place, value in zip(places, own, strict=True):
            row[place] = value
        rows.append(row)
    return rows


def _prepared(
    owner: Any, wish: Wish, scopes: str, value: secret.Plaintext, now: datetime
) -> list[Any]:
    row = new_row(owner, wish.name, scopes, wish, value, Created.COMMAND, now)
    row.name_key = None
    return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in _FIELDS]


def _insert(rows: list[list[Any]]) -> None:
    """Write the rows with one statement; nobody is told their primary keys."""
    quote = connection.ops.quote_name
    table = quote(AccessToken._meta.db_table)
    columns = ", ".join(quote(str(field.column)) for field in _FIELDS)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # COPY takes a row without a statement of its own; only names stand in the statement.
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        marks = ", ".join(["%s"] * len(_FIELDS))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names only
        cursor.executemany(statement, rows)
