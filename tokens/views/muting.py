"""What a token's page is not to bring up again: expected refusals, and scopes kept without use."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import reswap, retarget, trigger_client_event

from tokens import usage
from tokens.forms import MuteForm
from tokens.models import AccessToken
from tokens.views.detail import detail_url, own_token, show_detail, stands_on_detail


@require_POST
def mute_scope(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Mute one scope's refused calls or hear of them again; a repeat changes nothing.

    No fresh proof is asked for: this changes nothing that the token can do, and can be taken back.
    """
    token = own_token(request, public_id)
    form = MuteForm(request.POST)
    if not form.is_valid():
        problem = next(iter(form.errors.values()))[0]
        return show_detail(request, token, focus="refused", problem=str(problem), status=422)
    scope = form.cleaned_data["scope"]
    if form.cleaned_data["action"] == MuteForm.MUTE:
        usage.mute(token_id=token.pk, scope=scope, at=timezone.now())
        sentence = f"{_calls(scope)} muted"
    else:
        usage.unmute(token_id=token.pk, scopes=[scope])
        sentence = f"{_calls(scope)} shown again"
    return _answer(request, token, "refused", sentence)


@require_POST
def keep_scopes(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Keep scopes that nothing uses, and say so again in sixty days; a repeat begins them anew.

    Nothing about the token changes, so no fresh proof is asked for.
    """
    token = own_token(request, public_id)
    names = [name for name in token.scope_names if name in request.POST.getlist("scope")]
    if not names:
        raise BadRequest("The token holds none of these scopes.")
    usage.keep(token_id=token.pk, scopes=names, at=timezone.now())
    sentence = f"{' and '.join(names)} kept for now"
    return _answer(request, token, "access", sentence)


def _answer(request: HttpRequest, token: AccessToken, part: str, sentence: str) -> HttpResponse:
    """Go on at one part of the token's page, and say what was done."""
    if not stands_on_detail(request, token):
        messages.success(request, sentence)
        return HttpResponseRedirect(f"{detail_url(token)}#{part}", status=303)
    response = show_detail(request, token, focus=part)
    trigger_client_event(response, "toast", {"value": sentence})
    return reswap(retarget(response, "#_detail"), "outerHTML")


def _calls(scope: str) -> str:
    if scope == usage.ENDED:
        return "Tries of this token"
    return f"Calls refused for {scope}" if scope else "Refused calls without a scope"
