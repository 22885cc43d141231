"""The rules for all tokens: typed, previewed with exact numbers, and only then saved."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime

from django.contrib import messages
from django.db import Error, connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tokens import policy_change
from tokens.admin.pages import page
from tokens.admin.policy_fields import DATE, NOW, PolicyForm, typed
from tokens.admin.rights import admin_origin
from tokens.models import AccessToken, Policy
from tokens.policy import Rules
from tokens.policy_change import Draft, Effect
from tokens.reauth import Purpose, fresh_proof_required

logger = logging.getLogger(__name__)

_NAMED = 50
_HISTORY = 20
_LOOK_FIRST = "Nothing is saved yet. Look at what these rules do, then save them."
_NUMBERS_CHANGED = "The numbers have changed since you looked. Look again, then save."
_BROKEN_OFF = "The database did not answer while it counted. Nothing is saved; preview again."
_OVERTAKEN = "Somebody saved other rules meanwhile. They are in force now; look at them first."
# Where the lines about the counting go in a page that is sent in parts.
_HERE = b"<!-- counted -->"
CHANGING = Purpose(
    "Changing the policy needs a fresh check.",
    "Confirm and go on",
    lambda request: ("change the rules for all tokens", ""),
)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(CHANGING)
def policy_form(request: HttpRequest) -> HttpResponseBase:
    """Show the rules in force; preview what was typed; save what was previewed."""
    now = timezone.now()
    version, held = policy_change.current()
    if request.method != "POST":
        return _page(request, PolicyForm(initial=typed(held, now)), version)
    form = PolicyForm(request.POST)
    if not form.is_valid():
        form.show_again()
        return _page(request, form, _version(request), status=422)
    draft = form.draft(held, now)
    if "save" not in request.POST:
        if policy_change.takes_long():
            return _while_counting(request, form, version, draft, now)
        return _page(request, form, version, draft, policy_change.effect(*_asked(draft, now)))
    return _save(request, form, version, draft, now)


def _save(
    request: HttpRequest, form: PolicyForm, version: int, draft: Draft, now: datetime
) -> HttpResponse:
    """Save what was looked at, if it still does what it did then."""
    effect = policy_change.effect(*_asked(draft, now))
    seen = request.POST.get("seen", "")
    if seen != mark(draft, effect, now):
        fault = _NUMBERS_CHANGED if seen else _LOOK_FIRST
        return _page(request, form, version, draft, effect, fault=fault, status=422)
    tell = effect.concerned if form.cleaned_data["mail_owners"] else frozenset[int]()
    origin = admin_origin(request)
    try:
        changed = policy_change.save(draft, after=_version(request), origin=origin, tell=tell)
    except policy_change.Overtaken:
        return _page(request, form, version, draft, effect, fault=_OVERTAKEN, status=409)
    messages.success(request, _saved(len(tell)) if changed else "These rules are in force already.")
    return HttpResponseRedirect(reverse("admin:policy"), status=303)


def _saved(told: int) -> str:
    if not told:
        return "Policy saved."
    return f"Policy saved. {'1 owner is' if told == 1 else f'{told} owners are'} told by mail."


def mark(draft: Draft, effect: Effect, now: datetime) -> str:
    """Return what stands for the rules and the numbers that somebody has looked at."""
    # A block that has begun is the same block a minute later.
    begun = draft.blocks_from is not None and draft.blocks_from <= now
    steady = dataclasses.replace(draft, blocks_from=None) if begun else draft
    seen = repr((steady, begun, effect.total.tokens, effect.total.people))
    return hashlib.sha256(seen.encode()).hexdigest()[:32]


def _version(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _asked(draft: Draft, now: datetime) -> tuple[Rules, datetime, datetime, int | None]:
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return draft.rules(), now, today, draft.revoke_unused_after_days


def _while_counting(
    request: HttpRequest, form: PolicyForm, version: int, draft: Draft, now: datetime
) -> StreamingHttpResponse:
    """Answer at once with the head of the page, then with how far the counting is, then the rest.

    Without a script: each line that arrives hides the one before. A proxy must not gather them.
    """
    zone = timezone.get_current_timezone()
    # Drawn before anything is sent, so that a fault of the page is still answered as one.
    head = _split(_page(request, form, version, counting=True))[0]

    def sent() -> Iterator[bytes]:
        yield head
        with timezone.override(zone):
            count = policy_change.Counting(*_asked(draft, now))
            try:
                for part in count:
                    told = render_to_string("admin/counted.html", {"percent": int(part * 100)})
                    yield told.encode()
                rest = _page(request, form, version, draft, count.effect, counting=True)
            except Error:
                logger.exception("The effect of a policy could not be counted.")
                connection.close_if_unusable_or_obsolete()
                rest = _page(request, form, version, fault=_BROKEN_OFF, counting=True)
            yield _split(rest)[1]

    return StreamingHttpResponse(sent(), headers={"X-Accel-Buffering": "no"})


def _split(drawn: HttpResponse) -> list[bytes]:
    return drawn.content.split(_HERE, 1)


def _page(
    request: HttpRequest,
    form: PolicyForm,
    version: int,
    draft: Draft | None = None,
    effect: Effect | None = None,
    *,
    fault: str = "",
    status: int = 200,
    counting: bool = False,
) -> HttpResponse:
    now = timezone.now()
    history = Policy.objects.select_related("created_by").order_by("-id")[:_HISTORY]
    context = {
        "form": form,
        "groups": _groups(form),
        "version": version,
        "effect": effect,
        "seen": mark(draft, effect, now) if draft and effect else "",
        "happens": _happens(form, effect) if effect else "",
        "outside": _outside(draft, now) if draft and effect and effect.total.tokens else [],
        "named": _NAMED,
        "fault": fault,
        "counting": counting,
        # Offered with the tick set, and afterwards as it was left.
        "mail_owners": "seen" not in request.POST
        or not request.POST["seen"]
        or "mail_owners" in request.POST,
        # Where the database broke off nothing is asked of it any more.
        "history": None if fault == _BROKEN_OFF else history,
    }
    return page(request, "policy", "Token policy", context, status)


def _outside(draft: Draft, now: datetime) -> QuerySet[AccessToken]:
    rows = AccessToken.objects.select_related("owner").newest_first()
    return policy_change.outside_to_list(rows, draft.rules(), now)[:_NAMED]


def _happens(form: PolicyForm, effect: Effect) -> str:
    """Return what becomes of the tokens that were counted."""
    if not effect.total.tokens:
        return ""
    when = form.cleaned_data["when"]
    if when == NOW:
        return "As soon as you save, their next request is refused. Nothing is revoked."
    if when == DATE:
        return (
            f"They keep working until {form.cleaned_data['day']:%-d %b %Y}; then they are refused."
        )
    return "Nothing stops by itself: they keep working until their owners rotate or revoke them."


def _groups(form: PolicyForm) -> list[tuple[str, list[object]]]:
    parts = (
        (
            "Lifetime",
            ("max_lifetime_days", "max_write_lifetime_days", "default_lifetime_days"),
            ("no_expiration_allowed",),
        ),
        (
            "Limits",
            ("allowed_scopes", "max_live_tokens", "revoke_unused_after_days", "allowed_networks"),
            ("new_tokens_allowed",),
        ),
        ("What is out of policy", ("when", "day"), ()),
    )
    return [(title, [form[name] for name in (*most, *ticks)]) for title, most, ticks in parts]
