"""The contract: what ``openapi.json`` describes is what is there, no more and no less."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from skytells_console.models import User
from tests.api.contract import judge, promised
from tests.api.test_device import GRANT_TYPE, approve
from tests.cast import Clock, issue, origin
from tokens import health, projects, relying_parties
from tokens.api.urls import urlpatterns
from tokens.reference import METHODS, document, sections
from tokens.relying_parties import Registered
from tokens.scopes import BY_NAME

Send = Callable[..., Any]
PROJECTS = "/api/v1/cli/projects"
FORM = "application/x-www-form-urlencoded"


def test_the_description_is_served_as_it_stands_in_its_file(client: Client) -> None:
    answer = client.get("/api/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == document()
    assert document()["openapi"] == "3.1.0"


def test_every_route_and_method_is_described_and_nothing_else() -> None:
    routed = {
        (f"/{route.pattern}", method)
        for route in urlpatterns
        for method in route.callback.endpoints
        if method != "HEAD"
    }
    described = {
        (path, method.upper())
        for path, item in document()["paths"].items()
        for method in item
        if method in METHODS
    }
    assert described == routed


def test_every_scope_is_the_catalogue_s() -> None:
    def enums(part: Any) -> list[list[str]]:
        if isinstance(part, dict):
            mine = [part["enum"]] if "enum" in part else []
            return mine + [each for value in part.values() for each in enums(value)]
        return [each for value in part for each in enums(value)] if isinstance(part, list) else []

    found = enums(document())
    assert len(found) >= 4
    assert all(each == list(BY_NAME) for each in found)


def test_each_operation_says_what_its_endpoint_asks_for() -> None:
    asked = {
        (f"/{route.pattern}", method): endpoint.scope
        for route in urlpatterns
        for method, endpoint in route.callback.endpoints.items()
    }
    for section in sections():
        for each in section.operations:
            scope = asked[each.path, each.method]
            if scope in BY_NAME:
                assert each.needs == scope, each.key
            assert (scope is None) == (each.needs in {"no token", "the token itself"}), each.key


def test_no_example_holds_a_token() -> None:
    assert "sk_pat_0" not in json.dumps(document())


# --- Statuses -----------------------------------------------------------------------------------


class Caller:
    """Makes each promised answer come about; one method a status would be long, so a table does."""

    def __init__(self, send: Send, alice: User, service: Registered) -> None:
        self.send, self.alice = send, alice
        self.service = service
        self.full = issue(alice, "full", scopes=list(BY_NAME))
        self.narrow = issue(alice, "narrow", scopes=["inference"])

    def form(self, path: str, body: dict[str, str] | bytes, **extra: Any) -> Any:
        raw = body if isinstance(body, bytes) else urlencode(body).encode()
        return self.send("POST", path, None, raw, content_type=FORM, **extra)

    def asked(self, value: str | None = None) -> dict[str, str]:
        return {
            "token": value or self.full.plaintext.reveal(),
            "client_id": self.service.service.client_id,
            "client_secret": self.service.secret.reveal(),
        }

    def begin(self) -> Any:
        return self.send("POST", DEVICE, None, b'{"client_name": "terminal"}')

    def collect(self, device_code: str) -> Any:
        sent = {"grant_type": GRANT_TYPE, "device_code": device_code}
        return self.send("POST", COLLECT, None, json.dumps(sent))

    def collected(self) -> Any:
        begun = self.begin()
        approve(begun, self.alice)
        return self.collect(begun.json()["device_code"])

    def large(self, path: str, **extra: Any) -> Any:
        token = extra.pop("token", self.full)
        return self.send("POST", path, token, b" " * 70_000, **extra)

    def chunked(self, path: str, **extra: Any) -> Any:
        token = extra.pop("token", self.full)
        return self.send("POST", path, token, b"x", HTTP_TRANSFER_ENCODING="chunked", **extra)


INTROSPECT, REVOKE = "/api/oauth/introspect", "/api/oauth/revoke"
CHECK, VERIFY, TOKEN = "/api/v1/token/check", "/api/v1/auth/verify", "/api/v1/token"
DEVICE, COLLECT = "/api/oauth/device", "/api/oauth/token"
Act = Callable[[Caller], Any]
CASES: dict[tuple[str, str, int], Act] = {
    (PROJECTS, "GET", 200): lambda c: c.send("GET", PROJECTS, c.full),
    (PROJECTS, "GET", 400): lambda c: c.send("GET", f"{PROJECTS}?{'a=1&' * 6_000}", c.full),
    (PROJECTS, "GET", 401): lambda c: c.send("GET", PROJECTS),
    (PROJECTS, "GET", 403): lambda c: c.send("GET", PROJECTS, c.narrow),
    (PROJECTS, "GET", 422): lambda c: c.send("GET", f"{PROJECTS}?type=a%20b", c.full),
    (PROJECTS, "POST", 201): lambda c: c.send("POST", PROJECTS, c.full, b'{"name": "new"}'),
    (PROJECTS, "POST", 400): lambda c: c.send("POST", PROJECTS, c.full, b"{"),
    (PROJECTS, "POST", 401): lambda c: c.send("POST", PROJECTS),
    (PROJECTS, "POST", 403): lambda c: c.send("POST", PROJECTS, c.narrow),
    (PROJECTS, "POST", 409): lambda c: c.send("POST", PROJECTS, c.full, b'{"name": "shop"}'),
    (PROJECTS, "POST", 411): lambda c: c.chunked(PROJECTS),
    (PROJECTS, "POST", 413): lambda c: c.large(PROJECTS),
    (PROJECTS, "POST", 422): lambda c: c.send("POST", PROJECTS, c.full, b"{}"),
    (TOKEN, "GET", 200): lambda c: c.send("GET", TOKEN, c.full),
    (TOKEN, "GET", 401): lambda c: c.send("GET", TOKEN),
    (TOKEN, "DELETE", 204): lambda c: c.send("DELETE", TOKEN, c.full),
    (TOKEN, "DELETE", 401): lambda c: c.send("DELETE", TOKEN),
    (CHECK, "POST", 200): lambda c: c.send("POST", CHECK, c.full),
    (CHECK, "POST", 400): lambda c: c.send("POST", CHECK, c.full, b"["),
    (CHECK, "POST", 401): lambda c: c.send("POST", CHECK),
    (CHECK, "POST", 411): lambda c: c.chunked(CHECK),
    (CHECK, "POST", 413): lambda c: c.large(CHECK),
    (CHECK, "POST", 422): lambda c: c.send("POST", CHECK, c.full, b'{"at": 1}'),
    ("/api/v1/user", "GET", 200): lambda c: c.send("GET", "/api/v1/user", c.full),
    ("/api/v1/user", "GET", 401): lambda c: c.send("GET", "/api/v1/user"),
    ("/api/v1/user", "GET", 403): lambda c: c.send("GET", "/api/v1/user", c.narrow),
    (VERIFY, "GET", 204): lambda c: c.send("GET", f"{VERIFY}?scope=inference", c.full),
    (VERIFY, "GET", 401): lambda c: c.send("GET", f"{VERIFY}?scope=inference"),
    (VERIFY, "GET", 403): lambda c: c.send("GET", VERIFY, c.full),
    (INTROSPECT, "POST", 200): lambda c: c.form(INTROSPECT, c.asked()),
    (INTROSPECT, "POST", 400): lambda c: c.form(INTROSPECT, c.asked() | {"token": ""}),
    (INTROSPECT, "POST", 401): lambda c: c.form(INTROSPECT, {"token": "x"}),
    (INTROSPECT, "POST", 411): lambda c: c.chunked(INTROSPECT, token=None, content_type=FORM),
    (INTROSPECT, "POST", 413): lambda c: c.large(INTROSPECT, token=None, content_type=FORM),
    (REVOKE, "POST", 200): lambda c: c.form(REVOKE, c.asked()),
    (REVOKE, "POST", 400): lambda c: c.form(REVOKE, b""),
    (REVOKE, "POST", 401): lambda c: c.form(REVOKE, c.asked() | {"client_secret": "x"}),
    (REVOKE, "POST", 411): lambda c: c.chunked(REVOKE, token=None, content_type=FORM),
    (REVOKE, "POST", 413): lambda c: c.large(REVOKE, token=None, content_type=FORM),
    (DEVICE, "POST", 200): lambda c: c.begin(),
    (DEVICE, "POST", 400): lambda c: c.send("POST", DEVICE, None, b"["),
    (DEVICE, "POST", 411): lambda c: c.chunked(DEVICE),
    (DEVICE, "POST", 413): lambda c: c.large(DEVICE),
    (DEVICE, "POST", 429): lambda c: [c.begin() for _ in range(11)][-1],
    (COLLECT, "POST", 200): lambda c: c.collected(),
    (COLLECT, "POST", 400): lambda c: c.send("POST", COLLECT, None, b"{}"),
    (COLLECT, "POST", 410): lambda c: c.collect("unknown"),
    (COLLECT, "POST", 411): lambda c: c.chunked(COLLECT),
    (COLLECT, "POST", 413): lambda c: c.large(COLLECT),
    (COLLECT, "POST", 428): lambda c: c.collect(c.begin().json()["device_code"]),
    ("/api/v1/health", "GET", 200): lambda c: c.send("GET", "/api/v1/health"),
    ("/api/v1/health", "GET", 503): lambda c: c.send("GET", "/api/v1/health"),
    ("/api/openapi.json", "GET", 200): lambda c: c.send("GET", "/api/openapi.json"),
}


@pytest.fixture
def caller(clock: Clock, alice: User, send: Send) -> Caller:
    projects.create(owner_id=alice.pk, name="shop", origin=origin(alice))
    service = relying_parties.create(name="billing", scopes=["inference"], origin=origin())
    return Caller(send, alice, service)


@pytest.mark.parametrize(("path", "method", "status"), CASES)
def test_every_promised_status_is_really_answered(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, path: str, method: str, status: int
) -> None:
    if status == 503:
        monkeypatch.setattr(health, "faults", lambda: ["The database cannot be reached."])
    assert CASES[path, method, status](caller).status_code == status


@pytest.mark.parametrize(
    ("path", "method", "status"), sorted(each for each in promised() if each[2] == 403)
)
def test_plain_http_is_403_where_tls_is_required_as_every_operation_promises(
    settings: Any, db: None, path: str, method: str, status: int
) -> None:
    settings.TLS, settings.SECURE_HSTS_SECONDS = True, 60
    refused = Client().generic(method, path)
    assert (refused.status_code, refused.json()["code"]) == (403, "tls_required")


def test_no_status_is_promised_that_no_case_brings_about() -> None:
    operations = {(path, method) for path, method, _ in promised()}
    assert {each for each in promised() if each[2] != 403} <= set(CASES)
    assert set(CASES) <= promised()
    assert {(path, method) for path, method, status in promised() if status == 403} == operations


def test_the_judge_sees_what_is_not_promised(send: Send, db: None) -> None:
    answer = send("GET", "/api/v1/health")
    assert judge("/api/v1/health", "GET", answer) == ""
    answer.status_code = 418
    assert "418 is not in openapi.json" in judge("/api/v1/health", "GET", answer)
    answer.status_code, answer.content = 200, b'{"status":"ok","more":1}'
    assert "['more'] beyond" in judge("/api/v1/health", "GET", answer)
    answer.content = b'{"status":"well"}'
    assert "is 'well'" in judge("/api/v1/health", "GET", answer)
    answer.content = b"{}"
    assert "lacks ['status']" in judge("/api/v1/health", "GET", answer)
