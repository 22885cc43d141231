"""``deploy/nginx-console.conf`` in the real nginx: TLS, whole requests, and a log without secrets."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.conftest import NGINX
from tests.journeys.test_nginx import MAIN, Answer, Application, free_port
from tokens import secret

pytestmark = pytest.mark.nginx
CONFIGURATION = Path(settings.BASE_DIR) / "deploy" / "nginx-console.conf"
NAME = "console.example.com"
COUNTING = "/admin/policy/"
# What Debian switches on for everybody; the console's own part must hold against it.
DEBIAN = "gzip on; gzip_types *; include"
OWN = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}")


class Console(Application):
    """Stands for the console behind TLS, which asks for TLS itself."""

    read = threading.Event()

    def answer(self) -> None:
        """Count as the preview of a policy does, as long as nobody has read the first line."""
        if self.path != COUNTING:
            super().answer()
            return
        self.send_response(200)
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\n4 %\r\n")
        self.wfile.flush()
        word = b"read" if self.read.wait(5) else b"late"
        self.wfile.write(b"4\r\n" + word + b"\r\n0\r\n\r\n")

    do_GET = answer  # noqa: N815 - the name that http.server calls

    def end_headers(self) -> None:
        """Add the header that nginx must not send twice."""
        self.send_header("Strict-Transport-Security", "max-age=60")
        super().end_headers()


class Front:
    """A running nginx with the project's configuration and a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls, self.plain, self.inside = free_port(), free_port(), free_port()
        self.console = ThreadingHTTPServer(("127.0.0.1", 0), Console)
        threading.Thread(target=self.console.serve_forever, daemon=True).start()
        names = ("-addext", f"subjectAltName=DNS:{NAME}")
        files = ("-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem")
        subprocess.run(
            ["openssl", "req", "-x509", *OWN, *names, *files], check=True, capture_output=True
        )
        (folder / "site.conf").write_text(self._site())
        main = MAIN.format(folder=folder)
        assert main.count("include") == 1
        (folder / "nginx.conf").write_text(main.replace("include", DEBIAN))
        command = [
            str(NGINX),
            "-p",
            str(folder),
            "-e",
            f"{folder}/error.log",
            "-c",
            f"{folder}/nginx.conf",
        ]
        self.checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        self.process = subprocess.Popen(command)
        self._wait()
        # Whatever would put a body down into a file breaks from here on.
        (folder / "body").rmdir()

    def _wait(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.tls)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"nginx does not listen: {self.checked.stderr}")

    def _site(self) -> str:
        text = CONFIGURATION.read_text()
        changes = {
            "server unix:/run/skytells-console.sock;": f"server 127.0.0.1:{self.console.server_port};",
            "listen 443 ssl": f"listen 127.0.0.1:{self.tls} ssl",
            "listen 80": f"listen 127.0.0.1:{self.plain}",
            "127.0.0.1:8090": f"127.0.0.1:{self.inside}",
            "/etc/ssl/skytells-console/": f"{self.folder}/",
            "/var/log/nginx/": f"{self.folder}/",
        }
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        return text

    def stop(self) -> None:
        """End nginx and what stands behind it."""
        self.process.terminate()
        self.process.wait(timeout=10)
        self.console.shutdown()
        self.console.server_close()

    def call(
        self,
        path: str = "/",
        headers: dict[str, str] | None = None,
        *,
        port: int = 0,
        method: str = "GET",
        body: bytes | None = None,
        name: str = NAME,
    ) -> Answer:
        """Send a request through TLS, or in the clear to another port."""
        plain = self.connected(port, name)
        plain.request(method, path, body, {"Host": name, **(headers or {})})
        response = plain.getresponse()
        told = {}
        for key, value in response.getheaders():
            assert key not in told, f"{key} is sent twice"
            told[key] = value
        answer = Answer(response.status, told, response.read())
        plain.close()
        return answer

    def connected(self, port: int = 0, name: str = NAME) -> http.client.HTTPConnection:
        """Open a connection, through TLS where no other port is asked for."""
        plain = http.client.HTTPConnection("127.0.0.1", port or self.tls, timeout=10)
        plain.connect()
        if not port:
            trusting = ssl.create_default_context(cafile=f"{self.folder}/fullchain.pem")
            trusting.check_hostname = name == NAME
            plain.sock = trusting.wrap_socket(plain.sock, server_hostname=name)
        return plain

    def lines(self, last: str) -> list[dict[str, Any]]:
        """Return the requests that were logged, once the last one is of this path."""
        # nginx writes the line when the answer has gone out already.
        for _ in range(100):
            text = (self.folder / "console.log").read_text()
            found = [json.loads(line) for line in text.splitlines()]
            if found and found[-1]["path"] == last:
                return found
            time.sleep(0.05)
        pytest.fail(f"{last} was not logged: {text}")

    @property
    def log(self) -> str:
        """All that nginx wrote."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    running = Front(tmp_path_factory.mktemp("front"))
    yield running
    running.stop()


def seen(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.seen["headers"]}


def test_nginx_finds_nothing_wrong_with_the_file(front: Front) -> None:
    assert front.checked.returncode == 0
    assert "warn" not in front.checked.stderr


def test_the_console_learns_who_asks_and_by_which_scheme_and_nothing_a_client_claims(
    front: Front,
) -> None:
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=203.0.113.9",
    }
    told = seen(front.call(headers=claims))
    assert told["host"] == NAME
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["x-forwarded-proto"] == "https"
    assert not {"x-forwarded-host", "forwarded"} & told.keys()


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_every_answer_asks_browsers_to_stay_with_tls_once(front: Front, path: str) -> None:
    assert front.call(path).headers["Strict-Transport-Security"].startswith("max-age=31536000;")


def test_nothing_is_compressed_on_the_way(front: Front) -> None:
    answer = front.call(headers={"Accept-Encoding": "gzip", "X-Padding": "a" * 4000})
    assert answer.status == 200
    assert "Content-Encoding" not in answer.headers


def test_plain_http_leads_to_tls_and_a_program_is_told(front: Front) -> None:
    page = front.call("/settings/tokens?q=a", port=front.plain)
    assert (page.status, page.headers["Location"]) == (301, f"https://{NAME}/settings/tokens?q=a")
    program = front.call("/api/v1/user", port=front.plain)
    assert program.status == 403
    assert json.loads(program.body)["code"] == "tls_required"


def test_another_name_gets_no_answer(front: Front) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        front.call(name="other.example.com")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        front.call(port=front.plain, name="other.example.com")


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_for_operators_is_closed_to_the_world_and_open_inside(
    front: Front, path: str
) -> None:
    assert front.call(path).status == 404
    inside = front.call(path, port=front.inside)
    assert (inside.status, inside.seen["path"]) == (200, path)
    assert seen(inside)["x-forwarded-proto"] == "http"
    assert front.call("/settings/tokens", port=front.inside).status == 404


def test_a_body_is_passed_on_whole_and_never_put_down(front: Front) -> None:
    body = b"x" * 500_000
    assert front.call("/form", method="POST", body=body).seen["body"] == body.decode()
    assert front.call("/form", method="POST", body=body * 2).status == 413
    # An answer is put down only when somebody reads slowly, which no test can time.
    assert "proxy_max_temp_file_size 0;" in CONFIGURATION.read_text()


def test_the_log_holds_no_secret_wherever_it_was_put(front: Front) -> None:
    value = secret.mint().reveal()
    paths = [
        f"/?token={value}",
        f"/{value}",
        f"/%73k_pat_{value[7:]}",
        f"/{value[7:]}",
        "/calendar/c2VjcmV0LWZlZWQ.ics",
        "/c2VjcmV0LWZlZWQ/tokens.ics?x=1",
        "/account/password/reset/key/1-c2VjcmV0LWZlZWQ",
    ]
    headers = {
        "Referer": f"https://x/{value}",
        "User-Agent": value,
        "Authorization": f"Bearer {value}",
        "Cookie": value,
    }
    for path in paths:
        front.call(path, headers)
        front.call(path, headers, port=front.plain)
    front.call("/the-last-one")
    lines = front.lines("/the-last-one")
    text = front.log
    assert not [start for start in range(60) if value[start : start + 12] in text]
    assert "c2VjcmV0" not in text
    assert {"/", "/[masked]", "/[calendar]", "/account/password/reset/key/[link]"} <= {
        each["path"] for each in lines
    }


def test_a_console_that_is_away_is_said_and_quoted_nowhere(tmp_path: Path) -> None:
    front = Front(tmp_path)
    try:
        front.console.shutdown()
        front.console.server_close()
        value = secret.mint().reveal()
        answer = front.call(f"/?token={value}")
        assert answer.status == 502
        last = front.lines("/")[-1]
        assert value[7:19] not in front.log
        assert (last["status"], last["upstream_status"]) == ("502", "502")
    finally:
        front.stop()


def test_how_far_a_count_is_passes_line_by_line(front: Front) -> None:
    connection = front.connected()
    connection.request("GET", COUNTING, headers={"Host": NAME})
    response = connection.getresponse()
    assert response.read1() == b"4 %"
    Console.read.set()
    assert response.read() == b"read"
    connection.close()
