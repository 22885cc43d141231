"""The floor with a database: one fixed statement on Django's cursor and one HMAC, nothing else.

Like ``bench.one_query``, without the ORM; it shares that one's settings but for its own routes.
"""

from __future__ import annotations

import hmac

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import path

from tokens import secret

application = get_wsgi_application()

_SQL = """
SELECT t.public_id, u.email FROM tokens_accesstoken t
JOIN skytells_console_user u ON u.id = t.owner_id
WHERE t.digest = %s
"""


def whose(request: HttpRequest) -> JsonResponse:
    """Answer whose token came, or 401."""
    value = request.headers.get("Authorization", "").removeprefix("Bearer ")
    keys = secret.peppers()
    digest = hmac.digest(keys.keys[keys.signing_id], value.encode(), "sha256")
    with connection.cursor() as cursor:
        cursor.execute(_SQL, [digest])
        found = cursor.fetchone()
    if found is None:
        return JsonResponse({"error": "invalid_token"}, status=401)
    return JsonResponse({"id": str(found[0]), "user": found[1]})


urlpatterns = [path("raw-query", whose)]
