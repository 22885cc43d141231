"""How the API answers: JSON with one shape for every refusal, and the challenges of RFC 6750."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse

from tokens.authentication import Forbidden, Unauthenticated

REALM = 'Bearer realm="skytells"'


def answer(payload: Any, *, status: int = 200) -> HttpResponse:
    """Return ``payload`` as JSON."""
    return HttpResponse(
        json.dumps(payload, ensure_ascii=False, separators=(",", ":")),
        content_type="application/json",
        status=status,
    )


def nothing() -> HttpResponse:
    """Return 204. There is no body, so there is no type: Django would call it HTML."""
    response = HttpResponse(status=204)
    del response.headers["Content-Type"]
    return response


def refusal(
    request: HttpRequest,
    status: int,
    code: str,
    sentence: str,
    *,
    details: str = "",
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Return a refusal in the one shape that the public CLI prints well.

    ``error`` and ``details`` are strings; the CLI joins them with a space, so the first one ends
    with a full stop.
    """
    payload = {"error": sentence, "code": code, "request_id": request_id(request)}
    if details:
        payload["details"] = details
    response = answer(payload, status=status)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def unauthenticated(request: HttpRequest, refused: Unauthenticated) -> HttpResponse:
    """Return 401; without any credential the challenge carries no error code (RFC 6750, 3.1)."""
    challenge = REALM
    if refused.code:
        challenge += f', error="invalid_token", error_description="{refused.challenge}"'
    return refusal(
        request,
        401,
        refused.code or "missing_token",
        refused.sentence,
        headers={"WWW-Authenticate": challenge},
    )


def forbidden(request: HttpRequest, refused: Forbidden) -> HttpResponse:
    """Return 403; a missing scope is named in the challenge as RFC 6750, 3.1 asks."""
    headers = {}
    if refused.scope:
        headers["WWW-Authenticate"] = (
            f'{REALM}, error="insufficient_scope", scope="{refused.scope}"'
        )
    return refusal(request, 403, refused.code, refused.sentence, headers=headers)


def request_id(request: HttpRequest) -> str:
    """Return the request's id, as the log lines show it."""
    return str(request.META.get("console.request_id", ""))
