"""Threads that race: each with its own connection, started together, and interleaved on purpose."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from django.db import connection, connections

PATIENCE = 10
# SQLite lets one writer in at a time, so a meeting of two writers cannot happen there.
MEETING = 0.3


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls at once, each in a thread; return what each returned or raised, in order."""
    start = threading.Barrier(len(calls))
    outcomes: list[Any] = [None] * len(calls)

    def run(position: int, call: Callable[[], Any]) -> None:
        try:
            start.wait(PATIENCE)
            outcomes[position] = call()
        except Exception as error:  # noqa: BLE001 - handed to the test, which names what it expects
            outcomes[position] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
        assert not thread.is_alive(), "A thread waits for ever."
    return outcomes


class Later(threading.Thread):
    """One call in a thread of its own, which appends to ``outcomes`` what it returned or raised."""

    def __init__(self, call: Callable[[], Any], outcomes: list[Any]) -> None:
        super().__init__()
        self._call, self._outcomes = call, outcomes

    def run(self) -> None:
        try:
            self._outcomes.append(self._call())
        except Exception as error:  # noqa: BLE001 - handed to the test, which names what it expects
            self._outcomes.append(error)
        finally:
            connections.close_all()


def before_update(table: str, hook: Callable[[], None]) -> AbstractContextManager[None]:
    """Call ``hook`` once in this thread, after all reads and before the first UPDATE of ``table``."""
    left = [hook]

    def wrapper(
        execute: Callable[..., Any],
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] | None,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        if left and sql.startswith(f'UPDATE "{table}"'):
            left.pop()()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def meeting_before_update(table: str, *calls: Callable[[], Any]) -> list[Any]:
    """Run the calls together; none updates ``table`` before all have read what they rest on."""
    barrier = threading.Barrier(len(calls))

    def meet() -> None:
        # Where a lock keeps the others from coming so far, there is nobody to meet.
        with suppress(threading.BrokenBarrierError):
            barrier.wait(MEETING)

    def interleaved(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with before_update(table, meet):
                return call()

        return run

    return together(*(interleaved(call) for call in calls))


@contextmanager
def held_elsewhere(lock: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Hold a lock of the database in another thread while the block runs."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with lock():
                held.set()
                done.wait(PATIENCE)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(PATIENCE), "The lock was not taken."
        yield
    finally:
        done.set()
        thread.join(PATIENCE)
