"""The calendar of planned ends: the feed itself, and its address on the Notifications page."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from tokens.models import CalendarFeed
from tokens.notices import calendar
from tokens.origin import MAX_USER_AGENT, client_label
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.views.calendar_file import calendar_file
from tokens.views.notifications import with_address

MAKING = Purpose(
    "A calendar address needs a fresh check.",
    "Confirm and make the address",
    lambda request: ("make a calendar address", ""),
)
REPLACING = Purpose(
    "Replacing the calendar address needs a fresh check.",
    "Confirm and replace the address",
    lambda request: ("replace your calendar address", ""),
)
NAMING = Purpose(
    "What the calendar shows needs a fresh check.",
    "Confirm and change the calendar",
    lambda request: ("choose what your calendar shows", ""),
)
_GONE = "That address had been replaced or revoked already. Nothing was changed."
# A closed list, as for other clients: what a stranger calls itself is never shown as it came.
_READERS = (
    ("google-calendar", "Google Calendar"),
    ("dataaccessd", "Apple Calendar"),
    ("calendaragent", "Apple Calendar"),
    ("thunderbird", "Thunderbird"),
    ("outlook", "Outlook"),
    ("microsoft.exchange", "Outlook"),
    ("microsoft office", "Outlook"),
    ("icsx5", "ICSx⁵"),
    ("davx5", "DAVx⁵"),
    ("nextcloud", "Nextcloud"),
    ("evolution", "GNOME Evolution"),
    ("korganizer", "KOrganizer"),
)


# --- The feed -------------------------------------------------------------------------------------


@login_not_required
@require_safe
def calendar_feed(request: HttpRequest, value: str) -> HttpResponse:
    """Answer the calendar behind an address, or 404 alike for every address that opens none.

    No session is asked. The answer may be kept by the reader alone and is asked for again each time:
    while nothing has changed, that costs 304.
    """
    feed = calendar.find(value)
    if feed is None:
        raise Http404
    now = timezone.now()
    owner: Any = feed.owner
    ends = calendar.planned_ends(feed.owner_id, now)
    body = calendar_file(ends, zone=owner.zone, with_names=feed.with_names)
    calendar.note_read(feed, reader=_reader(request), at=now)
    full = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    full.headers["Content-Disposition"] = 'inline; filename="skytells-tokens.ics"'
    full.headers["Cache-Control"] = "private, no-cache"
    full.headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    response = get_conditional_response(request, etag=full.headers["ETag"], response=full) or full
    response.may_be_kept = True  # type: ignore[attr-defined]
    return response


def _reader(request: HttpRequest) -> str:
    """Return a word for the program that reads."""
    agent = request.META.get("HTTP_USER_AGENT", "")
    lowered = agent[:MAX_USER_AGENT].lower()
    return next((name for part, name in _READERS if part in lowered), client_label(agent))


# --- Its address ----------------------------------------------------------------------------------


@require_POST
@fresh_proof_required(MAKING)
def make_address(request: HttpRequest) -> HttpResponse:
    """Make an address and show it, once; a repeated form shows nothing and makes nothing."""
    user: Any = request.user
    with_names = request.POST.get("names") == "yes"
    value = calendar.create(owner_id=user.pk, with_names=with_names, origin=browser_origin(request))
    if value is None:
        sentence = "You have a calendar address already. Replace it if you lost it."
        return _back(request, sentence, messages.WARNING)
    return with_address(request, value)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REPLACING)
def replace_address(request: HttpRequest) -> HttpResponse:
    """Ask, then put a new address in the place of the old one and show it, once."""
    user: Any = request.user
    if request.method != "POST":
        return _question(request, "replace_address")
    value = None
    if made_at := _made_at(request):
        value = calendar.replace(owner_id=user.pk, made_at=made_at, origin=browser_origin(request))
    return (
        _back(request, _GONE, messages.WARNING) if value is None else with_address(request, value)
    )


@require_http_methods(["GET", "HEAD", "POST"])
def revoke_address(request: HttpRequest) -> HttpResponse:
    """Ask, then take the address back. No fresh proof is asked for what only takes away."""
    user: Any = request.user
    if request.method != "POST":
        return _question(request, "revoke_address")
    made_at = _made_at(request)
    origin = browser_origin(request)
    if made_at and calendar.revoke(owner_id=user.pk, made_at=made_at, origin=origin):
        return _back(request, "Calendar address revoked")
    return _back(request, _GONE, messages.WARNING)


@require_POST
@fresh_proof_required(NAMING)
def choose_names(request: HttpRequest) -> HttpResponse:
    """Write names into the calendar, or leave them out; the address stays."""
    user: Any = request.user
    wanted = request.POST.get("names") == "yes"
    calendar.choose_names(owner_id=user.pk, with_names=wanted, origin=browser_origin(request))
    if calendar.feed_of(user.pk) is None:
        return _back(request, _GONE, messages.WARNING)
    return _back(request, "The calendar shows names" if wanted else "The calendar leaves names out")


def _made_at(request: HttpRequest) -> datetime | None:
    """Return which address the form is about, or None when it does not say so readably."""
    try:
        found = parse_datetime(request.POST.get("made", "")[:40])
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _question(request: HttpRequest, name: str) -> HttpResponse:
    user: Any = request.user
    feed: CalendarFeed | None = calendar.feed_of(user.pk)
    if feed is None:
        return _back(request, _GONE, messages.WARNING)
    htmx = getattr(request, "htmx", False)
    context = {"feed": feed, "made": feed.created_at.isoformat()}
    template = f"account/_{name}.html" if htmx else f"account/{name}.html"
    response = render(request, template, context)
    if htmx:
        trigger_client_event(response, "dialog-open", after="swap")
    return response


def _back(request: HttpRequest, sentence: str, level: int = messages.SUCCESS) -> HttpResponse:
    messages.add_message(request, level, sentence)
    return HttpResponseRedirect(reverse("notifications"), status=303)
