"""Stopping tokens: one question that says what each would break, a reason, and the end."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tokens import insight, lifecycle
from tokens.admin.pages import page
from tokens.admin.rights import admin_origin
from tokens.forms import RevokeForm
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import is_ended
from tokens.origin import Origin
from tokens.reauth import Purpose, fresh_proof_required

_LIST = "admin:tokens_accesstoken_changelist"
_AT_MOST = 100
_CHOOSE = "Choose why the tokens end."
REVOKING = Purpose(
    "Revoking other people's tokens needs a fresh check.",
    "Confirm and revoke",
    lambda request: ("revoke tokens of other people", ""),
)


class StopForm(RevokeForm):
    """Why the tokens end, in the owners' words and in ours."""

    kind = forms.ChoiceField(
        choices=[
            (RevokeKind.ADMIN, "An administrator decided it"),
            (RevokeKind.LEAKED, "The value leaked"),
        ],
        initial=RevokeKind.ADMIN,
        error_messages={"required": _CHOOSE, "invalid_choice": _CHOOSE},
    )
    not_ticked = "Tick this to stop what is in use, or keep the tokens."


@dataclass(frozen=True, slots=True)
class Doomed:
    """A token that would end, and who would notice."""

    token: AccessToken
    breakage: insight.Breakage


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING)
def revoke_tokens(request: HttpRequest) -> HttpResponse:
    """Ask, then end the chosen tokens together; what has ended already is left as it is."""
    sent = request.POST if request.method == "POST" else request.GET
    doomed = doomed_of(_chosen(sent), timezone.now())
    if not doomed:
        messages.info(request, "None of these tokens is left to revoke.")
        return HttpResponseRedirect(reverse(_LIST), status=303)
    if request.method != "POST":
        leaked = RevokeKind.LEAKED if sent.get("leaked") else RevokeKind.ADMIN
        return _question(request, doomed, StopForm(initial={"kind": leaked}))
    stops = any(each.breakage.breaks_somebody for each in doomed)
    form = StopForm(sent, stops_somebody=stops)
    if not form.is_valid():
        form.show_again()
        return _question(request, doomed, form, status=422)
    kind = RevokeKind(form.cleaned_data["kind"])
    ended = end(doomed, admin_origin(request), kind, form.cleaned_data["reason"])
    many = "1 token revoked." if ended == 1 else f"{ended} tokens revoked."
    messages.success(request, f"{many} The owners are told by mail.")
    return HttpResponseRedirect(reverse(_LIST), status=303)


def doomed_of(tokens: list[AccessToken], now: datetime) -> list[Doomed]:
    """Return those that have not ended, what is in use first; the tokens need ``owner`` loaded."""
    alive = [token for token in tokens if not is_ended(token.liveness(), now)]
    found = insight.who_breaks_each([token.pk for token in alive], now)
    lines = [Doomed(token, found[token.pk]) for token in alive]
    return sorted(lines, key=lambda line: (not line.breakage.breaks_somebody, line.token.pk))


def end(doomed: list[Doomed], origin: Origin, kind: RevokeKind, reason: str) -> int:
    """End all of them or none, and return how many this call ended.

    In one order for everybody, so that two requests cannot block each other.
    """
    with transaction.atomic():
        ended = [
            lifecycle.revoke(token=each.token, origin=origin, kind=kind, reason=reason)
            for each in sorted(doomed, key=lambda line: line.token.pk)
        ]
    return sum(ended)


def _chosen(sent: QueryDict) -> list[AccessToken]:
    ids = set()
    for text in sent.getlist("id")[:_AT_MOST]:
        try:
            ids.add(uuid.UUID(text))
        except ValueError:
            continue
    return list(AccessToken.objects.filter(public_id__in=ids).select_related("owner"))


def _question(
    request: HttpRequest, doomed: list[Doomed], form: StopForm, status: int = 200
) -> HttpResponse:
    busy = sum(line.breakage.breaks_somebody for line in doomed)
    many = "1 token" if len(doomed) == 1 else f"{len(doomed)} tokens"
    context = {"doomed": doomed, "form": form, "busy": busy, "many": many}
    return page(request, "revoke", f"Revoke {many}?", context, status)
