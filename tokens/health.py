"""Is this installation well? Asked by load balancers and by ``GET /api/v1/health``."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

# Reading all migrations costs far more than asking the database for a sign of life. Once they are
# applied they stay so for as long as this process runs its version of the code.
_applied: set[str] = set()
NO_ANSWER = "The database does not answer."
APPEND_ONLY_TABLES = ("tokens_tokenevent", "tokens_auditseal")


def faults() -> list[str]:
    """Return what keeps the console from serving, in sentences; empty when it can."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        found = []
        if _migrations_wait():
            found.append("Migrations wait to be applied: run manage.py migrate.")
        found += [f"{table} can be changed: its triggers are missing." for table in _unguarded()]
    except DatabaseError:
        return [NO_ANSWER]
    return found


def _migrations_wait() -> bool:
    if connection.alias in _applied:
        return False
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return True
    _applied.add(connection.alias)
    return False


def _unguarded() -> list[str]:
    """Return the append-only tables whose triggers are missing or disabled (PostgreSQL only)."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, COUNT(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relname = ANY(%s) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
            " GROUP BY c.relname",
            [list(APPEND_ONLY_TABLES)],
        )
        guards = dict(cursor.fetchall())
    return [table for table in APPEND_ONLY_TABLES if guards.get(table, 0) < 2]
