"""Revoking every token at once: for the day on which somebody else knew the password."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tokens import device_flow, insight, lifecycle
from tokens.models import AccessToken
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import relative

LISTED = 50
TICK = "Tick the box to say that this may stop what is in use."

REVOKING_ALL = Purpose(
    "Revoking all tokens needs a fresh check.",
    "Confirm and revoke all tokens",
    lambda request: ("revoke all your tokens", ""),
)


class Loss(NamedTuple):
    """What one token's end breaks, as far as its use tells."""

    name: str
    masked: str
    verdict: str
    note: str
    places: tuple[str, ...]

    @property
    def breaks(self) -> bool:
        """Whether somebody is expected to be refused."""
        return bool(self.places)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING_ALL)
def revoke_all(request: HttpRequest) -> HttpResponse:
    """Ask, then end every token that lives. Repeating it ends what is left, which may be nothing."""
    now = timezone.now()
    alive = AccessToken.objects.owned_by(request.user).live(now)
    mine = list(alive.select_related("owner", "activity").newest_first())
    found = insight.who_breaks_each([token.pk for token in mine], now)
    losses = [_loss_of(token, found[token.pk], now) for token in mine]
    losses.sort(key=lambda loss: not loss.breaks)
    if request.method != "POST":
        return _question(request, losses, now)
    if any(loss.breaks for loss in losses) and "sure" not in request.POST:
        return _question(request, losses, now, error=TICK, status=422)
    origin = browser_origin(request)
    # First what would become a token later. One that a terminal has just fetched is among those that
    # are read again now.
    user: Any = request.user
    withdrawn = device_flow.withdraw(user_id=user.pk, origin=origin)
    # One transaction each: what could be ended stays ended, and a repeat goes on from there.
    ended = sum(lifecycle.revoke(token=token, origin=origin) for token in alive.order_by("pk"))
    messages.success(request, _told(ended, withdrawn))
    return HttpResponseRedirect(reverse("tokens:list"), status=303)


def _question(
    request: HttpRequest, losses: list[Loss], now: datetime, *, error: str = "", status: int = 200
) -> HttpResponse:
    used = [loss for loss in losses if loss.breaks]
    user: Any = request.user
    promised = 0 if losses else device_flow.promised(user_id=user.pk, now=now)
    context: dict[str, Any] = {
        "title": _title(len(losses), promised),
        "promised": _sign_ins(promised) if promised else "",
        "losses": losses[:LISTED],
        "more": len(losses) - LISTED if len(losses) > LISTED else 0,
        "sentence": _sentence(len(used), len(losses)),
        "stop": _stop([place for loss in used for place in loss.places]),
        "submit_label": f"Revoke {_tokens(len(losses))}" if losses else "Take back approval",
        "error": error,
    }
    name = "_revoke_all" if getattr(request, "htmx", False) else "revoke_all"
    return render(request, f"tokens/{name}.html", context, status=status)


def _loss_of(token: AccessToken, breakage: insight.Breakage, now: datetime) -> Loss:
    last_at = breakage.last_at
    note = f"Last used {relative(last_at, now)}" if last_at else "It has never been used"
    return Loss(token.name, token.masked, breakage.headline, note, breakage.breaking)


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"


def _sign_ins(number: int) -> str:
    return "1 approved sign-in" if number == 1 else f"{number} approved sign-ins"


def _title(number: int, promised: int) -> str:
    if not number:
        return f"Take back {_sign_ins(promised)}?" if promised else "No token is left to revoke"
    return f"Revoke {'your only token' if number == 1 else f'all {number} tokens'}?"


def _sentence(used: int, number: int) -> str:
    if not used:
        return "Nobody we know of breaks. This cannot be undone."
    which = (
        "It is in use." if number == 1 else f"{used} of them {'is' if used == 1 else 'are'} in use."
    )
    whose = "Its" if used == 1 else "Their"
    return f"{which} {whose} next request gets 401, and the CLI says “Not authenticated”."


def _stop(places: list[str]) -> str:
    """Return what the tick says yes to; empty when nothing is in use."""
    if not places:
        return ""
    words = insight.in_words(dict.fromkeys(places))
    return f"Stop {words} now. This cannot be undone."


def _told(ended: int, withdrawn: int) -> str:
    if ended:
        return f"{_tokens(ended)} revoked"
    return f"{_sign_ins(withdrawn)} taken back" if withdrawn else "Nothing was left to revoke"
