"""Must the person prove themselves again? Yes, unless they did in the last fifteen minutes.

A sign-in counts as a proof. What was typed travels through the question as hidden fields and comes
back with the answer; nothing of it is kept in the session.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters

from tokens import ratelimit
from tokens.secret import redact, redact_address
from tokens.templatetags.console_ui import relative

SESSION_KEY = "proved_at"
PASSWORD_FIELD, STEP_FIELD = "proof_password", "proof_for"
TOO_MANY = "Too many tries. Wait 5 minutes."
_OWN_FIELDS = {PASSWORD_FIELD, STEP_FIELD, "csrfmiddlewaretoken"}


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the proof is for, in the words of the question.

    ``describe`` returns what comes next, which stands out, and its details, which may be empty.
    """

    reason: str
    submit_label: str
    describe: Callable[[HttpRequest], tuple[str, str]]


def last_proof(request: HttpRequest) -> datetime | None:
    """Return when the person last signed in or proved themselves, or None."""
    times = [float(record["at"]) for record in get_authentication_records(request, request.user)]
    if SESSION_KEY in request.session:
        times.append(float(request.session[SESSION_KEY]))
    return datetime.fromtimestamp(max(times), tz=UTC) if times else None


def is_fresh(request: HttpRequest) -> bool:
    """Say whether the last proof is recent enough."""
    proved = last_proof(request)
    return proved is not None and timezone.now() - proved < settings.FRESH_PROOF_AGE


def fresh_proof_required(
    purpose: Purpose,
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Guard a view: the page that opens the form as well as the form's submission."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @sensitive_post_parameters(PASSWORD_FIELD)
        @functools.wraps(view)
        def guarded(request: HttpRequest, **captured: Any) -> HttpResponseBase:
            if PASSWORD_FIELD not in request.POST:
                return view(request, **captured) if is_fresh(request) else _ask(request, purpose)
            fault = _judge(request)
            if fault:
                return _ask(request, purpose, fault, seconds=_seconds_to_wait(fault))
            if request.POST.get(STEP_FIELD) == "GET":
                return HttpResponseRedirect(_here(request), status=303)
            return view(request, **captured)

        guarded.fresh_proof = True  # type: ignore[attr-defined]
        return guarded

    return decorate


def _judge(request: HttpRequest) -> str:
    """Check the password; return what is wrong, or nothing after noting the proof."""
    now = timezone.now()
    user: Any = request.user
    # Counted before the password is looked at, so that simultaneous tries cannot pass together.
    if not ratelimit.proof(user.pk, now=now):
        return TOO_MANY
    if not user.check_password(request.POST[PASSWORD_FIELD]):
        return "That password is not right. Try again."
    ratelimit.proof_succeeded(user.pk, now=now)
    request.session[SESSION_KEY] = now.timestamp()
    return ""


def _here(request: HttpRequest) -> str:
    """Return the address with its query, without any token that a link may hold."""
    return redact_address(request.get_full_path())


def _seconds_to_wait(fault: str) -> int:
    return ratelimit.seconds_left(ratelimit.PROOF, now=timezone.now()) if fault == TOO_MANY else 0


def _since(request: HttpRequest) -> str:
    proved = last_proof(request)
    return f"You signed in {relative(proved, timezone.now())}." if proved else ""


def _ask(
    request: HttpRequest, purpose: Purpose, fault: str = "", *, seconds: int = 0
) -> HttpResponse:
    """Ask for the password, carrying along what was typed; 429 when it must wait for ``seconds``."""
    step = request.POST.get(STEP_FIELD) or request.method or "GET"
    opening = step in {"GET", "HEAD"}
    kept = [
        (name, redact(value))
        for name, values in request.POST.lists()
        if name not in _OWN_FIELDS
        for value in values
    ]
    next_text, details = purpose.describe(request)
    context = {
        "action_url": _here(request),
        "kept": [] if opening else kept,
        "proof_for": "GET" if opening else "POST",
        "next_text": next_text,
        "next_details": f", {details}" if details else "",
        "submit_label": "Continue" if opening else purpose.submit_label,
        "email": getattr(request.user, "email", ""),
        "error": fault,
        "since_text": _since(request),
        "reason_text": purpose.reason,
        "cancel_url": reverse("tokens:list"),
        "minutes": int(settings.FRESH_PROOF_AGE.total_seconds() // 60),
    }
    name = "_confirm_identity" if getattr(request, "htmx", False) else "confirm_identity"
    status = 422 if request.method == "POST" else 200
    response = render(request, f"tokens/{name}.html", context, status=429 if seconds else status)
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response
