"""The API's addresses: without a slash at the end, and never a redirect.

These are the only routes of requests under ``/api/``; the console includes them for ``reverse``.
"""

from __future__ import annotations

from django.urls import path

from tokens.api import device, endpoints as api, forward_auth, introspection, token_check
from tokens.api.door import methods

urlpatterns = [
    path("api/v1/health", methods(GET=api.get_health), name="api-health"),
    path("api/openapi.json", methods(GET=api.get_openapi), name="api-openapi"),
    path("api/v1/user", methods(GET=api.get_user), name="api-user"),
    path("api/v1/token", methods(GET=api.get_token, DELETE=api.delete_token), name="api-token"),
    path("api/v1/token/check", methods(POST=token_check.check), name="api-token-check"),
    path("api/v1/auth/verify", methods(GET=forward_auth.verify), name="api-verify"),
    path(
        "api/oauth/introspect", methods(POST=introspection.introspect), name="api-oauth-introspect"
    ),
    path("api/oauth/revoke", methods(POST=introspection.revoke), name="api-oauth-revoke"),
    path(
        "api/v1/cli/projects",
        methods(GET=api.list_projects, POST=api.create_project),
        name="api-projects",
    ),
    path("api/oauth/device", methods(POST=device.start_login), name="api-oauth-device"),
    path("api/oauth/token", methods(POST=device.redeem_code), name="api-oauth-token"),
]

handler400 = "tokens.api.faults.bad_request"
handler403 = "tokens.api.faults.permission_denied"
handler404 = "tokens.api.faults.not_found"
handler500 = "tokens.api.faults.server_error"
