"""Revoking a token: the question, and the end."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from tokens import insight, lifecycle
from tokens.forms import RevokeForm
from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.views.detail import own_token
from tokens.views.leaving import back_url, form_url, leave
from tokens.views.rows import row_of

REVOKING = Purpose(
    "Revoking a token needs a fresh check.",
    "Confirm and revoke token",
    lambda request: ("revoke a token", ""),
)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING)
def revoke_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask, then end the token. Repeating the answer changes nothing and says the same."""
    now = timezone.now()
    token = own_token(request, public_id)
    breakage = insight.who_breaks(token.pk, now)
    if request.method != "POST":
        return _question(request, token, RevokeForm(), breakage)
    # A token that has ended already breaks nobody by ending again.
    stops = breakage.breaks_somebody and not is_ended(token.liveness(), now)
    form = RevokeForm(request.POST, stops_somebody=stops)
    if not form.is_valid():
        form.show_again()
        return _question(request, token, form, breakage, status=422)
    lifecycle.revoke(
        token=token, origin=browser_origin(request), reason=form.cleaned_data["reason"]
    )
    return leave(request, f"{token.name} revoked", back_url(request, token))


def _question(
    request: HttpRequest,
    token: AccessToken,
    form: RevokeForm,
    breakage: insight.Breakage,
    status: int = 200,
) -> HttpResponse:
    row = row_of(token, timezone.now())
    context = {
        "token": row,
        "form": form,
        "breakage": breakage,
        "consequence": _consequence(breakage),
        "already_ended": f"{row.name} has ended already. Nothing is left to revoke."
        if row.ended
        else "",
        "url": form_url(request),
        "back_url": back_url(request, token),
    }
    name = "_revoke_form" if getattr(request, "htmx", False) else "revoke"
    response = render(request, f"tokens/{name}.html", context, status=status)
    if getattr(request, "htmx", False):
        trigger_client_event(response, "dialog-open", after="swap")
    return response


def _consequence(breakage: insight.Breakage) -> str:
    if not breakage.breaks_somebody:
        return "This cannot be undone."
    whose = "Its" if len(breakage.breaking) == 1 else "Their"
    return f"{whose} next request gets `401`, and the CLI says “Not authenticated”."
