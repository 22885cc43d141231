"""One fixed SELECT, asked of the database's driver itself; for the one query of every API request.

Django's cursor rewrites the statement, writes the values into it and asks PostgreSQL whether the
connection still lives. Together that costs more than the query (bench/README.md). Wherever somebody
watches or changes statements (DEBUG, a test that counts or wraps them), Django's cursor is used, so
that they see what they would see of any other query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections

Columns = tuple[Any, ...]
_BYTEA = 17  # PostgreSQL's number for the type, fixed in its catalogue.
_BINARY = 1


class FixedSelect:
    """A SELECT that never changes, takes nothing but bytes, and of which one row is wanted."""

    def __init__(self, sql: str) -> None:
        if not sql.lstrip().startswith("SELECT"):
            raise ValueError("Only a SELECT goes past Django: tests watch there who writes.")
        self._sql = sql
        self._sqlite = sql.replace("%s", "?")
        parts = sql.split("%s")
        numbered = [f"{part}${place}" for place, part in enumerate(parts[:-1], start=1)]
        self._libpq = "".join([*numbered, parts[-1]]).encode()
        # Two statements never share a name, not even in a session that a pooler hands around.
        self._name = b"console_" + hashlib.sha256(self._libpq).hexdigest()[:16].encode()
        # PostgreSQL's connections that have this statement, with what reads their answers.
        self._readers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def row(self, parameters: Sequence[bytes]) -> Columns | None:
        """Return the first row, or None. Raises ``django.db.Error`` when there is no answer.

        A connection that turns out to be dead is replaced once, and the query asked again.
        """
        database: Any = connections[DEFAULT_DB_ALIAS]
        if database.connection is None or database.execute_wrappers or database.queries_logged:
            return self._through_django(database, parameters)
        try:
            found = self._through_driver(database, parameters)
        except database.Database.Error:
            if database.in_atomic_block:
                # A transaction that has failed cannot be taken up again on another connection.
                with database.wrap_database_errors:
                    raise
            # The server was started anew, or it has forgotten the prepared statement.
            database.close()
            return self._through_django(database, parameters)
        # The connection has proved to live, so that no later query of this request has to ask it.
        database.health_check_done = True
        return found

    def _through_driver(self, database: Any, parameters: Sequence[bytes]) -> Columns | None:
        driver = database.connection
        found: Columns | None
        if database.vendor == "sqlite":
            found = driver.execute(self._sqlite, parameters).fetchone()
            return found
        if not driver.autocommit:
            # Within a transaction psycopg's cursor is needed, because it also begins one.
            with database.Database.Cursor(driver) as cursor:
                found = cursor.execute(self._sql, parameters, binary=True).fetchone()
            return found
        return self._through_libpq(database.Database, driver, parameters)

    def _through_libpq(
        self, psycopg: Any, driver: Any, parameters: Sequence[bytes]
    ) -> Columns | None:
        """Ask a statement that was prepared once a connection; psycopg's cursor costs as much again."""
        session = driver.pgconn
        reader = self._readers.get(driver)
        if reader is None:
            types = [_BYTEA] * len(parameters)
            prepared = session.prepare(self._name, self._libpq, types)
            if prepared.status != psycopg.pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(prepared, driver.info.encoding)
            reader = self._readers[driver] = psycopg.adapt.Transformer(driver)
        formats = [_BINARY] * len(parameters)
        answer = session.exec_prepared(self._name, parameters, formats, _BINARY)
        if answer.status != psycopg.pq.ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(answer, driver.info.encoding)
        if not answer.ntuples:
            return None
        reader.set_pgresult(answer)
        found: Columns = reader.load_row(0, tuple)
        return found

    def _through_django(self, database: Any, parameters: Sequence[bytes]) -> Columns | None:
        with database.cursor() as cursor:
            cursor.execute(self._sql, parameters)
            found: Columns | None = cursor.fetchone()
            return found
