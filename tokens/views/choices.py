"""What the create form offers: presets, levels, expirations and projects, as chosen so far."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from tokens import policy, scopes as catalogue
from tokens.forms import ALL_PROJECTS, CHOSEN_PROJECTS, CUSTOM, NEVER, SHOWN, TokenForm
from tokens.views.instants import utc_words

# Two columns beside "None": what looks or runs, and what changes. A level that is missing is a dash.
_COLUMNS = {"read": 1, "run": 2, "readwrite": 2, "write": 3}
_SUGGESTIONS = ("github-actions", "gitlab-ci", "cli-laptop", "cron-server")


def choices_of(form: TokenForm) -> dict[str, Any]:
    """Return everything the form's template shows as a choice."""
    levels = form["scopes"].value()
    return {
        "suggestions": _SUGGESTIONS,
        "presets": _presets(form, levels),
        "resources": [_resource(form, resource, levels) for resource in catalogue.RESOURCES],
        "project_choices": project_choices(form),
        "expiry_options": expiry_options(form),
    }


def preset_levels(key: str) -> dict[str, str] | None:
    """Return the form's fields for a preset, or None when there is no such preset."""
    preset = next((each for each in catalogue.PRESETS if each.key == key), None)
    if preset is None:
        return None
    return {
        f"level-{resource.key}": catalogue.level_of(resource.key, preset.scopes)
        for resource in catalogue.RESOURCES
    }


def _presets(form: TokenForm, levels: dict[str, str]) -> list[dict[str, Any]]:
    sent = {f"level-{key}": level for key, level in levels.items()}
    return [
        {
            "key": preset.key,
            "title": preset.title,
            "hint": preset.hint,
            "scopes": preset.scopes,
            "pressed": preset_levels(preset.key) == sent,
        }
        for preset in catalogue.PRESETS
        if preset.scopes <= form.rules.allowed_scopes
    ]


def _resource(
    form: TokenForm, resource: catalogue.Resource, levels: dict[str, str]
) -> dict[str, Any]:
    chosen = levels[resource.key]
    cells: list[dict[str, Any] | None] = [None, None, None]
    for level in catalogue.levels(resource.key):
        cell = {
            "key": level.key,
            "title": level.title,
            "checked": level.key == chosen,
            "id": f"id_level_{resource.key}_{level.key}",
            "style": style_of(level),
        }
        if level.key == "write":
            # Offered only where it is held already: writing without reading is rarely meant.
            cells += [cell] if cell["checked"] else []
        elif level.scopes <= form.rules.allowed_scopes:
            cells[_COLUMNS.get(level.key, 0)] = cell
    return {"key": resource.key, "title": resource.title, "hint": resource.hint, "cells": cells}


def style_of(level: catalogue.Level) -> str:
    """Return how much fill a level's choice has: none, soft for reading and running, solid for writing."""
    if any(catalogue.BY_NAME[name].writes for name in level.scopes):
        return "solid"
    return "soft" if level.scopes else ""


def project_choices(form: TokenForm) -> dict[str, Any]:
    """Return the choice between all projects and chosen ones, as made so far."""
    data = form.filled
    chosen = set(data.getlist("projects"))
    return {
        "limited": data.get("projects_choice") == CHOSEN_PROJECTS,
        "all": ALL_PROJECTS,
        "chosen": CHOSEN_PROJECTS,
        "own": [
            {"id": str(each.public_id), "name": each.name, "checked": str(each.public_id) in chosen}
            for each in form.own_projects
        ],
    }


def expiry_options(form: TokenForm) -> list[dict[str, Any]]:
    """Return the ends that are offered for the scopes as chosen so far, with their instants."""
    chosen = form.data.get("expires")
    longest = policy.longest(form.rules, form.cleaned_data.get("scopes") or ())
    options = []
    for days in policy.PRESET_DAYS:
        end = policy.preset_expiry(days, now=form.now, zone=form.zone, longest_allowed=longest)
        note = utc_words(end, form.zone)
        title, sent = f"{days} days", f"{SHOWN}{days}"
        options.append(
            {"value": str(days), "title": title, "note": note, "instant": end, "sent": sent}
        )
    limit = timezone.localtime(form.now + longest, form.zone)
    options.append(
        {
            "value": CUSTOM,
            "title": "Custom date",
            "note": f"Up to {limit:%-d %b %Y}",
            "instant": None,
        }
    )
    if form.rules.no_expiration_allowed:
        options.append(
            {"value": NEVER, "title": "No expiration", "note": "Not recommended", "instant": None}
        )
    return [{**option, "checked": option["value"] == chosen} for option in options]
