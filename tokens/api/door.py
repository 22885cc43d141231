"""The API's door: methods, bearer, bodies, and the few headers every answer carries."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from skytells_console.client_address import client_address
from tokens import authentication
from tokens.api.answers import forbidden, refusal, tell_expiry, unauthenticated

Endpoint = Callable[..., HttpResponse]
# OAuth has a handful; extensions may add some, which are ignored.
_MAX_FORM_FIELDS = 50


class ApiRequest(HttpRequest):
    """A request that ``bearer_required`` has let through."""

    principal: authentication.Principal
    facts: authentication.Request


class BadBody(Exception):  # noqa: N818 - an answer, not a fault
    """The body cannot be read as a JSON object."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence


class ApiAnswerMiddleware:
    """The API's whole chain: TLS where it is required, and headers that keep answers out of caches."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.requires_tls = settings.TLS

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Refuse plain HTTP where TLS is required: a redirect would come after the token was sent."""
        response: HttpResponseBase
        if self.requires_tls and not request.is_secure():
            response = _tls_required(request)
        else:
            response = self.get_response(request)
        headers = response.headers
        headers["Cache-Control"] = "no-store"
        headers["X-Content-Type-Options"] = "nosniff"
        if self.requires_tls:
            headers["Strict-Transport-Security"] = (
                f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
            )
        return response


def _tls_required(request: HttpRequest) -> HttpResponse:
    exposed = "This token travelled in the clear: revoke it and create another."
    return refusal(
        request,
        403,
        "tls_required",
        "Use https.",
        details=exposed if "HTTP_AUTHORIZATION" in request.META else "",
    )


def methods(**endpoints: Endpoint) -> Callable[..., HttpResponse]:
    """Return a view that answers the named methods and refuses all others with 405.

    HEAD is answered as GET. The view keeps its endpoints in ``endpoints``, where a test finds them.
    """
    if "GET" in endpoints:
        endpoints["HEAD"] = endpoints["GET"]
    allow = ", ".join(sorted(endpoints))

    def view(request: HttpRequest, **captured: Any) -> HttpResponse:
        endpoint = endpoints.get(request.method or "")
        if endpoint is None:
            return refusal(
                request,
                405,
                "method_not_allowed",
                f"This address answers {allow} only.",
                headers={"Allow": allow},
            )
        return endpoint(request, **captured)

    view.endpoints = endpoints  # type: ignore[attr-defined]
    return view


class Needs(NamedTuple):
    """What a request's token must be good for; ``authentication.authenticate`` has the meanings."""

    scope: str
    all_projects: bool = False
    project: str | None = None


def bearer_required(
    scope: str,
    *,
    all_projects: bool = False,
    needs_of: Callable[[HttpRequest], Needs] | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint answer only to an accepted token that holds ``scope`` ("" asks for none).

    With ``all_projects``, only to a token that is not limited to chosen projects. With ``needs_of``,
    each request says what it needs; that may raise ``authentication.Forbidden``.
    """
    fixed = Needs(scope, all_projects)

    def decorate(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        def guarded(request: Any, **captured: Any) -> HttpResponse:
            request.facts = facts_of(request)
            try:
                needs = fixed if needs_of is None else needs_of(request)
                request.principal = authentication.authenticate(
                    request.facts,
                    needs.scope,
                    all_projects=needs.all_projects,
                    project=needs.project,
                )
            except authentication.Unauthenticated as refused:
                return unauthenticated(request, refused)
            except authentication.Forbidden as refused:
                return tell_expiry(
                    forbidden(request, refused), refused.expires_at, request.facts.now
                )
            response = endpoint(request, **captured)
            return tell_expiry(response, request.principal.expires_at, request.facts.now)

        guarded.scope = scope  # type: ignore[attr-defined]
        return guarded

    return decorate


def open_to_all(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that answers without a token on purpose."""
    endpoint.scope = None  # type: ignore[attr-defined]
    return endpoint


def read_json(request: HttpRequest) -> dict[str, Any]:
    """Return the body as a JSON object; an empty body is an empty object.

    Raises ``BadBody`` for one that is too large, not UTF-8, not JSON or not an object.
    """
    body = _body(request)
    try:
        text = body.decode("utf-8")
        payload = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise BadBody(400, "invalid_json", "Send a JSON object in UTF-8.") from None
    if not isinstance(payload, dict):
        raise BadBody(400, "invalid_json", 'Send a JSON object, such as {"name": "shop"}.')
    return payload


def read_form(request: HttpRequest) -> dict[str, str]:
    """Return the fields of a form-encoded body, as OAuth clients send them (RFC 6749, 3.2).

    A field without a value counts as left out. Raises ``BadBody`` for a body that is too large or
    not UTF-8, for too many fields, and for a field that is there twice.
    """
    try:
        text = _body(request).decode("utf-8")
        pairs = parse_qsl(text, errors="strict", max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise BadBody(400, "invalid_request", "Send a form in UTF-8 with few fields.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadBody(400, "invalid_request", "Send each field once.")
    return fields


def _body(request: HttpRequest) -> bytes:
    """Return the body, once its length is known to be within the API's bound."""
    if "HTTP_TRANSFER_ENCODING" in request.META:
        # Django reads as much as Content-Length says, so that a chunked body would count as empty.
        raise BadBody(411, "length_required", "Send the body with a Content-Length.")
    limit = settings.API_MAX_BODY_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    # int() refuses some characters that are digits, and numbers of more than 4300 of them.
    if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > limit:
        raise BadBody(413, "body_too_large", f"Send at most {limit // 1024} KB.")
    return request.body


def facts_of(request: HttpRequest) -> authentication.Request:
    """Return what the verdict needs to know of a request that presents its own token."""
    meta = request.META
    return authentication.Request(
        authorization=meta.get("HTTP_AUTHORIZATION"),
        address=client_address(meta, settings.TRUSTED_PROXY_COUNT),
        user_agent=meta.get("HTTP_USER_AGENT", ""),
        consumer_header=meta.get("HTTP_X_SKYTELLS_CONSUMER", ""),
        now=timezone.now(),
        request_id=meta.get("console.request_id", ""),
    )
