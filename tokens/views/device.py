"""A person approves or denies what a terminal asks for: the code first, then who asks for what.

Opening a page changes nothing but the count of tries, because links to these pages can come from
anybody. What a request has become is read from the database, so each page can be opened again.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from skytells_console.client_address import client_address
from tokens import device_flow, policy, scopes as catalogue
from tokens.device_flow import Found, Miss, State
from tokens.forms import ApprovalForm
from tokens.models import AccessToken
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.secret import redact
from tokens.templatetags.console_ui import day_words

# Longer than a code by far; what is typed beyond it is not worth showing again.
_LONGEST_SHOWN = 64

APPROVING = Purpose(
    "Approving a device needs a fresh check.",
    "Confirm and approve access",
    lambda request: ("approve a device", ""),
)


@require_http_methods(["GET", "HEAD", "POST"])
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for the code that a terminal shows, and lead on to its request."""
    if request.method != "POST":
        # The address that a terminal opens by itself carries the code.
        given = request.GET.get("user_code", "")
        return _to_request(given) if given.strip() else _code_page(request)
    typed = request.POST.get("user_code", "")
    try:
        found = _look_up(request, typed)
    except Miss as miss:
        return _code_page(request, miss, typed)
    return _to_request(found.code)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(APPROVING)
def approve_device(request: HttpRequest) -> HttpResponse:
    """Show what a terminal asks for, or allow it."""
    sent: Any = request.POST if request.method == "POST" else request.GET
    typed = sent.get("user_code", "")
    if request.method != "POST" and not typed.strip():
        return HttpResponseRedirect(reverse("tokens:device"))
    try:
        found = _look_up(request, typed)
    except Miss as miss:
        return _code_page(request, miss, typed)
    if found.state is not State.PENDING:
        return _outcome_page(request, found)
    form = _form(request, found, request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return _request_page(request, found, form)
    wanted = {key: form.cleaned_data[key] for key in ("scopes", "expires_at", "end")}
    try:
        device_flow.approve(
            grant=found.grant, user=request.user, origin=browser_origin(request), **wanted
        )
    except policy.Refused as refused:
        form.refuse(refused)
        return _request_page(request, found, form)
    return _decided(request, found)


@require_http_methods(["GET", "HEAD", "POST"])
def deny_device(request: HttpRequest) -> HttpResponse:
    """Refuse what a terminal asks for. That gives nothing away, so it needs no fresh proof."""
    if request.method != "POST":
        return HttpResponseRedirect(reverse("tokens:device"))
    typed = request.POST.get("user_code", "")
    try:
        found = _look_up(request, typed)
    except Miss as miss:
        return _code_page(request, miss, typed)
    if found.state is State.PENDING:
        device_flow.deny(grant=found.grant, user=request.user, origin=browser_origin(request))
    return _decided(request, found)


def _look_up(request: HttpRequest, typed: str) -> Found:
    if not typed.strip():
        raise Miss("code_required", "Type the code that your terminal shows.")
    user: Any = request.user
    return device_flow.look_up(user_id=user.pk, typed=typed, now=timezone.now())


def _to_request(code: str) -> HttpResponse:
    query = QueryDict(mutable=True)
    query["user_code"] = redact(code)[:_LONGEST_SHOWN]
    return HttpResponseRedirect(
        f"{reverse('tokens:device_approve')}?{query.urlencode()}", status=303
    )


def _decided(request: HttpRequest, found: Found) -> HttpResponse:
    """Show what became of the request; whoever came first has decided, and that is read anew."""
    if not getattr(request, "htmx", False):
        return _to_request(found.code)
    try:
        return _outcome_page(request, _look_up(request, found.code))
    except Miss as miss:
        return _code_page(request, miss, found.code)


# --- The pages -----------------------------------------------------------------------------------


def _code_page(request: HttpRequest, miss: Miss | None = None, typed: str = "") -> HttpResponse:
    context = {"typed": redact(typed)[:_LONGEST_SHOWN], "error": miss.sentence if miss else ""}
    if miss is None:
        return _answer(request, "code", context)
    response = _answer(request, "code", context, status=429 if miss.seconds else 422)
    if miss.seconds:
        response.headers["Retry-After"] = str(miss.seconds)
    return response


def _request_page(request: HttpRequest, found: Found, form: ApprovalForm) -> HttpResponse:
    grant = found.grant
    bad = bool(form.is_bound and form.errors)
    here = client_address(request.META, settings.TRUSTED_PROXY_COUNT)
    if form.is_bound:
        form.show_again()
    data: Any = form.data
    scopes = data.getlist("scopes") if form.is_bound else form.asked
    context = {
        "grant": grant,
        "code": found.code,
        "client": device_flow.client_of(grant),
        "same_address": bool(grant.address) and grant.address == here,
        "form": form,
        # A message about the whole form has the focus before any of its fields.
        "focus": next((name for name in ("__all__", *form.fields) if name in form.errors), ""),
        "scopes": [
            {"scope": catalogue.BY_NAME[name], "checked": name in scopes} for name in form.asked
        ],
        "asks_for_projects": "projects.read" in form.asked,
        "expiry_options": _expiry_options(form),
        "earlier": _earlier(form),
    }
    return _answer(request, "request", context, status=422 if bad else 200)


def _outcome_page(request: HttpRequest, found: Found) -> HttpResponse:
    context = {"approved": found.state is State.APPROVED, "token": found.grant.token}
    return _answer(request, "outcome", context)


def _answer(
    request: HttpRequest, page: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    name = f"_device_{page}" if getattr(request, "htmx", False) else page
    return render(request, f"device/{name}.html", context, status=status)


# --- The form ------------------------------------------------------------------------------------


def _form(request: HttpRequest, found: Found, data: QueryDict | None) -> ApprovalForm:
    user: Any = request.user
    now = timezone.now()
    return ApprovalForm(
        data,
        asked=catalogue.split(found.grant.scopes),
        earlier=device_flow.earlier_logins(user_id=user.pk, grant=found.grant, now=now),
        rules=policy.current_rules(),
        zone=user.zone,
        now=now,
    )


def _expiry_options(form: ApprovalForm) -> list[dict[str, Any]]:
    """Return the ends that are offered; where the policy cuts some short, one stands for them all."""
    default = form.rules.default_days
    default = default if default in policy.PRESET_DAYS else policy.DEFAULT_DAYS
    chosen = str(form.data.get("expires")) if form.is_bound else str(default)
    options: dict[Any, dict[str, Any]] = {}
    for days in policy.PRESET_DAYS:
        end = form.end_after(days, form.asked)
        cut = (end - form.now).days < days
        about = "The longest that is allowed" if cut else f"In {days} days"
        label = f"{about}, {day_words(end, form.zone)}"
        option = options.setdefault(end, {"value": str(days), "label": label, "checked": False})
        option["checked"] = option["checked"] or str(days) == chosen
    return list(options.values())


def _earlier(form: ApprovalForm) -> list[dict[str, Any]]:
    data: Any = form.data
    ticked = data.getlist("end") if form.is_bound else []
    return [_earlier_one(token, key in ticked) for key, token in form.earlier.items()]


def _earlier_one(token: AccessToken, checked: bool) -> dict[str, Any]:
    activity = getattr(token, "activity", None)
    return {
        "token": token,
        "checked": checked,
        "used_at": activity.last_used_at if activity else None,
        "used_from": (activity.address or "") if activity else "",
    }
