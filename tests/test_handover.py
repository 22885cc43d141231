"""New processes take over from the old ones, as ``systemctl reload`` has them do."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from skytells_console import handover
from tests.server import PATIENCE, ROOT

# What systemd does: the socket is the third descriptor, and the program is told that it is meant.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
WORKERS = 2


class Service:
    """A console that systemd started: on a socket it was given, with a line on which it reports."""

    def __init__(self, folder: Path, release: Path = ROOT) -> None:
        self.peppers = folder / "peppers"
        self.peppers.write_text(f"1:{secrets.token_hex(32)}")
        self._log = folder / "log"
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(folder / "notify"))
        self.line.settimeout(PATIENCE)
        environ = {
            "PATH": os.environ["PATH"],
            "STATE_DIR": str(folder),
            "SECRET_KEY": secrets.token_hex(32),
            "TOKEN_PEPPERS_FILE": str(self.peppers),
            "WEB_CONCURRENCY": str(WORKERS),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "LISTEN_FDS": "1",
            "RELEASE_LINK": str(release),
        }
        given = self.listening.fileno()
        program = [sys.executable, str(Path(sys.executable).with_name("gunicorn"))]
        config = ["-c", "skytells_console/gunicorn.conf.py", "skytells_console.wsgi:application"]
        command = [sys.executable, "-c", AS_SYSTEMD, str(given), *program, *config]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=release, env=environ, stdout=log, stderr=log, pass_fds=[given]
            )
        self.main = self.process.pid
        # Whoever started a process has to take note of its end; systemd does so at once.
        self._reaper = threading.Thread(target=self.process.wait)
        self._reaper.start()

    def serves(self) -> int:
        """Return who is in charge, as soon as that is reported."""
        told = dict(line.split("=", 1) for line in self.line.recv(4096).decode().splitlines())
        assert told["READY"] == "1", told
        self.main = int(told["MAINPID"])
        return self.main

    def ask(self) -> bytes:
        """Return the first line of an answer."""
        with socket.create_connection(self.listening.getsockname(), timeout=PATIENCE) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: client.recv(65536), b"")).split(b"\r\n")[0]

    def hand_over(self, path: str = "") -> subprocess.CompletedProcess[str]:
        """Do what the unit does on a reload."""
        return subprocess.run(
            [ROOT / "deploy" / "hand-over", str(self.main)],
            env={"PATH": path + os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )

    def held(self) -> int:
        """Return how often the main process has the socket open."""
        socket_file = Path(f"/proc/self/fd/{self.listening.fileno()}").readlink()
        opened = Path(f"/proc/{self.main}/fd").iterdir()
        return [each.readlink() for each in opened].count(socket_file)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        """End whichever processes there are, and wait for the first."""
        for main in {self.main, self.process.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(main, signal.SIGTERM)
        self._reaper.join(PATIENCE)
        self.line.close()
        self.listening.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path)
    yield running
    running.stop()


def test_it_is_ready_when_all_its_workers_are(service: Service) -> None:
    assert service.serves() == service.process.pid
    # Each of them has read the pipe, and the last one reported.
    assert service.log.count("Booting worker") == WORKERS
    assert service.ask() == b"HTTP/1.1 200 OK"
    service.line.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.line.recv(1)


def test_a_new_main_process_takes_over_while_people_ask(service: Service) -> None:
    service.serves()
    held = service.held()
    answers: list[bytes | OSError] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answers.append(service.ask())
            except OSError as error:
                answers.append(error)

    people = [threading.Thread(target=ask) for _ in range(4)]
    for person in people:
        person.start()
    done = [service.hand_over()]
    mains = [service.serves()]
    # The new one can be taken over from as well, at once.
    done.append(service.hand_over())
    mains.append(service.serves())
    stop.set()
    for person in people:
        person.join()
    assert [(each.returncode, each.stderr) for each in done] == [(0, "")] * 2
    assert len({service.process.pid, *mains}) == 3
    assert service.held() == held
    assert len(answers) > 20
    assert set(answers) == {b"HTTP/1.1 200 OK"}


def test_what_cannot_start_leaves_the_old_ones_serving(service: Service, tmp_path: Path) -> None:
    main = service.serves()
    service.peppers.write_text("this is no pepper")
    # Nobody waits a minute here: its half seconds pass at once.
    (tmp_path / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.05\n")
    (tmp_path / "sleep").chmod(0o755)
    done = service.hand_over(path=f"{tmp_path}:")
    assert done.returncode == 1
    assert f"{main} still serves" in done.stderr
    assert "TOKEN_PEPPERS" in service.log
    assert service.ask() == b"HTTP/1.1 200 OK"
    service.peppers.write_text(f"1:{secrets.token_hex(32)}")
    assert service.hand_over().returncode == 0
    assert service.serves() != main


def test_the_release_that_the_link_names_by_then_takes_over(tmp_path: Path) -> None:
    second, link = tmp_path / "second", tmp_path / "current"
    for each in ("skytells_console", "tokens"):
        shutil.copytree(ROOT / each, second / each)
    (second / "skytells_console" / "wsgi.py").write_text(
        "def application(environ, answer):\n    answer('200 Second', [])\n    return []\n"
    )
    link.symlink_to(ROOT)
    service = Service(tmp_path, release=link)
    try:
        service.serves()
        assert service.ask() == b"HTTP/1.1 200 OK"
        link.unlink()
        link.symlink_to(second)
        assert service.hand_over().returncode == 0
        service.serves()
        assert service.ask() == b"HTTP/1.1 200 Second"
    finally:
        service.stop()


def test_a_stranger_who_has_the_number_of_a_main_process_that_is_gone_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        monkeypatch.setenv("GUNICORN_PID", str(stranger.pid))
        handover.begin(1)
        handover.worker_is_ready()
        with pytest.raises(subprocess.TimeoutExpired):
            stranger.wait(0.3)
        stranger.kill()
