from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import NOON, Clock, issue
from tests.threads import held_elsewhere
from tokens import insight, usage
from tokens.models import AccessToken, TokenActivity, TokenConsumer, TokenUse
from tokens.origin import Consumer
from tokens.usage import OTHERS, consumer_key, flushing, gathering, lines
from tokens.usage.gaps import with_gap

HOME = Consumer("203.0.113.0/24", "curl")
CI = Consumer("198.51.100.0/24", "Node.js client", "nightly")
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def token(clock: Clock, alice: User) -> AccessToken:
    return issue(alice).token


def use(
    token: AccessToken,
    consumer: Consumer = HOME,
    *,
    at: datetime | None = None,
    times: int = 1,
    **facts: Any,
) -> None:
    facts = {"scope": "projects.read", "address": "203.0.113.9", **facts}
    for _ in range(times):
        usage.record(token_id=token.pk, consumer=consumer, at=at or timezone.now(), **facts)


def uses() -> list[tuple[int, int]]:
    return list(TokenUse.objects.order_by("pk").values_list("allowed", "refused"))


# --- First sight and gathering ------------------------------------------------------------------


def test_a_first_sight_is_written_at_once(token: AccessToken, clock: Clock) -> None:
    use(token, CI)
    row = TokenUse.objects.get()
    assert (row.token_id, row.day, row.scope) == (token.pk, NOON.date(), "projects.read")
    assert (row.network, row.client, row.consumer_name) == (CI.network, CI.client, CI.name)
    assert (row.allowed, row.refused, row.last_at) == (1, 0, clock.now)
    activity = TokenActivity.objects.get()
    assert (activity.token_id, activity.last_used_at) == (token.pk, clock.now)
    assert (activity.address, activity.client) == ("203.0.113.9", CI.client)
    seen = TokenConsumer.objects.get()
    assert (seen.first_at, seen.last_at, seen.count, seen.days) == (clock.now, clock.now, 1, 1)
    assert seen.gaps == []


def test_later_uses_are_gathered_and_written_by_a_flush(
    token: AccessToken, clock: Clock, django_assert_num_queries: Any
) -> None:
    use(token)
    clock.tick(seconds=30)
    with django_assert_num_queries(0):
        use(token, times=99)
    assert uses() == [(1, 0)]
    assert usage.flush() == 1
    assert uses() == [(100, 0)]
    assert TokenActivity.objects.get().last_used_at == clock.now
    assert TokenConsumer.objects.get().count == 100


def test_a_flush_without_new_uses_writes_nothing(token: AccessToken, clock: Clock) -> None:
    use(token)
    assert usage.flush() == 0
    assert uses() == [(1, 0)]


def test_a_token_used_every_few_minutes_is_written_by_the_flush_alone(
    token: AccessToken, clock: Clock, django_assert_num_queries: Any
) -> None:
    use(token)
    for _ in range(3):
        clock.tick(minutes=5)
        usage.flush()
        with django_assert_num_queries(0):
            use(token)
    usage.flush()
    assert uses() == [(4, 0)]


def test_what_is_idle_is_let_go_when_its_day_ends(token: AccessToken, clock: Clock) -> None:
    use(token)
    clock.tick(days=1)
    assert usage.flush() == 0
    assert flushing.flusher.gathered.tallies == {}


def test_what_is_idle_is_let_go_when_memory_is_half_full(
    token: AccessToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_GATHERED", 2)
    use(token)
    use(token, CI)
    usage.flush()
    assert flushing.flusher.gathered.tallies == {}
    use(token)
    assert uses() == [(2, 0), (1, 0)]


def test_many_lines_are_written_with_a_constant_number_of_queries(
    token: AccessToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = flushing.flusher.write_now
    monkeypatch.setattr(flushing.flusher, "write_now", lambda _: 0)
    counts = []
    for number in (1, 30):
        for index in range(number):
            use(token, Consumer(f"10.{number}.{index}.0/24", "curl"))
        with CaptureQueriesContext(connection) as queries:
            write(list(flushing.flusher.gathered.tallies))
        counts.append([query["sql"].split(": ")[-1].split()[0] for query in queries])
    written = [[word for word in words if word in {"SELECT", "INSERT"}] for words in counts]
    assert written == [["SELECT", "INSERT", "SELECT", "INSERT", "INSERT"]] * 2


def test_of_a_tokens_many_consumers_only_those_who_are_written_are_read(
    token: AccessToken, clock: Clock
) -> None:
    for index in range(30):
        use(token, Consumer(f"10.0.{index}.0/24", "curl"))
    use(token, HOME, times=2)
    read: list[TokenConsumer] = []

    def note(instance: TokenConsumer, **_: Any) -> None:
        read.append(instance)

    post_init.connect(note, sender=TokenConsumer)
    try:
        usage.flush()
    finally:
        post_init.disconnect(note, sender=TokenConsumer)
    assert [row.network for row in read] == [HOME.network]


def test_a_new_consumer_scope_or_day_is_a_first_sight(token: AccessToken, clock: Clock) -> None:
    use(token)
    use(token, CI)
    use(token, scope="")
    clock.tick(days=1)
    use(token)
    assert uses() == [(1, 0)] * 4
    assert TokenConsumer.objects.count() == 3
    assert sorted(TokenConsumer.objects.values_list("days", flat=True)) == [1, 1, 2]


def test_a_refused_call_counts_but_is_no_use(token: AccessToken, clock: Clock) -> None:
    use(token, allowed=False, times=3)
    usage.flush()
    assert uses() == [(0, 3)]
    assert not TokenActivity.objects.exists()
    assert not TokenConsumer.objects.exists()


def test_a_refused_call_after_a_use_does_not_move_the_last_use(
    token: AccessToken, clock: Clock
) -> None:
    use(token)
    used_at = clock.tick(seconds=1)
    use(token, address="203.0.113.1")
    refused_at = clock.tick(seconds=1)
    use(token, address="203.0.113.2", allowed=False)
    usage.flush()
    activity = TokenActivity.objects.get()
    assert (activity.last_used_at, activity.address) == (used_at, "203.0.113.1")
    assert TokenConsumer.objects.get().last_at == used_at
    assert TokenUse.objects.get().last_at == refused_at


def test_of_several_lines_the_latest_use_is_the_last(token: AccessToken, clock: Clock) -> None:
    for consumer in (HOME, CI):
        use(token, consumer)
    clock.tick(seconds=5)
    use(token, CI, address="198.51.100.9")
    clock.tick(seconds=5)
    use(token, HOME)
    assert usage.flush() == 2
    activity = TokenActivity.objects.get()
    assert (activity.last_used_at, activity.client) == (clock.now, "curl")


# --- Lateness -----------------------------------------------------------------------------------


def test_a_late_flush_never_turns_the_last_use_back(token: AccessToken, clock: Clock) -> None:
    use(token)
    use(token, at=NOON + SECOND)
    later = NOON + MINUTE
    for model, field in ((TokenActivity, "last_used_at"), (TokenUse, "last_at")):
        model.objects.update(**{field: later})
    TokenConsumer.objects.update(last_at=later)
    usage.flush()
    assert uses() == [(2, 0)]
    assert TokenActivity.objects.get().last_used_at == later
    assert TokenUse.objects.get().last_at == later
    seen = TokenConsumer.objects.get()
    assert (seen.last_at, seen.count, seen.gaps) == (later, 2, [])


def test_uses_that_arrive_out_of_order_keep_the_latest_time(
    token: AccessToken, clock: Clock
) -> None:
    for seconds in (0, 9, 3):
        use(token, at=NOON + seconds * SECOND)
    usage.flush()
    assert TokenActivity.objects.get().last_used_at == NOON + 9 * SECOND


def test_the_days_of_a_consumer_and_the_last_nine_gaps_are_remembered(
    token: AccessToken, clock: Clock
) -> None:
    gaps = [36_000 + 100 * number for number in range(11)]
    use(token)
    for gap in gaps:
        clock.tick(seconds=gap)
        use(token)
        usage.flush()
    seen = TokenConsumer.objects.get()
    assert seen.gaps[:9] == gaps[-9:]
    assert (seen.count, seen.days) == (12, 6)
    assert (seen.first_at, seen.last_at) == (NOON, clock.now)


HOURS, DAYS = 3_600, 86_400


@pytest.mark.parametrize(
    ("gaps", "usual"),
    [
        pytest.param([60] * 500, 60, id="polls every minute"),
        pytest.param([60] * 500 + [2 * HOURS] + [60] * 5, 60, id="polls, and was down once"),
        pytest.param([60] * 500 + [2 * HOURS] + [60] * 500, 60, id="polls again for hours"),
        pytest.param([3, 4, 2, 30 * DAYS] * 4, 30 * DAYS, id="a few calls once a month"),
        pytest.param(([60] * 20 + [30 * DAYS]) * 4, 30 * DAYS, id="twenty minutes once a month"),
        pytest.param(([60] * 3 + [HOURS]) * 9, HOURS, id="some minutes every hour"),
        pytest.param(([60] * 480 + [16 * HOURS]) * 5, 16 * HOURS, id="working hours"),
        pytest.param(([5, DAYS] * 4 + [5, 3 * DAYS]) * 3, DAYS, id="every working day"),
        pytest.param([HOURS] * 9 + [2 * DAYS] + [HOURS] * 60, HOURS, id="hourly, after a weekend"),
        pytest.param([60] * 3, 60, id="three gaps are enough"),
        pytest.param([60] * 2, None, id="two gaps are not"),
        pytest.param([0, 0, 0, -5], None, id="a clock that stands or goes back"),
    ],
)
def test_the_usual_gap_is_the_rhythm_of_runs_and_not_of_the_calls_in_them(
    gaps: list[int], usual: int | None
) -> None:
    kept: list[int] = []
    for gap in gaps:
        kept = with_gap(kept, gap)
    assert len(kept) <= 10
    found = insight.usual_gap(kept)
    assert found == (None if usual is None else usual * SECOND)


def test_uses_of_one_instant_leave_no_gap(token: AccessToken, clock: Clock) -> None:
    use(token, times=5)
    usage.flush()
    assert TokenConsumer.objects.get().gaps == []


# --- Bounds -------------------------------------------------------------------------------------


def test_the_thirty_third_consumer_of_a_day_is_counted_with_the_others(
    token: AccessToken, clock: Clock, alice: User
) -> None:
    crowd = [Consumer(f"10.0.{number}.0/24", "curl") for number in range(40)]
    for consumer in crowd:
        use(token, consumer)
    usage.flush()
    rows = TokenUse.objects.order_by("pk")
    assert rows.count() == TokenConsumer.objects.count() == 33
    others = rows.get(consumer_key=consumer_key(OTHERS))
    assert (others.network, others.allowed) == ("others", 8)
    # A consumer that was known before, another token and another day have room.
    use(token, crowd[0], scope="account.read")
    assert rows.count() == 34
    use(issue(alice, "another").token, crowd[39])
    clock.tick(days=1)
    use(token, crowd[39])
    assert rows.filter(network=crowd[39].network).count() == 2


def test_memory_is_bounded_and_what_was_lost_is_told(
    token: AccessToken,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(gathering, "MAX_GATHERED", 3)
    for number in range(10):
        use(token, Consumer(f"10.0.{number}.0/24", "curl"))
    use(token, Consumer("10.0.0.0/24", "curl"))
    assert len(flushing.flusher.gathered.tallies) == 3
    assert usage.flush() == 1
    assert uses() == [(2, 0), (1, 0), (1, 0)]
    assert "7 uses were not counted, because too many were waiting." in caplog.text


def test_long_queues_are_written_in_short_transactions(
    token: AccessToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    write = flushing.flusher.write_now
    monkeypatch.setattr(lines, "MAX_CONSUMERS_PER_DAY", 1000)
    monkeypatch.setattr(flushing.flusher, "write_now", lambda _: 0)
    for number in range(250):
        use(token, Consumer(f"10.0.{number}.0/24", "curl"))
    monkeypatch.setattr(
        flushing.flusher, "write_now", lambda keys: sizes.append(len(keys)) or write(keys)
    )
    assert usage.flush() == 250
    assert sizes == [100, 100, 50]


# --- A database that cannot take it -------------------------------------------------------------


@pytest.mark.parametrize("fault", [DatabaseError, InterfaceError])
def test_a_failing_database_never_fails_a_request_and_loses_no_count(
    token: AccessToken, clock: Clock, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    def fail(*_: Any) -> None:
        raise fault("gone")

    with monkeypatch.context() as broken:
        broken.setattr(flushing, "write_lines", fail)
        use(token, times=3)
        assert usage.flush() == 0
        use(token, allowed=False)
        assert usage.flush() == 0
    assert uses() == []
    assert usage.flush() == 1
    assert uses() == [(3, 1)]


@pytest.mark.django_db(transaction=True)
def test_a_line_of_a_token_that_is_gone_is_dropped_and_the_others_are_written(
    clock: Clock, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    token = issue(alice).token
    gone = AccessToken(pk=token.pk + 1_000_000)
    use(gone)
    use(token)
    for each in (gone, token):
        use(each)
    with flushing.flusher.gathered.lock:
        waiting = list(flushing.flusher.gathered.tallies)
    flushing.flusher.gathered.tallies[waiting[0]._replace(token_id=gone.pk)].add(
        usage.Tally(1, 0, NOON, NOON, None)
    )
    assert usage.flush() == 1
    assert uses() == [(2, 0)]
    assert "A line of use was dropped" in caplog.text
    assert usage.flush() == 0


@contextmanager
def sqlite_write_lock() -> Iterator[None]:
    with transaction.atomic():
        yield


def row_locks(token: AccessToken) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def lock() -> Iterator[None]:
        with transaction.atomic():
            list(TokenUse.objects.select_for_update().filter(token_id=token.pk))
            list(TokenActivity.objects.select_for_update().filter(token_id=token.pk))
            yield

    return lock


def assert_counted_later(token: AccessToken, lock: Callable[[], Any]) -> None:
    """Use a token while its rows are locked: quickly, without a fault, and lose nothing."""
    use(token)
    with held_elsewhere(lock):
        started = time.monotonic()
        assert usage.flush() == 0
        use(token, times=3)
        assert usage.flush() == 0
        waited = time.monotonic() - started
    assert 0.04 <= waited < 0.5
    assert uses() == [(1, 0)]
    assert usage.flush() == 1
    assert uses() == [(4, 0)]


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_an_embedded_database_that_is_locked_is_waited_for_a_moment(alice: User) -> None:
    token = issue(alice).token
    assert_counted_later(token, sqlite_write_lock)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20_000,)


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_a_first_sight_on_a_locked_embedded_database_waits_fifty_milliseconds(
    alice: User,
) -> None:
    token = issue(alice).token
    with held_elsewhere(sqlite_write_lock):
        started = time.monotonic()
        use(token)
        waited = time.monotonic() - started
        started = time.monotonic()
        use(token, times=100)
        assert time.monotonic() - started < 0.04
    assert 0.04 <= waited < 0.3
    assert usage.flush() == 1
    assert uses() == [(101, 0)]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_row_that_somebody_holds_is_waited_for_a_moment(alice: User) -> None:
    token = issue(alice).token
    assert_counted_later(token, row_locks(token))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_short_wait_ends_with_its_transaction(alice: User) -> None:
    token = issue(alice).token

    def lock_timeout() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return str(cursor.fetchone()[0])

    usual = lock_timeout()
    use(token)
    assert lock_timeout() == usual
    with transaction.atomic():
        use(token, CI)
        assert lock_timeout() == usual


# --- The thread, the exit, the fork -------------------------------------------------------------


@pytest.fixture
def own_flusher(monkeypatch: pytest.MonkeyPatch) -> Iterator[flushing.Flusher]:
    """Give the test a flusher whose thread ends with it."""
    flusher = flushing.Flusher()
    monkeypatch.setattr(flushing, "flusher", flusher)
    monkeypatch.setattr(flushing.atexit, "register", lambda _: None)
    yield flusher
    flusher.end()
    assert flusher.thread is None or not flusher.thread.is_alive()


def soon(what: Callable[[], Any], expected: Any) -> None:
    """Wait until ``what`` returns what is expected."""
    deadline = time.monotonic() + 10
    while what() != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert what() == expected


@pytest.mark.django_db(transaction=True)
def test_the_flush_thread_starts_with_the_first_use_and_writes_by_itself(
    own_flusher: flushing.Flusher, alice: User, settings: Settings
) -> None:
    settings.USE_FLUSH_SECONDS = 0.2
    token = issue(alice).token
    use(token, times=5)
    thread = own_flusher.thread
    assert thread is not None
    assert thread.daemon
    use(token)
    assert own_flusher.thread is thread
    soon(uses, [(6, 0)])
    use(token)
    soon(uses, [(7, 0)])


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_first_sights_at_once_and_together(
    own_flusher: flushing.Flusher,
    alice: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    write = flushing.write_lines
    monkeypatch.setattr(
        flushing, "write_lines", lambda taken: sizes.append(len(taken)) or write(taken)
    )
    settings.USE_FLUSH_SECONDS = 3600
    token = issue(alice).token
    with CaptureQueriesContext(connection) as mine:
        for number in range(20):
            use(token, Consumer(f"10.0.{number}.0/24", "curl"))
    assert len(mine) == 0
    soon(lambda: len(uses()), 20)
    assert len(sizes) <= 2
    # The thread goes on when that is done, and writes nothing twice.
    use(token, CI)
    use(token, CI)
    soon(lambda: len(uses()), 21)
    assert sum(sizes) == 21


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_under_the_thread_is_replaced_and_loses_nothing(
    own_flusher: flushing.Flusher,
    alice: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = flushing.write_lines

    def write_and_break(taken: Any) -> None:
        write(taken)
        # As if the server had ended the session; Django's own connection knows nothing of it.
        connection.connection.close()

    settings.USE_FLUSH_SECONDS = 3600
    token = issue(alice).token
    monkeypatch.setattr(flushing, "write_lines", write_and_break)
    for number in range(1, 4):
        use(token, Consumer(f"10.0.{number}.0/24", "curl"))
        soon(lambda number=number: len(uses()), number)


def test_without_an_interval_no_thread_starts(
    own_flusher: None, token: AccessToken, settings: Settings
) -> None:
    settings.USE_FLUSH_SECONDS = 0
    use(token)
    assert flushing.flusher.thread is None


@pytest.mark.parametrize("step", ["flush", "write_first_sights"])
def test_a_fault_does_not_end_the_flush_thread(
    own_flusher: flushing.Flusher,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    tries = []

    def fail(*_: Any) -> int:
        own_flusher.wake.clear()
        tries.append(step)
        raise RuntimeError("surprise")

    settings.USE_FLUSH_SECONDS = 0.05
    monkeypatch.setattr(own_flusher, step, fail)
    own_flusher.start()
    for number in (1, 2):
        own_flusher.wake.set()
        soon(lambda number=number: len(tries) >= number, True)
    soon(lambda: caplog.text.count("the next round tries again") >= 2, True)
    assert own_flusher.thread is not None
    assert own_flusher.thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_what_the_thread_was_about_to_write_is_written_at_exit(
    own_flusher: flushing.Flusher, alice: User, settings: Settings
) -> None:
    settings.USE_FLUSH_SECONDS = 3600
    token = issue(alice).token
    use(token, times=2)
    use(token, CI)
    flushing.flush_at_exit()
    assert sorted(uses()) == [(1, 0), (2, 0)]
    assert own_flusher.thread is not None
    assert not own_flusher.thread.is_alive()


def test_what_was_gathered_is_written_at_exit(token: AccessToken, clock: Clock) -> None:
    use(token, times=7)
    flushing.flush_at_exit()
    assert uses() == [(7, 0)]


def test_a_database_that_is_busy_at_exit_is_asked_again(
    token: AccessToken, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(token, times=7)
    tries = iter(range(3))
    write = flushing.write_lines

    def busy(*line: Any) -> None:
        if next(tries, None) is not None:
            raise DatabaseError("database is locked")
        write(*line)

    monkeypatch.setattr(flushing, "write_lines", busy)
    flushing.flush_at_exit()
    assert uses() == [(7, 0)]


def test_an_exit_never_raises_and_tells_what_is_lost(
    token: AccessToken,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use(token, times=2)
    for fault in (DatabaseError, RuntimeError):

        def fail(*_: Any, fault: type[Exception] = fault) -> None:
            raise fault("surprise")

        monkeypatch.setattr(flushing, "write_lines", fail)
        caplog.clear()
        flushing.flush_at_exit()
        assert "Gathered use was lost at exit" in caplog.text
        assert caplog.records[-1].levelno >= logging.WARNING


def test_a_forked_process_starts_with_nothing_of_its_parents(
    own_flusher: None, token: AccessToken, clock: Clock
) -> None:
    use(token, times=7)
    read, write = os.pipe()
    flushing.flusher.gathered.lock.acquire()
    child = os.fork()
    if child == 0:
        fresh = (
            not flushing.flusher.gathered.lock.locked() and not flushing.flusher.gathered.tallies
        )
        os.write(write, b"fresh" if fresh else b"not fresh")
        os._exit(0)
    flushing.flusher.gathered.lock.release()
    os.waitpid(child, 0)
    assert os.read(read, 20) == b"fresh"
    for end in (read, write):
        os.close(end)
    assert usage.flush() == 1
    assert uses() == [(7, 0)]


def test_keys_differ_wherever_consumers_do() -> None:
    parts = ("n", "c", "x", "s")
    one = Consumer(*parts)
    assert consumer_key(one) == consumer_key(Consumer(*parts))
    assert len(consumer_key(one)) == 32
    keys = {consumer_key(Consumer(*parts[:place], "", *parts[place + 1 :])) for place in range(4)}
    assert len(keys | {consumer_key(one), consumer_key(Consumer("nc", "", "x", "s"))}) == 6


def test_a_caller_who_invents_names_writes_no_more_than_the_cap(clock: Clock, alice: User) -> None:
    token = issue(alice).token
    with CaptureQueriesContext(connection) as queries:
        for number in range(300):
            usage.record(
                token_id=token.pk,
                scope="",
                consumer=Consumer("203.0.113.0/24", "curl", name=f"job-{number}"),
                address=None,
                at=clock.now,
            )
    inserts = [query for query in queries if "INSERT INTO tokens_tokenuse" in query["sql"]]
    assert len(inserts) == lines.MAX_CONSUMERS_PER_DAY + 1
    usage.flush()
    assert sum(TokenUse.objects.values_list("allowed", flat=True)) == 300
    clock.tick(days=1)
    usage.flush()
    assert not flushing.flusher.gathered.consumers
