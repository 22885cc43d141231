"""The forms of a rotation: what the replacement may do, and when the old token ends."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from tokens import policy
from tokens.forms.creation import CHOSEN_PROJECTS, TokenForm, local_instant
from tokens.forms.fields import RefusableForm
from tokens.models import Project

NOW, HOURS, DATE = "now", "hours", "date"
HOUR_CHOICES = (1, 24, 72)
_MISSING = "Choose when the old token ends."


class RotationForm(TokenForm):
    """A replacement: fewer scopes and projects than ``held``, never more; the name stays.

    ``held_projects`` are those of a limited token, and None for a token that may touch all.
    """

    name = None  # type: ignore[assignment]
    description = None  # type: ignore[assignment]

    def __init__(
        self,
        *args: Any,
        held: tuple[str, ...],
        held_projects: Sequence[Project] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.held, self.held_projects = held, held_projects

    def clean_scopes(self) -> list[str]:
        """Return the chosen scopes, all of them held by the old token."""
        chosen = self.cleaned_data["scopes"]
        self.try_policy(lambda: policy.check_subset(self.held, chosen))
        return [] if self.has_error("scopes") else super().clean_scopes()

    def clean_projects(self) -> list[Project] | None:
        """Return the chosen projects; of a limited token only those it may touch itself."""
        if self.held_projects is None:
            return super().clean_projects()
        held = {str(project.public_id): project for project in self.held_projects}
        chosen = self.cleaned_data["projects"]
        choice = self.cleaned_data.get("projects_choice") or CHOSEN_PROJECTS
        wider = choice != CHOSEN_PROJECTS or not set(chosen) <= set(held)
        ids = None if wider else [held[each].pk for each in chosen]
        self.try_policy(
            lambda: policy.check_projects(frozenset(each.pk for each in held.values()), ids)
        )
        if held and not chosen and not self.has_error("projects"):
            raise forms.ValidationError(
                "Choose at least one of these projects.", code="projects_required"
            )
        return [] if wider else [held[each] for each in dict.fromkeys(chosen)]


class RetireForm(RefusableForm):
    """When the old token ends. Valid means that ``at`` is an instant, or None for now."""

    when = forms.CharField(required=False)
    hours = forms.CharField(required=False)
    at = forms.CharField(required=False)
    stop = forms.BooleanField(required=False)
    replacement = forms.CharField(required=False)

    def __init__(
        self, *args: Any, zone: ZoneInfo, now: datetime, must_stop: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.zone, self.now, self.must_stop = zone, now, must_stop

    def clean_replacement(self) -> uuid.UUID | None:
        """Return the replacement that the page spoke of."""
        try:
            return uuid.UUID(self.cleaned_data["replacement"])
        except ValueError:
            return None

    def clean(self) -> dict[str, Any]:
        """Add the instant; insist on the tick where ending the token now would stop somebody."""
        data = dict(super().clean() or self.cleaned_data)
        when, at = data.get("when"), None
        if when == NOW:
            if self.must_stop and not data.get("stop"):
                self.add_error("stop", forms.ValidationError(self.must_stop, code="not_confirmed"))
        elif when == HOURS:
            chosen = str(data.get("hours"))
            if chosen not in {str(hours) for hours in HOUR_CHOICES}:
                self.add_error("hours", "Choose 1, 24 or 72 hours.")
            else:
                at = self.now + timedelta(hours=int(chosen))
        elif when == DATE:
            try:
                at = local_instant(str(data.get("at", "")), self.zone)
            except forms.ValidationError as error:
                self.add_error("at", error)
        else:
            self.add_error("when", forms.ValidationError(_MISSING, code="when_missing"))
        return {**data, "at": at}
