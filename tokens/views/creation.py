"""Making a token: the form, the one answer that shows the value, and what a repeat is told."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from tokens import lifecycle, policy
from tokens.forms import SHOWN, TokenForm
from tokens.models import Project
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.secret import redact
from tokens.views.choices import choices_of, expiry_options, preset_levels
from tokens.views.prefill import Prefill, empty_form_data, fill_from
from tokens.views.rows import day_of
from tokens.views.snippets import snippets_for
from tokens.views.summary import summary_of


def _next_step(request: HttpRequest) -> tuple[str, str]:
    """Say what was asked for, as far as it can be read: what is wrong is said after the proof."""
    name = redact(request.POST.get("name", ""))[: policy.MAX_NAME].strip()
    if not name:
        return "create a token", ""
    form = _form(request, request.POST)
    if not form.is_valid():
        return f"create {name}", ""
    wish = _wish(form)
    scopes = "1 scope" if len(wish.scopes) == 1 else f"{len(wish.scopes)} scopes"
    end = f"until {day_of(wish.expires_at)}" if wish.expires_at else "without an end"
    return f"create {name}", f"with {scopes}, {end}"


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
        form = _form(request)
        return _form_page(request, form, link=fill_from(request.GET, form), asked=False)
    form = _form(request, request.POST)
    if form.is_valid():
        try:
            issued = lifecycle.issue(
                owner=request.user,
                wish=_wish(form),
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
                "snippets": snippets_for(issued.token.name, settings.PUBLIC_URL),
            }
            return _answer(request, "shown_once", context)
    return _form_page(request, form, status=422, holder_url=_holder_url(request, form))


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables()
def draft_token(request: HttpRequest) -> HttpResponse:
    """Show the form as filled in so far, with a preset or with the summary brought up to date.

    Nothing is made or changed, so nothing is judged and no fresh proof is needed.
    """
    if request.method != "POST":
        return HttpResponseRedirect(reverse("tokens:create"))
    data = request.POST.copy()
    for field, level in (preset_levels(data.get("preset", "")) or {}).items():
        data[field] = level
    for field in [name for name in data if name.startswith(SHOWN)]:
        # The ends are shown anew, so what an earlier answer showed does not count any more.
        del data[field]
    form = _form(request, data)
    htmx: Any = getattr(request, "htmx", False)
    if htmx and htmx.target == "create-summary":
        assert form.errors is not None  # noqa: S101 - reading errors is what validates a form
        context = {"summary": summary_of(form), "expiry_options": expiry_options(form)}
        response = render(request, "components/create_changes.html", context)
    else:
        response = _form_page(request, form, asked=False)
    # Nothing is minted here, so nothing in the answer is shown once.
    response.compressible = True  # type: ignore[attr-defined]
    return response


def _wish(form: TokenForm) -> lifecycle.Wish:
    wanted = ("name", "description", "scopes", "projects", "expires_at")
    return lifecycle.Wish(**{key: form.cleaned_data[key] for key in wanted})


def _form(request: HttpRequest, data: QueryDict | None = None) -> TokenForm:
    user: Any = request.user
    rules = policy.current_rules()
    return TokenForm(
        data=empty_form_data(rules) if data is None else data,
        rules=rules,
        zone=user.zone,
        now=timezone.now(),
        own_projects=list(Project.objects.owned_by(user.pk).order_by("name_key")),
    )


def stale_form(request: HttpRequest) -> HttpResponse:
    """Show what was typed into a form whose CSRF token is out of date; nothing was changed."""
    notice = "This form was out of date. Nothing was changed. Check it and send it again."
    return _form_page(request, _form(request, request.POST), status=403, stale_notice=notice)


def _holder_url(request: HttpRequest, form: TokenForm) -> str:
    """Return where the token is rotated that holds the name, and note that the name is taken.

    A form with other faults was never tried, and all that is to be mended is said at once.
    """
    name, user = form.cleaned_data.get("name", ""), request.user
    if form.has_error("name", "name_taken"):
        name = form.filled.get("name", "").strip()
    holder = policy.name_holder(user.pk or 0, name, form.now) if name else None
    if holder is None:
        return ""
    if not form.has_error("name"):
        form.refuse(policy.name_taken(name))
    return reverse("tokens:rotate", kwargs={"public_id": holder.public_id})


def _form_page(
    request: HttpRequest,
    form: TokenForm,
    *,
    status: int = 200,
    stale_notice: str = "",
    link: Prefill | None = None,
    asked: bool = True,
    holder_url: str = "",
) -> HttpResponse:
    """Show the form again; ``asked`` says whether the token was asked for, and so its errors shown."""
    errors = sum(len(found) for found in form.errors.values())
    context: dict[str, Any] = {"summary": summary_of(form)}
    form.show_again()
    _keep_request_id(form)
    context |= choices_of(form)
    if not asked:
        form.forgive()
    context |= {
        "form": form,
        "errors_title": _count_title(errors) if asked else "",
        "time_zone": form.zone.key,
        "stale_notice": stale_notice,
        "link": link,
        "holder_url": holder_url,
        # Only where nothing stands above the first field that ought to be read before it.
        "starts_empty": link is not None and not link.came,
    }
    return _answer(request, "create", context, fragment="_create_form", status=status)


def _keep_request_id(form: TokenForm) -> None:
    """Keep a form's id through its corrections, so that it still mints once; mend a broken one."""
    try:
        uuid.UUID(form.filled.get("request_id", ""))
    except ValueError:
        form.filled["request_id"] = str(uuid.uuid4())


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
