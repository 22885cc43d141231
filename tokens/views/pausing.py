"""Pausing a token and resuming it: the two questions, and what is said afterwards."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from tokens import insight, lifecycle, usage
from tokens.forms import PAUSE_LENGTHS, UNTIL_RESUMED, PauseForm, pause_end
from tokens.models import AccessToken
from tokens.models.liveness import is_ended, is_paused
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.views.detail import own_token
from tokens.views.knocks import places_that_knocked
from tokens.views.leaving import back_url, form_url, leave
from tokens.views.rows import clock_words, row_of

RESUMING = Purpose(
    "Resuming a token needs a fresh check.",
    "Confirm and resume token",
    lambda request: ("resume a token", ""),
)
SHORTENING = Purpose(
    "Ending a pause sooner needs a fresh check.",
    "Confirm and change pause",
    lambda request: ("end a pause sooner", ""),
)


@dataclass(frozen=True, slots=True)
class Length:
    """One offered length of a pause, with the time at which it would end."""

    value: str
    title: str
    note: str
    checked: bool


@require_http_methods(["GET", "HEAD", "POST"])
def pause_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """Ask for how long, then switch the token off. Doing it again moves the end.

    No fresh proof is asked for: a pause takes power away, ends by itself and can be taken back, and
    whoever fears a leak should not have to look for a password first. An end that is sooner than the
    one before is another matter: it resumes the token, only later.
    """
    token = own_token(request, public_id)
    if request.method != "POST":
        return _ask_how_long(request, token, PauseForm())
    now = browser_origin(request).at
    form = PauseForm(request.POST)
    if not form.is_valid():
        form.show_again()
        return _ask_how_long(request, token, form, status=422)
    if _is_off(token, now) and _is_sooner(form.until(now), token.paused_until):
        return _end_sooner(request, token=token, form=form)
    return _pause(request, token, form, may_shorten=False)


@fresh_proof_required(SHORTENING)
def _end_sooner(request: HttpRequest, token: AccessToken, form: PauseForm) -> HttpResponseBase:
    return _pause(request, token, form, may_shorten=True)


def _pause(
    request: HttpRequest, token: AccessToken, form: PauseForm, *, may_shorten: bool
) -> HttpResponse:
    """Switch the token off and say until when it is, which may be what another tab asked for."""
    origin = browser_origin(request)
    until = form.until(origin.at)
    lifecycle.pause(token=token, until=until, origin=origin, may_shorten=may_shorten)
    token = own_token(request, token.public_id)
    if _is_off(token, origin.at):
        sentence = f"{token.name} paused {_until(token, origin.at)}"
        return leave(request, sentence, back_url(request, token))
    form.add_error(None, "It was resumed in another tab at the same moment. Choose again.")
    form.show_again()
    return _ask_how_long(request, token, form, status=422)


def _is_sooner(end: datetime | None, before: datetime | None) -> bool:
    return end is not None and (before is None or end < before)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(RESUMING)
def resume_token(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask, then let the token work again. Repeating the answer changes nothing."""
    token = own_token(request, public_id)
    origin = browser_origin(request)
    if request.method != "POST" or is_ended(token.liveness(), origin.at):
        return _ask_to_resume(request, token)
    since = token.paused_at
    if not lifecycle.resume(token=token, origin=origin):
        return leave(request, f"{token.name} is not paused", back_url(request, token))
    knocked = usage.during_pause(token.pk, since) if since else None
    sentence = f"{token.name} resumed"
    if knocked and knocked.times:
        sentence += f". {places_that_knocked(knocked)}"
    return leave(request, sentence, back_url(request, token))


def _ask_how_long(
    request: HttpRequest, token: AccessToken, form: PauseForm, status: int = 200
) -> HttpResponse:
    now = timezone.now()
    off = _is_off(token, now)
    breakage = insight.who_breaks(token.pk, now)
    context = {
        "form": form,
        "lengths": _lengths(form, now),
        "paused_words": _until(token, now) if off else "",
        "has_end": token.expires_at is not None,
        "breakage": breakage,
        "consequence": _consequence(breakage),
        "already_ended": _ended_sentence(token, now, "pause"),
    }
    return _panel(request, token, "pause", context, status)


def _ask_to_resume(request: HttpRequest, token: AccessToken) -> HttpResponse:
    now = timezone.now()
    off = _is_off(token, now)
    knocked = usage.during_pause(token.pk, token.paused_at) if off and token.paused_at else None
    context = {
        "paused_words": _until(token, now) if off else "",
        "knocked": places_that_knocked(knocked) if knocked and knocked.times else "",
        "already_ended": _ended_sentence(token, now, "resume"),
    }
    ended = bool(context["already_ended"])
    return _panel(
        request, token, "resume", context, 422 if ended and request.method == "POST" else 200
    )


def _panel(
    request: HttpRequest, token: AccessToken, name: str, context: dict[str, Any], status: int
) -> HttpResponse:
    """Answer with the question: a page of its own, or the dialog over another one."""
    htmx: Any = getattr(request, "htmx", False)
    context |= {
        "token": row_of(token, timezone.now()),
        "url": form_url(request),
        "back_url": back_url(request, token),
    }
    template = f"tokens/_{name}_form.html" if htmx else f"tokens/{name}.html"
    response = render(request, template, context, status=status)
    if htmx:
        trigger_client_event(response, "dialog-open", after="swap")
    return response


def _consequence(breakage: insight.Breakage) -> str:
    if not breakage.breaks_somebody:
        return "Requests are refused until it resumes; nothing else changes."
    whose = "Its" if len(breakage.breaking) == 1 else "Their"
    return f"{whose} requests are refused until it resumes; nothing else changes."


def _lengths(form: PauseForm, now: datetime) -> list[Length]:
    chosen = form["length"].value()
    return [
        Length(value, _title(value), _end_words(value, now), value == chosen)
        for value in PAUSE_LENGTHS
    ]


def _title(length: str) -> str:
    return "Until resumed" if length == UNTIL_RESUMED else f"{length} minutes"


def _end_words(length: str, now: datetime) -> str:
    end = pause_end(length, now)
    return f"Until {clock_words(end, now)}" if end else "Stays off until you act"


def _until(token: AccessToken, now: datetime) -> str:
    if token.paused_until is None:
        return "until you resume it"
    return f"until {clock_words(token.paused_until, now)}"


def _is_off(token: AccessToken, now: datetime) -> bool:
    facts = token.liveness()
    return is_paused(facts, now) and not is_ended(facts, now)


def _ended_sentence(token: AccessToken, now: datetime, verb: str) -> str:
    if not is_ended(token.liveness(), now):
        return ""
    return f"{token.name} has ended already. Nothing is left to {verb}."
