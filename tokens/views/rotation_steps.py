"""The steps of a rotation after its replacement was shown: copy, update, confirm; and its cancelling."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from tokens import lifecycle, policy
from tokens.insight.consumers import KEPT
from tokens.insight.moves import Move, Standing, moves, moves_and_arrived
from tokens.models.rotation import ALL_PLACES, Rotation, Step
from tokens.reauth import Purpose, fresh_proof_required
from tokens.requests import browser_origin
from tokens.templatetags.console_ui import relative
from tokens.templatetags.use_words import gap, near_day
from tokens.views.rotation_frame import (
    OVER,
    at_step,
    frame,
    go,
    is_ticked,
    own_rotation,
    step_url,
    ticked_keys,
    url_of,
)
from tokens.views.rotation_stillness import ending
from tokens.views.rotation_watch import confirmation
from tokens.views.snippets import updates_for

CANCELLING = Purpose(
    "Cancelling a rotation needs a fresh check.",
    "Confirm and cancel the rotation",
    lambda request: ("cancel a rotation", ""),
)


@require_safe
def copy_replacement(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask whether the value is stored; it was shown once and is not shown here."""
    found = at_step(request, public_id, Step.COPY)
    if isinstance(found, HttpResponseRedirect):
        return found
    context = {
        **frame(found.old, found, Step.COPY),
        "update_url": url_of("rotate_update", found.old) if found.step > Step.COPY else "",
        "stored_url": reverse("tokens:stored", kwargs={"public_id": found.replacement.public_id}),
    }
    return render(request, "tokens/rotate_copy.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def update_consumer(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show how to put the replacement in its place, and keep the person's notes about the places."""
    found = at_step(request, public_id, Step.UPDATE)
    if isinstance(found, HttpResponseRedirect):
        return found
    known = moves(found.old.pk, found.replacement.pk, timezone.now())
    if request.method == "POST":
        return _note_places(request, found, known)
    ticked = ticked_keys(found)
    context = {
        **frame(found.old, found, Step.UPDATE, places=known, ticked=ticked),
        "places": [_place(move, is_ticked(move, ticked)) for move in known],
        "snippets": updates_for(found.old.name, request.GET.get("for", "")),
        "copy_url": url_of("rotate_copy", found.old),
        "kept_days": KEPT.days,
        "detail_url": reverse("tokens:detail", kwargs={"public_id": found.old.public_id}),
    }
    return render(request, "tokens/rotate_update.html", context)


def _note_places(request: HttpRequest, rotation: Rotation, known: list[Move]) -> HttpResponse:
    """Keep the ticks of the places that were on the page; a place it did not show stays as it is."""
    sent, shown = set(request.POST.getlist("place")), set(request.POST.getlist("shown"))
    ticked = [key for move in known if move.key in sent for key in move.place.keys]
    unticked = [key for move in known if move.key in shown - sent for key in move.place.keys]
    going_on = request.POST.get("go") == "on"
    lifecycle.tick(
        replacement=rotation.replacement,
        ticked=[*ticked, ALL_PLACES] if going_on else ticked,
        unticked=unticked,
        origin=browser_origin(request),
    )
    if getattr(request, "htmx", False):
        return HttpResponse(status=204)
    return go(url_of("rotate_confirm" if going_on else "rotate_update", rotation.old))


def _place(move: Move, ticked: bool) -> dict[str, Any]:
    place = move.place
    calls = f"{place.count:,} request{'s' if place.count != 1 else ''}"
    client = place.client if place.client and place.client != "other" else "An unknown client"
    facts = [client, f"at least {calls}", *([f"calls itself {place.name}"] if place.name else [])]
    job = ""
    if place.job and place.next_day:
        job = f". {place.job}, next ≈ {near_day(place.next_day)}"
    elif place.usual_gap:
        facts.append(f"usual gap {gap(place.usual_gap)}")
    tomorrow = timezone.now() + timedelta(days=1)
    seldom = place.next_day is not None and place.next_day > tomorrow
    return {
        "key": move.key,
        "title": place.title,
        "facts": f"{', '.join(facts)}{job}",
        "last": relative(place.last_at, timezone.now()),
        "seldom": seldom,
        "ticked": ticked,
        "moved": move.standing is Standing.MOVED,
    }


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_works(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show whether the replacement was seen working, or go on without having seen it."""
    found = at_step(request, public_id, Step.CONFIRM)
    if isinstance(found, HttpResponseRedirect):
        return found
    if request.method == "POST":
        lifecycle.skip_check(replacement=found.replacement, origin=browser_origin(request))
        return go(url_of("rotate_revoke", found.old))
    return render(request, "tokens/rotate_confirm.html", confirm_context(found))


def confirm_context(rotation: Rotation) -> dict[str, Any]:
    """Return what step four shows."""
    now = timezone.now()
    known, arrived = moves_and_arrived(rotation.old.pk, rotation.replacement.pk, now)
    ticked, watch = ticked_keys(rotation), confirmation(rotation, known, now)
    return {
        **frame(
            rotation.old,
            rotation,
            Step.CONFIRM,
            places=known,
            ticked=ticked,
            seen_from=arrived,
        ),
        "watch": watch,
        "watch_url": url_of("rotate_watch", rotation.old),
        "update_url": url_of("rotate_update", rotation.old),
        "confirm_url": url_of("rotate_confirm", rotation.old),
        "revoke_url": url_of("rotate_revoke", rotation.old),
    }


@require_safe
def watch_rotation(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Answer a page that watches: with nothing while nothing is new, else with its live part.

    Without htmx this is the *Check again* of the page, which is simply shown once more.
    """
    token, rotation = own_rotation(request, public_id)
    last = request.GET.get("step") == str(int(Step.REVOKE))
    if not getattr(request, "htmx", False):
        return go(url_of("rotate_revoke" if last else "rotate_confirm", token))
    if rotation is None:
        response = HttpResponse(status=204)
        response.headers["HX-Redirect"] = reverse("tokens:rotate", kwargs={"public_id": public_id})
        return response
    now = timezone.now()
    known, arrived = moves_and_arrived(rotation.old.pk, rotation.replacement.pk, now)
    ticked = ticked_keys(rotation) if last else set()
    watch = (
        ending(rotation, known, arrived, ticked, now)
        if last
        else confirmation(rotation, known, now)
    )
    if request.GET.get("seen") == watch.version:
        return HttpResponse(status=204)
    context = {
        "watch": watch,
        "rotation": rotation,
        "watch_url": url_of("rotate_watch", rotation.old),
        "update_url": url_of("rotate_update", rotation.old),
        "confirm_url": url_of("rotate_confirm", rotation.old),
        "revoke_url": url_of("rotate_revoke", rotation.old),
    }
    name = "_rotation_moves" if last else "_rotation_watch"
    return render(request, f"tokens/{name}.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(CANCELLING)
def cancel_rotation(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Ask, then revoke the replacement that nothing used; with ``again`` a new rotation begins."""
    token, rotation = own_rotation(request, public_id)
    if rotation is None:
        return go(url_of("rotate", token))
    again = request.POST.get("again", request.GET.get("again")) == "1"
    sentence = ""
    if request.method == "POST":
        if request.POST.get("replacement") != str(rotation.replacement.public_id):
            messages.warning(request, OVER)
            return go(step_url(rotation))
        try:
            lifecycle.cancel_rotation(
                replacement=rotation.replacement, origin=browser_origin(request)
            )
        except policy.Refused as refused:
            sentence = refused.sentence
        else:
            messages.success(request, f"The rotation of {token.name} was cancelled")
            return go(url_of("rotate_scopes", token) if again else reverse("tokens:list"))
    elif rotation.replacement.first_used_at is not None:
        sentence = "The replacement has been used, so the rotation cannot be cancelled any more."
    context = {
        "token": token,
        "rotation": rotation,
        "again": again,
        "sentence": sentence,
        "cancel_url": url_of("rotate_cancel", token),
        "back_url": step_url(rotation),
    }
    status = 422 if sentence and request.method == "POST" else 200
    return render(request, "tokens/rotate_cancel.html", context, status=status)
