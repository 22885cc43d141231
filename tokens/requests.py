"""From an HTTP request of a signed-in person to the ``Origin`` that writers take."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone

from skytells_console.client_address import client_address
from tokens.origin import Door, Origin, client_label


def browser_origin(request: HttpRequest) -> Origin:
    """Return who is acting in the browser, from where, and when."""
    return Origin(
        at=timezone.now(),
        door=Door.BROWSER,
        actor_id=request.user.pk,
        address=client_address(request.META, settings.TRUSTED_PROXY_COUNT),
        client=client_label(request.META.get("HTTP_USER_AGENT", "")),
        request_id=request.META.get("console.request_id", ""),
    )
