from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.server import PATIENCE, Server, serving
from tokens import secret

HEALTH = "/api/v1/health"


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
