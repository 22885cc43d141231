"""One token: its facts, what it may do, what happened to it, and what can be done about it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.http import reselect, retarget, trigger_client_event

from tokens import policy, retention, scopes as catalogue, usage
from tokens.forms import NEVER
from tokens.insight import ScopeUse
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import ended_at, is_ended, is_paused
from tokens.models.rotation import Rotation, rotation_with
from tokens.models.standing import with_rotation
from tokens.models.status import Status
from tokens.templatetags.console_ui import instant_words
from tokens.views import timeline
from tokens.views.knocks import banner_of
from tokens.views.rows import Row, row_of, time_left
from tokens.views.use import use_context

# The controls that bring the page back by htmx, and where the keyboard goes on afterwards.
_FOCUS_AFTER = {
    "cancel-edit": "edit",
    "cancel-scopes": "scopes",
    "events": "activity",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A word under the day arc: what it is, an instant or words, and the instant's accuracy."""

    label: str
    at: datetime | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class HeldScope:
    """One scope as the access table shows it."""

    name: str
    meaning: str


@require_safe
def token_detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show one token of the signed-in person; anybody else's does not exist."""
    htmx: Any = getattr(request, "htmx", False)
    focus = _FOCUS_AFTER.get((htmx.trigger or "").partition("--")[0], "") if htmx else ""
    token = own_token(request, public_id)
    if htmx and htmx.target == "activity":
        events = _events(request, token, usage.knocks_of(token.pk), timezone.now())
        context = {**events, "focus": focus}
        return render(request, "components/detail_activity.html", context)
    if htmx and htmx.trigger == "check-knocks":
        return _look_again(request, token)
    return show_detail(request, token, focus=focus)


def own_token(request: HttpRequest, public_id: uuid.UUID) -> AccessToken:
    """Return the person's token with all that its pages show, or answer that there is nothing."""
    mine = with_rotation(AccessToken.objects.owned_by(request.user), timezone.now())
    return get_object_or_404(mine.select_related("owner", "activity"), public_id=public_id)


def detail_url(token: AccessToken) -> str:
    """Return the address of the token's page."""
    return reverse("tokens:detail", kwargs={"public_id": token.public_id})


def stands_on_detail(request: HttpRequest, token: AccessToken) -> bool:
    """Say whether htmx asks from the token's own page, where a part of it can be replaced."""
    htmx: Any = getattr(request, "htmx", False)
    return bool(htmx) and urlsplit(htmx.current_url or "").path == detail_url(token)


def show_detail(
    request: HttpRequest,
    token: AccessToken,
    *,
    focus: str = "",
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    """Answer with the token's page, or with its content alone for htmx."""
    name = "_detail" if getattr(request, "htmx", False) else "detail"
    context = _context(request, token, focus) | {"problem": problem}
    return render(request, f"tokens/{name}.html", context, status=status)


def _look_again(request: HttpRequest, token: AccessToken) -> HttpResponse:
    """Answer a paused token's open page: with its banner, or with all of it once the pause is over."""
    now = timezone.now()
    if is_paused(token.liveness(), now) and not is_ended(token.liveness(), now):
        knocks = usage.knocks_of(token.pk)
        context = _banner(token, row_of(token, now), knocks, now)
        return render(request, "components/knock_banner.html", context)
    response = show_detail(request, token)
    trigger_client_event(response, "toast", {"value": f"{token.name} is not paused any more"})
    return reselect(retarget(response, "#_detail"), "#_detail")


def _banner(
    token: AccessToken, row: Row, knocks: Mapping[str, usage.Knocks], now: datetime
) -> dict[str, Any]:
    resume_url = reverse("tokens:resume", kwargs={"public_id": token.public_id})
    return {
        "banner": banner_of(token, row, knocks, now),
        "ended_mark": usage.ENDED,
        "here_url": detail_url(token),
        "resume_url": f"{resume_url}?from=detail",
    }


def _context(request: HttpRequest, token: AccessToken, focus: str) -> dict[str, Any]:
    now = timezone.now()
    user: Any = request.user
    rotation = _rotation(token, now)
    replacing = rotation is not None and rotation.replacement.pk == token.pk
    row = row_of(token, now, None if replacing else rotation)
    projects = list(token.projects.order_by("name_key")) if token.projects_limited else []
    wish = _wish(token, projects, user.zone)
    used = use_context(token, row, wish, now)
    knocks = usage.knocks_of(token.pk) if used["use_knocks"] else {}
    return {
        **used,
        "token": token,
        "row": row,
        "rotation": rotation,
        "replacing": replacing,
        "focus": focus,
        "marks": _marks(token, row, now),
        "activity": getattr(token, "activity", None),
        "held": _by_last_use(held_scopes(token), used["scope_uses"]),
        "projects": projects,
        **_events(request, token, knocks, now),
        "edit_url": reverse("tokens:edit", kwargs={"public_id": token.public_id}),
        "scopes_url": reverse("tokens:scopes", kwargs={"public_id": token.public_id}),
        **_banner(token, row, knocks, now),
        "pause_url": f"{reverse('tokens:pause', kwargs={'public_id': token.public_id})}?from=detail",
        "revoke_url": f"{row.revoke_url}?from=detail" if row.revoke_url else "",
        "recreate_url": _recreate_url(token, wish) if row.ended else "",
        "ended_by": ended_by(token),
        "kept_until": _kept_until(token) if row.ended else None,
        "record_kept_days": retention.ENDED_KEPT.days,
        "end_in_utc": _in_utc(token.expires_at, user.zone),
        "time_zone": user.zone.key,
    }


def _events(
    request: HttpRequest, token: AccessToken, knocks: Mapping[str, usage.Knocks], now: datetime
) -> dict[str, Any]:
    """Return a page of what happened to the token, with the ways to the other pages."""
    user: Any = request.user
    cursor = request.GET.get("before", "")
    page = timeline.read(
        token.public_id,
        viewer_id=user.pk,
        cursor=cursor,
        knocks=knocks,
        end=ended_at(token.liveness()),
        now=now,
    )
    here = detail_url(token)
    return {
        "days": page.days,
        "older": page.older,
        "older_url": f"{here}?before={page.older}#activity" if page.older else "",
        "newest_url": f"{here}#activity" if cursor else "",
    }


def _rotation(token: AccessToken, now: datetime) -> Rotation | None:
    """Return the open rotation the token is part of; most tokens are in none, and cost no query."""
    unclosed = token.replaces_id is not None and token.rotation_closed_at is None
    if not unclosed and not getattr(token, "rotating", False):
        return None
    return rotation_with(token.pk, now)


def held_scopes(token: AccessToken) -> list[HeldScope]:
    """Return the token's scopes with what they allow; one that is no longer offered is shown too."""
    return [_held(name) for name in token.scope_names]


def _held(name: str) -> HeldScope:
    scope = catalogue.BY_NAME.get(name)
    return HeldScope(name, scope.meaning if scope else "Not offered any more")


def _by_last_use(held: list[HeldScope], uses: Mapping[str, ScopeUse]) -> list[HeldScope]:
    """Return the scopes with the one used last first, and what was never used at the end."""
    never = datetime.min.replace(tzinfo=UTC)

    def last(scope: HeldScope) -> datetime:
        use = uses.get(scope.name)
        return use.last_at if use and use.last_at else never

    return sorted(held, key=last, reverse=True)


def _marks(token: AccessToken, row: Row, now: datetime) -> list[Mark]:
    """Return the words under the arc: where it rises, where it stands, where it sets."""
    marks = [Mark("Created", token.created_at)]
    end = ended_at(token.liveness())
    if row.status.key == Status.EXPIRED.key:
        return [*marks, Mark("Expired", end)]
    if row.ended:
        planned = Mark("Would have expired", token.expires_at, "Never")
        return [*marks, Mark(row.status.label, end), planned]
    marks.append(Mark("Today", None if end else now, time_left(end, now) if end else ""))
    return [*marks, Mark("Expires", end, "Never")]


def ended_by(token: AccessToken) -> str:
    """Return who ended the token, in words that follow "Revoked"."""
    if token.revoke_kind == RevokeKind.OWNER and token.revoked_by_id == token.owner_id:
        return "by you"
    return str(token.get_revoke_kind_display())


def _kept_until(token: AccessToken) -> datetime | None:
    end = ended_at(token.liveness())
    return end + retention.ENDED_KEPT if end else None


def _in_utc(at: datetime | None, zone: ZoneInfo) -> str:
    """Return the instant in UTC, to stand beside the person's own time where the two differ."""
    if at is None or not at.astimezone(zone).utcoffset():
        return ""
    return instant_words(at, UTC)


def lifetime(token: AccessToken, zone: ZoneInfo) -> str:
    """Return the planned lifetime in days, as the preset where it was one, or "never"."""
    if token.expires_at is None:
        return NEVER
    longest = settings.TOKENS_MAX_LIFETIME
    for days in policy.PRESET_DAYS:
        end = policy.preset_expiry(days, now=token.created_at, zone=zone, longest_allowed=longest)
        if end == token.expires_at:
            return str(days)
    return str(max((token.expires_at - token.created_at).days, 1))


def _recreate_url(token: AccessToken, wish: list[tuple[str, str]] | None) -> str:
    """Return the create page filled in as this token was, or nothing where that would widen it."""
    if wish is None:
        return ""
    return f"{reverse('tokens:create')}?{urlencode([('name', token.name), *wish])}"


def _wish(token: AccessToken, projects: list[Any], zone: ZoneInfo) -> list[tuple[str, str]] | None:
    """Return what a create page is filled in with to make another token like this one.

    A token limited to projects that are all gone may touch none; leaving the limit out of the link
    would offer all of them.
    """
    if token.projects_limited and not projects:
        return None
    wish: list[tuple[str, str]] = []
    if token.description:
        wish.append(("description", token.description))
    wish += [("scopes", name) for name in token.scope_names if name in catalogue.BY_NAME]
    wish += [("projects", project.slug) for project in projects]
    return [*wish, ("expires_in", lifetime(token, zone))]
