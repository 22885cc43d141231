"""Forward authentication: a proxy asks whether a request may pass, and is told who sent it.

The proxy's configuration fixes the query string, so what is needed comes from nowhere else: a
caller's headers, which the proxy passes on, can neither add to it nor take from it. Proxies such as
nginx understand 2xx, 401 and 403 only, so a question that makes no sense is refused with 403.
"""

from __future__ import annotations

import functools
from urllib.parse import parse_qs

from django.http import HttpRequest, HttpResponse

from tokens import scopes
from tokens.api.answers import nothing
from tokens.api.door import ApiRequest, Needs, bearer_required
from tokens.authentication import Forbidden

MISCONFIGURED = "forward_auth_misconfigured"
MAX_FIELDS = 20


def needs_of(request: HttpRequest) -> Needs:
    """Return what the query string asks for: one scope, and at most one project, by its id.

    Without a project, a token that is limited to chosen ones is refused. Raises
    ``authentication.Forbidden`` where the question is not one, so that a slip opens nothing.
    """
    return _needs(request.META.get("QUERY_STRING", ""))


# A proxy sends the same few query strings for ever.
@functools.lru_cache(maxsize=256)
def _needs(query: str) -> Needs:
    try:
        asked = parse_qs(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        asked = {}
    scope = asked.get("scope", [""])
    if len(scope) != 1 or scope[0] not in scopes.BY_NAME:
        raise Forbidden(MISCONFIGURED, "Ask with one known scope, as in ?scope=projects.read.")
    if "project" not in asked:
        return Needs(scope[0], all_projects=True)
    project = asked["project"]
    if len(project) != 1 or not project[0]:
        raise Forbidden(MISCONFIGURED, "Name one project by its id, as in &project=….")
    return Needs(scope[0], project=project[0])


@bearer_required("", needs_of=needs_of)
def verify(request: ApiRequest) -> HttpResponse:
    """Say yes with 204, and with headers that tell whose token it is, which, and its scopes.

    The ids never change and are never given to anybody else; names and addresses stay here.
    """
    caller = request.principal
    response = nothing()
    response.headers["Skytells-User-Id"] = str(caller.owner_public_id)
    response.headers["Skytells-Token-Id"] = str(caller.public_id)
    response.headers["Skytells-Scopes"] = " ".join(caller.scopes)
    return response
