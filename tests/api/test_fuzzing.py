"""Anything at all, and much that is nearly right, sent to every operation that ``openapi.json`` describes.

The names, types and examples come from the description, so that a request gets past the first check and
breaks what lies behind it, if anything can.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from skytells_console.models import User
from tests.api.contract import judge, promised
from tests.api.test_device import GRANT_TYPE
from tests.cast import Clock, issue, origin
from tokens import projects, relying_parties
from tokens.reference import FORM, JSON, document, resolved
from tokens.scopes import BY_NAME

Strategy = st.SearchStrategy[Any]
OPERATIONS = sorted({(path, method) for path, method, _ in promised()})

# --- What is sent -------------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=9,
)
# What a field is good for; the words in capitals are put in their place when it is sent.
GOOD: dict[str, Any] = {
    "at": "2027-01-31T09:00:00Z",
    "client_id": "",
    "client_name": "terminal",
    "device_code": "DEVICE",
    "grant_type": GRANT_TYPE,
    "name": "storefront",
    "project": "PROJECT",
    "scope": "projects.read",
    "scopes": ["projects.read"],
    "token": "TOKEN",
    "type": "web",
}
words = st.sampled_from([*BY_NAME, "TOKEN", "PROJECT", "DEVICE", "web"]) | st.text(max_size=20)
KINDS = [JSON, FORM, "text/plain", ""]


def good_or(name: str, other: Strategy) -> Strategy:
    """Return values of a field, every second one what it asks for."""
    return st.booleans().flatmap(lambda good: st.just(GOOD.get(name, "")) if good else other)


def as_form(fields: Any) -> bytes:
    return urlencode(fields, errors="surrogatepass").encode()


def as_json(fields: Any) -> bytes:
    return json.dumps(fields).encode()


def described(path: str, method: str) -> dict[str, dict[str, Any]]:
    """Return the schema of each content type that an operation's body has."""
    content = document()["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
    return {kind: resolved(each["schema"]) for kind, each in content.items()}


def fields_of(schema: dict[str, Any], values: Strategy) -> Strategy:
    """Return objects with the fields of a schema, with and without the ones that are required."""
    fields = {name: good_or(name, values) for name in schema["properties"]}
    required = {name: fields.pop(name) for name in schema.get("required", [])}
    whole = st.fixed_dictionaries(required, optional=fields)
    return whole | st.fixed_dictionaries({}, optional={**fields, **required})


def sent(path: str, method: str) -> Strategy:
    """Return what to send to an operation: a content type and a body."""
    ways: list[Strategy] = [st.tuples(st.sampled_from(KINDS), st.binary(max_size=60))]
    for kind, schema in described(path, method).items():
        if kind == FORM:
            names = st.sampled_from(list(schema["properties"]))
            pairs = st.lists(st.tuples(names, words), max_size=6)
            fields = fields_of(schema, words).map(as_form) | pairs.map(as_form)
        else:
            values = words | st.lists(words, max_size=9) | anything
            fields = fields_of(schema, values).map(as_json) | anything.map(as_json)
        ways += [st.tuples(st.just(kind), fields), st.tuples(st.sampled_from(KINDS), fields)]
    return st.one_of(ways)


def asked(path: str, method: str) -> Strategy:
    """Return query strings, as WSGI gives them: bytes, one character each."""
    told = document()["paths"][path][method.lower()].get("parameters", [])
    names = [each["name"] for each in told] or ["scope"]
    pair = st.sampled_from(names).flatmap(
        lambda name: st.tuples(st.just(name), good_or(name, words))
    )
    pairs = st.lists(pair, max_size=3)
    return pairs.map(lambda fields: as_form(fields).decode()) | st.text(
        st.characters(max_codepoint=255), max_size=40
    )


# --- Who sends it -------------------------------------------------------------------------------


class Sender:
    """Somebody with a token for each scope, a service, a project and a login that waits."""

    def __init__(self, api: Client, alice: User) -> None:
        self.api = api
        self.project = projects.create(owner_id=alice.pk, name="shop", origin=origin(alice))
        tokens = {scope: issue(alice, scope, scopes=[scope]) for scope in BY_NAME}
        tokens["full"] = issue(alice, "full", scopes=list(BY_NAME))
        tokens["limited"] = issue(alice, scopes=list(BY_NAME), projects=[self.project])
        values = {name: each.plaintext.reveal() for name, each in tokens.items()}
        made = relying_parties.create(name="billing", scopes=list(BY_NAME), origin=origin())
        pair = base64.b64encode(f"{made.service.client_id}:{made.secret.reveal()}".encode())
        self.headers = {name: f"Bearer {value}" for name, value in values.items()}
        self.headers |= {"service": f"Basic {pair.decode()}", "nobody": ""}
        begun = api.post("/api/oauth/device", b"{}", content_type=JSON).json()
        self.words = {
            b"TOKEN": values["full"].encode(),
            b"PROJECT": str(self.project.public_id).encode(),
            b"DEVICE": begun["device_code"].encode(),
        }

    def filled(self, text: bytes) -> bytes:
        for word, value in self.words.items():
            text = text.replace(word, value)
        return text

    def send(self, path: str, method: str, who: str, query: str, kind: str, body: bytes) -> Any:
        header = self.headers[who]
        return self.api.generic(
            method,
            path,
            self.filled(body),
            content_type=kind,
            headers={"Authorization": header} if header else {},
            QUERY_STRING=self.filled(query.encode("latin-1")).decode("latin-1"),
        )


WHO = [*BY_NAME, "full", "limited", "service", "service", "service", "nobody"]


@pytest.fixture
def sender(clock: Clock, alice: User, api: Client) -> Sender:
    return Sender(api, alice)


fuzzed = hypothesis_settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@fuzzed
@given(data=st.data(), who=st.sampled_from(WHO))
def test_nothing_makes_an_operation_break_or_answer_what_it_does_not_promise(
    sender: Sender, path: str, method: str, data: st.DataObject, who: str
) -> None:
    kind, body = data.draw(sent(path, method))
    query = data.draw(asked(path, method))
    answer = sender.send(path, method, who, query, kind, body)
    assert answer.status_code < 500 or (path, answer.status_code) == ("/api/v1/health", 503)
    assert judge(path, method, answer) == ""


# What a good request is answered, whatever else is; the other operations need nothing drawn for it.
REACHED: dict[tuple[str, str], set[int]] = {
    ("/api/oauth/introspect", "POST"): {200, 400, 401},
    ("/api/oauth/revoke", "POST"): {200, 400, 401},
    ("/api/oauth/device", "POST"): {200, 400},
    ("/api/oauth/token", "POST"): {400, 410},
    ("/api/v1/auth/verify", "GET"): {204, 401, 403},
    ("/api/v1/cli/projects", "POST"): {201, 400, 401, 403, 422},
    ("/api/v1/token/check", "POST"): {200, 400, 401, 422},
}


@pytest.mark.parametrize(("path", "method"), REACHED)
def test_the_requests_that_are_made_up_get_past_the_first_check(
    sender: Sender, path: str, method: str
) -> None:
    seen: set[int] = set()

    @fuzzed
    @given(data=st.data(), who=st.sampled_from(WHO))
    def all_of_them(data: st.DataObject, who: str) -> None:
        kind, body = data.draw(sent(path, method))
        query = data.draw(asked(path, method))
        seen.add(sender.send(path, method, who, query, kind, body).status_code)

    all_of_them()
    assert REACHED[path, method] <= seen
