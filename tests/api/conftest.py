"""What the API's tests share: a client as strict as a browser, and tokens for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.api import contract
from tests.cast import Clock, issue
from tokens.lifecycle import Issued
from tokens.scopes import BY_NAME

Send = Callable[..., Any]


@pytest.fixture(autouse=True)
def every_answer_is_in_the_description(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold every answer of every test here against ``openapi.json``."""
    request = Client.request
    faults: list[str] = []

    def watched(client: Client, **environ: Any) -> Any:
        response = request(client, **environ)
        asked = response.request
        faults.append(contract.judge(asked["PATH_INFO"], asked["REQUEST_METHOD"], response))
        return response

    monkeypatch.setattr(Client, "request", watched)
    yield
    assert not list(filter(None, faults))


@pytest.fixture
def api() -> Client:
    """A client that is asked for CSRF tokens where they count, and that is told of faults as 500."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def full(clock: Clock, alice: User) -> Issued:
    """alice's token with every scope."""
    return issue(alice, "full", scopes=list(BY_NAME))


@pytest.fixture
def send(api: Client, bearer: Callable[[Issued], dict[str, str]]) -> Send:
    """Return a function that sends a request with a token, as the CLI does: JSON, always."""

    def send(
        method: str, path: str, token: Issued | None = None, body: Any = b"", **extra: Any
    ) -> Any:
        headers = {**(bearer(token) if token else {}), **extra.pop("headers", {})}
        extra.setdefault("content_type", "application/json")
        return api.generic(method, path, body, headers=headers, **extra)

    return send
