"""``deploy/nginx.conf`` in the real nginx: it asks the console, and nobody talks past it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue, origin
from tests.conftest import NGINX
from tokens import lifecycle, projects, usage
from tokens.lifecycle import Issued
from tokens.models import AccessToken, TokenUse

pytestmark = [pytest.mark.nginx, pytest.mark.django_db(transaction=True)]
CONFIGURATION = Path(settings.BASE_DIR) / "deploy" / "nginx.conf"
MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Answer(NamedTuple):
    """What came back through nginx."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """What the application saw of the request."""
        told: dict[str, Any] = json.loads(self.body)
        return told


class Application(BaseHTTPRequestHandler):
    """An application that knows nothing of tokens and tells what it was sent."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Tell the request as JSON."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        seen = {"path": self.path, "method": self.command, "body": body}
        text = json.dumps({**seen, "headers": self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_line: Any) -> None:
        """Say nothing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def site(text: str, folder: Path, **changes: str) -> str:
    """Return the configuration with this test's addresses; each of them must be there to change."""
    for before, after in changes.items():
        was = {
            "console": "server 127.0.0.1:8000;",
            "application": "server 127.0.0.1:9000;",
            "listen": "listen 8080;",
            "needs": '"deployments.write";',
        }[before]
        assert text.count(was) == 1, was
        text = text.replace(was, after)
    assert "/var/log/nginx/" in text
    return text.replace("/var/log/nginx/", f"{folder}/")


class Proxy:
    """A running nginx with the project's configuration."""

    def __init__(self, folder: Path, console: str, **changes: str) -> None:
        self.folder, self.port = folder, free_port()
        self.application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
        threading.Thread(target=self.application.serve_forever, daemon=True).start()
        addresses = {
            "console": f"server {console};",
            "application": f"server 127.0.0.1:{self.application.server_port};",
            "listen": f"listen 127.0.0.1:{self.port};",
        }
        text = site(CONFIGURATION.read_text(), folder, **addresses, **changes)
        (folder / "site.conf").write_text(text)
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        command = [str(NGINX), "-p", str(folder), "-e", f"{folder}/error.log"]
        self.process = subprocess.Popen([*command, "-c", f"{folder}/nginx.conf"])
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail(f"nginx does not listen: {(self.folder / 'error.log').read_text()}")

    def stop(self) -> None:
        """End nginx and the application."""
        self.process.terminate()
        self.process.wait(timeout=10)
        self.application.shutdown()
        self.application.server_close()

    def call(
        self,
        token: Issued | None,
        *headers: tuple[str, str],
        path: str = "/",
        method: str = "GET",
        body: bytes = b"",
    ) -> Answer:
        """Send a request with exactly these headers, repeated ones and odd names included."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest(method, path)
        if token is not None:
            connection.putheader("Authorization", f"Bearer {token.plaintext.reveal()}")
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer


@pytest.fixture
def proxy(tmp_path: Path, live_server: Any) -> Iterator[Proxy]:
    running = Proxy(tmp_path, live_server.url.removeprefix("http://"))
    yield running
    running.stop()


@pytest.fixture
def deploy(alice: User) -> Issued:
    """alice's token for what the configuration protects."""
    return issue(alice, "deploy", scopes=["deployments.write", "projects.read"])


def told(answer: Answer) -> dict[str, list[str]]:
    """Return the headers that tell the application who is calling, however they are written."""
    found: dict[str, list[str]] = {}
    for name, value in answer.seen["headers"]:
        plain = name.lower().replace("_", "-")
        if plain.startswith(("skytells-", "x-user", "x-auth")) or plain == "authorization":
            found.setdefault(plain, []).append(value)
    return found


def test_an_accepted_request_reaches_the_application_with_who_it_is_and_without_its_token(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    answer = proxy.call(deploy, path="/a?b=c", method="POST", body=b"hello")
    assert answer.status == 200
    assert (answer.seen["path"], answer.seen["method"]) == ("/a?b=c", "POST")
    assert answer.seen["body"] == "hello"
    assert told(answer) == {
        "skytells-user-id": [str(alice.public_id)],
        "skytells-token-id": [str(deploy.token.public_id)],
        "skytells-scopes": ["projects.read deployments.write"],
    }
    assert deploy.plaintext.reveal() not in json.dumps(answer.seen)
    expires = f"{deploy.token.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    assert answer.headers["Skytells-Token-Expires-At"] == expires


def test_headers_that_tell_who_is_calling_cannot_be_forged(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    names = [
        "Skytells-User-Id",
        "skytells-user-id",
        "SKYTELLS-USER-ID",
        "Skytells_User_Id",
        "Skytells-User_Id",
        "Skytells-Token-Id",
        "Skytells-Scopes",
        "Skytells_Scopes",
    ]
    for forged in [[(name, "root keys.write")] * times for name in names for times in (1, 2)]:
        answer = proxy.call(deploy, *forged)
        assert answer.status == 200
        assert told(answer) == {
            "skytells-user-id": [str(alice.public_id)],
            "skytells-token-id": [str(deploy.token.public_id)],
            "skytells-scopes": ["projects.read deployments.write"],
        }, forged


def test_what_a_caller_says_of_a_token_s_end_does_not_reach_the_application(
    proxy: Proxy, deploy: Issued
) -> None:
    names = ("Skytells-Token-Expires-At", "Skytells-Token-Warning")
    answer = proxy.call(deploy, *((name, "2099-01-01T00:00:00Z") for name in names))
    assert answer.status == 200
    assert not {"skytells-token-expires-at", "skytells-token-warning"} & set(told(answer))


def test_what_is_needed_cannot_be_talked_down(proxy: Proxy, alice: User) -> None:
    reader = issue(alice, "reader", scopes=["projects.read"])
    tricks = [
        ("X-Original-URI", "/?scope=projects.read"),
        ("X-Original-Method", "OPTIONS"),
        ("X-Rewrite-URL", "/api/v1/auth/verify?scope=projects.read"),
        ("X-HTTP-Method-Override", "HEAD"),
        ("Skytells-Scopes", "deployments.write"),
        ("Host", "console.example.com"),
    ]
    for trick in tricks:
        assert proxy.call(reader, trick).status in {400, 403}, trick
    for path in ("/?scope=projects.read", "/%3Fscope=projects.read", "/?skytells_needs=x"):
        assert proxy.call(reader, path=path).status == 403
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        assert proxy.call(reader, method=method).status == 403


def test_the_question_cannot_be_asked_from_outside(proxy: Proxy, deploy: Issued) -> None:
    for path in (
        "/.skytells-verify",
        "/.skytells-verify?scope=projects.read",
        "//.skytells-verify",
    ):
        assert proxy.call(deploy, path=path).status == 404


def test_without_a_token_there_is_401_with_the_challenge(proxy: Proxy) -> None:
    for header in (
        ("Accept", "*/*"),
        ("Authorization", "Bearer nonsense"),
        ("Authorization", ""),
        ("Cookie", "session=x"),
        ("Skytells-User-Id", "root"),
    ):
        answer = proxy.call(None, header)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="skytells"')


def test_two_tokens_in_one_request_pass_as_none(proxy: Proxy, deploy: Issued, alice: User) -> None:
    other = f"Bearer {issue(alice, 'other').plaintext.reveal()}"
    assert proxy.call(deploy, ("Authorization", other)).status in {400, 401}


def conversation(proxy: Proxy, *requests: str) -> list[int]:
    """Send all of this on one connection, byte for byte, and return each answer's status.

    A request without a token ends it; its 401 is the last one, unless nginx hung up before.
    """
    last = ask(None, "Content-Length: 0", "Connection: close")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        line.sendall("".join([*requests, last]).encode())
        said = b"".join(iter(lambda: line.recv(65536), b""))
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def ask(token: Issued | None, *headers: str, body: str = "") -> str:
    lines = ["POST / HTTP/1.1", "Host: api.example.com", *headers]
    if token is not None:
        lines.append(f"Authorization: Bearer {token.plaintext.reveal()}")
    return "\r\n".join([*lines, "", body])


def test_each_request_on_a_connection_is_judged_by_itself(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    reader = issue(alice, "reader", scopes=["projects.read"])
    none = "Content-Length: 0"
    requests = [ask(token, none) for token in (reader, deploy, None, deploy, reader)]
    assert conversation(proxy, *requests) == [403, 200, 401, 200, 403, 401]


def test_a_request_cannot_hide_in_another_one_s_body(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    hidden = ask(None, "Skytells-User-Id: root", "Content-Length: 0")
    length, chunked = f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"
    # A body is a body: what is in it is handed on as such, or refused along with its request.
    assert conversation(proxy, ask(deploy, length, body=hidden)) == [200, 401]
    reader = issue(alice, "reader", scopes=["projects.read"])
    assert conversation(proxy, ask(reader, length, body=hidden)) == [403, 401]
    # What follows a body of no chunks is a request of its own, and has to pass by itself.
    ended = ask(deploy, chunked, body=f"0\r\n\r\n{hidden}")
    assert conversation(proxy, ended) == [200, 401, 401]
    for doubtful in (
        [length, chunked],
        [length, "Content-Length: 0"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        [f"Content-Length: +{len(hidden)}"],
    ):
        statuses = conversation(proxy, ask(deploy, *doubtful, body=f"0\r\n\r\n{hidden}"))
        assert statuses in ([400], [501]), doubtful


def test_a_revoked_token_is_refused_on_the_next_request(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    for _ in range(3):
        assert proxy.call(deploy).status == 200
    lifecycle.revoke(token=deploy.token, origin=origin(alice))
    answer = proxy.call(deploy)
    assert answer.status == 401
    assert "The token was revoked." in answer.headers["WWW-Authenticate"]


def test_a_pause_and_a_lost_scope_are_felt_on_the_next_request(
    proxy: Proxy, deploy: Issued, alice: User
) -> None:
    assert proxy.call(deploy).status == 200
    AccessToken.objects.update(paused_at=timezone.now())
    assert proxy.call(deploy).status == 403
    AccessToken.objects.update(paused_at=None)
    assert proxy.call(deploy).status == 200
    lifecycle.narrow(token=deploy.token, scopes=["projects.read"], origin=origin(alice))
    assert proxy.call(deploy).status == 403


def test_nothing_passes_while_the_console_is_down(tmp_path: Path, deploy: Issued) -> None:
    proxy = Proxy(tmp_path, f"127.0.0.1:{free_port()}")
    try:
        assert proxy.call(deploy).status == 500
    finally:
        proxy.stop()


@pytest.mark.parametrize("needs", ['"";', '"all";', '"projects.read&scope=deployments.write";'])
def test_a_slip_in_the_configuration_opens_nothing(
    tmp_path: Path, live_server: Any, deploy: Issued, needs: str
) -> None:
    proxy = Proxy(tmp_path, live_server.url.removeprefix("http://"), needs=needs)
    try:
        assert proxy.call(deploy).status == 403
    finally:
        proxy.stop()


def test_a_location_can_be_for_one_project(
    tmp_path: Path, live_server: Any, alice: User, bob: User
) -> None:
    shop = projects.create(owner_id=alice.pk, name="shop", origin=origin(alice))
    scopes = ["deployments.write"]
    needs = f'"deployments.write&project={shop.public_id}";'
    proxy = Proxy(tmp_path, live_server.url.removeprefix("http://"), needs=needs)
    try:
        assert proxy.call(issue(alice, "for it", scopes=scopes, projects=[shop])).status == 200
        assert proxy.call(issue(alice, "for none", scopes=scopes, projects=[])).status == 403
        assert proxy.call(issue(bob, scopes=scopes)).status == 403
    finally:
        proxy.stop()


def test_use_is_ascribed_to_the_caller_and_not_to_the_proxy(
    proxy: Proxy, deploy: Issued, settings: Any
) -> None:
    settings.TRUSTED_PROXY_COUNT = 1
    forged = ("X-Forwarded-For", "203.0.113.9")
    assert proxy.call(deploy, forged, ("User-Agent", "curl/8")).status == 200
    usage.flush()
    use = TokenUse.objects.get()
    assert (use.network, use.client, use.scope) == ("127.0.0.0/24", "curl", "deployments.write")


def test_no_log_holds_a_piece_of_a_token(proxy: Proxy, deploy: Issued, alice: User) -> None:
    value = deploy.plaintext.reveal()
    proxy.call(deploy, path=f"/?token={value}")
    lifecycle.revoke(token=deploy.token, origin=origin(alice))
    proxy.call(deploy, path=f"/?token={value}")
    text = "".join(path.read_text() for path in proxy.folder.glob("*.log"))
    assert re.search(r'"GET /" 200', text)
    assert not [start for start in range(60) if value[start : start + 12] in text]
