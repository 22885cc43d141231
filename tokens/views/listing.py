"""Settings → Tokens: the list of one's tokens, newest first."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from tokens import policy
from tokens.models import AccessToken
from tokens.models.token import AccessTokenQuerySet
from tokens.views.rows import row_of

PAGE_SIZE = 50


@require_safe
def token_list(request: HttpRequest) -> HttpResponse:
    """Show the tokens of the signed-in person; htmx gets the list alone."""
    name = "_token_list" if getattr(request, "htmx", False) else "list"
    return render(request, f"tokens/{name}.html", list_context(request))


def list_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the list's templates show."""
    now = timezone.now()
    user: Any = request.user
    mine = AccessToken.objects.owned_by(user)
    cursor = request.GET.get("before", "")
    page = list(
        _before(mine, cursor).select_related("owner", "activity").newest_first()[: PAGE_SIZE + 1]
    )
    here = reverse("tokens:list")
    allowed = policy.current_rules().new_tokens_allowed
    return {
        "rows": [row_of(token, now) for token in page[:PAGE_SIZE]],
        "total": mine.count(),
        "older_url": f"{here}?before={page[PAGE_SIZE - 1].public_id}" if page[PAGE_SIZE:] else "",
        "newest_url": here if cursor else "",
        "time_zone": user.zone.key,
        "can_create": allowed,
        "cannot_create_reason": "" if allowed else "New tokens are switched off for now.",
    }


def _before(mine: AccessTokenQuerySet, cursor: str) -> AccessTokenQuerySet:
    """Narrow to what comes after the cursor's row; an unknown cursor is the beginning.

    The cursor is a row and not a number of rows, so the page stays right while rows come and go.
    """
    try:
        last = mine.filter(public_id=uuid.UUID(cursor)).values("created_at", "id").first()
    except ValueError:
        last = None
    if last is None:
        return mine
    return mine.filter(
        Q(created_at__lt=last["created_at"]) | Q(created_at=last["created_at"], id__lt=last["id"])
    )
