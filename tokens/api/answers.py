"""How the API answers: JSON with one shape for every refusal, and the challenges of RFC 6750."""

from __future__ import annotations

import functools
import json
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tokens.authentication import Forbidden, Unauthenticated

WARN_BEFORE = timedelta(days=14)
REALM = 'Bearer realm="skytells"'
RESOURCE_METADATA = "/.well-known/oauth-protected-resource"


def answer(payload: Any, *, status: int = 200) -> HttpResponse:
    """Return ``payload`` as JSON."""
    return HttpResponse(_text(payload), content_type="application/json", status=status)


# ``json.dumps`` would make such an encoder for each answer.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _text(payload: Any) -> bytes:
    return _encode(payload).encode()


def nothing() -> HttpResponse:
    """Return 204. There is no body, so there is no type: Django would call it HTML."""
    # A type that is given need not be made from the settings first.
    response = HttpResponse(status=204, content_type="application/json")
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
    if details:
        payload = {"error": sentence, "code": code, "request_id": request_id(request)}
        response = answer(payload | {"details": details}, status=status)
    else:
        # The id is hexadecimal digits of the console's own, which JSON takes as they are.
        text = _before_id(sentence, code) + request_id(request) + '"}'
        response = HttpResponse(text.encode(), content_type="application/json", status=status)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    if status < 500:
        # Django would write a line for it that nobody reads: only faults of its own are logged.
        # If Django gives this mark another name, that line is made and dropped again.
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


# Most refusals are the same few, and encoding one costs as much as finding its reason.
@functools.lru_cache(maxsize=256)
def _before_id(sentence: str, code: str) -> str:
    """Return a refusal's JSON up to its request id, which comes last."""
    return _encode({"error": sentence, "code": code, "request_id": ""}).removesuffix('"}')


def tell_expiry(response: HttpResponse, expires_at: datetime | None, now: datetime) -> HttpResponse:
    """Tell with an answer when the presented token will end, and warn from 14 days before on.

    The warning is a header, and a member of a JSON object as well: people read one or the other.
    """
    if expires_at is None:
        return response
    response.headers["Skytells-Token-Expires-At"] = f"{expires_at.isoformat()[:19]}Z"
    if expires_at - now <= WARN_BEFORE:
        warning = (
            f"This token expires on {expires_at:%-d %b %Y, %H:%M} UTC. Replace it before then."
        )
        response.headers["Skytells-Token-Warning"] = warning
        payload = json.loads(response.content or "null")
        if isinstance(payload, dict):
            response.content = _text({**payload, "warning": warning})
    return response


def unauthenticated(request: HttpRequest, refused: Unauthenticated) -> HttpResponse:
    """Return 401; without any credential the challenge carries no error code (RFC 6750, 3.1).

    It names the description of this API, from which a client learns how to get a token (RFC 9728, 5.1).
    """
    challenge = f'{REALM}, resource_metadata="{settings.PUBLIC_URL}{RESOURCE_METADATA}"'
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
