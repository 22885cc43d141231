from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from skytells_console.models import User
from tests.cast import Clock, issue
from tokens.lifecycle import Issued
from tokens.models import AccessToken, Policy

Send = Callable[..., Any]
PROJECTS = "/api/v1/cli/projects"
# What Node's fetch sends beside the token, on every request of CLI v1.0.3.
HEADERS = {
    "Accept": "*/*",
    "Accept-Language": "*",
    "Sec-Fetch-Mode": "cors",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "node",
}


def printed(answer: Any) -> str:
    """Return what CLI v1.0.3 prints for a refusal, as its source builds it."""
    assert answer.status_code >= 400
    if answer.status_code == 401:
        return "Not authenticated. Run 'skytells login' first."
    body = answer.json()
    text = body.get("error") or body.get("message") or f"Request failed ({answer.status_code})."
    if body.get("details"):
        text += f" {body['details']}"
    plain = body.get("code") == "security_violation" or body.get("limit_type") == "plan"
    if answer.status_code == 403 and not plain:
        return f"Insufficient permissions. {text}"
    return str(text)


def unwrapped(answer: Any) -> Any:
    """Return what a command of the CLI gets to see of a success."""
    body = answer.json()
    if isinstance(body, dict) and "data" in body and "total" not in body and "meta" not in body:
        return body["data"]
    return body


def add(send: Send, token: Issued, name: str, **more: Any) -> Any:
    return send("POST", PROJECTS, token, json.dumps({"name": name, **more}), headers=HEADERS)


@pytest.fixture
def scoped(clock: Clock, alice: User) -> Callable[..., Issued]:
    def make(*scopes: str, **facts: Any) -> Issued:
        return issue(alice, "cli-macbook", scopes=list(scopes), **facts)

    return make


def test_login_gets_exactly_200_for_a_token_of_the_default_scopes(
    scoped: Callable[..., Issued], send: Send
) -> None:
    token = scoped("inference", "projects.read", "deployments.read", "account.read")
    assert send("GET", PROJECTS, token, headers=HEADERS).status_code == 200


def test_login_gets_anything_but_200_for_every_other_token(
    scoped: Callable[..., Issued], send: Send
) -> None:
    assert send("GET", PROJECTS, headers=HEADERS).status_code == 401
    assert send("GET", PROJECTS, scoped("inference"), headers=HEADERS).status_code == 403


def test_the_cli_gets_an_array_of_projects_it_can_print(full: Issued, send: Send) -> None:
    assert unwrapped(send("GET", PROJECTS, full, headers=HEADERS)) == []
    add(send, full, "shop")
    add(send, full, "api", type="web")
    listed = unwrapped(send("GET", PROJECTS, full, headers=HEADERS))
    assert isinstance(listed, list)
    for project in listed:
        columns = [project[key] for key in ("id", "name", "slug", "status", "created_at")]
        assert all(isinstance(column, str) and column for column in columns)
        assert project["type"] is None or project["type"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", project["created_at"])


def test_the_cli_prints_the_project_it_made(full: Issued, send: Send) -> None:
    made = add(send, full, "shop")
    assert made.status_code == 201
    assert {"id", "name", "slug", "status", "created_at"} <= set(unwrapped(made))


def test_whoami_s_prefix_is_the_one_the_api_shows(full: Issued, send: Send) -> None:
    local = full.plaintext.reveal()[:11]
    assert send("GET", "/api/v1/token", full).json()["token"].split("…")[0] == local


@pytest.mark.parametrize(
    ("method", "scopes", "line"),
    [
        (
            "GET",
            ["projects.write"],
            "Insufficient permissions. This token is missing the projects.read scope.",
        ),
        (
            "POST",
            ["projects.read"],
            "Insufficient permissions. This token is missing the projects.write scope.",
        ),
    ],
)
def test_a_missing_scope_prints_as_sentences(
    scoped: Callable[..., Issued], send: Send, method: str, scopes: list[str], line: str
) -> None:
    assert printed(send(method, PROJECTS, scoped(*scopes), b"{}")) == line


@pytest.mark.parametrize(
    ("paused_for", "line"),
    [
        (None, "Insufficient permissions. This token is paused until its owner resumes it."),
        (timedelta(hours=1), "Insufficient permissions. This token is paused until 13:00 UTC."),
        (
            timedelta(days=2),
            "Insufficient permissions. This token is paused until 25 Nov 2026, 12:00 UTC.",
        ),
    ],
)
def test_a_pause_prints_until_when(
    full: Issued, send: Send, clock: Clock, paused_for: timedelta | None, line: str
) -> None:
    until = clock.now + paused_for if paused_for else None
    AccessToken.objects.update(paused_at=clock.now, paused_until=until)
    assert printed(send("GET", PROJECTS, full)) == line


def test_a_policy_s_block_prints_as_sentences(full: Issued, send: Send, clock: Clock) -> None:
    Policy.objects.create(created_at=clock.now, blocks_from=clock.now, max_lifetime_days=1)
    assert printed(send("GET", PROJECTS, full)) == (
        "Insufficient permissions. Your administrator's policy does not allow this token any more."
    )


@pytest.mark.parametrize(
    ("name", "more", "status", "line"),
    [
        ("", {}, 422, "Give the project a name."),
        ("   ", {}, 422, "Give the project a name."),
        ("shop", {}, 409, "You already have a project called shop. Pick another name."),
        ("x" * 65, {}, 422, "Names can be up to 64 characters."),
        (
            "new",
            {"type": "no good"},
            422,
            "A type is up to 32 letters, digits, dashes and underscores.",
        ),
        (
            "\x1b[31mred",
            {},
            422,
            (
                "The project's name holds a character that cannot be seen (U+001B). "
                "Type it again without it."
            ),
        ),
    ],
)
def test_each_refused_name_prints_what_to_do(
    full: Issued, send: Send, name: str, more: dict[str, str], status: int, line: str
) -> None:
    add(send, full, "shop")
    refused = add(send, full, name, **more)
    assert (refused.status_code, printed(refused)) == (status, line)


def test_an_ended_token_is_401_and_never_a_redirect(full: Issued, send: Send) -> None:
    send("DELETE", "/api/v1/token", full)
    for method in ("GET", "POST"):
        refused = send(method, PROJECTS, full, headers=HEADERS)
        assert refused.status_code == 401
        assert "Location" not in refused.headers


def test_a_limited_token_prints_why_it_cannot_add(clock: Clock, alice: User, send: Send) -> None:
    limited = issue(alice, scopes=["projects.write"], projects=[])
    assert printed(add(send, limited, "shop")) == (
        "Insufficient permissions. "
        "This token is limited to chosen projects, and this needs one for all of them."
    )
