"""Beginning a rotation: what the replacement may do, and the one answer that shows its value."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from tokens import lifecycle, policy, scopes as catalogue
from tokens.forms import CHOSEN_PROJECTS, RotationForm
from tokens.models import AccessToken, Project
from tokens.models.liveness import is_ended
from tokens.models.rotation import Rotation, Step, rotation_with
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.views.detail import detail_url, own_token
from tokens.views.prefill import empty_form_data
from tokens.views.rotation_choices import ALL, choices_of, levels_of
from tokens.views.rotation_frame import frame, go, last_rotation, own_rotation, step_url, url_of

ROTATING = Purpose(
    "Rotating a token needs a fresh check.",
    "Confirm and create replacement",
    lambda request: ("create a replacement", ""),
)


@require_safe
def rotate_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Lead to the step that comes next, to the end of a finished rotation, or to the first step."""
    token = own_token(request, public_id)
    rotation = rotation_with(token.pk, timezone.now())
    if rotation is not None:
        return go(step_url(rotation))
    if is_ended(token.liveness(), timezone.now()) and last_rotation(token):
        return go(url_of("rotate_finished", token))
    query = f"?{request.GET.urlencode()}" if request.GET else ""
    return go(url_of("rotate_scopes", token) + query)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(ROTATING)
@sensitive_variables()
def choose_scopes(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show the first step, or make the replacement and show its value in this very answer.

    As on the create page there is no redirect after this POST, because the value exists in this
    answer only; a repeat is recognised by its ``request_id`` and mints nothing.
    """
    token, rotation = own_rotation(request, public_id)
    refusal = _why_not(token, rotation)
    if refusal is not None:
        return _refused(request, token, rotation, refusal)
    if request.method != "POST":
        data = _dropped(_first_data(request, token), token, request.GET.getlist("drop"))
        return _page(request, token, _form(request, token, data), asked=False)
    form = _form(request, token, request.POST)
    if form.is_valid():
        try:
            issued = lifecycle.rotate(
                token=token,
                wish=_wish(form),
                origin=browser_origin(request),
                request_id=form.cleaned_data["request_id"],
            )
        except lifecycle.AlreadyIssued:
            return go(url_of("rotate_copy", token))
        except policy.Refused as refused:
            _, rotation = own_rotation(request, public_id)
            if not refused.field and (rotation or refused.code.startswith("token_")):
                return _refused(request, token, rotation, refused)
            form.refuse(refused)
        else:
            return _shown(request, token, issued)
    return _page(request, token, form, status=422)


@require_POST
@sensitive_variables()
def draft_rotation(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show the first step as filled in so far, with scopes left out or put back.

    Nothing is made or changed, so nothing is judged and no fresh proof is needed.
    """
    token, rotation = own_rotation(request, public_id)
    if rotation is not None:
        return go(step_url(rotation))
    data = _dropped(request.POST.copy(), token, request.POST.getlist("drop"))
    data = _put_back(data, token, request.POST.getlist("back"))
    form = _form(request, token, data)
    htmx: Any = getattr(request, "htmx", False)
    if htmx and htmx.target == "rotate-narrow":
        assert form.errors is not None  # noqa: S101 - reading errors is what validates a form
        context = {"token": token, **choices_of(form, token)}
        return render(request, "components/rotation_narrow.html", context)
    return _page(request, token, form, asked=False)


def _shown(request: HttpRequest, token: AccessToken, issued: lifecycle.Issued) -> HttpResponse:
    context = {
        "token": issued.token,
        "plaintext": issued.plaintext,
        "after_url": url_of("rotate_copy", token),
    }
    return render(request, "tokens/shown_once.html", context)


def _why_not(token: AccessToken, rotation: Rotation | None) -> policy.Refused | None:
    now = timezone.now()
    replacing = lifecycle.open_rotation(token.pk, now) if rotation is None else None
    try:
        policy.check_rotatable(
            token, replacing=replacing is not None, rotating=rotation is not None, now=now
        )
    except policy.Refused as refused:
        return refused
    return None


def _refused(
    request: HttpRequest, token: AccessToken, rotation: Rotation | None, refusal: policy.Refused
) -> HttpResponse:
    """Say why no rotation can begin, and lead on; a repeat of the request that began one is led there."""
    posted = request.POST.get("request_id", "")
    if rotation is not None and posted and posted == str(rotation.replacement.request_id):
        return go(step_url(rotation))
    if rotation is not None and request.method != "POST":
        return go(step_url(rotation))
    ways = {
        "already_rotating": ("Continue that rotation", url_of("rotate", token)),
        "token_ended": ("Create a token", reverse("tokens:create")),
        "replacement_in_rotation": ("Continue that rotation", _of_replaced(token)),
    }
    label, url = ways.get(refusal.code, ("Go to the token", detail_url(token)))
    context = {
        "token": token,
        "sentence": refusal.sentence,
        "way_label": label,
        "way_url": url,
        "detail_url": detail_url(token),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "tokens/rotate_refused.html", context, status=status)


def _of_replaced(token: AccessToken) -> str:
    return url_of("rotate", token.replaces) if token.replaces else detail_url(token)


# --- The form ------------------------------------------------------------------------------------


def _form(request: HttpRequest, token: AccessToken, data: QueryDict) -> RotationForm:
    user: Any = request.user
    held = list(token.projects.order_by("name_key")) if token.projects_limited else None
    own = Project.objects.owned_by(user.pk).order_by("name_key") if held is None else held
    return RotationForm(
        data=data,
        rules=policy.current_rules(),
        zone=user.zone,
        now=timezone.now(),
        own_projects=list(own),
        held=token.scope_names,
        held_projects=held,
    )


def _first_data(request: HttpRequest, token: AccessToken) -> QueryDict:
    """Return the form as it opens: everything as on the old token, as far as it is still allowed."""
    rules = policy.current_rules()
    data = empty_form_data(rules)
    for field, level in levels_of(set(token.scope_names) & rules.allowed_scopes).items():
        data[field] = level
    if token.projects_limited:
        data["projects_choice"] = CHOSEN_PROJECTS
        ids = token.projects.values_list("public_id", flat=True)
        data.setlist("projects", [str(each) for each in ids])
    return data


def _dropped(data: QueryDict, token: AccessToken, names: list[str]) -> QueryDict:
    return _changed(data, token, [], names)


def _put_back(data: QueryDict, token: AccessToken, names: list[str]) -> QueryDict:
    return _changed(data, token, names, [])


def _changed(data: QueryDict, token: AccessToken, more: list[str], less: list[str]) -> QueryDict:
    """Return the form's data with scopes of the old token put back or left out."""
    held = set(token.scope_names) & set(catalogue.BY_NAME)
    chosen: set[str] = set()
    for resource in catalogue.RESOURCES:
        levels = {level.key: level.scopes for level in catalogue.levels(resource.key)}
        chosen |= levels.get(data.get(f"level-{resource.key}", ""), frozenset())
    for names, change in ((more, chosen.update), (less, chosen.difference_update)):
        wanted = {part for name in names for part in name.split()}
        change(held if ALL in wanted else wanted & held)
    for field, level in levels_of(chosen).items():
        data[field] = level
    return data


def _wish(form: RotationForm) -> lifecycle.RotationWish:
    data = form.cleaned_data
    return lifecycle.RotationWish(
        scopes=data["scopes"], expires_at=data["expires_at"], projects=data["projects"]
    )


def _page(
    request: HttpRequest,
    token: AccessToken,
    form: RotationForm,
    *,
    status: int = 200,
    asked: bool = True,
) -> HttpResponse:
    """Show the first step; ``asked`` says whether the replacement was asked for, and so its errors shown."""
    assert form.errors is not None  # noqa: S101 - reading errors is what validates a form
    if not asked:
        form.forgive()
    form.show_again()
    if not _is_id(form.filled.get("request_id", "")):
        form.filled["request_id"] = str(uuid.uuid4())
    choices = choices_of(form, token)
    user: Any = request.user
    context = {
        **frame(token, None, Step.SCOPES, chosen=choices["chosen"]),
        **choices,
        "form": form,
        "draft_url": url_of("rotate_draft", token),
        "scopes_url": url_of("rotate_scopes", token),
        "leave_url": detail_url(token),
        "time_zone": user.zone.key,
    }
    return render(request, "tokens/rotate_scopes.html", context, status=status)


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
