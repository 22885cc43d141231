"""A real gunicorn with the console's own configuration, behind https or not."""

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

ROOT = Path(__file__).parent.parent
PATIENCE = 30


class Server:
    """A real gunicorn with the console's own configuration, which runs behind https."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        self.folder, self._process, self._port = folder, process, port

    @property
    def pid(self) -> int:
        """The process that the workers come from."""
        return self._process.pid

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
        return self.ask(path, *headers, through_the_file=through_the_file).split("\r\n")[0]

    def ask(self, path: str, *headers: str, through_the_file: bool = False) -> str:
        """Return the whole answer as it came over the line."""
        lines = [f"GET {path} HTTP/1.1", "Host: console.example.com", "Connection: close", *headers]
        request = "\r\n".join([*lines, "", ""]).encode()
        return self.send(request, through_the_file=through_the_file).decode()

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
