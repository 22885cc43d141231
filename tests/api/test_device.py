from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st
from pytest_django import Settings

from skytells_console.models import User
from tests.api.test_bad_input import BODIES
from tests.api.test_cli_contract import HEADERS, PROJECTS, printed
from tests.cast import Clock, origin
from tests.device import CLI, DEFAULT, approve as approve_started
from tokens import device_flow
from tokens.device_flow import Started
from tokens.lifecycle import Issued
from tokens.models import AccessToken, DeviceGrant, TokenEvent

Send = Callable[..., Any]
DEVICE, TOKEN = "/api/oauth/device", "/api/oauth/token"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
FORM = "application/x-www-form-urlencoded"
SIX = {"device_code", "user_code", "verification_uri", "verification_uri_complete"} | {
    "expires_in",
    "interval",
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def login(send: Send, clock: Clock) -> Callable[..., Any]:
    """Begin as CLI v1.0.3 does: its very bytes and headers."""

    def login(**changes: Any) -> Any:
        body = json.dumps({"client_name": CLI, "scopes": DEFAULT} | changes, separators=(",", ":"))
        return send("POST", DEVICE, None, body, headers=HEADERS)

    return login


@pytest.fixture
def poll(send: Send) -> Callable[..., Any]:
    """Ask for the token as CLI v1.0.3 does."""

    def poll(begun: Any, **changes: Any) -> Any:
        sent = {"device_code": begun.json()["device_code"], "grant_type": GRANT_TYPE} | changes
        return send("POST", TOKEN, None, json.dumps(sent, separators=(",", ":")), headers=HEADERS)

    return poll


@pytest.fixture
def post(api: Client, clock: Clock) -> Callable[..., Any]:
    """Send a form, as OAuth clients do."""

    def post(path: str, fields: Any, **headers: str) -> Any:
        return api.generic("POST", path, urlencode(fields), content_type=FORM, headers=headers)

    return post


def approve(begun: Any, user: User, **facts: Any) -> None:
    """Approve what has begun, as the page does."""
    code = begun.json()["user_code"]
    found = device_flow.look_up(
        user_id=user.pk, typed=code, now=DeviceGrant.objects.get().created_at
    )
    approve_started(Started(found.grant, "", ""), user, **facts)


# --- What the CLI sends and reads ----------------------------------------------------------------


def test_the_answer_to_a_start_has_all_that_the_cli_needs(
    login: Callable[..., Any], settings: Settings
) -> None:
    settings.PUBLIC_URL = "https://console.example"
    begun = login()
    body = begun.json()
    assert begun.status_code == 200
    assert set(body) == SIX
    assert (body["expires_in"], body["interval"]) == (900, 5)
    assert body["verification_uri"] == "https://console.example/device"
    assert body["verification_uri_complete"].endswith(f"/device?user_code={body['user_code']}")
    assert begun.headers["Cache-Control"] == "no-store"


def test_a_login_from_start_to_the_first_request(
    login: Callable[..., Any], poll: Callable[..., Any], send: Send, clock: Clock, alice: User
) -> None:
    begun = login()
    clock.tick(seconds=5)
    waiting = poll(begun)
    assert (waiting.status_code, waiting.json()["code"]) == (428, "authorization_pending")
    approve(begun, alice)
    clock.tick(seconds=5)
    delivered = poll(begun)
    body = delivered.json()
    assert delivered.status_code == 200
    assert (body["token_type"], body["scope"]) == ("Bearer", " ".join(DEFAULT))
    assert body["scopes"] == DEFAULT
    assert body["expires_in"] == 30 * 24 * 3600 - 5
    assert delivered.headers["Cache-Control"] == "no-store"
    bearer = {**HEADERS, "Authorization": f"Bearer {body['access_token']}"}
    assert send("GET", PROJECTS, None, headers=bearer).json() == {"data": []}


def test_denied_is_403_ended_is_410_and_so_is_spent(
    login: Callable[..., Any], poll: Callable[..., Any], clock: Clock, alice: User
) -> None:
    denied = login()
    grant = DeviceGrant.objects.get()
    device_flow.deny(grant=grant, user=alice, origin=origin(alice))
    assert poll(denied).status_code == 403
    DeviceGrant.objects.all().delete()
    spent = login()
    approve(spent, alice)
    assert [poll(spent).status_code for _ in range(2)] == [200, 410]
    ended = login()
    clock.tick(minutes=15)
    assert poll(ended).status_code == 410


def test_a_cli_that_keeps_to_its_interval_never_sees_anything_but_428(
    login: Callable[..., Any], poll: Callable[..., Any], clock: Clock
) -> None:
    begun = login()
    for _ in range(100):
        clock.tick(seconds=5)
        answer = poll(begun)
        assert (answer.status_code, answer.json()["code"]) == (428, "authorization_pending")


def test_a_cli_that_asks_too_fast_still_gets_its_token(
    login: Callable[..., Any], poll: Callable[..., Any], alice: User
) -> None:
    begun = login()
    answers = [poll(begun) for _ in range(200)]
    assert {answer.status_code for answer in answers} == {428}
    assert answers[-1].json()["code"] == "slow_down"
    approve(begun, alice)
    assert poll(begun).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "status", "line"),
    [
        (["projects.read", "projects.read"], 200, ""),
        (["projects.read", ""], 200, ""),
        (["", ""], 400, "Name at least one scope."),
        (["Projects.Read"], 400, "There is no such scope. The scopes are: account.read, "),
        (["cli"], 400, "There is no such scope. The scopes are: account.read, "),
        (["projects.read", "\x1b[2J"], 400, "There is no such scope. The scopes are: "),
    ],
)
def test_what_the_cli_s_option_makes_of_scopes_is_answered_in_sentences(
    login: Callable[..., Any], scopes: list[str], status: int, line: str
) -> None:
    begun = login(scopes=scopes)
    assert begun.status_code == status
    if line:
        assert printed(begun).startswith(line)
        assert "\x1b" not in begun.content.decode()


def test_the_eleventh_start_of_a_network_is_429_with_the_time_to_wait(
    login: Callable[..., Any],
) -> None:
    assert [login().status_code for _ in range(10)] == [200] * 10
    refused = login()
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["Retry-After"] == "901"
    assert printed(refused).startswith("Too many device logins are waiting")
    assert DeviceGrant.objects.count() == 10


# --- What an OAuth client sends and reads --------------------------------------------------------


def test_a_form_gets_the_standard_s_answers(
    post: Callable[..., Any], clock: Clock, alice: User
) -> None:
    begun = post(DEVICE, {"client_id": "my-app", "scope": "projects.read account.read"})
    assert set(begun.json()) == SIX
    ask = {
        "grant_type": GRANT_TYPE,
        "device_code": begun.json()["device_code"],
        "client_id": "my-app",
    }
    codes = []
    for seconds in (5, 5, 1):
        clock.tick(seconds=seconds)
        answer = post(TOKEN, ask)
        codes.append((answer.status_code, answer.json()["error"], answer.json()["interval"]))
    assert codes == [
        (400, "authorization_pending", 5),
        (400, "authorization_pending", 5),
        (400, "slow_down", 10),
    ]
    approve(begun, alice)
    delivered = post(TOKEN, ask)
    assert delivered.status_code == 200
    assert delivered.json()["scope"] == "projects.read account.read"
    assert delivered.headers["Cache-Control"] == "no-store"
    assert delivered.headers["Pragma"] == "no-cache"
    again = post(TOKEN, ask)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


def test_a_form_is_told_of_denial_and_end_by_the_standard_s_codes(
    post: Callable[..., Any], clock: Clock, alice: User
) -> None:
    def ask(begun: Any, **more: str) -> tuple[int, str]:
        code = begun.json()["device_code"]
        answer = post(TOKEN, {"grant_type": GRANT_TYPE, "device_code": code, **more})
        return answer.status_code, answer.json()["error"]

    denied, ended = post(DEVICE, {}), post(DEVICE, {"client_id": "x"})
    grant = DeviceGrant.objects.get(client_id="")
    device_flow.deny(grant=grant, user=alice, origin=origin(alice))
    assert ask(denied) == (400, "access_denied")
    assert ask(ended) == ask(ended, client_id="y") == (400, "invalid_grant")
    clock.tick(minutes=15)
    assert ask(ended, client_id="x") == (400, "expired_token")


def test_the_client_s_id_may_come_as_the_name_of_basic_authentication(
    post: Callable[..., Any], alice: User
) -> None:
    basic = "Basic " + base64.b64encode(b"my%2Dapp:").decode()
    begun = post(DEVICE, {"client_id": "my-app"})
    approve(begun, alice)
    ask = {"grant_type": GRANT_TYPE, "device_code": begun.json()["device_code"]}
    assert post(TOKEN, ask).json()["error"] == "invalid_grant"
    crossed = post(TOKEN, {**ask, "client_id": "other"}, Authorization=basic)
    assert crossed.json()["error"] == "invalid_request"
    unreadable = post(TOKEN, ask, Authorization="Basic %%%")
    assert unreadable.json()["error"] == "invalid_request"
    assert post(TOKEN, ask, Authorization=basic).status_code == 200


def test_a_form_that_names_no_scope_asks_for_the_default(post: Callable[..., Any]) -> None:
    post(DEVICE, {"client_id": "my-app", "scope": ""})
    assert DeviceGrant.objects.get().scopes.split() == DEFAULT


# --- Bad input -----------------------------------------------------------------------------------

BAD_FORMS: dict[str, tuple[str, str, int, str]] = {
    "no grant type": (TOKEN, "device_code=x", 400, "invalid_request"),
    "empty grant type": (TOKEN, "grant_type=&device_code=x", 400, "invalid_request"),
    "another grant type": (TOKEN, "grant_type=password", 400, "unsupported_grant_type"),
    "no device code": (TOKEN, f"grant_type={GRANT_TYPE}", 400, "invalid_request"),
    "twice the same field": (
        TOKEN,
        f"grant_type={GRANT_TYPE}&device_code=a&device_code=b",
        400,
        "invalid_request",
    ),
    "not UTF-8": (TOKEN, "grant_type=%ff%fe", 400, "invalid_request"),
    "too many fields": (TOKEN, "&".join(f"f{n}=1" for n in range(60)), 400, "invalid_request"),
    "too large": (TOKEN, "grant_type=" + "x" * 70_000, 413, "invalid_request"),
    "JSON that calls itself a form": (TOKEN, '{"a": 1}', 400, "invalid_request"),
    "unknown scope": (DEVICE, "scope=projects.read+admin", 400, "invalid_scope"),
    "blank scope": (DEVICE, "scope=+", 200, ""),
    "an id with a space": (DEVICE, "client_id=a+b", 400, "invalid_request"),
    "NUL in the id": (DEVICE, "client_id=a%00b", 400, "invalid_request"),
    "a name with an escape": (DEVICE, "client_name=%1b%5b2J", 400, "invalid_request"),
}


@pytest.mark.parametrize(("path", "body", "status", "error"), BAD_FORMS.values(), ids=BAD_FORMS)
def test_a_bad_form_gets_the_standard_s_error_and_stores_nothing(
    api: Client, path: str, body: str, status: int, error: str
) -> None:
    answer = api.generic("POST", path, body, content_type=FORM)
    assert (answer.status_code, answer.json().get("error", "")) == (status, error)
    if error:
        assert set(answer.json()) == {"error", "error_description"}
        # RFC 6749, 5.2: no quotation mark and no backslash.
        assert all(
            " " <= each <= "~" and each not in '"\\' for each in answer.json()["error_description"]
        )
        assert not DeviceGrant.objects.exists()


BAD_STARTS: dict[str, tuple[Any, int, str]] = {
    "scopes as text": ({"scopes": "projects.read"}, 400, "not_text"),
    "scopes as an object": ({"scopes": {"projects.read": True}}, 400, "not_text"),
    "a number among scopes": ({"scopes": ["projects.read", 5]}, 400, "not_text"),
    "null among scopes": ({"scopes": [None]}, 400, "not_text"),
    "scope as an array": ({"scope": ["projects.read"]}, 400, "not_text"),
    "empty scopes": ({"scopes": []}, 400, "scopes_required"),
    "a thousand scopes": ({"scopes": [f"s{n}" for n in range(1000)]}, 400, "unknown_scope"),
    "null scopes": ({"scopes": None}, 200, ""),
    "a thousand times one scope": ({"scopes": ["inference"] * 1000}, 200, ""),
    "a name that is a number": ({"client_name": 5}, 400, "not_text"),
    "a name that is a list": ({"client_name": ["x"]}, 400, "not_text"),
    "null name": ({"client_name": None}, 200, ""),
    "a long name": ({"client_name": "x" * 65}, 400, "name_too_long"),
    "a lone surrogate": ({"client_name": "\ud800"}, 400, "unprintable"),
    "a name of 64 emoji": ({"client_name": "\U0001f680" * 60}, 200, ""),
    "HTML": ({"client_name": "<script>alert(1)</script>"}, 200, ""),
    "an id that is true": ({"client_id": True}, 400, "not_text"),
    "nothing at all": ({}, 200, ""),
    "more than is known": ({"client_version": "1", "__proto__": {}}, 200, ""),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_each_start_gets_its_status_and_sentence(
    send: Send, body: Any, status: int, code: str
) -> None:
    answer = send("POST", DEVICE, None, json.dumps(body))
    assert (answer.status_code, answer.json().get("code", "")) == (status, code)
    assert DeviceGrant.objects.count() == (status == 200)
    if code:
        assert isinstance(answer.json()["error"], str)
        assert answer.json()["error"].endswith(".")


WRONG_CODES: dict[str, tuple[Any, int, str]] = {
    "missing": (None, 400, "invalid_request"),
    "empty": ("", 400, "invalid_request"),
    "number": (5, 400, "not_text"),
    "list": (["x"], 400, "not_text"),
    "object": ({}, 400, "not_text"),
    "true": (True, 400, "not_text"),
    "short": ("x", 410, "invalid_grant"),
    "a person's": ("BCDF-GHJK", 410, "invalid_grant"),
    "of the right shape": ("A" * 43, 410, "invalid_grant"),
    "one character more": ("A" * 44, 410, "invalid_grant"),
    "with a newline": ("A" * 43 + "\n", 410, "invalid_grant"),
    "not ASCII": ("é" * 43, 410, "invalid_grant"),
    "NUL": ("\0" * 43, 410, "invalid_grant"),
    "a lone surrogate": ("\ud800" * 43, 410, "invalid_grant"),
    "60,000 characters": ("A" * 60_000, 410, "invalid_grant"),
    "SQL": ("' OR 1=1 --", 410, "invalid_grant"),
}


@pytest.mark.parametrize(("value", "status", "code"), WRONG_CODES.values(), ids=WRONG_CODES)
def test_codes_of_every_wrong_shape_open_nothing(
    send: Send, login: Callable[..., Any], alice: User, value: Any, status: int, code: str
) -> None:
    approve(login(), alice)
    body = {"grant_type": GRANT_TYPE} | ({} if value is None else {"device_code": value})
    answer = send("POST", TOKEN, None, json.dumps(body))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize("path", [DEVICE, TOKEN])
@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_json_object_is_refused_at_both(
    send: Send, path: str, body: bytes, status: int, code: str
) -> None:
    answer = send("POST", path, None, body)
    assert answer.status_code < 500
    if code in {"invalid_json", "body_too_large"}:
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert not DeviceGrant.objects.exists()


@pytest.mark.parametrize("path", [DEVICE, TOKEN])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_a_post_is_answered(send: Send, path: str, method: str) -> None:
    answer = send(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert "Location" not in send("POST", f"{path}/").headers


def test_ten_thousand_wrong_codes_are_told_apart_by_nothing(
    send: Send, login: Callable[..., Any], alice: User
) -> None:
    approve(login(), alice)
    stored = list(DeviceGrant.objects.values())
    answers = set()
    for number in range(10_000):
        sent = {"grant_type": GRANT_TYPE, "device_code": f"{number:043d}"}
        answer = send("POST", TOKEN, None, json.dumps(sent))
        facts = answer.json()
        facts.pop("request_id")
        answers.add((answer.status_code, json.dumps(facts)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 410
    assert list(DeviceGrant.objects.values()) == stored
    assert not AccessToken.objects.exists()
    assert TokenEvent.objects.count() == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = ["client_id", "client_name", "scopes", "scope", "grant_type", "device_code"]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.dictionaries(st.sampled_from(NAMES), json_values))
def test_no_json_breaks_anything(send: Send, body: dict[str, Any]) -> None:
    for path in (DEVICE, TOKEN):
        answer = send("POST", path, None, json.dumps(body))
        assert answer.status_code in {200, 400, 410, 429}
        assert isinstance(answer.json().get("error", ""), str)


def test_a_bearer_changes_nothing_here(
    send: Send, full: Issued, login: Callable[..., Any], poll: Callable[..., Any]
) -> None:
    begun = login()
    sent = {"grant_type": GRANT_TYPE, "device_code": begun.json()["device_code"]}
    assert send("POST", TOKEN, full, json.dumps(sent)).status_code == 428


def test_a_name_is_stored_as_it_is_judged_however_its_letters_are_written(
    login: Callable[..., Any], clock: Clock
) -> None:
    # Fifty-seven syllables, each written with three characters: short enough only once they are put together.
    begun = login(client_name="\u1100\u1161\u11a8" * 57)
    assert begun.status_code == 200
    assert DeviceGrant.objects.get().client_name == "\uac01" * 57
