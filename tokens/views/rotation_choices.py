"""What the first step offers: the scopes of the old token with their use, and what may be left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from tokens import insight, scopes as catalogue
from tokens.forms import RotationForm
from tokens.models import AccessToken
from tokens.templatetags.console_ui import relative, zone_words
from tokens.views.choices import expiry_options, project_choices, style_of
from tokens.views.detail import lifetime
from tokens.views.rows import access_note, day_of

ALL = "all"
# What whoever finds the token can no longer do, once the scope is left out.
_WITHOUT = {
    "inference": "spend on your account",
    "projects.read": "look at your projects",
    "projects.write": "create or change projects",
    "deployments.read": "read your deployments and their logs",
    "deployments.write": "deploy as you",
    "keys.read": "see which API keys you have",
    "keys.write": "make API keys",
    "account.read": "read your account",
}


@dataclass(frozen=True, slots=True)
class Idle:
    """A scope that went unused, and what leaving it out is good for."""

    name: str
    used: str
    gain: str


def levels_of(names: Iterable[str]) -> dict[str, str]:
    """Return the form's fields that make these scopes."""
    held = set(names)
    return {
        f"level-{resource.key}": catalogue.level_of(resource.key, held)
        for resource in catalogue.RESOURCES
    }


def choices_of(form: RotationForm, token: AccessToken) -> dict[str, Any]:
    """Return everything the first step shows as a choice."""
    now = timezone.now()
    levels: dict[str, str] = form["scopes"].value()
    chosen = _chosen(levels)
    uses = {use.scope: use for use in insight.scope_use(token, now)}
    offered = [name for name in token.scope_names if name in form.rules.allowed_scopes]
    idle = [_idle(uses[name]) for name in offered if uses[name].unused]
    options = expiry_options(form)
    before = lifetime(token, form.zone)
    for option in options:
        if option["value"] == before and option["value"] != "never":
            option["note"] = f"{option['note']}, as before".removeprefix(", ")
    after = tuple(name for name in token.scope_names if name in chosen)
    return {
        "resources": [
            _row(resource, levels[resource.key], offered, uses)
            for resource in catalogue.RESOURCES
            if any(_resource_of(name) == resource.key for name in offered)
        ],
        "idle": [each for each in idle if each.name in chosen],
        "left_out": [name for name in offered if name not in chosen],
        "forbidden": [name for name in token.scope_names if name in uses and name not in offered],
        "before": token.scope_names,
        "before_note": access_note(token.scope_names),
        "after": after,
        "after_note": access_note(after) if after else "No scope yet",
        "chosen": _in_short(len(after), options),
        "projects": project_choices(form),
        "limited": form.held_projects is not None,
        "expiry_options": options,
        "expiry_hint": _own_end(token),
    }


def _own_end(token: AccessToken) -> str:
    if token.expires_at is None:
        return "The old token has no expiration: it lasts until you revoke it."
    return f"The old token keeps its own end, {day_of(token.expires_at)}, until you revoke it."


def _in_short(scopes: int, options: list[dict[str, Any]]) -> str:
    """Return what the replacement would be, in the words of the rail: its scopes and its lifetime."""
    lives = next((option["title"] for option in options if option["checked"]), "")
    words = f"{scopes} scope{'s' if scopes != 1 else ''}"
    return f"{words}, {lives[0].lower()}{lives[1:]}" if lives else words


def _chosen(levels: dict[str, str]) -> set[str]:
    chosen: set[str] = set()
    for resource in catalogue.RESOURCES:
        offered = {level.key: level.scopes for level in catalogue.levels(resource.key)}
        chosen |= offered.get(levels[resource.key], frozenset())
    return chosen


def _resource_of(name: str) -> str:
    return catalogue.BY_NAME[name].resource


def _idle(use: insight.ScopeUse) -> Idle:
    days = f"{use.idle_days} day{'s' if use.idle_days != 1 else ''}"
    used = "never used" if use.last_at is None else "not used"
    return Idle(use.scope, f"was {used} in {days}", _WITHOUT.get(use.scope, "use it"))


def _when(last: datetime) -> str:
    """Return when a scope was last used, with the hour for yesterday."""
    now, zone = timezone.now(), timezone.get_current_timezone()
    yesterday = timezone.localdate(now) - timedelta(days=1)
    if now - last < timedelta(days=1) or timezone.localdate(last) != yesterday:
        return relative(last, now)
    return f"yesterday, {timezone.localtime(last):%H:%M} {zone_words(last, zone)}"


def _row(
    resource: catalogue.Resource,
    chosen: str,
    offered: list[str],
    uses: dict[str, insight.ScopeUse],
) -> dict[str, Any]:
    held = {name for name in offered if _resource_of(name) == resource.key}
    mine = [uses[name] for name in offered if name in held]
    cells = [
        {
            "key": level.key,
            "title": level.title,
            "checked": level.key == chosen,
            "id": f"id_level_{resource.key}_{level.key}",
            "style": style_of(level),
        }
        for level in catalogue.levels(resource.key)
        if level.scopes <= held
    ]
    last = max((use.last_at for use in mine if use.last_at), default=None)
    days = max(use.idle_days for use in mine)
    if chosen == catalogue.NO_LEVEL:
        note, idle = "Left out", False
    elif last is not None:
        note, idle = f"Used {_when(last)}", all(use.unused for use in mine)
    else:
        idle = all(use.unused for use in mine)
        note = f"Never used in {days} days" if days > 1 else "Not used yet"
    return {
        "key": resource.key,
        "title": resource.title,
        "note": note,
        "idle": idle,
        "cells": cells,
    }
