from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from skytells_console.models import User
from tests.cast import NOON, Clock, issue
from tokens.lifecycle import Issued
from tokens.scopes import BY_NAME

Send = Callable[..., Any]
END, WARNING = "Skytells-Token-Expires-At", "Skytells-Token-Warning"
SENTENCE = "This token expires on 7 Dec 2026, 12:00 UTC. Replace it before then."
# One request of every kind that presents a token, and whether its answer has a JSON object.
REQUESTS = [
    ("GET", "/api/v1/user", b"", 200),
    ("GET", "/api/v1/token", b"", 200),
    ("HEAD", "/api/v1/token", b"", 200),
    ("POST", "/api/v1/token/check", b"{}", 200),
    ("POST", "/api/v1/token/check", b"[]", 400),
    ("GET", "/api/v1/auth/verify?scope=inference", b"", 204),
    ("GET", "/api/v1/cli/projects", b"", 200),
    ("GET", "/api/v1/cli/projects?type=a%20b", b"", 422),
    ("POST", "/api/v1/cli/projects", b'{"name": "shop"}', 201),
    ("POST", "/api/v1/cli/projects", b"{", 400),
    ("DELETE", "/api/v1/token", b"", 204),
]


def ending_in(alice: User, **delta: float) -> Issued:
    return issue(alice, scopes=list(BY_NAME), expires_at=NOON + timedelta(**delta))


@pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)
def test_every_bearer_answer_tells_the_end_and_warns_14_days_before(
    clock: Clock, alice: User, send: Send, method: str, path: str, body: bytes, status: int
) -> None:
    answer = send(method, path, ending_in(alice, days=14), body)
    assert answer.status_code == status
    assert answer.headers[END] == "2026-12-07T12:00:00Z"
    assert answer.headers[WARNING] == SENTENCE
    if answer.content:
        assert json.loads(answer.content)["warning"] == SENTENCE


@pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)
def test_nobody_is_warned_earlier(
    clock: Clock, alice: User, send: Send, method: str, path: str, body: bytes, status: int
) -> None:
    answer = send(method, path, ending_in(alice, days=14, seconds=1), body)
    assert answer.headers[END] == "2026-12-07T12:00:01Z"
    assert WARNING not in answer.headers
    assert b"warning" not in answer.content


def test_a_token_without_end_is_told_of_none(clock: Clock, alice: User, send: Send) -> None:
    answer = send("GET", "/api/v1/token", issue(alice, expires_at=None))
    assert END not in answer.headers
    assert WARNING not in answer.headers


def test_a_refusal_of_a_living_token_tells_its_end_too(
    clock: Clock, alice: User, send: Send
) -> None:
    made = issue(alice, scopes=["inference"], expires_at=NOON + timedelta(days=1))
    refused = send("GET", "/api/v1/user", made)
    assert refused.status_code == 403
    assert refused.headers[END] == "2026-11-24T12:00:00Z"
    assert refused.json()["warning"] == refused.headers[WARNING]


def test_an_ended_or_unknown_token_is_told_nothing_more(
    clock: Clock, alice: User, send: Send
) -> None:
    made = ending_in(alice, days=1)
    clock.tick(days=1)
    for refused in (send("GET", "/api/v1/token", made), send("GET", "/api/v1/token")):
        assert refused.status_code == 401
        assert END not in refused.headers


def test_the_length_of_a_warned_answer_is_right(clock: Clock, alice: User, send: Send) -> None:
    made = ending_in(alice, days=1)
    head = send("HEAD", "/api/v1/token", made)
    assert head.headers["Content-Length"] == str(len(send("GET", "/api/v1/token", made).content))
