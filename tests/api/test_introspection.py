"""RFC 7662 and RFC 7009, statement by statement; the numbers are the sections relied on."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from django.db import OperationalError, connection
from django.test import Client

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import audit, lifecycle, projects, relying_parties, secret, usage
from tokens.lifecycle import Issued
from tokens.models import (
    AccessToken,
    Policy,
    RevokeKind,
    Service,
    TokenActivity,
    TokenEvent,
    TokenUse,
)
from tokens.relying_parties import Registered

CountQueries = Callable[[int], AbstractContextManager[Any]]
Ask = Callable[..., Any]
INTROSPECT, REVOKE = "/api/oauth/introspect", "/api/oauth/revoke"
FORM = "application/x-www-form-urlencoded"
NOT_ACTIVE = b'{"active":false}'


@pytest.fixture
def service(clock: Clock, db: None) -> Registered:
    return relying_parties.create(
        name="billing", scopes=["projects.read", "keys.read"], origin=origin()
    )


@pytest.fixture
def made(clock: Clock, alice: User) -> Issued:
    return issue(alice)


def basic(client_id: str, value: str) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(value)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def header_of(service: Registered) -> dict[str, str]:
    return {"Authorization": basic(service.service.client_id, service.secret.reveal())}


def in_body(service: Registered) -> dict[str, str]:
    return {
        "client_id": service.service.client_id,
        "client_secret": service.secret.reveal(),
    }


@pytest.fixture
def ask(api: Client, service: Registered) -> Ask:
    """Return a function that asks about a token as the service, by Basic."""

    def ask(token: Issued | str, **more: Any) -> Any:
        value = token if isinstance(token, str) else token.plaintext.reveal()
        body = urlencode({"token": value, **more})
        return api.post(INTROSPECT, body, content_type=FORM, headers=header_of(service))

    return ask


def post(api: Client, path: str, form: dict[str, str] | str, **headers: str) -> Any:
    body = form if isinstance(form, str) else urlencode(form)
    return api.post(path, body, content_type=FORM, headers=headers)


# --- RFC 7662: active ---------------------------------------------------------------------------


def test_an_accepted_token_is_active_with_the_members_of_section_2_2(
    ask: Ask, made: Issued, alice: User
) -> None:
    answer = ask(made)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {
        "active": True,
        "scope": "projects.read",
        "token_type": "Bearer",
        "iss": "http://127.0.0.1:8000",
        "sub": str(alice.public_id),
        "jti": str(made.token.public_id),
        "iat": int(NOON.timestamp()),
        "exp": int(made.token.expires_at.timestamp()),
    }


def test_a_token_without_end_has_no_exp(ask: Ask, alice: User) -> None:
    assert "exp" not in ask(issue(alice, expires_at=None)).json()


def test_a_service_is_told_the_scopes_it_may_ask_about_and_no_others(ask: Ask, alice: User) -> None:
    both = issue(alice, scopes=["keys.read", "projects.read", "projects.write", "inference"])
    assert ask(both).json()["scope"] == "projects.read keys.read"


@pytest.mark.parametrize("way", [header_of, in_body])
def test_a_service_proves_itself_by_basic_or_in_the_body(
    api: Client, service: Registered, made: Issued, way: Callable[[Registered], dict[str, str]]
) -> None:
    """RFC 6749, 2.3.1: Basic must be supported, the body may be."""
    form, headers = {"token": made.plaintext.reveal()}, {}
    (headers if way is header_of else form).update(way(service))
    assert post(api, INTROSPECT, form, **headers).json()["active"] is True


def test_an_unknown_hint_and_unknown_parameters_are_ignored(ask: Ask, made: Issued) -> None:
    """RFC 7662, 2.1: the hint may be ignored; RFC 6749, 3.2: so are unknown parameters."""
    for hint in ("access_token", "refresh_token", "nonsense"):
        assert ask(made, token_type_hint=hint, resource="x").json()["active"] is True


def test_asking_counts_as_use_by_the_service_and_from_no_network(ask: Ask, made: Issued) -> None:
    ask(made)
    ask(made)
    usage.flush()
    use = TokenUse.objects.get()
    assert (use.service, use.network, use.client, use.consumer_name) == ("billing", "", "", "")
    assert (use.scope, use.allowed, use.refused) == ("", 2, 0)
    assert TokenActivity.objects.get().address is None
    made.token.refresh_from_db()
    assert made.token.first_used_at == NOON


def test_a_warm_question_reads_twice_and_writes_nothing(
    ask: Ask, made: Issued, django_assert_num_queries: CountQueries
) -> None:
    ask(made)
    with django_assert_num_queries(2) as asked:
        assert ask(made).json()["active"] is True
    assert all(query["sql"].lstrip().startswith("SELECT") for query in asked.captured_queries)


# --- RFC 7662: not active -----------------------------------------------------------------------


NOT_TOKENS: dict[str, Callable[[str], str]] = {
    "unknown": lambda value: secret.mint().reveal(),
    "one digit wrong": lambda value: value[:-1] + ("1" if value[-1] == "0" else "0"),
    "space before": lambda value: " " + value,
    "space after": lambda value: value + " ",
    "newline after": lambda value: value + "\n",
    "upper case": lambda value: value.upper(),
    "with its scheme": lambda value: f"Bearer {value}",
    "two": lambda value: f"{value} {value}",
    "NUL": lambda value: value + "\0",
    "not ASCII": lambda value: value[:-1] + "é",
    "garbage": lambda value: "garbage",
    "long": lambda value: "a" * 10_000,
    "markup": lambda value: "<script>",
}


@pytest.mark.parametrize("make", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_what_is_no_token_is_exactly_not_active(
    ask: Ask, made: Issued, make: Callable[[str], str]
) -> None:
    answer = ask(make(made.plaintext.reveal()))
    assert (answer.status_code, answer.content) == (200, NOT_ACTIVE)
    assert not TokenUse.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": NOON, "revoke_kind": "owner"},
        {"retire_at": NOON},
        {"expires_at": NOON + timedelta(hours=1)},
        {"paused_at": NOON},
        {"scopes": "inference account.read"},
        {"projects_limited": True},
    ],
    ids=["revoked", "retired", "expired", "paused", "another area", "limited"],
)
def test_whatever_is_not_accepted_is_exactly_not_active(
    ask: Ask, alice: User, made: Issued, clock: Clock, change: dict[str, Any]
) -> None:
    clock.tick(hours=1)
    AccessToken.objects.update(**change)
    answer = ask(made)
    assert (answer.status_code, answer.content) == (200, NOT_ACTIVE)
    assert not TokenActivity.objects.exists()


def test_a_disabled_owner_and_a_policy_make_a_token_not_active(
    ask: Ask, alice: User, made: Issued, clock: Clock
) -> None:
    assert ask(made).json()["active"] is True
    blocks = Policy.objects.create(created_at=clock.now, allowed_networks="192.0.2.0/24")
    assert ask(made).content == NOT_ACTIVE
    Policy.objects.filter(pk=blocks.pk).delete()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert ask(made).content == NOT_ACTIVE


def test_revocation_and_narrowing_hold_for_the_next_question(
    ask: Ask, alice: User, clock: Clock
) -> None:
    both = issue(alice, scopes=["projects.read", "inference"])
    assert ask(both).json()["active"] is True
    lifecycle.narrow(token=both.token, scopes=["inference"], origin=origin(alice))
    assert ask(both).content == NOT_ACTIVE
    other = issue(alice, "other")
    assert ask(other).json()["active"] is True
    lifecycle.revoke(token=other.token, origin=origin(alice))
    assert ask(other).content == NOT_ACTIVE


def test_a_token_outside_the_service_s_area_is_not_counted_as_refused(
    ask: Ask, alice: User
) -> None:
    ask(issue(alice, scopes=["inference"]))
    assert not TokenUse.objects.exists()


def test_a_limited_token_is_active_only_for_a_project_that_it_reaches(
    ask: Ask, alice: User, bob: User, clock: Clock
) -> None:
    """RFC 7662, 2.1 allows further parameters; without this one a limit would be overlooked."""
    shop = projects.create(owner_id=alice.pk, name="shop", origin=origin(alice))
    other = projects.create(owner_id=alice.pk, name="other", origin=origin(alice))
    limited = issue(alice, projects=[shop])
    assert ask(limited).content == NOT_ACTIVE
    assert ask(limited, project=str(shop.public_id)).json()["active"] is True
    assert ask(limited, project=str(other.public_id)).content == NOT_ACTIVE
    assert ask(limited, project="shop").content == NOT_ACTIVE
    assert ask(issue(bob), project=str(shop.public_id)).content == NOT_ACTIVE


# --- Who may ask --------------------------------------------------------------------------------


def wrong_credentials(service: Registered, made: Issued) -> dict[str, dict[str, str]]:
    client_id, value = service.service.client_id, service.secret.reveal()
    stranger = secret.mint_for_service().reveal()
    joined = base64.b64encode(f"{client_id}:{value}".encode()).decode()
    headers = {
        "an unknown secret": basic(client_id, stranger),
        "an unknown id": basic("svc_0000000000000000", value),
        "no id": basic("", value),
        "no secret": basic(client_id, ""),
        "an upper-case secret": basic(client_id, value.upper()),
        "the person's token": f"Bearer {made.plaintext.reveal()}",
        "the secret as a bearer": f"Bearer {value}",
        "the token as the secret": basic(client_id, made.plaintext.reveal()),
        "the scheme alone": "Basic",
        "not base64": "Basic !!!",
        "no colon": "Basic " + base64.b64encode(value.encode()).decode(),
        "not UTF-8": "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "cut base64": f"Basic {joined[:-3]}",
        "two": f"Basic {joined}, Basic {joined}",
        "another scheme": f"Digest {joined}",
        "NUL": basic(client_id + "\0", value),
        "not ASCII": "Basic \xe9",
        "10 KB": "Basic " + "QUFB" * 2500,
        "many escapes": basic(client_id, "%" * 500),
    }
    wrong = {name: {"Authorization": header} for name, header in headers.items()}
    return {"nothing": {}, **wrong}


def test_whoever_does_not_prove_to_be_a_service_gets_one_401(
    api: Client, service: Registered, made: Issued
) -> None:
    """RFC 7662, 2.1: some authorisation is required; RFC 6749, 5.2: what is wrong is not told."""
    form = {"token": made.plaintext.reveal()}
    bodies = set()
    for name, headers in wrong_credentials(service, made).items():
        refused = post(api, INTROSPECT, form, **headers)
        assert refused.status_code == 401, name
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="skytells", charset="UTF-8"'
        bodies.add(refused.content)
    for key, value in (("client_secret", "x"), ("client_id", "svc_0")):
        wrong = {**form, **in_body(service), key: value}
        bodies.add(post(api, INTROSPECT, wrong).content)
    bodies.add(post(api, INTROSPECT, {**form, "client_id": service.service.client_id}).content)
    assert bodies == {
        b'{"error":"invalid_client","error_description":"Send the id and the secret of a service."}'
    }
    assert not TokenUse.objects.exists()


def test_a_revoked_service_is_refused_from_its_next_question_on(
    ask: Ask, made: Issued, service: Registered
) -> None:
    assert ask(made).status_code == 200
    relying_parties.revoke(service=service.service, origin=origin())
    assert ask(made).status_code == 401


def test_a_session_is_no_service(as_alice: Client, made: Issued) -> None:
    assert post(as_alice, INTROSPECT, {"token": made.plaintext.reveal()}).status_code == 401


# --- What can be read ---------------------------------------------------------------------------

# Bodies that are refused before anything is looked up, with the status of each.
BODIES: dict[str, tuple[str, bytes, int]] = {
    "empty": (FORM, b"", 400),
    "no token": (FORM, b"token_type_hint=access_token", 400),
    "a token without a value": (FORM, b"token=", 400),
    "a bare token": (FORM, b"token", 400),
    "another name": (FORM, b"access_token=x", 400),
    "twice": (FORM, b"token=a&token=b", 400),
    "twice the same": (FORM, b"token=a&token=a", 400),
    "a hint twice": (FORM, b"token=a&token_type_hint=b&token_type_hint=b", 400),
    "too many": (FORM, b"token=a&" + b"&".join(b"a%d=1" % n for n in range(60)), 400),
    "not UTF-8": (FORM, b"token=%ff%fe", 400),
    "raw bytes": (FORM, b"token=\xff", 400),
    "too large": (FORM, b"token=" + b"a" * 70_000, 413),
    "JSON": ("application/json", b'{"token": "x"}', 400),
    "a form called JSON": ("application/json", b"token=x", 400),
    "text": ("text/plain", b"token=x", 400),
    "no type": ("", b"token=x", 400),
    "several parts": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--b--\r\n',
        400,
    ),
}


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
@pytest.mark.parametrize(("kind", "body", "status"), BODIES.values(), ids=BODIES)
def test_what_cannot_be_read_is_an_invalid_request(
    api: Client, service: Registered, path: str, kind: str, body: bytes, status: int
) -> None:
    """RFC 6749, 5.2: invalid_request, for a parameter that is missing or repeated as well."""
    refused = api.post(path, body, content_type=kind, headers=header_of(service))
    told = refused.json()
    assert (refused.status_code, told["error"]) == (status, "invalid_request")
    assert told["error_description"].endswith(".")
    assert set(told) == {"error", "error_description"}


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
def test_a_service_must_not_prove_itself_in_two_ways_at_once(
    api: Client, service: Registered, made: Issued, path: str
) -> None:
    """RFC 6749, 2.3."""
    form = {"token": made.plaintext.reveal(), **in_body(service)}
    refused = post(api, path, form, **header_of(service))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert AccessToken.objects.get().revoked_at is None


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
def test_nothing_is_read_from_the_query(
    api: Client, service: Registered, made: Issued, path: str
) -> None:
    """RFC 7009, 2.1 and RFC 7662, 2.1: the parameters stand in the body."""
    query = urlencode({"token": made.plaintext.reveal(), **in_body(service)})
    assert post(api, f"{path}?{query}", {}).status_code in {400, 401}
    assert AccessToken.objects.get().revoked_at is None


def test_a_body_without_its_length_is_refused(api: Client, service: Registered) -> None:
    headers = {**header_of(service), "Transfer-Encoding": "chunked"}
    refused = api.post(INTROSPECT, b"token=x", content_type=FORM, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (411, "invalid_request")


@pytest.mark.parametrize("kind", [FORM.upper(), f"{FORM}; charset=UTF-8", f"{FORM};charset=nope"])
def test_a_form_s_type_is_read_in_any_case_and_with_parameters(
    api: Client, service: Registered, made: Issued, kind: str
) -> None:
    body = urlencode({"token": made.plaintext.reveal()})
    answer = api.post(INTROSPECT, body, content_type=kind, headers=header_of(service))
    assert answer.json()["active"] is True


# --- RFC 7009 -----------------------------------------------------------------------------------


def test_a_presented_token_is_revoked_by_itself(
    api: Client, made: Issued, alice: User, clock: Clock
) -> None:
    answer = post(api, REVOKE, {"token": made.plaintext.reveal()})
    assert (answer.status_code, answer.content) == (200, b"{}")
    token = AccessToken.objects.get()
    assert (token.revoked_at, token.revoke_kind) == (clock.now, RevokeKind.SELF)
    event = TokenEvent.objects.get(kind=audit.Kind.REVOKED)
    assert (event.door, event.actor_id, event.token_public_id) == ("api", alice.pk, token.public_id)
    clock.tick(minutes=5)
    assert post(api, REVOKE, {"token": made.plaintext.reveal()}).status_code == 200
    token.refresh_from_db()
    assert token.revoked_at == NOON


def test_giving_a_token_up_is_no_use_of_it(api: Client, made: Issued) -> None:
    post(api, REVOKE, {"token": made.plaintext.reveal()})
    made.token.refresh_from_db()
    assert made.token.first_used_at is None
    assert not TokenUse.objects.exists()


def test_only_the_presented_token_is_revoked(api: Client, made: Issued, alice: User) -> None:
    other = issue(alice, "other")
    post(api, REVOKE, {"token": made.plaintext.reveal()})
    assert AccessToken.objects.get(pk=other.token.pk).revoked_at is None


@pytest.mark.parametrize("make", NOT_TOKENS.values(), ids=NOT_TOKENS)
def test_an_invalid_token_gets_the_same_200(
    api: Client, made: Issued, make: Callable[[str], str]
) -> None:
    """RFC 7009, 2.2: invalid tokens do not cause an error response."""
    answer = post(api, REVOKE, {"token": make(made.plaintext.reveal())})
    assert (answer.status_code, answer.content) == (200, b"{}")
    assert AccessToken.objects.get().revoked_at is None


@pytest.mark.parametrize(
    "change", [{"paused_at": NOON}, {"projects_limited": True}], ids=["paused", "limited"]
)
def test_a_token_that_is_refused_elsewhere_can_still_be_given_up(
    api: Client, made: Issued, change: dict[str, Any]
) -> None:
    AccessToken.objects.update(**change)
    post(api, REVOKE, {"token": made.plaintext.reveal()})
    assert AccessToken.objects.get().revoke_kind == RevokeKind.SELF


def test_an_ended_token_keeps_its_end(api: Client, made: Issued, clock: Clock) -> None:
    clock.tick(days=40)
    assert post(api, REVOKE, {"token": made.plaintext.reveal()}).status_code == 200
    assert AccessToken.objects.get().revoked_at is None


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_a_hint_changes_nothing(api: Client, made: Issued, hint: str) -> None:
    """RFC 7009, 2.1: an unknown hint is ignored."""
    post(api, REVOKE, {"token": made.plaintext.reveal(), "token_type_hint": hint})
    assert AccessToken.objects.get().revoked_at is not None


def test_a_service_that_gives_a_token_up_is_named(
    api: Client, made: Issued, service: Registered
) -> None:
    post(api, REVOKE, {"token": made.plaintext.reveal()}, **header_of(service))
    token = AccessToken.objects.get()
    assert (token.revoke_kind, token.reason) == (RevokeKind.SELF, "Given up by billing")


def test_a_client_with_wrong_credentials_revokes_nothing(
    api: Client, made: Issued, service: Registered
) -> None:
    """RFC 7009, 2.1: the server first validates the client's credentials, if there are any."""
    form = {"token": made.plaintext.reveal()}
    wrong = wrong_credentials(service, made)
    del wrong["nothing"]
    for headers in wrong.values():
        refused = post(api, REVOKE, form, **headers)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert AccessToken.objects.get().revoked_at is None


# --- Both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
def test_a_database_that_fails_says_neither_yes_nor_done(
    api: Client, service: Registered, made: Issued, path: str
) -> None:
    def fail(*_statement: Any) -> None:
        raise OperationalError("disk I/O error")

    with connection.execute_wrapper(fail):
        refused = post(api, path, {"token": made.plaintext.reveal()}, **header_of(service))
    assert (refused.status_code, refused.json()["code"]) == (500, "server_error")


def test_no_log_line_and_no_row_holds_a_piece_of_either_secret(
    api: Client, service: Registered, made: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    token, value = made.plaintext.reveal(), service.secret.reveal()
    with caplog.at_level(logging.DEBUG):
        answers = [post(api, INTROSPECT, {"token": token}, **header_of(service))]
        answers += [post(api, REVOKE, {"token": token, **in_body(service)}) for _ in range(2)]
        answers += [api.get(f"/api/oauth/{value}?token={token}&client_secret={value}")]
    text = caplog.text + "".join(f"{each.headers}{each.content!r}" for each in answers)
    text += str([*Service.objects.values(), *TokenEvent.objects.values()])
    for each in (token, value):
        assert not [n for n in range(7, len(each) - 11) if each[n : n + 12] in text]
