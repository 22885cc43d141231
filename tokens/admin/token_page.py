"""One token as staff see it: its facts, its use, who would break, and what happened to it."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from tokens import insight
from tokens.admin.events import named
from tokens.admin.identifying import standing
from tokens.admin.pages import page
from tokens.admin.rights import EVENTS, REVOKE, TOKENS
from tokens.models import AccessToken, TokenEvent
from tokens.models.liveness import is_ended
from tokens.models.standing import with_rotation

_EVENTS = 50


def token_page(request: HttpRequest, object_id: str) -> HttpResponse:
    """Show one token, whoever owns it."""
    if not request.user.has_perm(TOKENS):
        raise PermissionDenied
    now = timezone.now()
    # No bigint has more digits, and SQLite fails on what does not fit into one.
    if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
        raise Http404
    rows = with_rotation(AccessToken.objects.all(), now)
    rows = rows.select_related("owner", "activity", "revoked_by")
    token = rows.filter(pk=int(object_id)).first()
    if token is None:
        raise Http404
    events = TokenEvent.objects.filter(token_public_id=token.public_id).order_by("-id")
    ended = is_ended(token.liveness(), now)
    context = {
        "token": token,
        "status": standing(token),
        "ended": ended,
        "breakage": None if ended else insight.who_breaks(token.pk, now),
        "seen": insight.seen(token, now),
        "may_revoke": request.user.has_perm(REVOKE) and not ended,
        "may_read_events": request.user.has_perm(EVENTS),
        "events": named(list(events[:_EVENTS])) if request.user.has_perm(EVENTS) else [],
        "projects": list(token.projects.all()) if token.projects_limited else None,
    }
    return page(request, "token", token.name, context)
