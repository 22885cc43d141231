"""Device login over HTTP (RFC 8628): JSON as the public CLI speaks it, forms as the standard does.

The CLI reads statuses: 200 with the token at the top, 428 to wait, 403 when denied, 410 when it is too
late. Whoever sends a form gets the standard's answers instead: 400 with a code of RFC 6749, 5.2 or
RFC 8628, 3.5. Clients are public, so nothing here is a secret of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from skytells_console.client_address import client_address
from tokens import device_flow, policy
from tokens.api.answers import answer, refusal, request_id
from tokens.api.door import BadBody, open_to_all, read_form, read_json
from tokens.api.oauth_form import FORM, OAuthError, credentials_of
from tokens.device_flow import Redemption, Reply
from tokens.origin import Door, Origin, client_label

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"


class Said(NamedTuple):
    """A refusal in both languages: the JSON status, RFC's code, and a sentence."""

    status: int
    error: str
    sentence: str


_AGAIN = "Run `skytells login` again."
_SAID = {
    Reply.PENDING: Said(428, "authorization_pending", "Nobody has approved this request yet."),
    Reply.TOO_FAST: Said(428, "slow_down", "Ask less often."),
    Reply.DENIED: Said(403, "access_denied", "The request was denied."),
    Reply.EXPIRED: Said(410, "expired_token", f"This code has ended. {_AGAIN}"),
    Reply.SPENT: Said(410, "invalid_grant", f"This code was used before. {_AGAIN}"),
    Reply.UNKNOWN: Said(410, "invalid_grant", f"No request has this code, or it is gone. {_AGAIN}"),
}


class BadRequest(Exception):  # noqa: N818 - an answer, not a fault
    """The request cannot be acted on: ``error`` is RFC 6749's code, ``code`` the house's own."""

    def __init__(
        self, error: str, sentence: str, *, code: str = "", status: int = 400, wait: int = 0
    ) -> None:
        super().__init__(sentence)
        self.error, self.sentence, self.code = error, sentence, code or error
        self.status, self.wait = status, wait


@dataclass(frozen=True, slots=True)
class Sent:
    """The fields of a request, and whether they came as a form."""

    fields: dict[str, Any]
    is_form: bool

    def text(self, name: str) -> str:
        """Return a field that must be text; "" when it is missing. Raises ``BadRequest``."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise BadRequest("invalid_request", f"Send {name} as text.", code="not_text")
        return value


@open_to_all
def start_login(request: HttpRequest) -> HttpResponse:
    """Begin a device login: nobody is signed in here, so the number of waiting ones is bounded."""
    try:
        sent = _read(request)
        started = device_flow.start(
            client_id=_client_id(request, sent),
            client_name=sent.text("client_name"),
            scopes=_scopes(sent),
            origin=_origin(request),
        )
    except BadRequest as bad:
        return _refuse(request, bad)
    except policy.Refused as refused:
        return _refuse(request, _as_bad_request(refused))
    except device_flow.TooManyStarts as many:
        sentence = (
            f"Too many device logins are waiting for approval. Try again in {many.seconds} s."
        )
        error, code = "temporarily_unavailable", "too_many_requests"
        return _refuse(
            request, BadRequest(error, sentence, code=code, status=429, wait=many.seconds)
        )
    page = settings.PUBLIC_URL + reverse("tokens:device", urlconf=settings.ROOT_URLCONF)
    code = device_flow.shown(started.user_code)
    return answer(
        {
            "device_code": started.device_code,
            "user_code": code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={code}",
            "expires_in": int(device_flow.LIFETIME.total_seconds()),
            "interval": started.grant.interval,
        }
    )


@open_to_all
@sensitive_variables()
def redeem_code(request: HttpRequest) -> HttpResponse:
    """Hand out the token of an approved request, in this one answer, or say what it waits for."""
    try:
        sent = _read(request)
        grant_type, device_code = sent.text("grant_type"), sent.text("device_code")
        if not grant_type:
            raise BadRequest("invalid_request", "Send a grant_type.")
        if grant_type != GRANT_TYPE:
            raise BadRequest("unsupported_grant_type", f"The only grant_type is {GRANT_TYPE}.")
        if not device_code:
            raise BadRequest("invalid_request", "Send a device_code.")
        redemption = device_flow.redeem(
            device_code=device_code, client_id=_client_id(request, sent), origin=_origin(request)
        )
    except BadRequest as bad:
        return _refuse(request, bad)
    if redemption.issued is None:
        return _not_yet(request, sent, redemption)
    token = redemption.issued.token
    payload: dict[str, Any] = {
        "access_token": redemption.issued.plaintext.reveal(),
        "token_type": "Bearer",
        "scope": token.scopes,
        "scopes": list(token.scope_names),
    }
    if token.expires_at is not None:
        payload["expires_in"] = int((token.expires_at - token.created_at).total_seconds())
    response = answer(payload)
    response.headers["Pragma"] = "no-cache"
    return response


def _not_yet(request: HttpRequest, sent: Sent, redemption: Redemption) -> HttpResponse:
    said = _SAID[redemption.reply]
    sentence = redemption.sentence or said.sentence
    if not sent.is_form:
        return refusal(request, said.status, said.error, sentence)
    payload: dict[str, Any] = {"error": said.error, "error_description": sentence}
    if redemption.interval:
        payload["interval"] = redemption.interval
    return answer(payload, status=400)


def _read(request: HttpRequest) -> Sent:
    """Return what was sent; whatever does not call itself a form is read as JSON."""
    is_form = request.content_type == FORM
    try:
        return Sent(read_form(request) if is_form else read_json(request), is_form)
    except BadBody as bad:
        raise BadRequest(
            "invalid_request", bad.sentence, code=bad.code, status=bad.status
        ) from None


def _scopes(sent: Sent) -> list[str] | None:
    """Return the scopes asked for: ``scopes`` is the CLI's array, ``scope`` the standard's text."""
    names = None if sent.is_form else sent.fields.get("scopes")
    if names is None:
        return sent.text("scope").split() or None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequest("invalid_scope", "Send scopes as an array of texts.", code="not_text")
    return [name.strip() for name in names]


def _client_id(request: HttpRequest, sent: Sent) -> str:
    """Return the client's id, from the body or, as some libraries send it, from Basic authentication.

    Raises ``BadRequest`` when the two differ. A password beside it means nothing: clients are public.
    """
    said = sent.text("client_id")
    scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0]
    if scheme.lower() != "basic":
        return said
    try:
        credentials = credentials_of(request, {})
    except OAuthError:
        raise BadRequest("invalid_request", "The Basic authentication cannot be read.") from None
    presented = credentials.client_id if credentials else ""
    if said and said != presented:
        raise BadRequest("invalid_request", "The client_id is not the one that authenticates.")
    return presented


def _as_bad_request(refused: policy.Refused) -> BadRequest:
    if refused.field == "scopes":
        return BadRequest("invalid_scope", refused.sentence, code=refused.code)
    if refused.code == "no_new_tokens":
        return BadRequest("unauthorized_client", refused.sentence, code=refused.code, status=403)
    return BadRequest("invalid_request", refused.sentence, code=refused.code)


def _refuse(request: HttpRequest, bad: BadRequest) -> HttpResponse:
    headers = {"Retry-After": str(bad.wait)} if bad.wait else {}
    if request.content_type != FORM:
        return refusal(request, bad.status, bad.code, bad.sentence, headers=headers)
    # The standard knows 400 for all of its codes; sizes and limits keep the status they have in HTTP.
    status = bad.status if bad.status in {411, 413, 429} else 400
    response = answer({"error": bad.error, "error_description": bad.sentence}, status=status)
    for name, value in headers.items():
        response.headers[name] = value
    return response


def _origin(request: HttpRequest) -> Origin:
    meta = request.META
    return Origin(
        at=timezone.now(),
        door=Door.DEVICE,
        address=client_address(meta, settings.TRUSTED_PROXY_COUNT),
        client=client_label(meta.get("HTTP_USER_AGENT", "")),
        request_id=request_id(request),
    )
