from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import Clock, issue
from tokens import secret
from tokens.api import device, endpoints, introspection
from tokens.api.urls import urlpatterns
from tokens.lifecycle import Issued
from tokens.models import AccessToken, TokenActivity, TokenUse
from tokens.scopes import BY_NAME

Send = Callable[..., Any]
CountQueries = Callable[[int], AbstractContextManager[Any]]

# Every address with its endpoints, as the routes have them; HEAD is answered as GET.
ROUTES = {f"/{route.pattern}": route.callback.endpoints for route in urlpatterns}
OPEN = {
    endpoints.get_health,
    endpoints.get_openapi,
    introspection.revoke,
    device.start_login,
    device.redeem_code,
}
# These know their caller by other credentials; their own tests ask for them.
FOR_SERVICES = {introspection.introspect}
GUARDED = [
    (method, path)
    for path, answered in ROUTES.items()
    for method, endpoint in answered.items()
    if endpoint not in OPEN | FOR_SERVICES
]
# What an address needs beside a token to make sense of a question.
QUERIES = {"/api/v1/auth/verify": "?scope=account.read"}
# Every 401 names where the API describes itself (RFC 9728, 5.1), by the address people know.
CHALLENGE = (
    'Bearer realm="skytells", '
    'resource_metadata="http://127.0.0.1:8000/.well-known/oauth-protected-resource"'
)
USED = ("/api/v1/token", "/api/v1/user", "/api/v1/cli/projects")


# --- Every route --------------------------------------------------------------------------------


def test_every_endpoint_asks_for_a_token_or_is_open_on_purpose() -> None:
    answered = {endpoint for route in ROUTES.values() for endpoint in route.values()}
    assert {endpoint for endpoint in answered if endpoint.scope is None} == OPEN
    assert all(endpoint.scope in {"", *BY_NAME} for endpoint in answered - OPEN - FOR_SERVICES)


def test_no_address_of_the_api_ends_with_a_slash() -> None:
    assert ROUTES
    assert all(
        path.startswith(("/api/v1/", "/api/oauth/", "/api/openapi.json")) and not path.endswith("/")
        for path in ROUTES
    )


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_an_endpoint_without_a_token_answers_401_without_a_query(
    db: None, send: Send, method: str, path: str, django_assert_num_queries: CountQueries
) -> None:
    with django_assert_num_queries(0):
        refused = send(method, path + QUERIES.get(path, ""))
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == CHALLENGE


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/v1/user", "account.read"),
        ("HEAD", "/api/v1/user", "account.read"),
        ("GET", "/api/v1/cli/projects", "projects.read"),
        ("POST", "/api/v1/cli/projects", "projects.write"),
    ],
)
def test_each_scope_grants_exactly_itself(
    alice: User, send: Send, method: str, path: str, scope: str
) -> None:
    refused = send(method, path, issue(alice, "all but one", scopes=list(BY_NAME.keys() - {scope})))
    assert refused.status_code == 403
    challenge = f'Bearer realm="skytells", error="insufficient_scope", scope="{scope}"'
    assert refused.headers["WWW-Authenticate"] == challenge
    if method != "HEAD":
        assert refused.json()["error"] == f"This token is missing the {scope} scope."
        assert refused.json()["code"] == "insufficient_scope"
    allowed = send(method, path, issue(alice, "only this", scopes=[scope]), b'{"name": "shop"}')
    assert allowed.status_code in {200, 201}


def test_the_description_that_a_challenge_names_is_there(
    db: None, send: Send, settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://console.example.com"
    challenge = send("GET", "/api/v1/token").headers["WWW-Authenticate"]
    named = challenge.partition('resource_metadata="')[2].rstrip('"')
    assert named.startswith("https://console.example.com/")
    described = Client().get(named.removeprefix("https://console.example.com"))
    assert described.status_code == 200
    assert described.json()["resource"] == "https://console.example.com"


# --- Methods ------------------------------------------------------------------------------------


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
# Django reads methods in upper case, so a lower-case "get" is one; gunicorn refuses it before.
METHODS += ["patch", "Propfind", "QUERY", "GETT", "G E T", "*", ""]
WRONG = [(method, path) for path in ROUTES for method in METHODS if method not in ROUTES[path]]


@pytest.mark.parametrize(("method", "path"), WRONG)
def test_a_method_without_an_endpoint_answers_405_and_names_the_others(
    full: Issued, send: Send, method: str, path: str
) -> None:
    refused = send(method, path, full)
    assert refused.status_code == 405
    allowed = refused.headers["Allow"].split(", ")
    assert allowed == sorted(ROUTES[path])
    assert method == "HEAD" or refused.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", [path for path in ROUTES if "GET" in ROUTES[path]])
def test_head_answers_as_get_does_without_a_body(
    full: Issued, send: Send, path: str, clock: Clock
) -> None:
    path += QUERIES.get(path, "")
    got, head = send("GET", path, full), send("HEAD", path, full)
    assert got.status_code in {200, 204}
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["Content-Length"] == str(len(got.content))
    assert head.headers.get("Content-Type") == got.headers.get("Content-Type")


def test_a_refused_head_keeps_its_challenge_and_has_no_body(db: None, send: Send) -> None:
    refused = send("HEAD", "/api/v1/token")
    assert (refused.status_code, refused.content) == (401, b"")
    assert refused.headers["WWW-Authenticate"] == CHALLENGE


# --- The header ---------------------------------------------------------------------------------

# What each header makes of a valid token's value. Those in the first table carry no bearer at all.
NO_BEARER: dict[str, Callable[[str], str]] = {
    "empty": lambda value: "",
    "blank": lambda value: " ",
    "the bare value": lambda value: value,
    "Basic": lambda value: f"Basic {value}",
    "Digest": lambda value: f'Digest username="{value}"',
    "Token": lambda value: f"Token {value}",
    "a longer scheme": lambda value: f"Bearers {value}",
    "a scheme with a dash": lambda value: f"Bearer-Token {value}",
    "a colon": lambda value: f"Bearer: {value}",
    "no space": lambda value: f"Bearer{value}",
    "NUL first": lambda value: f"\0Bearer {value}",
    "space first": lambda value: f" Bearer {value}",
    "another scheme first": lambda value: f"Basic YTpi, Bearer {value}",
    "look-alike scheme": lambda value: f"B\xebarer {value}",
}
MALFORMED: dict[str, Callable[[str], str]] = {
    "the scheme alone": lambda value: "Bearer",
    "the scheme and a space": lambda value: "Bearer ",
    "a tab between": lambda value: f"Bearer\t{value}",
    "a newline between": lambda value: f"Bearer\n{value}",
    "a tab after": lambda value: f"Bearer {value}\t",
    "a newline after": lambda value: f"Bearer {value}\r\n",
    "a NUL after": lambda value: f"Bearer {value}\0",
    "a NUL within": lambda value: f"Bearer {value[:30]}\0{value[31:]}",
    "not ASCII": lambda value: f"Bearer {value[:-1]}\xe9",
    "not ASCII after": lambda value: f"Bearer {value}\xa0",
    "two tokens": lambda value: f"Bearer {value} {value}",
    "joined by a comma": lambda value: f"Bearer {value}, Bearer {value}",
    "joined by a bare comma": lambda value: f"Bearer {value},{value}",
    "the scheme twice": lambda value: f"Bearer Bearer {value}",
    "garbage after": lambda value: f"Bearer {value} garbage",
    "a parameter after": lambda value: f'Bearer {value}, realm="x"',
    "quoted": lambda value: f'Bearer "{value}"',
    "as a parameter": lambda value: f"Bearer token={value}",
    "upper case": lambda value: f"Bearer {value.upper()}",
    "an upper-case body": lambda value: f"Bearer {value[:7]}{value[7:].upper()}",
    "one digit wrong": lambda value: f"Bearer {value[:-1]}{'1' if value[-1] == '0' else '0'}",
    "one short": lambda value: f"Bearer {value[:-1]}",
    "masked": lambda value: f"Bearer {value[:11]}…{value[-4:]}",
    "a project key": lambda value: f"Bearer sk_proj_{value[7:]}",
    "an API key": lambda value: f"Bearer sk-{value[7:]}",
    "percent-encoded": lambda value: f"Bearer {value.replace('_', '%5F')}",
    "10 KB": lambda value: "Bearer " + "a" * 10_000,
    "10 KB of spaces": lambda value: "Bearer" + " " * 10_000 + value,
    "lone surrogate": lambda value: f"Bearer {value[:-1]}\ud800",
}


@pytest.mark.parametrize("make", NO_BEARER.values(), ids=NO_BEARER)
def test_what_is_not_a_bearer_gets_a_challenge_without_an_error_code(
    full: Issued,
    api: Client,
    make: Callable[[str], str],
    django_assert_num_queries: CountQueries,
) -> None:
    header = make(full.plaintext.reveal())
    with django_assert_num_queries(0):
        refused = api.get("/api/v1/token", headers={"Authorization": header})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == CHALLENGE
    assert refused.json()["code"] == "missing_token"


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_bearer_is_an_invalid_token_and_costs_no_query(
    full: Issued,
    api: Client,
    make: Callable[[str], str],
    django_assert_num_queries: CountQueries,
) -> None:
    value = full.plaintext.reveal()
    with django_assert_num_queries(0):
        refused = api.get("/api/v1/token", headers={"Authorization": make(value)})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == (
        f'{CHALLENGE}, error="invalid_token", error_description="The token is not valid."'
    )
    assert refused.json()["code"] == "invalid_token"
    assert value[7:] not in str(refused.headers) + refused.content.decode()


@pytest.mark.parametrize(
    "make",
    [
        lambda value: f"Bearer {value}",
        lambda value: f"bearer {value}",
        lambda value: f"BEARER {value}",
        lambda value: f"bEaReR   {value}",
        lambda value: f"Bearer {value} ",
    ],
    ids=["as written", "lower case", "upper case", "three spaces", "space after"],
)
def test_a_scheme_is_read_in_any_case_and_spaces_around_the_value_do_not_matter(
    full: Issued, api: Client, make: Callable[[str], str]
) -> None:
    header = make(full.plaintext.reveal())
    assert api.get("/api/v1/token", headers={"Authorization": header}).status_code == 200


def test_a_token_is_read_from_nowhere_but_its_header(full: Issued, api: Client) -> None:
    value = full.plaintext.reveal()
    api.cookies["access_token"] = api.cookies["Authorization"] = f"Bearer {value}"
    query = {"access_token": value, "token": value, "authorization": f"Bearer {value}"}
    elsewhere = {"X-Api-Key": value, "X-Authorization": f"Bearer {value}", "Cookie2": value}
    form = f"access_token={value}"
    for path in USED:
        assert api.get(path, query_params=query).status_code == 401
        assert api.get(path, headers=elsewhere).status_code == 401
    for kind, body in (("json", query), ("x-www-form-urlencoded", form)):
        refused = api.post("/api/v1/cli/projects", body, content_type=f"application/{kind}")
        assert refused.status_code == 401


def test_a_proxy_authorization_header_is_not_believed(full: Issued, api: Client) -> None:
    header = {"Proxy-Authorization": f"Bearer {full.plaintext.reveal()}"}
    assert api.get("/api/v1/token", headers=header).status_code == 401


@pytest.mark.parametrize(
    ("end", "code", "description"),
    [
        ("revoked_at", "token_revoked", "The token was revoked."),
        ("retire_at", "token_revoked", "The token was revoked."),
        ("expires_at", "token_expired", "The token has expired."),
    ],
)
def test_an_ended_token_is_told_how_it_ended(
    full: Issued, send: Send, clock: Clock, end: str, code: str, description: str
) -> None:
    kind = {"revoke_kind": "owner"} if end == "revoked_at" else {}
    clock.tick(hours=1)
    AccessToken.objects.update(**{end: clock.now}, **kind)
    refused = send("GET", "/api/v1/token", full)
    assert (refused.status_code, refused.json()["code"]) == (401, code)
    assert refused.headers["WWW-Authenticate"] == (
        f'{CHALLENGE}, error="invalid_token", error_description="{description}"'
    )


HEADER_PIECES = st.one_of(
    st.sampled_from(["Bearer", "bearer", " ", "\t", ",", "\0", '"', "=", "sk_pat_", "sk_proj_"]),
    st.text(max_size=8),
    st.text("0123456789abcdef", min_size=60, max_size=66),
    st.just("THE VALUE"),
)


@hypothesis_settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pieces=st.lists(HEADER_PIECES, max_size=6))
def test_no_header_breaks_the_door_and_only_the_value_opens_it(
    full: Issued, api: Client, pieces: list[str]
) -> None:
    value = full.plaintext.reveal()
    header = "".join(pieces).replace("THE VALUE", value)
    answer = api.get("/api/v1/token", headers={"Authorization": header})
    scheme, _, presented = header.partition(" ")
    right = scheme.lower() == "bearer" and presented.strip(" ") == value
    assert answer.status_code == (200 if right else 401)
    assert isinstance(answer.json(), dict)


# --- No session, no cookie, no CSRF -------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_session_does_not_open_the_api(as_alice: Client, method: str, path: str) -> None:
    path += QUERIES.get(path, "")
    refused = as_alice.generic(method, path, b'{"name": "shop"}')
    assert refused.status_code == 401
    assert not refused.cookies


def test_no_csrf_token_is_asked_for_and_no_cookie_is_set(full: Issued, send: Send) -> None:
    answers = [
        send("POST", "/api/v1/cli/projects", full, b'{"name": "shop"}'),
        send("GET", "/api/v1/cli/projects", full, headers={"Origin": "https://evil.example"}),
        send("DELETE", "/api/v1/token", full, headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 204]
    assert not any(answer.cookies for answer in answers)
    assert not any("Access-Control-Allow-Origin" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/cli/projects", 200),
        ("GET", "/api/v1/token", 200),
        ("DELETE", "/api/v1/token", 204),
        ("GET", "/api/v1/health", 200),
    ],
)
def test_a_json_content_type_without_a_body_is_fine(
    full: Issued, send: Send, method: str, path: str, status: int
) -> None:
    # Django's client leaves the type out of a request without a body; the CLI sends it.
    answer = send(method, path, full, CONTENT_TYPE="application/json")
    assert answer.request["CONTENT_TYPE"] == "application/json"
    assert answer.status_code == status


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture
def behind_tls(settings: Any) -> Any:
    """Require TLS, as an https PUBLIC_URL does; a client made from now on builds a chain for it."""
    settings.TLS = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    return settings


@pytest.mark.parametrize("path", [*USED, "/api/v1/health", "/api/v1/nothing"])
def test_plain_http_is_refused_where_tls_is_required_and_nothing_is_counted(
    full: Issued,
    bearer: Any,
    behind_tls: Any,
    path: str,
    django_assert_num_queries: CountQueries,
) -> None:
    with django_assert_num_queries(0):
        refused = Client().get(path, headers=bearer(full))
    assert refused.status_code == 403
    assert "Location" not in refused.headers
    told = refused.json()
    assert (told["error"], told["code"]) == ("Use https.", "tls_required")
    assert "revoke it" in told["details"]
    assert told["request_id"] == refused.headers["X-Request-ID"]
    assert not TokenUse.objects.exists()
    assert AccessToken.objects.get().first_used_at is None


def test_plain_http_without_a_token_is_not_told_of_one(db: None, behind_tls: Any) -> None:
    assert "details" not in Client().get("/api/v1/health").json()


def test_https_is_answered_with_a_promise_to_stay(
    full: Issued, bearer: Any, behind_tls: Any
) -> None:
    answer = Client().get("/api/v1/token", headers=bearer(full), secure=True)
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize(("believed", "status"), [(True, 200), (False, 403)])
def test_a_proxy_s_word_for_https_counts_only_where_it_is_configured(
    full: Issued, bearer: Any, behind_tls: Any, believed: bool, status: int
) -> None:
    if believed:
        behind_tls.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    headers = {**bearer(full), "X-Forwarded-Proto": "https"}
    assert Client().get("/api/v1/token", headers=headers).status_code == status


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "", "192.0.2.1"),
        (0, "203.0.113.7", "192.0.2.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "10.0.0.1, 203.0.113.7", "203.0.113.7"),
        (2, "10.0.0.1, 203.0.113.7, 198.51.100.4", "203.0.113.7"),
        (2, "203.0.113.7", "192.0.2.1"),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "<script>", None),
        (1, "203.0.113.7:4711", "203.0.113.7"),
    ],
)
def test_an_address_is_believed_only_through_configured_proxies(
    full: Issued, send: Send, settings: Any, proxies: int, forwarded: str, address: str | None
) -> None:
    settings.TRUSTED_PROXY_COUNT = proxies
    headers = {"X-Forwarded-For": forwarded, "X-Real-IP": "10.9.9.9", "Forwarded": "for=10.8.8.8"}
    answer = send("GET", "/api/v1/token", full, headers=headers, REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 200
    assert TokenActivity.objects.get().address == address


# --- Queries and log lines ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "queries"), [("/api/v1/token", 1), ("/api/v1/user", 2), ("/api/v1/cli/projects", 2)]
)
def test_a_warm_request_reads_and_does_not_write(
    full: Issued,
    send: Send,
    clock: Clock,
    path: str,
    queries: int,
    django_assert_num_queries: Callable[..., AbstractContextManager[Any]],
) -> None:
    send("GET", path, full)
    for _ in range(3):
        clock.tick(seconds=15)
        with django_assert_num_queries(queries) as asked:
            assert send("GET", path, full).status_code == 200
        assert all(query["sql"].lstrip().startswith("SELECT") for query in asked.captured_queries)


def test_no_log_line_and_no_answer_holds_a_piece_of_a_token(
    full: Issued, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    value = full.plaintext.reveal()
    with caplog.at_level(logging.DEBUG):
        answers = [send("GET", path, full) for path in USED]
        answers += [send("GET", f"/api/v1/{value}", full, QUERY_STRING=f"token={value}")]
        answers += [send("DELETE", "/api/v1/token", full) for _ in range(2)]
    text = "".join(f"{answer.headers}{answer.content!r}" for answer in answers)
    pieces = {value[start : start + 12] for start in range(len(value) - 11)}
    assert not [piece for piece in pieces if piece in text]


def test_a_minted_stranger_costs_one_query_and_counts_nowhere(
    full: Issued, api: Client, django_assert_num_queries: CountQueries
) -> None:
    header = {"Authorization": f"Bearer {secret.mint().reveal()}"}
    with django_assert_num_queries(1):
        assert api.get("/api/v1/token", headers=header).status_code == 401
    assert not TokenUse.objects.exists()
