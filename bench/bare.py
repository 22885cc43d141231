"""The floor: a Django view with a constant JSON answer, no middleware, no database."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(32),
    USE_I18N=False,
    USE_TZ=True,
)


def constant(request: HttpRequest) -> JsonResponse:
    """Answer the same to everybody."""
    return JsonResponse({"status": "ok"})


urlpatterns = [path("bare", constant)]
application = get_wsgi_application()
