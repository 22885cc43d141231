"""Somebody else's OAuth library, Authlib, signs in at a running server, asks about the token and gives it up.

It reads the server's own description and nothing of this project, so each address, name and code that it
needs is the standard's: RFC 8414, 8628, 6750, 7662 and 7009.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750 import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, origin
from tokens import lifecycle, relying_parties
from tokens.models import AccessToken

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 20


@pytest.fixture
def issuer(live_server: Any, settings: Any, clock: Clock) -> str:
    """The address of a running server that describes itself by this very address."""
    settings.PUBLIC_URL = live_server.url
    return str(live_server.url)


@pytest.fixture
def client_of(issuer: str) -> Iterator[Callable[..., OAuth2Session]]:
    """Open a client that knows the issuer's address and learns the rest from it."""
    opened = []

    def client_of(client_id: str, secret: str | None = None) -> OAuth2Session:
        session = OAuth2Session(client_id, secret, default_timeout=PATIENCE)
        # A proxy or a password that the machine is set up with is not this test's.
        session.trust_env = False
        opened.append(session)
        address = get_well_known_url(issuer, external=True)
        session.metadata.update(session.get(address, withhold_token=True).json())
        return session

    yield client_of
    for session in opened:
        session.close()


@pytest.fixture
def terminal(client_of: Callable[..., OAuth2Session]) -> OAuth2Session:
    return client_of("report-builder")


@pytest.fixture
def service(client_of: Callable[..., OAuth2Session]) -> OAuth2Session:
    """A service that may ask about two scopes, with the credentials it was given."""
    made = relying_parties.create(
        name="billing", scopes=["projects.read", "keys.read"], origin=origin()
    )
    return client_of(made.service.client_id, made.secret.reveal())


def begin(terminal: OAuth2Session, scope: str = "projects.read account.read") -> dict[str, Any]:
    answer = terminal.post(
        terminal.metadata["device_authorization_endpoint"],
        data={"scope": scope},
        auth=terminal.client_auth("none"),
        withhold_token=True,
    )
    begun: dict[str, Any] = answer.json()
    assert answer.status_code == 200, begun
    return begun


def ask(terminal: OAuth2Session, begun: dict[str, Any]) -> str:
    """Ask once for the token; return "" when it came, and the library's word for why not."""
    try:
        terminal.fetch_token(grant_type=DEVICE_CODE_GRANT_TYPE, device_code=begun["device_code"])
    except OAuthError as refused:
        return str(refused.error)
    return ""


def decide(person: Client, begun: dict[str, Any], how: str = "approve", **changes: Any) -> None:
    """Open the address that the terminal shows, and send the form that is there."""
    address = begun["verification_uri_complete"].partition("/device")[2]
    assert person.get(f"/device{address}", follow=True).status_code == 200
    wish = {"user_code": begun["user_code"], "scopes": begun["scope"].split(), "expires": "30"}
    answer = person.post(f"/device/{how}", wish | changes)
    assert answer.status_code == 303, answer.content


def signed_in(terminal: OAuth2Session, person: Client, scope: str) -> str:
    begun = begin(terminal, scope) | {"scope": scope}
    decide(person, begun)
    assert ask(terminal, begun) == ""
    return str(terminal.token["access_token"])


def test_the_description_is_valid_and_names_what_a_client_needs(
    terminal: OAuth2Session, issuer: str
) -> None:
    told = AuthorizationServerMetadata(terminal.metadata)
    told.validate()
    # RFC 8414, 3.3: a client stops where the two differ.
    assert told.issuer == issuer
    assert told.grant_types_supported == [DEVICE_CODE_GRANT_TYPE]
    assert told.token_endpoint_auth_methods_supported == ["none"]


def test_a_sign_in_waits_is_slowed_down_is_approved_and_works(
    terminal: OAuth2Session, as_alice: Client, alice: User, clock: Clock
) -> None:
    begun = begin(terminal)
    answers = []
    for seconds in (5, 5, 1, 5, 15):
        clock.tick(seconds=seconds)
        answers.append(ask(terminal, begun))
    # Asked too early it adds five seconds, and five more when those are not kept either.
    assert answers == ["authorization_pending"] * 2 + ["slow_down"] * 2 + ["authorization_pending"]
    decide(as_alice, begun | {"scope": "projects.read"})
    assert ask(terminal, begun) == ""
    assert terminal.token["scope"] == "projects.read"
    assert terminal.token["expires_at"] <= AccessToken.objects.get().expires_at.timestamp()
    host = terminal.metadata["issuer"]
    assert terminal.get(f"{host}/api/v1/cli/projects").json() == {"data": []}
    assert terminal.get(f"{host}/api/v1/user").status_code == 403
    assert ask(terminal, begun) == "invalid_grant"
    assert AccessToken.objects.owned_by(alice).count() == 1


def test_a_denied_sign_in_and_one_that_ended_are_told_apart(
    terminal: OAuth2Session, as_alice: Client, clock: Clock
) -> None:
    denied, ended = begin(terminal), begin(terminal)
    decide(as_alice, denied | {"scope": ""}, "deny")
    assert ask(terminal, denied) == "access_denied"
    clock.tick(seconds=ended["expires_in"])
    assert ask(terminal, ended) == "expired_token"
    assert not AccessToken.objects.exists()


def test_a_code_is_good_for_the_client_that_began_alone(
    terminal: OAuth2Session, client_of: Callable[..., OAuth2Session], as_alice: Client
) -> None:
    begun = begin(terminal)
    decide(as_alice, begun | {"scope": "projects.read"})
    assert ask(client_of("another"), begun) == "invalid_grant"
    assert ask(client_of(""), begun) == "invalid_grant"
    assert not AccessToken.objects.exists()
    assert ask(terminal, begun) == ""


def test_a_service_asks_about_the_token_until_it_is_given_up(
    terminal: OAuth2Session, service: OAuth2Session, as_alice: Client, alice: User
) -> None:
    value = signed_in(terminal, as_alice, "projects.read account.read")

    def told() -> dict[str, Any]:
        answer = service.introspect_token(service.metadata["introspection_endpoint"], value)
        assert answer.status_code == 200
        return dict(answer.json())

    token = AccessToken.objects.get()
    assert told() == {
        "active": True,
        "scope": "projects.read",
        "token_type": "Bearer",
        "iss": service.metadata["issuer"],
        "sub": str(alice.public_id),
        "jti": str(token.public_id),
        "iat": int(token.created_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
    lifecycle.pause(token=token, until=None, origin=origin(alice))
    assert told() == {"active": False}
    lifecycle.resume(token=token, origin=origin(alice))
    assert told()["active"] is True
    for _ in range(2):
        given_up = terminal.revoke_token(
            terminal.metadata["revocation_endpoint"], value, token_type_hint="refresh_token"
        )
        assert given_up.status_code == 200
        assert told() == {"active": False}
    host = terminal.metadata["issuer"]
    assert terminal.get(f"{host}/api/v1/cli/projects").status_code == 401


def test_a_client_that_is_no_service_learns_nothing(
    terminal: OAuth2Session, service: OAuth2Session, as_alice: Client
) -> None:
    value = signed_in(terminal, as_alice, "projects.read")
    address = service.metadata["introspection_endpoint"]
    service.client_secret = "guessed"
    for stranger in (terminal, service):
        refused = stranger.introspect_token(address, value)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_a_resource_that_is_built_on_the_library_lets_in_what_the_console_accepts(
    terminal: OAuth2Session, service: OAuth2Session, as_alice: Client, alice: User
) -> None:
    class Resource(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> dict[str, Any]:
            address = service.metadata["introspection_endpoint"]
            return dict(service.introspect_token(address, token_string).json())

    def enter(needs: str) -> None:
        resource.validate_token(resource.authenticate_token(value), [needs], None)

    resource = Resource()
    value = signed_in(terminal, as_alice, "projects.read account.read")
    enter("projects.read")
    # The service may not ask about the second scope, although the token has it.
    for needs in ("keys.read", "account.read"):
        with pytest.raises(InsufficientScopeError):
            enter(needs)
    lifecycle.revoke(token=AccessToken.objects.get(), origin=origin(alice))
    with pytest.raises(InvalidTokenError):
        enter("projects.read")
