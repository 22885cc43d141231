from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError, connection
from django.http import Http404, UnreadablePostError

from skytells_console.logging import RedactFilter
from tokens import usage
from tokens.api import endpoints
from tokens.lifecycle import Issued

Send = Callable[..., Any]


@pytest.fixture(autouse=True)
def every_answer_is_in_the_description() -> None:
    """Ask for no promise here: these tests raise what no endpoint does."""


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What the console's own handler writes, with its filter and its format."""
    handler = next(
        each
        for each in logging.getLogger().handlers
        if any(isinstance(one, RedactFilter) for one in each.filters)
    )
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    before = handler.stream
    handler.setStream(lines)
    yield lines
    handler.setStream(before)


def break_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the endpoint for the presented token raise once the bearer was accepted."""

    def raise_it(*_args: Any, **_facts: Any) -> None:
        raise error

    monkeypatch.setattr(endpoints, "answer", raise_it)


# --- Addresses that do not exist ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1",
        "/api/v1/",
        "/api/v2/token",
        "/api/v1/tokens",
        "/api/v1/token/",
        "/api/v1/cli/projects/",
        "/api/v1//token",
        "/api/v1/token.json",
        "/api/v1/Token",
        "/api/v1/token%2F",
        "/api/v1/token%00",
        "/api/v1/%ff",
        "/api/../settings/tokens",
        "/api/settings/tokens",
        "/api/<script>alert(1)</script>",
        "/api/" + "a" * 5000,
    ],
    ids=lambda text: text[:30],
)
def test_an_unknown_address_answers_404_in_json_and_never_redirects(
    full: Issued, send: Send, path: str, method: str
) -> None:
    refused = send(method, path, full, headers={"Accept": "text/html"})
    assert refused.status_code == 404
    assert refused.headers["Content-Type"] == "application/json"
    told = refused.json()
    assert (told["code"], told["error"]) == ("not_found", "There is nothing at this address.")
    hint = "Addresses of the API have no slash at the end."
    assert told.get("details") == (hint if path.endswith(("/", "%2F")) else None)


@pytest.mark.parametrize("path", ["//api/v1/cli/projects", "/API/v1/cli/projects", "/api"])
def test_an_address_beside_the_api_is_not_found_and_never_a_redirect(
    full: Issued, send: Send, path: str
) -> None:
    refused = send("GET", path, full)
    assert refused.status_code == 404
    assert "Location" not in refused.headers


# --- What breaks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("secret detail"), 500, "server_error"),
        (OperationalError("secret detail"), 500, "server_error"),
        (RecursionError("secret detail"), 500, "server_error"),
        (SystemError("secret detail"), 500, "server_error"),
        (Http404("secret detail"), 404, "not_found"),
        (PermissionDenied("secret detail"), 403, "forbidden"),
        (SuspiciousOperation("secret detail"), 400, "bad_request"),
        (UnreadablePostError("secret detail"), 500, "server_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_whatever_is_raised_is_answered_in_json_without_details(
    full: Issued,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    break_with(monkeypatch, error)
    refused = send("GET", "/api/v1/token", full, headers={"Accept": "text/html"})
    assert refused.status_code == status
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.headers["Cache-Control"] == "no-store"
    told = refused.json()
    assert told["code"] == code
    assert told["request_id"] == refused.headers["X-Request-ID"]
    assert b"secret detail" not in refused.content


def test_a_fault_is_logged_under_the_request_s_id_without_the_token(
    full: Issued, send: Send, monkeypatch: pytest.MonkeyPatch, log_lines: io.StringIO
) -> None:
    value = full.plaintext.reveal()
    break_with(monkeypatch, RuntimeError(f"could not handle {value}"))
    refused = send("GET", "/api/v1/token", full, QUERY_STRING=f"token={value}")
    text = log_lines.getvalue()
    assert f"ERROR django.request [{refused.json()['request_id']}] Internal Server Error" in text
    assert "RuntimeError: could not handle sk_pat_[redacted]" in text
    pieces = {value[start : start + 12] for start in range(len(value) - 11)}
    assert not [piece for piece in pieces if piece in text]


def test_a_database_that_fails_is_no_yes_and_no_401(full: Issued, send: Send) -> None:
    def refuse(*_call: Any) -> None:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        refused = send("GET", "/api/v1/token", full)
    # A 401 would tell the CLI's user to sign in again, though the token is good.
    assert (refused.status_code, refused.json()["code"]) == (500, "server_error")


def test_a_database_that_takes_no_writes_still_answers(
    full: Issued, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(execute: Any, sql: str, *call: Any) -> Any:
        if sql.lstrip().startswith(("INSERT", "UPDATE")):
            raise OperationalError("database is locked")
        return execute(sql, *call)

    with connection.execute_wrapper(refuse):
        assert send("GET", "/api/v1/cli/projects", full).status_code == 200
    assert usage.flush() == 1
