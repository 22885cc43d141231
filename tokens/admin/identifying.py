"""Whose is this value? Asked by POST only; the value is neither logged, kept nor shown again."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from tokens import ratelimit, secret
from tokens.admin.pages import page
from tokens.authentication import find_token
from tokens.models import AccessToken
from tokens.models.standing import with_rotation
from tokens.models.status import Status, status_of

_LAST_FOUR = re.compile(r"[0-9a-f]{4}\Z", re.ASCII)
_TITLE = "Identify a token"
_AT_MOST = 20
_TOO_MANY = "Too many questions. Wait 5 minutes."
_NEITHER = (
    "That is neither a whole value nor its last four. A value begins with sk_pat_ and has 71 "
    "characters; paste all of it, or type its last four."
)


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("value")
@sensitive_variables("typed")
def identify(request: HttpRequest) -> HttpResponse:
    """Look a value up, or what ends with the same four characters."""
    if request.method != "POST":
        return page(request, "identify", _TITLE, {})
    now = timezone.now()
    if not ratelimit.identify(request.user.pk or 0, now=now):
        response = page(request, "identify", _TITLE, {"error": _TOO_MANY}, 429)
        response.headers["Retry-After"] = str(ratelimit.seconds_left(ratelimit.IDENTIFY, now=now))
        return response
    typed = request.POST.get("value", "").strip()
    if _LAST_FOUR.match(typed.lower()):
        found = list(_rows().filter(last4=typed.lower())[: _AT_MOST + 1])
        return _answer(request, found)
    if not secret.is_well_formed(typed):
        return page(request, "identify", _TITLE, {"error": _NEITHER}, 422)
    token = find_token(typed)
    return _answer(request, list(_rows().filter(pk=token.pk)) if token else [], whole=True)


def _rows() -> QuerySet[AccessToken]:
    rows = with_rotation(AccessToken.objects.all(), timezone.now())
    return rows.select_related("owner", "activity").newest_first()


def _answer(request: HttpRequest, found: list[AccessToken], *, whole: bool = False) -> HttpResponse:
    lines = [{"token": token, "status": standing(token)} for token in found[:_AT_MOST]]
    context = {"asked": True, "lines": lines, "whole": whole, "more": len(found) > _AT_MOST}
    return page(request, "identify", _TITLE, context)


def standing(token: Any) -> Status:
    """Return the status of a row that was read with its owner, activity and rotation."""
    activity = getattr(token, "activity", None)
    last_used_at = activity.last_used_at if activity else None
    rotating = bool(getattr(token, "rotating", False))
    return status_of(token.liveness(), last_used_at, timezone.now(), rotating=rotating)
