"""Revoking several tokens at once: one question that says what each would break, and the end."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from tokens import insight, lifecycle
from tokens.forms import RevokeManyForm
from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.models.rotation import Rotation, rotations_of
from tokens.models.standing import with_rotation
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import relative
from tokens.templatetags.use_words import rhythm
from tokens.views.leaving import leave

# The button that leaves alone what is in use.
ONLY_IDLE = "idle"

REVOKING_MANY = Purpose(
    "Revoking tokens needs a fresh check.",
    "Confirm and revoke tokens",
    lambda request: ("revoke several tokens", ""),
)


@dataclass(frozen=True, slots=True)
class Line:
    """What revoking one of the tokens would break, as far as its use tells."""

    token: AccessToken
    breakage: insight.Breakage
    note: str

    @property
    def in_use(self) -> bool:
        """Whether somebody is expected to be refused."""
        return self.breakage.breaks_somebody


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
    mine = with_rotation(AccessToken.objects.owned_by(user), now)
    mine = mine.select_related("owner", "activity")
    chosen = list(mine.filter(public_id__in=_ids(sent)))
    if not chosen:
        raise Http404
    alive = [token for token in chosen if not is_ended(token.liveness(), now)]
    found = insight.who_breaks_each([token.pk for token in alive], now)
    lines = [_line(token, found[token.pk], now) for token in alive]
    return sorted(lines, key=lambda line: (not line.in_use, -_last_use(line), line.token.pk))


def _ids(sent: QueryDict) -> set[uuid.UUID]:
    found = set()
    for text in sent.getlist("id"):
        try:
            found.add(uuid.UUID(text))
        except ValueError:
            continue
    return found


def _last_use(line: Line) -> float:
    return line.breakage.last_at.timestamp() if line.breakage.last_at else 0.0


def _line(token: AccessToken, breakage: insight.Breakage, now: datetime) -> Line:
    if breakage.last_at is None:
        return Line(token, breakage, "It has never been used")
    # Nobody uses a token while it is paused; who is refused meanwhile still holds it.
    since = token.paused_at
    called = "refused" if since and breakage.last_at >= since else "used"
    note = f"Last {called} {relative(breakage.last_at, now)}"
    regular = [place for place in breakage.places if place.expected and place.usual_gap]
    # Of several, the one that was silent longest is the easiest to forget.
    job = min(regular, key=lambda place: place.last_at, default=None)
    words = rhythm(job) if job else ""
    return Line(token, breakage, f"{note}. {words}" if words else note)


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


def _question(
    request: HttpRequest, lines: list[Line], form: RevokeManyForm, status: int = 200
) -> HttpResponse:
    busy = [line for line in lines if line.in_use]
    context = {
        "lines": lines,
        "staying": _staying(lines),
        "form": form,
        "tokens": _tokens(len(lines)),
        "busy": len(busy),
        "idle": len(lines) - len(busy),
        "in_use": _in_use(len(busy), len(lines)) if busy else "",
        "stopped": _stopped(busy),
        "url": request.path,
    }
    return _answer(request, context, status)


def _staying(lines: list[Line]) -> list[Rotation]:
    """Return the open rotations of these tokens, whose replacements go on without them."""
    ids = [line.token.pk for line in lines]
    rotating = [line.token.pk for line in lines if getattr(line.token, "rotating", False)]
    found = rotations_of(rotating, timezone.now()).values() if rotating else ()
    return [rotation for rotation in found if rotation.replacement.pk not in ids]


def _in_use(busy: int, number: int) -> str:
    """Return the sentence that says how many are in use; the page goes on with what that means."""
    if number == 1:
        return "It is in use. Its"
    if busy == number:
        return "All of them are in use. Their"
    return f"{busy} of them {'is in use. Its' if busy == 1 else 'are in use. Their'}"


def _stopped(busy: list[Line]) -> str:
    """Return the places that would stop, each once and at most three by name."""
    return insight.in_words(dict.fromkeys(name for line in busy for name in line.breakage.breaking))


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
