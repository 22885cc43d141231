"""Going back after something was done, from a page of its own or from the dialog over another one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django_htmx.http import trigger_client_event

from tokens.models import AccessToken
from tokens.views.detail import detail_url


def leave(request: HttpRequest, sentence: str, back_url: str = "") -> HttpResponse:
    """Say ``sentence`` and go back: by a redirect, or by closing the dialog that stands over the list."""
    here = reverse("tokens:list")
    htmx: Any = getattr(request, "htmx", False)
    if not htmx or urlsplit(htmx.current_url or "").path != here:
        messages.success(request, sentence)
        return HttpResponseRedirect(back_url or here, status=303)
    response = HttpResponse(status=204)
    trigger_client_event(response, "toast", {"value": sentence})
    for event in ("dialog-close", "tokens-changed"):
        trigger_client_event(response, event)
    return response


def form_url(request: HttpRequest) -> str:
    """Return the address a form is sent to, which remembers where the person came from."""
    return f"{request.path}?from=detail" if _from_detail(request) else request.path


def back_url(request: HttpRequest, token: AccessToken) -> str:
    """Return the address of the page the person came from: the token's own, or the list."""
    return detail_url(token) if _from_detail(request) else reverse("tokens:list")


def _from_detail(request: HttpRequest) -> bool:
    # A word and not an address, so that nobody can be sent anywhere else with it.
    return request.GET.get("from") == "detail"
