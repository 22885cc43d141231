from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils.html import escape

from skytells_console.models import User
from tests.api.contract import judge
from tests.cast import Clock, issue, origin
from tokens import relying_parties, secret
from tokens.reference import FORM, Operation, sections
from tokens.scopes import BY_NAME
from tokens.views.reference import examples

CountQueries = Callable[[int], AbstractContextManager[Any]]
DOCS = "/api/docs"
OPERATIONS = [each for section in sections() for each in section.operations]


def page(client: Client, path: str = DOCS) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_reference_lists_every_operation_and_every_scope(as_alice: Client) -> None:
    text = page(as_alice)
    for each in OPERATIONS:
        assert f'href="/api/docs/{each.key}#{each.key}"' in text
        assert f'<span class="ep__path">{each.path}</span>' in text
    for scope in BY_NAME:
        assert f"<dt><code>{scope}</code></dt>" in text


def test_the_first_endpoint_is_open_unless_another_is_named(as_alice: Client) -> None:
    assert page(as_alice).count('aria-current="true"') == 1
    assert '<h3 id="open-title">List your projects</h3>' in page(as_alice)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.key)
def test_each_endpoint_has_an_address_of_its_own_that_tells_all_about_it(
    as_alice: Client, operation: Operation
) -> None:
    text = page(as_alice, f"{DOCS}/{operation.key}")
    assert text.count("<article") == 1
    assert f"<title>{operation.summary} · API reference · Skytells Console</title>" in text
    assert escape(operation.description) in text
    for refusal in operation.refusals:
        assert f'<td class="mono">{refusal.code}</td>' in text
    for field in (*operation.query, *operation.body, *operation.headers):
        assert f'<th scope="row" class="mono">{field.name}</th>' in text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.key)
def test_no_example_holds_a_value(operation: Operation) -> None:
    for example in examples(operation, "https://console.example.com"):
        text = "\n".join(example.lines)
        assert not secret.contains_token(text)
        assert "https://console.example.com/api/" in text
        if operation.needs not in {"no token", "a service"}:
            assert "SKYTELLS_TOKEN" in text


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.key)
def test_the_python_example_is_python(operation: Operation) -> None:
    _, python = examples(operation, "https://console.example.com")
    compile("\n".join(python.lines), "example", "exec")


def test_what_only_the_reader_has_is_written_as_an_ellipsis() -> None:
    for example in examples(
        next(each for each in OPERATIONS if each.key == "collect-token"), "https://example.com"
    ):
        assert '"device_code": "…"' in "\n".join(example.lines)


# The last one collects what only its own reader has begun.
@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.key != "collect-token"],
    ids=lambda each: each.key,
)
def test_each_example_is_answered_as_the_reference_says_and_does_not_age(
    client: Client, clock: Clock, alice: User, operation: Operation
) -> None:
    clock.tick(days=1000)
    token = issue(alice, scopes=list(BY_NAME)).plaintext.reveal()
    service = relying_parties.create(name="billing", scopes=["projects.read"], origin=origin())
    pair = f"{service.service.client_id}:{service.secret.reveal()}".encode()
    basic = f"Basic {base64.b64encode(pair).decode()}"
    header = basic if operation.needs == "a service" else f"Bearer {token}"
    body = {
        name: token if value == "$SKYTELLS_TOKEN" else value
        for name, value in operation.example_body.items()
    }
    answer = client.generic(
        operation.method,
        operation.path,
        urlencode(body) if operation.body_type == FORM else json.dumps(body),
        content_type=operation.body_type or "application/json",
        headers={}
        if operation.needs in {"the token itself", "no token"}
        else {"Authorization": header},
        QUERY_STRING=urlencode(operation.example_query),
    )
    assert answer.status_code == int(operation.status), answer.content


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.key)
def test_the_answer_that_is_shown_is_one_that_the_description_promises(
    operation: Operation,
) -> None:
    if operation.answer:
        shown = HttpResponse(
            operation.answer, content_type="application/json", status=int(operation.status)
        )
        assert judge(operation.path, operation.method, shown) == ""


def test_the_page_for_callers_names_the_codes_that_are_answered() -> None:
    text = (settings.BASE_DIR / "docs" / "api.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \| .+ \|$", text, re.MULTILINE)
    told = {(status, code) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    answered = {(each.status, each.code) for one in OPERATIONS for each in one.refusals}
    assert len(rows) == 8
    assert all("`" in codes for _, codes in rows)
    # What breaks is answered anywhere, so no operation lists it.
    assert told <= answered | {("500", "server_error")}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("introspect", ["introspect"]),
        ("DELETE", ["revoke-token"]),
        ("account.read", ["get-user"]),
        ("post projects", ["create-project"]),
        ("  projects   POST ", ["create-project"]),
    ],
)
def test_endpoints_can_be_searched(as_alice: Client, words: str, found: list[str]) -> None:
    text = page(as_alice, f"{DOCS}?q={words}")
    assert re.findall(r'<li class="eps__item" id="([\w-]+)">', text) == found
    assert '<article class="epbody"' in text


def test_the_search_has_a_button_for_those_who_do_not_press_enter(as_alice: Client) -> None:
    form = re.search(r'<form[^>]*role="search".*?</form>', page(as_alice), re.DOTALL)
    assert form is not None
    assert '<button class="btn btn--secondary btn--sm search__go" type="submit">' in form[0]


@pytest.mark.parametrize("words", ["nothing", "<script>", "'\"", "%", "x" * 5000, "\x00"])
def test_a_search_without_a_match_says_so_and_keeps_what_was_typed(
    as_alice: Client, words: str
) -> None:
    answer = as_alice.get(DOCS, {"q": words})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "No endpoint matches" in text
    assert f'value="{escape(words[:100])}"' in text
    assert "<script>" not in re.sub(r"<script src=[^>]*>", "", text)


def test_a_token_in_the_search_is_not_shown_again(as_alice: Client) -> None:
    value = secret.mint().reveal()
    assert value[7:] not in page(as_alice, f"{DOCS}?q={value}")


@pytest.mark.parametrize("path", ["/api/docs/nothing", "/api/docs/", "/api/docs/get-token/"])
def test_what_is_no_endpoint_is_a_page_that_says_404(as_alice: Client, path: str) -> None:
    answer = as_alice.get(path)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_an_address_that_only_begins_like_the_reference_is_the_api_s(as_alice: Client) -> None:
    assert as_alice.get("/api/docsx").headers["Content-Type"] == "application/json"


def test_the_reference_is_read_only_and_for_people_who_are_signed_in(
    client: Client, as_bob: Client
) -> None:
    answer = client.get(f"{DOCS}/get-token")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/account/sign-in?next=/api/docs/get-token"
    assert as_bob.post(DOCS).status_code == 405


def test_the_page_has_the_headers_of_pages_and_no_foreign_script(as_alice: Client) -> None:
    answer = as_alice.get(DOCS)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not re.findall(
        r'(?:src|href)="https?://(?!learn\.skytells\.ai)', answer.content.decode()
    )


def test_the_navigation_leads_to_the_reference_and_marks_it(as_alice: Client) -> None:
    assert 'href="/api/docs"' in page(as_alice, "/settings/tokens")
    assert '<a class="nav__link" href="/api/docs" aria-current="page">' in page(as_alice)


def test_the_reference_costs_what_any_page_costs(
    as_alice: Client, django_assert_num_queries: CountQueries
) -> None:
    # Who it is, and what needs a look.
    with django_assert_num_queries(4):
        page(as_alice)
