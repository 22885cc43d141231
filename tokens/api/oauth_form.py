"""What OAuth clients send and are told: form-encoded bodies, credentials, and RFC 6749's errors."""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from django.http import HttpRequest, HttpResponse

from tokens.api import door
from tokens.api.answers import answer
from tokens.api.door import Endpoint

FORM = "application/x-www-form-urlencoded"
CHALLENGE = 'Basic realm="skytells", charset="UTF-8"'


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, 5.2: a code for programs and a sentence for people."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status, self.code, self.description = status, code, description


class Credentials(NamedTuple):
    """What a client says to be, and the secret it proves that with."""

    client_id: str
    secret: str


def speaks_oauth(endpoint: Endpoint) -> Endpoint:
    """Answer the ``OAuthError`` that an endpoint raises with its JSON body (RFC 6749, 5.2)."""

    @functools.wraps(endpoint)
    def answered(request: Any, **captured: Any) -> HttpResponse:
        try:
            return endpoint(request, **captured)
        except OAuthError as error:
            body = {"error": error.code, "error_description": error.description}
            response = answer(body, status=error.status)
            if error.status == 401:
                response.headers["WWW-Authenticate"] = CHALLENGE
            return response

    return answered


def read_form(request: HttpRequest) -> dict[str, str]:
    """Return the parameters of a form-encoded body; one without a value counts as left out.

    Raises ``OAuthError`` for another type, a repeated parameter (RFC 6749, 3.2) or unreadable bytes.
    """
    if request.content_type != FORM:
        raise OAuthError(400, "invalid_request", f"Send the body as {FORM}.")
    try:
        return door.read_form(request)
    except door.BadBody as bad:
        raise OAuthError(bad.status, "invalid_request", bad.sentence) from None


def credentials_of(request: HttpRequest, form: dict[str, str]) -> Credentials | None:
    """Return what the client proves itself with, by Basic or in the body, or None for neither.

    Raises ``OAuthError`` for both ways at once and for a header that is no Basic credential
    (RFC 6749, 2.3).
    """
    header = request.META.get("HTTP_AUTHORIZATION", "")
    in_body = "client_secret" in form
    if header and in_body:
        raise OAuthError(400, "invalid_request", "Send the client's secret in one way only.")
    if header:
        return _basic(header)
    return Credentials(form.get("client_id", ""), form["client_secret"]) if in_body else None


def _basic(header: str) -> Credentials:
    scheme, _, value = header.partition(" ")
    try:
        text = base64.b64decode(value.strip(" "), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        scheme, text = "", ""
    client_id, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise unknown_client()
    # Both parts are form-encoded before they are joined (RFC 6749, 2.3.1).
    return Credentials(unquote_plus(client_id), unquote_plus(secret))


def unknown_client() -> OAuthError:
    """Return the one refusal for a service that does not prove itself, whatever it got wrong."""
    return OAuthError(401, "invalid_client", "Send the id and the secret of a service.")
