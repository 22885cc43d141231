"""The public Skytells CLI itself, where ``SKYTELLS_CLI`` says how to start it.

For example ``SKYTELLS_CLI="node /path/to/skytells.js"``. It keeps to its interval of five seconds.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from skytells_console.models import User
from tests.cast import issue, origin
from tests.device import DEFAULT, approve, deny
from tokens import device_flow, lifecycle
from tokens.device_flow import Started
from tokens.models import AccessToken, DeviceGrant

CLI = shlex.split(os.environ.get("SKYTELLS_CLI", ""))
pytestmark = pytest.mark.django_db(transaction=True)
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(live_server: Any, tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    url = live_server.url
    return kept | {
        "SKYTELLS_API_URL": url,
        "SKYTELLS_CONFIG_DIR": str(tmp_path),
        "NO_COLOR": "1",
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CLI, *words],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def login(environment: dict[str, str]) -> Iterator[Callable[..., Any]]:
    """Start a login and wait until the CLI shows its code."""
    running = []

    def login(*words: str) -> Any:
        process = subprocess.Popen(
            [*CLI, "login", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        for line in process.stdout or ():
            found = re.search(r"code: ([A-Z]{4}-[A-Z]{4})", line)
            if found:
                return process, found[1]
        raise AssertionError("The CLI showed no code.")

    yield login
    for process in running:
        process.kill()
        process.communicate()


def find(user: User, code: str) -> Started:
    found = device_flow.look_up(user_id=user.pk, typed=code, now=timezone.now())
    return Started(found.grant, "", "")


def end_of(process: Any) -> tuple[int, str]:
    output = process.communicate(timeout=60)[0]
    return process.returncode, output


def test_an_approved_login_lists_projects_until_its_token_is_revoked(
    login: Callable[..., Any], run: Run, alice: User
) -> None:
    process, code = login()
    approve(find(alice, code), alice)
    status, said = end_of(process)
    assert (status, "Authenticated successfully!" in said) == (0, True), said
    token = AccessToken.objects.get()
    assert (token.name, token.scope_names) == ("Skytells CLI v0.1.0", tuple(DEFAULT))
    prefix = json.loads(run("whoami", "--json").stdout)["token"]["prefix"]
    assert prefix == f"sk_pat_{token.head4}..."
    assert json.loads(run("projects", "ls", "--json").stdout) == []
    refused = run("projects", "add", "shop")
    assert refused.returncode == 1
    assert "missing the projects.write scope." in refused.stderr
    lifecycle.revoke(token=token, origin=origin(alice))
    after = run("projects", "ls")
    assert (after.returncode, "Not authenticated." in after.stderr) == (1, True)


def test_a_denied_login_says_so(login: Callable[..., Any], alice: User) -> None:
    process, code = login()
    deny(find(alice, code), alice)
    status, said = end_of(process)
    assert (status, "Authorization denied by user." in said) == (1, True), said


def test_a_login_that_ended_says_so(login: Callable[..., Any], alice: User) -> None:
    process, _ = login("--scopes", "projects.read,projects.write,")
    DeviceGrant.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    status, said = end_of(process)
    assert (status, "Code expired. Please try again." in said) == (1, True), said


@pytest.mark.parametrize(
    ("scopes", "sentence"),
    [("projects.read,admin", "There is no such scope."), (",", "Name at least one scope.")],
)
def test_scopes_that_cannot_be_are_answered_with_a_sentence(
    run: Run, scopes: str, sentence: str
) -> None:
    refused = run("login", "--scopes", scopes)
    assert refused.returncode == 1
    assert sentence in refused.stderr


def test_projects_are_added_with_sentences_for_what_cannot_be(run: Run, alice: User) -> None:
    issued = issue(alice, scopes=["projects.read", "projects.write"])
    value = issued.plaintext.reveal()
    made = run("projects", "add", "shop", SKYTELLS_TOKEN=value)
    assert (made.returncode, "Project created!" in made.stdout + made.stderr) == (0, True)
    for name, sentence in (
        ("shop", "You already have a project"),
        ("", "Give the project a name."),
    ):
        refused = run("projects", "add", name, SKYTELLS_TOKEN=value)
        assert (refused.returncode, sentence in refused.stderr) == (1, True)
