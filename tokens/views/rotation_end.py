"""The last step of a rotation, in which the old token is revoked or given an end; and what stays."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from tokens import audit, lifecycle, policy, reminders
from tokens.forms import RetireForm
from tokens.forms.rotation import DATE, HOUR_CHOICES, HOURS, NOW
from tokens.insight.days import KNOCK
from tokens.insight.moves import Move, Standing, moves_and_arrived
from tokens.models import AccessToken, RevokeKind, TokenEvent, TokenUse
from tokens.models.liveness import ended_at, is_ended
from tokens.models.rotation import Rotation, Step
from tokens.notices import preferences
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import instant_words, zone_words
from tokens.templatetags.use_words import near_day
from tokens.views.detail import detail_url, ended_by, own_token
from tokens.views.rotation_frame import at_step, frame, go, last_rotation, ticked_keys, url_of
from tokens.views.rotation_stillness import ending
from tokens.views.rotation_watch import names_of
from tokens.views.rows import day_of, time_left

RETIRING = Purpose(
    "Revoking the old token needs a fresh check.",
    "Confirm and go on",
    lambda request: ("revoke the old token of a rotation", ""),
)
_TICK = "Tick this to stop what still uses the old token, or choose a later time."


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(RETIRING)
def revoke_old(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show whether the old token is quiet, then end it now or at a chosen time."""
    found = at_step(request, public_id, Step.REVOKE)
    if isinstance(found, HttpResponseRedirect):
        return found
    known, arrived = moves_and_arrived(found.old.pk, found.replacement.pk, timezone.now())
    if request.method != "POST":
        form = _form(request, found, known, _first(found, known))
        return _page(request, found, known, arrived, form)
    form = _form(request, found, known, request.POST)
    if form.is_valid():
        at: datetime | None = form.cleaned_data["at"]
        try:
            changed = lifecycle.retire(
                replacement=found.replacement, at=at, origin=browser_origin(request)
            )
        except policy.Refused as refused:
            form.refuse(refused)
        else:
            return _done(request, found, at, changed)
    return _page(request, found, known, arrived, form, status=422)


def _done(
    request: HttpRequest, rotation: Rotation, at: datetime | None, changed: bool
) -> HttpResponse:
    if at is None:
        return go(url_of("rotate", rotation.old))
    if changed:
        end = instant_words(at, timezone.get_current_timezone())
        messages.success(request, f"The old token ends {end}")
    return go(url_of("rotate_revoke", rotation.old))


def _form(
    request: HttpRequest, rotation: Rotation, known: list[Move], data: QueryDict
) -> RetireForm:
    user: Any = request.user
    stops = bool(_on_the_old(known)) or rotation.replacement.first_used_at is None
    return RetireForm(data, zone=user.zone, now=timezone.now(), must_stop=_TICK if stops else "")


def _on_the_old(known: list[Move]) -> list[Move]:
    return [move for move in known if move.standing is Standing.ON_THE_OLD]


def _first(rotation: Rotation, known: list[Move]) -> QueryDict:
    """Return what is chosen at the start: now where nobody would notice, else a day from now."""
    data = QueryDict(mutable=True)
    data["hours"] = "24"
    if rotation.old.retire_at is not None:
        data["when"] = DATE
        data["at"] = f"{timezone.localtime(rotation.old.retire_at):%Y-%m-%dT%H:%M}"
    elif _on_the_old(known) or rotation.replacement.first_used_at is None:
        data["when"] = HOURS
    else:
        data["when"] = NOW
    return data


def _page(
    request: HttpRequest,
    rotation: Rotation,
    known: list[Move],
    arrived: int,
    form: RetireForm,
    *,
    status: int = 200,
) -> HttpResponse:
    now, ticked = timezone.now(), ticked_keys(rotation)
    watch = ending(rotation, known, arrived, ticked, now)
    if status == 200:
        form.forgive()
    form.show_again()
    user: Any = request.user
    old = rotation.old
    hours = next((each for each in map(str, HOUR_CHOICES) if each == form["hours"].value()), "24")
    context = {
        **frame(old, rotation, Step.REVOKE, places=known, ticked=ticked, seen_from=arrived),
        "watch": watch,
        "watch_url": url_of("rotate_watch", old),
        "confirm_url": url_of("rotate_confirm", old),
        "revoke_url": url_of("rotate_revoke", old),
        "form": form,
        "when": form["when"].value(),
        "hours": hours,
        "hour_choices": [_hour_choice(hours, now, old.expires_at) for hours in HOUR_CHOICES],
        "breaks": names_of(_on_the_old(known)),
        "must_stop": form.must_stop,
        "scheduled": old.retire_at,
        "expires_at": old.expires_at,
        "time_zone": user.zone.key,
    }
    return render(request, "tokens/rotate_revoke.html", context, status=status)


def _hour_choice(hours: int, now: datetime, limit: datetime | None) -> dict[str, str]:
    """Return one number of hours, with the end it would come to where the token lives as long."""
    words, at = f"{hours} hour{'s' if hours != 1 else ''}", now + timedelta(hours=hours)
    if limit is None or at <= limit:
        words += f", until {instant_words(at, timezone.get_current_timezone())}"
    return {"value": str(hours), "words": words}


@require_safe
def show_finished(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Say how a rotation ended: what no longer works, and what took its place."""
    token = own_token(request, public_id)
    rotation = last_rotation(token)
    now = timezone.now()
    end = ended_at(token.liveness())
    if rotation is None or end is None or end > now:
        return go(url_of("rotate", token))
    new = rotation.replacement
    new_end = ended_at(new.liveness())
    closer = _closer(token, end)
    known, arrived = moves_and_arrived(token.pk, new.pk, now)
    context = {
        **frame(
            token,
            rotation,
            None,
            places=known,
            ticked=ticked_keys(rotation),
            seen_from=arrived,
            closed=f"{closer[0].upper()}{closer[1:]}, {_when(end, now)}",
        ),
        "ended_at": end,
        "ended": closer if token.revoked_at is None else f"Revoked {closer}",
        "reminders": _reminders(request, new, now),
        "overlap": "" if _was_paused(token, new.created_at, end) else _span(new, end),
        "refused": _refused(new),
        "time_left": time_left(new_end, now) if new_end and new_end > now else "",
        "new_ended": new_end is not None and new_end <= now,
        "new_end_day": day_of(new_end),
        "new_url": detail_url(new),
        "old_url": detail_url(token),
        "list_url": reverse("tokens:list"),
    }
    return render(request, "tokens/rotate_finished.html", context)


def _closer(old: AccessToken, end: datetime) -> str:
    """Return what ended the old token; words that follow "Revoked" where somebody revoked it."""
    if old.revoked_at is None:
        return "Ended as planned" if old.retire_at == end else "Expired"
    by_its_owner = old.revoke_kind == RevokeKind.ROTATED and old.revoked_by_id == old.owner_id
    return "by you" if by_its_owner else ended_by(old)


def _when(end: datetime, now: datetime) -> str:
    """Return the hour of an end today, and the day of an earlier one."""
    if timezone.localdate(end) != timezone.localdate(now):
        return day_of(end)
    zone = timezone.get_current_timezone()
    return f"{timezone.localtime(end):%H:%M} {zone_words(end, zone)}"


def _reminders(request: HttpRequest, new: AccessToken, now: datetime) -> str:
    """Return the days on which the replacement's end will be recalled, in words."""
    user: Any = request.user
    if is_ended(new.liveness(), now):
        return ""
    days = [near_day(at) for at in reminders.ahead_of(new, now, preferences.wanted_by(user.pk))]
    return " and ".join([", ".join(days[:-1]), days[-1]] if len(days) > 1 else days)


def _was_paused(old: AccessToken, since: datetime, end: datetime) -> bool:
    """Say whether the old token was paused at any time between the two."""
    if old.paused_at is not None and old.paused_at < end:
        return old.paused_until is None or old.paused_until > since
    # Whoever resumed it took the pause off the row; what happened stays in its events.
    kinds = (audit.Kind.PAUSED, audit.Kind.RESUMED)
    events = TokenEvent.objects.filter(token_public_id=old.public_id, kind__in=kinds)
    return events.filter(at__gt=since, at__lte=end).exists()


def _span(new: AccessToken, end: datetime) -> str:
    """Return how long both tokens worked, in its two largest units."""
    minutes = max(int((end - new.created_at).total_seconds() // 60), 0)
    parts = []
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        number, minutes = divmod(minutes, size)
        if number:
            parts.append(f"{number} {unit}{'s' if number != 1 else ''}")
    return " ".join(parts[:2]) or "less than a minute"


def _refused(new: AccessToken) -> int:
    calls = TokenUse.objects.filter(token=new).exclude(scope__startswith=KNOCK)
    found = calls.aggregate(refused=Sum("refused"))
    return int(found["refused"] or 0)
