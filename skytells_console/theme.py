"""Light, dark, or what the system says: a cookie, so that the first byte of a page is right already.

The template reads the cookie and believes two words only; no script takes part, hence no flash.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

COOKIE = "theme"
ONE_YEAR = 365 * 24 * 3600
_THEMES = (
    ("system", "Like the system", "Changes with your device"),
    ("light", "Light", "Always light"),
    ("dark", "Dark", "Always dark"),
)


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Remember the choice in this browser; anything unknown is the system's."""
    chosen = request.POST.get("theme", "")
    messages.success(request, "Appearance saved")
    response = HttpResponseRedirect(reverse("profile"), status=303)
    if chosen not in {"light", "dark"}:
        response.delete_cookie(COOKIE, samesite="Lax")
        return response
    response.set_cookie(
        COOKIE, chosen, max_age=ONE_YEAR, secure=settings.TLS, httponly=True, samesite="Lax"
    )
    return response


def theme_options(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the three choices, and which of them is on in this browser."""
    current = request.COOKIES.get(COOKIE, "")
    chosen = current if current in {"light", "dark"} else "system"
    return [
        {"value": value, "title": title, "note": note, "checked": value == chosen}
        for value, title, note in _THEMES
    ]
