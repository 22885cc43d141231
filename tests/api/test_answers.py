from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from skytells_console.models import User
from tests.cast import issue
from tokens.api.answers import answer
from tokens.lifecycle import Issued

Send = Callable[..., Any]
PROJECTS = "/api/v1/cli/projects"


def refusals(send: Send, alice: User, full: Issued) -> dict[str, Any]:
    """Return one refusal of every kind, by the code it must carry."""
    narrow = issue(alice, "narrow", scopes=["inference"])
    limited = issue(alice, "limited", scopes=["projects.write"], projects=[])
    send("POST", PROJECTS, full, b'{"name": "taken"}')
    send("DELETE", "/api/v1/token", ended := issue(alice, "ended"))
    return {
        "missing_token": send("GET", "/api/v1/token"),
        "invalid_token": send("GET", "/api/v1/token", headers={"Authorization": "Bearer x"}),
        "token_revoked": send("GET", "/api/v1/token", ended),
        "insufficient_scope": send("GET", "/api/v1/user", narrow),
        "project_not_allowed": send("POST", PROJECTS, limited, b'{"name": "shop"}'),
        "method_not_allowed": send("PATCH", "/api/v1/user", full),
        "not_found": send("GET", "/api/v1/nothing", full),
        "project_exists": send("POST", PROJECTS, full, b'{"name": "taken"}'),
        "name_required": send("POST", PROJECTS, full, b"{}"),
        "invalid_type": send("GET", f"{PROJECTS}?type=%20a%20b", full),
        "invalid_json": send("POST", PROJECTS, full, b"{"),
        "body_too_large": send("POST", PROJECTS, full, b" " * 70_000),
        "bad_request": send("GET", PROJECTS + "?" + "a=1&" * 6_000, full),
    }


def test_every_refusal_is_one_flat_object_of_sentences_with_the_request_s_id(
    send: Send, alice: User, full: Issued
) -> None:
    for code, refused in refusals(send, alice, full).items():
        told = refused.json()
        assert told["code"] == code
        assert set(told) - {"details"} == {"error", "code", "request_id"}
        assert all(isinstance(value, str) for value in told.values())
        assert told["request_id"] == refused.headers["X-Request-ID"]
        for sentence in (told["error"], told.get("details", "All is well.")):
            assert re.fullmatch(r"[A-Z].*[.]", sentence), sentence


def test_every_answer_is_json_that_is_neither_kept_nor_sniffed_nor_a_redirect(
    send: Send, alice: User, full: Issued
) -> None:
    answers = list(refusals(send, alice, full).values())
    answers += [send("GET", path, full) for path in ("/api/v1/health", "/api/v1/token", PROJECTS)]
    answers += [send("DELETE", "/api/v1/token", full)]
    for each in answers:
        expected = None if each.status_code == 204 else "application/json"
        assert each.headers.get("Content-Type") == expected
        assert each.headers["Cache-Control"] == "no-store"
        assert each.headers["X-Content-Type-Options"] == "nosniff"
        assert "Location" not in each.headers
        assert not each.cookies


def test_a_challenge_comes_with_401_and_a_missing_scope_and_nothing_else(
    send: Send, alice: User, full: Issued
) -> None:
    challenged = {
        code
        for code, refused in refusals(send, alice, full).items()
        if "WWW-Authenticate" in refused.headers
    }
    assert challenged == {"missing_token", "invalid_token", "token_revoked", "insufficient_scope"}


def test_the_request_s_id_is_the_console_s_own_and_never_the_client_s(
    db: None, api: Client
) -> None:
    headers = {"X-Request-ID": "forged\nline"}
    ids = {api.get("/api/v1/token", headers=headers).json()["request_id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}", each) for each in ids)


def test_an_answer_is_compact_and_keeps_letters_as_they_are() -> None:
    assert answer({"name": "Zoë", "n": [1, 2]}).content == '{"name":"Zoë","n":[1,2]}'.encode()
