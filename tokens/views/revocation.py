"""Revoking a token: the question, and the end."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from tokens import lifecycle
from tokens.forms import RevokeForm
from tokens.models import AccessToken
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import relative
from tokens.views.detail import detail_url, own_token
from tokens.views.leaving import leave
from tokens.views.rows import row_of

REVOKING = Purpose(
    "Revoking a token needs a fresh check.",
    "Confirm and revoke token",
    lambda request: "revoke a token",
)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING)
def revoke_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask, then end the token. Repeating the answer changes nothing and says the same."""
    token = own_token(request, public_id)
    if request.method != "POST":
        return _question(request, token, RevokeForm())
    form = RevokeForm(request.POST)
    if not form.is_valid():
        form.show_again()
        return _question(request, token, form, status=422)
    lifecycle.revoke(
        token=token, origin=browser_origin(request), reason=form.cleaned_data["reason"]
    )
    return leave(request, f"{token.name} revoked", _back_url(request, token))


def _question(
    request: HttpRequest, token: AccessToken, form: RevokeForm, status: int = 200
) -> HttpResponse:
    row = row_of(token, timezone.now())
    context = {
        "token": row,
        "form": form,
        "sentence": _sentence(token),
        "already_ended": f"{row.name} has ended already. Nothing is left to revoke."
        if row.ended
        else "",
        "url": f"{request.path}?from=detail" if _from_detail(request) else request.path,
        "back_url": _back_url(request, token),
    }
    name = "_revoke_form" if getattr(request, "htmx", False) else "revoke"
    response = render(request, f"tokens/{name}.html", context, status=status)
    if getattr(request, "htmx", False):
        trigger_client_event(response, "dialog-open", after="swap")
    return response


def _sentence(token: AccessToken) -> str:
    activity = getattr(token, "activity", None)
    if activity is None:
        return "It has never been used. This cannot be undone."
    used = relative(activity.last_used_at, timezone.now())
    place = f" from {activity.address}" if activity.address else ""
    client = f" ({activity.client})" if activity.client and activity.client != "other" else ""
    return f"Last used {used}{place}{client}. Its next request gets 401. This cannot be undone."


def _from_detail(request: HttpRequest) -> bool:
    # A word and not an address, so that nobody can be sent anywhere else with it.
    return request.GET.get("from") == "detail"


def _back_url(request: HttpRequest, token: AccessToken) -> str:
    return detail_url(token) if _from_detail(request) else reverse("tokens:list")
