"""Making a token: the form, the one answer that shows the value, and what a repeat is told."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from tokens import lifecycle, policy, scopes as catalogue
from tokens.forms import CUSTOM, NEVER, TokenForm
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.secret import redact


def _next_step(request: HttpRequest) -> str:
    name = redact(request.POST.get("name", ""))[: policy.MAX_NAME].strip()
    return f"create {name}" if name else "create a token"


CREATING = Purpose("Creating a token needs a fresh check.", "Confirm and create token", _next_step)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(CREATING)
@sensitive_variables()
def create_token(request: HttpRequest) -> HttpResponse:
    """Show the form, or make the token and show its value in this very answer.

    This breaks the habit of redirecting after a POST on purpose: the value exists in this answer
    only, and a repeat of the request is recognised by its ``request_id`` and mints nothing.
    """
    if request.method != "POST":
        return _form_page(request, _form(request))
    form = _form(request, request.POST)
    if form.is_valid():
        try:
            issued = lifecycle.issue(
                owner=request.user,
                wish=lifecycle.Wish(
                    name=form.cleaned_data["name"],
                    scopes=form.cleaned_data["scopes"],
                    expires_at=form.cleaned_data["expires_at"],
                ),
                origin=browser_origin(request),
                request_id=form.cleaned_data["request_id"],
            )
        except lifecycle.AlreadyIssued as earlier:
            return _answer(request, "already_shown", {"token": earlier.token})
        except policy.Refused as refused:
            form.refuse(refused)
        else:
            context = {
                "token": issued.token,
                "plaintext": issued.plaintext,
                "public_url": settings.PUBLIC_URL,
            }
            return _answer(request, "shown_once", context)
    return _form_page(request, form, status=422)


def _form(request: HttpRequest, data: QueryDict | None = None) -> TokenForm:
    user: Any = request.user
    rules = policy.current_rules()
    first = {"request_id": uuid.uuid4()}
    return TokenForm(data=data, initial=first, rules=rules, zone=user.zone, now=timezone.now())


def stale_form(request: HttpRequest) -> HttpResponse:
    """Show what was typed into a form whose CSRF token is out of date; nothing was changed."""
    notice = "This form was out of date. Nothing was changed. Check it and send it again."
    return _form_page(request, _form(request, request.POST), status=403, stale_notice=notice)


def _form_page(
    request: HttpRequest, form: TokenForm, *, status: int = 200, stale_notice: str = ""
) -> HttpResponse:
    errors = sum(len(found) for found in form.errors.values())
    if form.is_bound:
        form.show_again()
        _keep_request_id(form)
    context = {
        "form": form,
        "errors_title": _count_title(errors),
        "scope_groups": _scope_groups(form),
        "expiry_options": _expiry_options(form),
        "time_zone": form.zone.key,
        "stale_notice": stale_notice,
    }
    return _answer(request, "create", context, fragment="_create_form", status=status)


def _keep_request_id(form: TokenForm) -> None:
    """Keep a form's id through its corrections, so that it still mints once; mend a broken one."""
    data: Any = form.data
    try:
        uuid.UUID(data.get("request_id", ""))
    except ValueError:
        data["request_id"] = str(uuid.uuid4())


def _answer(
    request: HttpRequest,
    page: str,
    context: dict[str, Any],
    *,
    fragment: str = "",
    status: int = 200,
) -> HttpResponse:
    name = (fragment or f"_{page}") if getattr(request, "htmx", False) else page
    return render(request, f"tokens/{name}.html", context, status=status)


def _count_title(number: int) -> str:
    if not number:
        return ""
    return "1 thing to fix" if number == 1 else f"{number} things to fix"


def _scope_groups(form: TokenForm) -> list[dict[str, Any]]:
    data: Any = form.data
    chosen = set(data.getlist("scopes")) if form.is_bound else set()
    return [
        {
            "title": resource.title,
            "hint": resource.hint,
            "options": [
                {
                    "value": scope.name,
                    "label": scope.name,
                    "meaning": scope.meaning,
                    "checked": scope.name in chosen,
                    "id": f"id_scope_{scope.name.replace('.', '_')}",
                }
                for scope in catalogue.SCOPES
                if scope.resource == resource.key and scope.name in form.rules.allowed_scopes
            ],
        }
        for resource in catalogue.RESOURCES
    ]


def _expiry_options(form: TokenForm) -> list[dict[str, Any]]:
    chosen = form.data.get("expires") if form.is_bound else str(form.rules.default_days)
    longest = form.rules.max_lifetime
    options = []
    for days in policy.PRESET_DAYS:
        end = policy.preset_expiry(days, now=form.now, zone=form.zone, longest_allowed=longest)
        options.append({"value": str(days), "title": f"{days} days", "note": "", "instant": end})
    limit = timezone.localtime(form.now + longest, form.zone)
    options.append(
        {
            "value": CUSTOM,
            "title": "Custom date",
            "note": f"Up to {limit:%-d %b %Y}",
            "instant": None,
        }
    )
    if form.rules.no_expiration_allowed:
        options.append(
            {"value": NEVER, "title": "No expiration", "note": "Not recommended", "instant": None}
        )
    return [
        {**option, "checked": option["value"] == chosen, "id": f"id_expires_{option['value']}"}
        for option in options
    ]
