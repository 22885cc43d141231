"""What a short, honest Django view would do: one ORM query with its user, one HMAC, no middleware.

It reads the same tables as the console and shares its pepper, but none of its rules: it counts no
use and knows no expiry. Its settings stand in ``bench.one_query_settings``.
"""

from __future__ import annotations

import hmac

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tokens import secret

application = get_wsgi_application()

from tokens.models import AccessToken  # noqa: E402 - models need the settings above


def whose(request: HttpRequest) -> JsonResponse:
    """Answer whose token came, or 401."""
    value = request.headers.get("Authorization", "").removeprefix("Bearer ")
    keys = secret.peppers()
    digest = hmac.digest(keys.keys[keys.signing_id], value.encode(), "sha256")
    try:
        token = AccessToken.objects.select_related("owner").get(digest=digest)
    except AccessToken.DoesNotExist:
        return JsonResponse({"error": "invalid_token"}, status=401)
    return JsonResponse({"id": str(token.public_id), "user": token.owner.email})


urlpatterns = [path("one-query", whose)]
