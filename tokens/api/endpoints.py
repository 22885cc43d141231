"""What the API answers: health, the caller, the presented token, and the CLI's projects."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse

from tokens import health, lifecycle, policy, projects, reference
from tokens.api.answers import answer, nothing, refusal
from tokens.api.door import ApiRequest, BadBody, bearer_required, open_to_all, read_json
from tokens.forms import ProjectForm
from tokens.models import AccessToken, Project, RevokeKind


@open_to_all
def get_health(request: HttpRequest) -> HttpResponse:
    """Say whether the console can answer: database reachable, migrations applied."""
    faults = health.faults()
    if faults:
        return refusal(request, 503, "not_ready", "The console is not ready.", details=faults[0])
    return answer({"status": "ok"})


@open_to_all
def get_openapi(request: HttpRequest) -> HttpResponse:
    """Describe the API for programs; the pages of the reference read the same file."""
    return HttpResponse(reference.text(), content_type="application/json")


@bearer_required("account.read")
def get_user(request: ApiRequest) -> HttpResponse:
    """Tell whose token this is."""
    user = get_user_model().objects.get(pk=request.principal.owner_id)
    return answer(
        {
            "id": str(user.public_id),
            "email": user.email,
            "name": user.name,
            "time_zone": user.time_zone,
        }
    )


@bearer_required("")
def get_token(request: ApiRequest) -> HttpResponse:
    """Tell the presented token's own facts; its value is not among them."""
    token = request.principal
    return answer(
        {
            "id": str(token.public_id),
            "name": token.name,
            "token": token.masked,
            "scopes": token.scopes,
            "created_at": _text(token.created_at),
            "expires_at": _text(token.expires_at),
            "projects_limited": token.projects_limited,
        }
    )


@bearer_required("")
def delete_token(request: ApiRequest) -> HttpResponse:
    """Let the presented token revoke itself: holding it is authorisation enough (RFC 7009, 5)."""
    lifecycle.revoke(
        token=AccessToken.objects.get(pk=request.principal.token_id),
        origin=request.principal.origin(request.facts),
        kind=RevokeKind.SELF,
    )
    return nothing()


@bearer_required("projects.read")
def list_projects(request: ApiRequest) -> HttpResponse:
    """List the projects the token may see. The public CLI needs an array and asks for no pages."""
    visible = Project.objects.owned_by(request.principal.owner_id)
    if request.principal.projects_limited:
        visible = visible.filter(tokenproject__token_id=request.principal.token_id)
    try:
        wanted = projects.check_type(request.GET.get("type", ""))
    except policy.Refused as refused:
        return refusal(request, 422, refused.code, refused.sentence)
    if wanted:
        visible = visible.filter(type=wanted)
    return answer({"data": [_project(project) for project in visible.order_by("created_at", "id")]})


@bearer_required("projects.write", all_projects=True)
def create_project(request: ApiRequest) -> HttpResponse:
    """Make a project. 409 for a name in use, 422 for one that cannot be used."""
    try:
        form = ProjectForm(data=read_json(request))
        if not form.is_valid():
            return refusal(request, 422, form.first_code(), form.first_sentence())
        project = projects.create(
            owner_id=request.principal.owner_id,
            origin=request.principal.origin(request.facts),
            **form.cleaned_data,
        )
    except BadBody as bad:
        return refusal(request, bad.status, bad.code, bad.sentence)
    except projects.NameTaken as taken:
        return refusal(request, 409, taken.code, taken.sentence)
    except policy.Refused as refused:
        return refusal(request, 422, refused.code, refused.sentence)
    return answer(_project(project), status=201)


def _project(project: Project) -> dict[str, Any]:
    return {
        "id": str(project.public_id),
        "name": project.name,
        "slug": project.slug,
        "type": project.type or None,
        "status": project.status,
        "created_at": _text(project.created_at),
    }


def _text(at: datetime | None) -> str | None:
    """Return an instant as RFC 3339 in UTC, to the second."""
    # All times here are in UTC. ``strftime`` takes four times as long.
    return f"{at.isoformat(timespec='seconds')[:19]}Z" if at else None
