from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue
from tests.threads import PATIENCE, together
from tokens import authentication, lifecycle
from tokens.authentication import Forbidden, Request, Unauthenticated, authenticate
from tokens.lifecycle import Issued
from tokens.models import AccessToken
from tokens.models.reading import FixedSelect
from tokens.origin import Door, Origin

ANSWER = FixedSelect("SELECT %s, 42")


def ask(issued: Issued) -> authentication.Principal:
    value = issued.plaintext.reveal()
    return authenticate(Request(f"Bearer {value}", "203.0.113.7", "node", "", timezone.now(), "x"))


def pause(issued: Issued) -> None:
    AccessToken.objects.filter(pk=issued.token.pk).update(paused_at=timezone.now())


def disable_owner(issued: Issued) -> None:
    User.objects.filter(pk=issued.token.owner_id).update(is_active=False)


def revoke(issued: Issued) -> None:
    lifecycle.revoke(
        token=issued.token, origin=Origin(at=timezone.now(), door=Door.BROWSER, actor_id=None)
    )


@contextmanager
def statements_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield what reaches the driver itself; neither Django nor its query counting sees all of it."""
    connection.ensure_connection()
    seen: list[str] = []
    driver: Any = connection.connection
    if connection.vendor == "sqlite":
        driver.set_trace_callback(seen.append)
        yield seen
        driver.set_trace_callback(None)
        return
    execute = connection.Database.Cursor.execute

    def watched(cursor: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(sql)
        return execute(cursor, sql, *args, **kwargs)

    through_libpq = FixedSelect._through_libpq

    def watched_libpq(select: FixedSelect, *args: Any) -> Any:
        seen.append(select._libpq.decode())
        return through_libpq(select, *args)

    with monkeypatch.context() as patch:
        patch.setattr(connection.Database.Cursor, "execute", watched)
        patch.setattr(FixedSelect, "_through_libpq", watched_libpq)
        yield seen


@pytest.fixture
def warm(alice: User) -> Issued:
    """A token whose first use was noted, and whose consumer was seen today."""
    issued = issue(alice)
    ask(issued)
    return issued


@pytest.mark.django_db(transaction=True)
def test_a_warm_request_is_one_statement_for_the_driver_too(
    warm: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    with statements_of_the_driver(monkeypatch) as seen:
        ask(warm)
    assert len(seen) == 1
    assert "SELECT t.id" in seen[0]


def test_whoever_watches_sees_the_statement(warm: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    with CaptureQueriesContext(connection) as captured:
        ask(warm)
    assert len(captured) == 1
    wrapped: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        wrapped.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        ask(warm)
    assert len(wrapped) == 1


@pytest.mark.django_db(transaction=True)
def test_every_way_finds_the_same(warm: Issued) -> None:
    directly = ask(warm)
    with CaptureQueriesContext(connection):
        watched = ask(warm)
    with transaction.atomic():
        within = ask(warm)
    assert directly == watched == within
    assert directly.created_at.utcoffset() is not None


@pytest.mark.django_db(transaction=True)
def test_no_row_is_none_every_way() -> None:
    nothing = FixedSelect("SELECT digest FROM tokens_accesstoken WHERE digest = %s")
    assert nothing.row([b"x"]) is None
    with CaptureQueriesContext(connection):
        assert nothing.row([b"x"]) is None
    with transaction.atomic():
        assert nothing.row([b"x"]) is None


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_select_within_a_transaction_sees_what_the_transaction_wrote(warm: Issued) -> None:
    with transaction.atomic():
        AccessToken.objects.filter(pk=warm.token.pk).update(name="renamed-here")
        assert ask(warm).name == "renamed-here"
        transaction.set_rollback(True)
    assert ask(warm).name == warm.token.name


def test_statements_that_differ_never_share_a_name() -> None:
    one = FixedSelect("SELECT 1 WHERE 'a' = %s")
    other = FixedSelect("SELECT 1 WHERE 'a' IN (%s, %s)")
    assert one._name != other._name


@pytest.mark.django_db(transaction=True)
def test_a_fault_of_the_database_is_djangos_own_error() -> None:
    broken = FixedSelect("SELECT missing FROM nowhere WHERE missing = %s")
    with pytest.raises(Exception, match="nowhere") as raised:
        broken.row([b"x"])
    assert type(raised.value).__module__ == "django.db.utils"
    assert ANSWER.row([b"x"]) == (b"x", 42)


@pytest.mark.parametrize(
    ("stop", "code"),
    [(revoke, "token_revoked"), (pause, "token_paused"), (disable_owner, "invalid_token")],
)
@pytest.mark.django_db(transaction=True)
def test_what_stops_a_token_holds_on_the_very_next_request_of_every_connection(
    alice: User, stop: Callable[[Issued], None], code: str
) -> None:
    issued = issue(alice)
    ask(issued)
    accepted, stopped = threading.Barrier(4), threading.Barrier(4)

    def worker() -> str:
        for _ in range(3):
            ask(issued)
        accepted.wait(PATIENCE)
        stopped.wait(PATIENCE)
        try:
            ask(issued)
        except (Forbidden, Unauthenticated) as refused:
            return refused.code
        return "accepted"

    def stopper() -> str:
        accepted.wait(PATIENCE)
        stop(issued)
        stopped.wait(PATIENCE)
        return code

    assert together(worker, worker, worker, stopper) == [code] * 4


@pytest.mark.django_db(transaction=True)
def test_a_closed_connection_is_opened_again(alice: User) -> None:
    issued = issue(alice)
    ask(issued)
    connection.close()
    assert ask(issued).owner_id == alice.pk


def end_session() -> None:
    """End this connection's session at the server, as a restart does: the client is not told."""
    other = connection.copy()
    assert connection.connection is not None
    try:
        with other.cursor() as cursor:
            pid = connection.connection.info.backend_pid
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_session_that_the_server_ended_is_replaced_without_the_caller_noticing(
    alice: User,
) -> None:
    issued = issue(alice)
    ask(issued)
    for _ in range(2):
        end_session()
        assert ask(issued).owner_id == alice.pk
    revoke(issued)
    end_session()
    with pytest.raises(Unauthenticated, match="revoked"):
        ask(issued)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_the_server_forgot_is_asked_anew(alice: User) -> None:
    issued = issue(alice)
    ask(issued)
    ask(issued)
    assert connection.connection is not None
    # As a pooler does that hands the session to somebody else in between.
    connection.connection.execute("DEALLOCATE ALL", prepare=False)
    assert ask(issued).owner_id == alice.pk


def cut_in_a_transaction(issued: Issued) -> None:
    with transaction.atomic():
        end_session()
        ask(issued)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_session_that_ends_within_a_transaction_is_a_fault(alice: User) -> None:
    issued = issue(alice)
    ask(issued)
    with pytest.raises(OperationalError):
        cut_in_a_transaction(issued)
    assert ask(issued).owner_id == alice.pk


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_verdict_saves_the_question_whether_the_connection_lives(
    warm: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.close_if_unusable_or_obsolete()
    with statements_of_the_driver(monkeypatch) as seen:
        ask(warm)
        User.objects.get()
    assert not any(sql == "SELECT 1" for sql in seen)
    assert len(seen) == 2
