"""Changing a token in place: its name and description, and fewer scopes."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import reswap, retarget, trigger_client_event

from tokens import lifecycle, policy, usage
from tokens.forms import DetailsForm, NarrowForm, RefusableForm
from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.views.detail import (
    detail_url,
    held_scopes,
    own_token,
    show_detail,
    stands_on_detail,
)

NARROWING = Purpose(
    "Removing scopes needs a fresh check.",
    "Confirm and remove scopes",
    lambda request: ("remove scopes from a token", ""),
)


@require_http_methods(["GET", "HEAD", "POST"])
def edit_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show the form for name and description, or change them.

    No fresh proof is asked for: this changes nothing that the token can do, and can be taken back.
    """
    token = own_token(request, public_id)
    if request.method != "POST" or _has_ended(token):
        first = {"name": token.name, "description": token.description}
        return _form(request, token, "edit", DetailsForm(initial=first))
    form = DetailsForm(request.POST)
    if form.is_valid():
        try:
            changed = lifecycle.rename(
                token=token,
                name=form.cleaned_data["name"],
                description=form.cleaned_data["description"],
                origin=browser_origin(request),
            )
        except policy.Refused as refused:
            form.refuse(refused)
        else:
            return _changed(request, token, "edit", f"{form.cleaned_data['name']} saved", changed)
    return _form(request, token, "edit", form)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(NARROWING)
def narrow_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask which scopes to take away, or take them away.

    A fresh proof is asked for, as for revoking: what needs these scopes stops, and for good.
    """
    token = own_token(request, public_id)
    if request.method != "POST" or _has_ended(token):
        return _form(request, token, "scopes", NarrowForm(held=token.scope_names))
    form = NarrowForm(request.POST, held=token.scope_names)
    if form.is_valid():
        gone = form.cleaned_data["remove"]
        kept = [name for name in token.scope_names if name not in gone]
        try:
            changed = lifecycle.narrow(token=token, scopes=kept, origin=browser_origin(request))
        except policy.Refused as refused:
            form.refuse(refused)
        else:
            # What was expected of a scope that the token held is not what it means from now on.
            usage.unmute(token_id=token.pk, scopes=gone)
            said = "1 scope" if len(gone) == 1 else f"{len(gone)} scopes"
            token = own_token(request, public_id)
            if changed or _has_ended(token) or set(token.scope_names) == set(kept):
                return _changed(request, token, "scopes", f"{said} removed", changed)
            form.add_error(None, "The scopes changed in another tab. Choose again.")
    return _form(request, token, "scopes", form)


def _has_ended(token: AccessToken) -> bool:
    return is_ended(token.liveness(), timezone.now())


def _form(request: HttpRequest, token: AccessToken, part: str, form: RefusableForm) -> HttpResponse:
    """Show a form: filled in for a start, with its errors, or closed because the token has ended."""
    ended = _has_ended(token)
    bad = bool(form.is_bound and form.errors)
    if form.is_bound:
        form.show_again()
    data: Any = form.data
    context = {
        "token": token,
        "form": form,
        "held": held_scopes(token),
        "chosen": (data if form.is_bound else request.GET).getlist("remove"),
        "ended": ended,
        "url": request.path,
        "back_url": detail_url(token),
    }
    name = f"_{part}_form" if getattr(request, "htmx", False) else part
    status = 422 if bad or (ended and request.method == "POST") else 200
    return render(request, f"tokens/{name}.html", context, status=status)


def _changed(
    request: HttpRequest, token: AccessToken, part: str, sentence: str, changed: bool
) -> HttpResponse:
    """Go back to the token's page: by a redirect, or by replacing what stands on it."""
    token = own_token(request, token.public_id)
    if not changed and _has_ended(token):
        # It ended between the look and the change, which therefore did not happen.
        return _form(request, token, part, RefusableForm())
    if not stands_on_detail(request, token):
        messages.success(request, sentence)
        return HttpResponseRedirect(detail_url(token), status=303)
    response = show_detail(request, token, focus=part)
    trigger_client_event(response, "toast", {"value": sentence})
    return reswap(retarget(response, "#_detail"), "outerHTML")
