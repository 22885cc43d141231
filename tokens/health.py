"""Is this installation well? Asked by load balancers and by ``GET /api/v1/health``."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from tokens import notices
from tokens.audit import seals

# Reading all migrations costs far more than asking the database for a sign of life. Once they are
# applied they stay so for as long as this process runs its version of the code.
_applied: set[str] = set()
NO_ANSWER = "The database does not answer."
# Nobody acts differently on more than this, and counting them would cost ever more.
COUNTED = 10_000
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


def backlog() -> dict[str, tuple[str, float]]:
    """Return what metrics say about the database: a number by name, with what it means.

    Without a database only that it cannot be used is told.
    """
    found = {"ready": ("1 when the console can serve, else 0.", float(not faults()))}
    try:
        waiting = len(notices.due(timezone.now(), COUNTED))
        found["mails_waiting"] = (f"Mails that are due and not sent, at most {COUNTED}.", waiting)
        found["events_unsealed"] = ("Events that came after the last seal.", seals.unsealed())
    except DatabaseError:
        return found
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
