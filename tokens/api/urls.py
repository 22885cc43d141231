"""The API's addresses: without a slash at the end, and never a redirect.

These are the only routes of requests under ``/api/``; the console includes them for ``reverse``.
"""

from __future__ import annotations

from django.urls import path

from tokens.api import endpoints as api
from tokens.api.door import methods

urlpatterns = [
    path("api/v1/health", methods(GET=api.get_health), name="api-health"),
    path("api/v1/user", methods(GET=api.get_user), name="api-user"),
    path("api/v1/token", methods(GET=api.get_token, DELETE=api.delete_token), name="api-token"),
    path(
        "api/v1/cli/projects",
        methods(GET=api.list_projects, POST=api.create_project),
        name="api-projects",
    ),
]

handler400 = "tokens.api.faults.bad_request"
handler403 = "tokens.api.faults.permission_denied"
handler404 = "tokens.api.faults.not_found"
handler500 = "tokens.api.faults.server_error"
