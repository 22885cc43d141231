from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue
from tokens import health


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a process that has never asked about its migrations."""
    monkeypatch.setattr(health, "_applied", set())


def test_a_migrated_console_is_well(db: None) -> None:
    assert health.faults() == []


def test_applied_migrations_are_read_once_and_the_database_is_asked_every_time(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert health.faults() == []
    monkeypatch.setattr(health, "MigrationExecutor", None)
    assert health.faults() == []
    with CaptureQueriesContext(connection) as queries:
        health.faults()
    assert queries.captured_queries[0]["sql"] == "SELECT 1"


def test_migrations_that_wait_are_asked_about_again(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(MigrationExecutor, "migration_plan", lambda *_call: ["0002"])
        assert health.faults() != []
    assert health.faults() == []


def test_a_database_that_does_not_answer_is_the_one_fault(db: None) -> None:
    def refuse(*_call: Any) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        assert health.faults() == ["The database does not answer."]


def test_migrations_that_wait_are_a_fault(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_call: ["0002"])
    assert health.faults() == ["Migrations wait to be applied: run manage.py migrate."]


@pytest.mark.postgresql
@pytest.mark.parametrize("table", health.APPEND_ONLY_TABLES)
@pytest.mark.parametrize("action", ["DISABLE TRIGGER USER", "ENABLE REPLICA TRIGGER ALL"])
def test_a_table_whose_triggers_do_not_fire_is_a_fault(db: None, table: str, action: str) -> None:
    with connection.cursor() as cursor:
        if "REPLICA" in action:
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                [table],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} ENABLE REPLICA TRIGGER {name}")
        else:
            cursor.execute(f"ALTER TABLE {table} {action}")
    assert health.faults() == [f"{table} can be changed: its triggers are missing."]


def test_the_backlog_counts_what_timers_have_left_undone(alice: User) -> None:
    assert told(health.backlog()) == {"ready": 1, "mails_waiting": 0, "events_unsealed": 0}
    issue(alice, at=timezone.now())
    assert told(health.backlog()) == {"ready": 1, "mails_waiting": 1, "events_unsealed": 1}


def test_without_a_database_the_backlog_is_that_nothing_is_ready(db: None) -> None:
    def refuse(*_call: Any) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        assert told(health.backlog()) == {"ready": 0}


def told(backlog: dict[str, tuple[str, float]]) -> dict[str, float]:
    return {name: value for name, (_, value) in backlog.items()}
