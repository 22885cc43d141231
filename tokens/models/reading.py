"""One fixed SELECT, asked of the database's driver itself; for the one query of every API request.

Django's cursor rewrites the statement, writes the values into it and asks PostgreSQL whether the
connection still lives. Together that costs more than the query (bench/README.md). Wherever somebody
watches or changes statements (DEBUG, a test that counts or wraps them), Django's cursor is used, so
that they see what they would see of any other query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

Columns = tuple[Any, ...]


class FixedSelect:
    """A SELECT that never changes, and of which one row is wanted."""

    def __init__(self, sql: str) -> None:
        if not sql.lstrip().startswith("SELECT"):
            raise ValueError("Only a SELECT goes past Django: tests watch there who writes.")
        self._sql = sql
        self._sqlite = sql.replace("%s", "?")

    def row(self, parameters: Sequence[object]) -> Columns | None:
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

    def _through_driver(self, database: Any, parameters: Sequence[object]) -> Columns | None:
        driver = database.connection
        found: Columns | None
        if database.vendor == "sqlite":
            found = driver.execute(self._sqlite, parameters).fetchone()
            return found
        if driver.prepare_threshold is None:
            # Django switches preparing off altogether; its own cursors never prepare, here or not.
            driver.prepare_threshold = 0
        cursor = database.Database.Cursor(driver)
        found = cursor.execute(self._sql, parameters, prepare=True, binary=True).fetchone()
        return found

    def _through_django(self, database: Any, parameters: Sequence[object]) -> Columns | None:
        with database.cursor() as cursor:
            cursor.execute(self._sql, parameters)
            found: Columns | None = cursor.fetchone()
            return found
