"""What Prometheus is told, by gunicorn with several processes as it runs in production."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest
from django.test import Client

from tests.server import PATIENCE, Server, serving

SECRET = "a-secret-of-the-operator-for-metrics-alone"
BEARER = f"Authorization: Bearer {SECRET}"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The console with three processes, on a database without tables."""
    folder = tmp_path_factory.mktemp("measured")
    with serving(folder, METRICS_SECRET=SECRET, WEB_CONCURRENCY="3") as server:
        yield server


def number(server: Server, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} ([0-9.e+]+)\r?$", server.ask("/metrics", BEARER), re.M)
    return float(found[1]) if found else 0.0


ALIVE = 'console_requests_total{method="GET",route="healthz",status="200"}'


def test_whichever_process_is_asked_tells_what_all_of_them_counted(measured: Server) -> None:
    before = number(measured, ALIVE)
    for _ in range(60):
        measured.get("/healthz")
    assert {number(measured, ALIVE) - before for _ in range(12)} == {60}


def test_workers_that_are_replaced_lose_no_count(measured: Server) -> None:
    measured.get("/healthz")
    before, started = number(measured, ALIVE), measured.log.count("Booting worker")
    os.kill(measured.pid, signal.SIGHUP)
    ends = time.monotonic() + PATIENCE

    def replaced() -> tuple[int, int]:
        log = measured.log
        return log.count("Booting worker"), log.count("Worker exiting")

    # An old worker may write its last line before the newest has written its first.
    while replaced() != (started + 3, 3) and time.monotonic() < ends:
        time.sleep(0.05)
    assert replaced() == (started + 3, 3)
    assert number(measured, ALIVE) == before


@pytest.mark.parametrize(
    "header",
    [
        "Accept: */*",
        "Authorization: Bearer",
        f"Authorization: Bearer {SECRET}x",
        "Authorization: Basic eA==",
    ],
)
def test_nobody_else_is_told(measured: Server, header: str) -> None:
    answer = measured.ask("/metrics", header)
    assert answer.startswith("HTTP/1.1 401 ")
    assert 'WWW-Authenticate: Bearer realm="metrics"' in answer
    assert "console_" not in answer


def test_names_of_a_stranger_s_making_do_not_become_labels(measured: Server) -> None:
    measured.get("/of-my-making?x=1")
    measured.send(b"GUESS /api/v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    told = measured.ask("/metrics", BEARER)
    assert 'method="other"' in told
    assert "GUESS" not in told
    assert "of-my-making" not in told
    assert 'console_request_seconds_count{door="api"}' in told


def test_a_database_that_is_not_ready_is_told_and_breaks_nothing(measured: Server) -> None:
    told = measured.ask("/metrics", BEARER)
    assert told.startswith("HTTP/1.1 200 ")
    assert re.search(r"^console_ready 0\.0\r?$", told, re.M)


def test_without_the_secret_there_is_no_such_page(as_alice: Client) -> None:
    assert as_alice.get("/metrics").status_code == 404
