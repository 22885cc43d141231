"""What every page of a rotation shows: whose it is, the five steps, and the way to the next one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from tokens.insight.moves import Move
from tokens.models import AccessToken, RotationTick
from tokens.models.liveness import is_paused
from tokens.models.rotation import Rotation, Step, as_rotation, replacements, rotation_of
from tokens.views.detail import own_token
from tokens.views.rows import day_of

_TITLES = {
    Step.SCOPES: "Scopes and expiration",
    Step.COPY: "Copy the replacement",
    Step.UPDATE: "Update the consumer",
    Step.CONFIRM: "Confirm it works",
    Step.REVOKE: "Revoke the old token",
}
ROUTES = {
    Step.SCOPES: "rotate_scopes",
    Step.COPY: "rotate_copy",
    Step.UPDATE: "rotate_update",
    Step.CONFIRM: "rotate_confirm",
    Step.REVOKE: "rotate_revoke",
}
OVER = "That page spoke of a rotation that is over. Nothing was changed."


@dataclass(frozen=True, slots=True)
class RailStep:
    """One of the five steps as the rail shows it: ``done``, ``now`` or ``next``."""

    number: int
    title: str
    note: str
    state: str


def url_of(name: str, token: AccessToken) -> str:
    """Return the address of one of the wizard's pages for an old token."""
    return reverse(f"tokens:{name}", kwargs={"public_id": token.public_id})


def step_url(rotation: Rotation) -> str:
    """Return the page of the step that comes next."""
    return url_of(ROUTES[rotation.step], rotation.old)


def go(url: str) -> HttpResponseRedirect:
    """Lead on with a GET, whatever was asked."""
    return HttpResponseRedirect(url, status=303)


def own_rotation(request: HttpRequest, public_id: uuid.UUID) -> tuple[AccessToken, Rotation | None]:
    """Return the person's token and its open rotation, or answer that there is no such token."""
    token = own_token(request, public_id)
    return token, rotation_of(token.pk, timezone.now())


def at_step(
    request: HttpRequest, public_id: uuid.UUID, step: Step
) -> Rotation | HttpResponseRedirect:
    """Return the rotation where ``step`` has been reached, else the way to where it stands."""
    token, rotation = own_rotation(request, public_id)
    if rotation is None:
        if request.method == "POST":
            messages.warning(request, OVER)
        return go(url_of("rotate", token))
    if request.method == "POST" and request.POST.get("replacement") != _id_of(rotation):
        # Another tab or device has begun anew: what was asked was not asked of this replacement.
        messages.warning(request, OVER)
        return go(step_url(rotation))
    return go(step_url(rotation)) if step > rotation.step else rotation


def last_rotation(token: AccessToken) -> Rotation | None:
    """Return the newest rotation of a token, open or not, that was not cancelled."""
    rows = replacements().filter(replaces=token).exclude(revoke_kind="cancelled")
    row = rows.order_by("-generation", "-pk").first()
    return as_rotation(row) if row else None


def _id_of(rotation: Rotation) -> str:
    return str(rotation.replacement.public_id)


def ticked_keys(rotation: Rotation) -> set[str]:
    """Return the consumers that the person said were updated."""
    ticks = RotationTick.objects.filter(token=rotation.replacement)
    return set(ticks.values_list("consumer_key", flat=True))


def is_ticked(move: Move, ticked: set[str]) -> bool:
    """Say whether the person ticked this place, or one of the networks it was folded from."""
    return not ticked.isdisjoint(move.place.keys)


def frame(
    token: AccessToken,
    rotation: Rotation | None,
    here: Step | None,
    *,
    places: Sequence[Move] = (),
    ticked: set[str] | None = None,
    chosen: str = "",
    seen_from: int = 0,
    closed: str = "",
) -> dict[str, Any]:
    """Return what the head and the rail show; ``here`` is None once all five steps are done.

    ``chosen`` is what the first step would make, ``seen_from`` the number of places that used the
    replacement, and ``closed`` says who ended the old token and when.
    """
    notes = _notes(rotation, places, ticked or set(), chosen, seen_from)
    if here is None:
        notes[Step.REVOKE] = closed
    reached = rotation.step if rotation else Step.SCOPES
    rail = [_rail_step(step, notes[step], _state(step, here, reached)) for step in Step]
    return {
        "token": token,
        "paused": is_paused(token.liveness(), timezone.now()),
        "rotation": rotation,
        "rail": rail,
        "here": here,
        "here_title": _TITLES[here] if here else "",
        "rotate_url": url_of("rotate", token),
        "cancel_url": url_of("rotate_cancel", token),
        "finished": here is None,
    }


def _rail_step(step: Step, note: str, state: str) -> RailStep:
    # A step that was not reached yet has nothing to say.
    return RailStep(step, _TITLES[step], "" if state == "next" else note, state)


def _state(step: Step, here: Step | None, reached: Step) -> str:
    if step == here:
        return "now"
    return "done" if here is None or step < reached else "next"


def _notes(
    rotation: Rotation | None,
    places: Sequence[Move],
    ticked: set[str],
    chosen: str,
    seen_from: int,
) -> dict[Step, str]:
    if rotation is None:
        return {step: chosen if step is Step.SCOPES else "" for step in Step}
    new = rotation.replacement
    number = len(new.scope_names)
    until = f"until {day_of(new.expires_at)}" if new.expires_at else "no expiration"
    return {
        Step.SCOPES: f"{number} scope{'s' if number != 1 else ''}, {until}",
        Step.COPY: "Shown once, copied" if new.stored_at else "Shown once",
        Step.UPDATE: _updated(places, ticked),
        Step.CONFIRM: _confirmed(new, seen_from),
        Step.REVOKE: "Last step",
    }


def _updated(places: Sequence[Move], ticked: set[str]) -> str:
    if not places:
        return ""
    done = sum(is_ticked(move, ticked) for move in places)
    return f"{done} of {len(places)} place{'s' if len(places) != 1 else ''} updated"


def _confirmed(new: AccessToken, seen_from: int) -> str:
    if new.first_used_at is None:
        return "Skipped" if new.skipped_at else "Watch for the first request"
    if seen_from > 1:
        return f"Seen from {seen_from} places"
    activity = getattr(new, "activity", None)
    return f"Seen from {activity.address}" if activity and activity.address else "Seen working"
