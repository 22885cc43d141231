from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tokens import secret

ROOT = Path(__file__).parent.parent
HEALTH = "/api/v1/health"
PATIENCE = 30


class Server:
    """A real gunicorn with the console's own configuration, which runs behind https."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        self.folder, self._process, self._port = folder, process, port

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def send(self, request: bytes, *, through_the_file: bool = False) -> bytes:
        """Send raw bytes and return all that comes back."""
        family = socket.AF_UNIX if through_the_file else socket.AF_INET
        place = str(self.folder / "socket") if through_the_file else ("127.0.0.1", self._port)
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            client.connect(place)
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def get(self, path: str, *headers: str, through_the_file: bool = False) -> str:
        """Return the answer's first line."""
        lines = [f"GET {path} HTTP/1.1", "Host: console.example.com", "Connection: close", *headers]
        request = "\r\n".join([*lines, "", ""]).encode()
        answer = self.send(request, through_the_file=through_the_file)
        return answer.split(b"\r\n")[0].decode()

    def wait(self) -> None:
        """Return once it answers."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends and self._process.poll() is None:
            try:
                self.get("/healthz")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log)


@contextmanager
def serving(folder: Path, **environ: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    binds = ["--bind", f"127.0.0.1:{port}", "--bind", f"unix:{folder / 'socket'}"]
    config = ["-c", "skytells_console/gunicorn.conf.py", "--threads", "2", *binds]
    clean = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "skytells_console.settings",
        "PUBLIC_URL": "https://console.example.com",
        "STATE_DIR": str(folder),
        "SECRET_KEY": secrets.token_hex(32),
        "TOKEN_PEPPERS": f"1:{secrets.token_hex(32)}",
        # An address that somebody once trusted in gunicorn must not be trusted by the console.
        "FORWARDED_ALLOW_IPS": "*",
    }
    command = [sys.executable, "-m", "gunicorn", *config, "skytells_console.wsgi:application"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean | environ, stdout=log, stderr=log, umask=0o022
        )
    try:
        server = Server(folder, process, port)
        server.wait()
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The console with no proxy configured."""
    with serving(tmp_path_factory.mktemp("bare")) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The console behind one proxy."""
    with serving(tmp_path_factory.mktemp("proxied"), TRUSTED_PROXY_COUNT="1") as server:
        yield server


@pytest.mark.parametrize("through_the_file", [False, True])
@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-Proto: https", "X-Forwarded-SSL: on", "X-Forwarded-Protocol: ssl"],
)
def test_nobody_can_pretend_to_come_through_tls(
    bare: Server, header: str, through_the_file: bool
) -> None:
    answer = bare.get(HEALTH, header, through_the_file=through_the_file)
    assert answer == "HTTP/1.1 403 Forbidden"


@pytest.mark.parametrize("through_the_file", [False, True])
@pytest.mark.parametrize("header", ["SCRIPT_NAME: /x", "PATH_INFO: " + HEALTH])
def test_nobody_can_move_a_path(bare: Server, header: str, through_the_file: bool) -> None:
    answer = bare.get(f"/x{HEALTH}", header, through_the_file=through_the_file)
    # A page that would be redirected to https, and not the API, which answers 403.
    assert answer == "HTTP/1.1 301 Moved Permanently"


@pytest.mark.parametrize("through_the_file", [False, True])
def test_a_configured_proxy_is_believed_about_the_scheme(
    proxied: Server, through_the_file: bool
) -> None:
    file = through_the_file
    assert proxied.get(HEALTH, through_the_file=file) == "HTTP/1.1 403 Forbidden"
    said = proxied.get(HEALTH, "X-Forwarded-Proto: https", through_the_file=file)
    # The tables are missing here, which is for the API to say and no longer for the door.
    assert said == "HTTP/1.1 503 Service Unavailable"
    other = proxied.get(HEALTH, "X-Forwarded-SSL: on", through_the_file=file)
    assert other == "HTTP/1.1 403 Forbidden"


def test_the_server_makes_a_database_for_its_owner_alone(proxied: Server) -> None:
    proxied.get(HEALTH, "X-Forwarded-Proto: https")
    made = list(proxied.folder.glob("console.sqlite3*"))
    assert made
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


@pytest.mark.parametrize(
    "request_of",
    [
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {0}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n{0} : x\r\n\r\n",
        "{0}\r\n\r\n",
        "GET / {0}\r\n\r\n",
    ],
    ids=["no colon", "a space before the colon", "no request line", "no version"],
)
def test_a_request_that_cannot_be_read_is_logged_without_its_token(
    bare: Server, request_of: str
) -> None:
    value = secret.mint().reveal()
    before = len(bare.log)
    answer = bare.send(request_of.format(value).encode())
    assert answer.startswith(b"HTTP/1.1 400")
    ends = time.monotonic() + PATIENCE
    while "sk_pat_[redacted]" not in bare.log[before:] and time.monotonic() < ends:
        time.sleep(0.05)
    assert "sk_pat_[redacted]" in bare.log[before:]
    assert value[7:19] not in bare.log.lower()


def test_addresses_of_requests_are_not_logged(proxied: Server) -> None:
    proxied.get("/account/password/reset/key/1-a-one-time-link")
    assert "Listening at" in proxied.log
    assert "one-time-link" not in proxied.log
