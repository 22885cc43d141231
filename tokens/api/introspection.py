"""What services ask about tokens (RFC 7662), and how a client gives one up (RFC 7009)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from tokens import authentication, lifecycle, relying_parties, secret
from tokens.api.answers import answer
from tokens.api.door import facts_of, open_to_all
from tokens.api.oauth_form import (
    OAuthError,
    credentials_of,
    read_form,
    speaks_oauth,
    unknown_client,
)
from tokens.models import RevokeKind
from tokens.origin import Door, Origin, client_label
from tokens.relying_parties import RelyingParty

# RFC 7662, 2.2: nothing more is told about a token that is not active, nor why it is not.
INACTIVE = {"active": False}


@speaks_oauth
def introspect(request: HttpRequest) -> HttpResponse:
    """Tell a service whether a token is accepted, within the scopes that the service may ask about.

    Only a service may ask, and not whoever has a token, so that nobody can try tokens out here
    (RFC 7662, 2.1). A token that is limited to chosen projects is active only where the service names
    one of them in the further parameter ``project``: a service that knows nothing of projects would
    take the token for one without limits.
    """
    form = read_form(request)
    service = _service(request, form)
    if service is None:
        raise unknown_client()
    value = _token(form)
    if not secret.is_well_formed(value):
        return answer(INACTIVE)
    asked = facts_of(request)._replace(authorization=f"Bearer {value}", service=service.name)
    project = form.get("project")
    try:
        principal = authentication.authenticate(
            asked, within=service.scopes, project=project, all_projects=project is None
        )
    except (authentication.Unauthenticated, authentication.Forbidden):
        return answer(INACTIVE)
    return answer(_active(principal, service))


introspect.scope = "a service's own credentials"  # type: ignore[attr-defined]


@open_to_all
@speaks_oauth
def revoke(request: HttpRequest) -> HttpResponse:
    """End the presented token: holding it is authorisation enough (RFC 7009, 2.1 and 5).

    A token that is unknown, malformed or at its end gets the same 200 (RFC 7009, 2.2). A client that
    does send credentials is refused when they are wrong.
    """
    form = read_form(request)
    service = _service(request, form)
    token = authentication.find_token(_token(form))
    if token is not None:
        facts = facts_of(request)
        origin = Origin(
            at=facts.now,
            door=Door.API,
            actor_id=token.owner_id,
            token_id=token.pk,
            address=facts.address,
            client=client_label(facts.user_agent),
            request_id=facts.request_id,
        )
        reason = f"Given up by {service.name}" if service else ""
        lifecycle.revoke(token=token, origin=origin, kind=RevokeKind.SELF, reason=reason)
    return answer({})


def _service(request: HttpRequest, form: dict[str, str]) -> RelyingParty | None:
    """Return the service that proves itself, or None when no credentials came."""
    claimed = credentials_of(request, form)
    if claimed is None:
        return None
    service = relying_parties.authenticate(claimed.client_id, claimed.secret)
    if service is None:
        raise unknown_client()
    return service


def _token(form: dict[str, str]) -> str:
    if "token" not in form:
        raise OAuthError(400, "invalid_request", "Send the token as the parameter token.")
    return form["token"]


def _active(token: authentication.Principal, service: RelyingParty) -> dict[str, Any]:
    """Return the members of RFC 7662, 2.2, that the service may know.

    ``sub`` is an id that never changes hands, unlike an e-mail address, which is left out.
    """
    told: dict[str, Any] = {
        "active": True,
        "scope": " ".join(scope for scope in token.scopes if scope in service.scopes),
        "token_type": "Bearer",
        "iss": settings.PUBLIC_URL,
        "sub": str(token.owner_public_id),
        "jti": str(token.public_id),
        "iat": int(token.created_at.timestamp()),
    }
    if token.expires_at is not None:
        told["exp"] = int(token.expires_at.timestamp())
    return told
