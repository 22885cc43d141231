"""Where the console's OAuth endpoints are and how to reach its people: RFC 8414, 9728 and 9116."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from tokens import scopes
from tokens.api.answers import answer

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
BY_SECRET = ["client_secret_basic", "client_secret_post"]


@require_safe
@login_not_required
def authorization_server(request: HttpRequest) -> HttpResponse:
    """Describe the authorization server (RFC 8414, 2).

    There is no authorization endpoint, so nothing could be asked of it: ``none`` is the registered
    response type that hands nothing out, and the member must be there and not be empty.
    """
    address = settings.PUBLIC_URL
    return answer(
        {
            "issuer": address,
            "device_authorization_endpoint": f"{address}/api/oauth/device",
            "token_endpoint": f"{address}/api/oauth/token",
            "token_endpoint_auth_methods_supported": ["none"],
            "introspection_endpoint": f"{address}/api/oauth/introspect",
            "introspection_endpoint_auth_methods_supported": BY_SECRET,
            "revocation_endpoint": f"{address}/api/oauth/revoke",
            "revocation_endpoint_auth_methods_supported": ["none", *BY_SECRET],
            "grant_types_supported": [DEVICE_GRANT],
            "response_types_supported": ["none"],
            "scopes_supported": list(scopes.BY_NAME),
            "service_documentation": f"{address}/api/docs",
            "ui_locales_supported": ["en"],
        }
    )


@require_safe
@login_not_required
def protected_resource(request: HttpRequest) -> HttpResponse:
    """Describe the API as a protected resource (RFC 9728, 2)."""
    address = settings.PUBLIC_URL
    told: dict[str, Any] = {
        "resource": address,
        "authorization_servers": [address],
        "scopes_supported": list(scopes.BY_NAME),
        "bearer_methods_supported": ["header"],
        "resource_name": "Skytells Console",
        "resource_documentation": f"{address}/api/docs",
    }
    return answer(told)


@require_safe
@login_not_required
def security_txt(request: HttpRequest) -> HttpResponse:
    """Say how to report a fault (RFC 9116), where the installation names a contact.

    Without one there is nothing true to say, hence 404. The end is counted from today: who runs the
    console vouches for the contact by leaving it in the settings.
    """
    if not settings.SECURITY_CONTACT:
        raise Http404
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    expires = midnight + timedelta(days=settings.SECURITY_CONTACT_DAYS)
    lines = [
        *(f"Contact: {contact}" for contact in settings.SECURITY_CONTACT),
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        f"Canonical: {settings.PUBLIC_URL}/.well-known/security.txt",
        "Preferred-Languages: en",
    ]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
