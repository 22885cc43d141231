"""After the value was shown: the person says that it is stored."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from tokens import lifecycle
from tokens.models import AccessToken
from tokens.requests import browser_origin


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_stored(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Note that the value is stored and go to the list; saying it twice notes it once.

    A form without its tick is asked again, by a page that cannot show the value.
    """
    token = get_object_or_404(AccessToken.objects.owned_by(request.user), public_id=public_id)
    if request.method == "POST" and request.POST.get("stored") == "yes":
        stored = lifecycle.confirm_stored(token=token, origin=browser_origin(request))
        if stored and token.replaces is None:
            messages.success(request, f"{token.name} is stored")
        return HttpResponseRedirect(_onwards(token), status=303)
    if token.stored_at is not None:
        return HttpResponseRedirect(_onwards(token), status=303)
    context = {"token": token, "unticked": request.method == "POST"}
    status = 422 if request.method == "POST" else 200
    return render(request, "tokens/stored.html", context, status=status)


def _onwards(token: AccessToken) -> str:
    """Return the list, or for a replacement the rotation it belongs to."""
    if token.replaces is None or token.rotation_closed_at is not None:
        return reverse("tokens:list")
    return reverse("tokens:rotate", kwargs={"public_id": token.replaces.public_id})
