"""Revoking several tokens at once: one question that says what each would break, and the end."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from tokens import lifecycle
from tokens.forms import RevokeManyForm
from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import relative
from tokens.views.leaving import leave

# Who called within a day will most likely call again.
IN_USE = timedelta(hours=24)
NAMED_PLACES = 3
# The button that leaves alone what is in use.
ONLY_IDLE = "idle"

REVOKING_MANY = Purpose(
    "Revoking tokens needs a fresh check.",
    "Confirm and revoke tokens",
    lambda request: "revoke several tokens",
)


@dataclass(frozen=True, slots=True)
class Line:
    """What revoking one of the tokens would break, as far as its use tells."""

    token: AccessToken
    in_use: bool
    verdict: str
    used: str
    place: str


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING_MANY)
def revoke_tokens(request: HttpRequest) -> HttpResponse:
    """Ask, then end the chosen tokens together. What is not one's own or has ended is left out."""
    now = timezone.now()
    sent = request.POST if request.method == "POST" else request.GET
    lines = _lines(request.user, sent, now)
    if not lines:
        return _nothing_left(request)
    if request.method != "POST":
        return _question(request, lines, RevokeManyForm())
    only_idle = sent.get("only") == ONLY_IDLE
    doomed = [line for line in lines if not (only_idle and line.in_use)]
    form = RevokeManyForm(sent, stops_somebody=any(line.in_use for line in doomed))
    if not form.is_valid() or not doomed:
        form.show_again()
        return _question(request, lines, form, status=422)
    number = _revoke(request, doomed, form.cleaned_data["reason"])
    return leave(request, f"{_tokens(number)} revoked")


def _revoke(request: HttpRequest, doomed: list[Line], reason: str) -> int:
    """End all of them or none; in one order for everybody, so that two requests cannot block."""
    origin = browser_origin(request)
    with transaction.atomic():
        ended = [
            lifecycle.revoke(token=line.token, origin=origin, reason=reason)
            for line in sorted(doomed, key=lambda line: line.token.pk)
        ]
    return sum(ended)


def _lines(user: object, sent: QueryDict, now: datetime) -> list[Line]:
    """Return the chosen tokens that live, what is in use first. Raises 404 when none is one's own."""
    mine = AccessToken.objects.owned_by(user).select_related("owner", "activity")
    chosen = list(mine.filter(public_id__in=_ids(sent)))
    if not chosen:
        raise Http404
    lines = [_line(token, now) for token in chosen if not is_ended(token.liveness(), now)]
    return sorted(lines, key=lambda line: (-_last_use(line.token), line.token.pk))


def _ids(sent: QueryDict) -> set[uuid.UUID]:
    found = set()
    for text in sent.getlist("id"):
        try:
            found.add(uuid.UUID(text))
        except ValueError:
            continue
    return found


def _last_use(token: AccessToken) -> float:
    activity = getattr(token, "activity", None)
    return activity.last_used_at.timestamp() if activity else 0.0


def _line(token: AccessToken, now: datetime) -> Line:
    activity = getattr(token, "activity", None)
    if activity is None:
        return Line(token, False, "Breaks nobody", "It has never been used", "")
    used = relative(activity.last_used_at, now)
    if now - activity.last_used_at >= IN_USE:
        return Line(token, False, "Breaks nobody we know of", f"Last used {used}", "")
    place = activity.address or f"what uses {token.name}"
    return Line(token, True, f"Breaks {place}", f"Last used {used}", place)


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


def _question(
    request: HttpRequest, lines: list[Line], form: RevokeManyForm, status: int = 200
) -> HttpResponse:
    busy = [line for line in lines if line.in_use]
    context = {
        "lines": lines,
        "form": form,
        "tokens": _tokens(len(lines)),
        "busy": len(busy),
        "idle": len(lines) - len(busy),
        "in_use": _in_use(len(busy), len(lines)) if busy else "",
        "stop_label": f"Stop {_places(busy)} now. This cannot be undone.",
        "url": request.path,
    }
    return _answer(request, context, status)


def _in_use(busy: int, number: int) -> str:
    """Return the sentence that says how many are in use; the page goes on with what that means."""
    if number == 1:
        return "It is in use. Its"
    if busy == number:
        return "All of them are in use. Their"
    return f"{busy} of them {'is in use. Its' if busy == 1 else 'are in use. Their'}"


def _places(busy: list[Line]) -> str:
    """Return the places that would stop, each once and at most three by name."""
    places = list(dict.fromkeys(line.place for line in busy))
    named, more = places[:NAMED_PLACES], len(places) - NAMED_PLACES
    if more > 0:
        return f"{', '.join(named)} and {more} more"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _nothing_left(request: HttpRequest) -> HttpResponse:
    """Say that the tokens have ended, as a repeated request finds them."""
    if request.method == "POST":
        return leave(request, "These tokens have ended already")
    return _answer(request, {"lines": []}, 200)


def _answer(request: HttpRequest, context: dict[str, Any], status: int) -> HttpResponse:
    htmx = getattr(request, "htmx", False)
    name = "_revoke_many_form" if htmx else "revoke_many"
    response = render(request, f"tokens/{name}.html", context, status=status)
    if htmx:
        trigger_client_event(response, "dialog-open", after="swap")
    return response
