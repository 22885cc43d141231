"""Sends requests for a while and counts the answers: with wrk, or with a small client of its own."""

from __future__ import annotations

import json
import multiprocessing
import socket
import subprocess
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

from bench.stage import HOST

SCRIPT = Path(__file__).with_name("rotate.lua")


@dataclass(frozen=True, slots=True)
class Target:
    """Something that is measured: its name, what it is, and where it answers."""

    name: str
    what: str
    port: int
    path: str
    good: int = 200
    # "bearer" sends each token as it is; "spoilt" with another last digit, so that its checksum
    # fails; "introspect" in a form, with a service's credentials.
    kind: str = "bearer"
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """How requests are sent: by which program, over how many connections, with which tokens."""

    wrk: str | None
    connections: int
    values: Path

    def __str__(self) -> str:
        if self.wrk:
            return f"wrk, {self.connections} connections, tokens rotated by a Lua script"
        return (
            f"the built-in client, {self.connections} processes (it costs more CPU than wrk, "
            "which draws all ratios towards 1)"
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """What one stretch of load counted."""

    requests: int
    seconds: float
    errors: int
    idle: float | None

    @property
    def rate(self) -> float:
        """Answers a second that were what they should be."""
        return max(self.requests - self.errors, 0) / self.seconds


def measure(target: Target, load: Load, seconds: float, start: int) -> Sample:
    """Load ``target`` for that long, beginning at token number ``start``."""
    before = _cpu_times()
    counted = (_with_wrk if load.wrk else _with_sockets)(target, load, seconds, start)
    after = _cpu_times()
    requests, lasted, errors = counted
    return Sample(requests, lasted, errors, _idle_share(before, after))


def answer_of(target: Target, value: str) -> tuple[int, str]:
    """Return status and body of one request, so that a run measures what it should."""
    raw = b"".join(_exchange(target, _request(target, value)))
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body.decode()


def spoil(value: str) -> str:
    """Return the value with another last digit."""
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def _with_wrk(target: Target, load: Load, seconds: float, start: int) -> tuple[int, float, int]:
    command = [load.wrk or "wrk", "--threads", "1", "--connections", str(load.connections)]
    # wrk reads whole seconds only.
    command += ["--duration", f"{max(round(seconds), 1)}s", "--script", str(SCRIPT)]
    command += [f"http://{HOST}:{target.port}{target.path}", "--", str(load.values), str(start)]
    command += [target.kind, target.credentials]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    counted = json.loads(done.stdout.strip().splitlines()[-1])
    # wrk counts answers from 400 on, which is what a spoilt token should get.
    refused = counted["refused"]
    wrong = counted["requests"] - refused if target.good >= 400 else refused
    return counted["requests"], counted["seconds"], counted["broken"] + wrong


def _with_sockets(target: Target, load: Load, seconds: float, start: int) -> tuple[int, float, int]:
    values = load.values.read_text().split()
    context = multiprocessing.get_context("fork")
    counted: Queue[tuple[int, int]] = context.Queue()
    clients = []
    for number in range(load.connections):
        offset = (start + number * len(values) // load.connections) % len(values)
        # The requests are made before the clock starts, as in the script for wrk.
        requests = [_request(target, value) for value in values[offset:] + values[:offset]]
        clients.append(
            context.Process(target=_client, args=(target, requests, seconds, counted), daemon=True)
        )
    for client in clients:
        client.start()
    results = [counted.get(timeout=seconds + 60) for _ in clients]
    for client in clients:
        client.join()
    return sum(each[0] for each in results), seconds, sum(each[1] for each in results)


def _client(
    target: Target, requests: list[bytes], seconds: float, counted: Queue[tuple[int, int]]
) -> None:
    done = errors = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        try:
            good = next(iter(_exchange(target, requests[done % len(requests)])))
            errors += not good.startswith(b"HTTP/1.1 %d " % target.good)
        except (OSError, StopIteration):
            errors += 1
        done += 1
    counted.put((done, errors))


def _exchange(target: Target, request: bytes) -> list[bytes]:
    # A sync worker closes after each answer, so every request has a connection of its own.
    with socket.create_connection((HOST, target.port), timeout=10) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
    return parts


def _request(target: Target, value: str) -> bytes:
    value = spoil(value) if target.kind == "spoilt" else value
    method, bearer, body, more = "GET", f"Bearer {value}", "", ""
    if target.kind == "introspect":
        method, bearer, body = "POST", target.credentials, f"token={value}"
        more = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    return (
        f"{method} {target.path} HTTP/1.1\r\nHost: {HOST}:{target.port}\r\nUser-Agent: node\r\n"
        f"{more}Authorization: {bearer}\r\n\r\n{body}"
    ).encode("ascii")


def _cpu_times() -> tuple[int, int] | None:
    """Return idle and total ticks of all CPUs, where the system tells them."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    ticks = [int(each) for each in first.split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _idle_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
