"""Going back to the list after something was revoked, from a page or from the dialog over it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django_htmx.http import trigger_client_event


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
