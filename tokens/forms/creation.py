"""The form of a new token."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import QueryDict

from tokens import policy
from tokens.forms.fields import DESCRIPTION_TOO_LONG, IdsField, LevelsField, RefusableForm, Text
from tokens.models import Project

NEVER, CUSTOM = "never", "custom"
ALL_PROJECTS, CHOSEN_PROJECTS = "all", "chosen"
# Beside each preset the form sends the instant that it showed for it, such as ``shown-30``.
SHOWN = "shown-"
_LONGEST_INSTANT = 40
_LOCAL = re.compile(r"\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?\s*\Z", re.ASCII)


class TokenForm(RefusableForm):
    """A new token. Valid means that ``expires_at`` is known, and ``projects`` (None for all) too."""

    name = Text(required=False, strip=False, too_long=policy.NAME_TOO_LONG)
    description = Text(required=False, strip=False, too_long=DESCRIPTION_TOO_LONG)
    scopes = LevelsField(required=False)
    projects_choice = forms.CharField(required=False)
    projects = IdsField(required=False)
    expires = forms.CharField(required=False)
    expires_custom = forms.CharField(required=False)
    request_id = forms.CharField(required=False)

    def __init__(
        self,
        *args: Any,
        rules: policy.Rules,
        zone: ZoneInfo,
        now: datetime,
        own_projects: Sequence[Project] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rules, self.zone, self.now = rules, zone, now
        self.own_projects = own_projects

    @property
    def filled(self) -> QueryDict:
        """What the form holds, as it was sent or as it was filled in."""
        data: Any = self.data
        assert isinstance(data, QueryDict)  # noqa: S101 - every page makes the form from one
        return data

    def clean_name(self) -> str:
        """Return the name as it will be stored."""
        name = str(self.cleaned_data["name"])
        return str(self.try_policy(lambda: policy.check_name(name)) or "")

    def clean_description(self) -> str:
        """Return the description as it will be stored."""
        text = str(self.cleaned_data["description"]).strip()
        self.try_policy(
            lambda: policy.check_text(text, field="description", what="The description")
        )
        if len(text) > policy.MAX_DESCRIPTION and not self.has_error("description"):
            raise forms.ValidationError(
                f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters.",
                code="description_too_long",
            )
        return text

    def clean_scopes(self) -> list[str]:
        """Return the chosen scopes in catalogue order."""
        chosen = self.cleaned_data["scopes"]
        stored = self.try_policy(lambda: policy.check_scopes(chosen, self.rules))
        return stored.split() if stored else []

    def clean_projects(self) -> list[Project] | None:
        """Return the chosen projects, or None for all of them."""
        choice = self.cleaned_data.get("projects_choice") or ALL_PROJECTS
        if choice == ALL_PROJECTS:
            return None
        own = {str(project.public_id): project for project in self.own_projects}
        chosen = self.cleaned_data["projects"]
        if choice != CHOSEN_PROJECTS or not set(chosen) <= set(own):
            raise forms.ValidationError("Choose projects of your own.", code="unknown_project")
        if not chosen:
            raise forms.ValidationError(
                "Choose at least one project, or all of them.", code="projects_required"
            )
        return [own[each] for each in dict.fromkeys(chosen)]

    def clean_request_id(self) -> uuid.UUID | None:
        """Return the id that makes a repeated submission harmless."""
        try:
            return uuid.UUID(self.cleaned_data["request_id"])
        except ValueError:
            sentence = "This form is out of date. Check what it says and send it again."
            self.add_error(None, forms.ValidationError(sentence, code="stale_form"))
            return None

    def clean(self) -> dict[str, Any]:
        """Add ``expires_at``: an instant, or None for no expiration."""
        data = dict(super().clean() or self.cleaned_data)
        scopes = data.get("scopes") or []
        choice = data.get("expires")
        longest = policy.longest(self.rules, scopes)
        expires_at: datetime | None = None
        if choice in {str(days) for days in policy.PRESET_DAYS}:
            expires_at = self._preset(str(choice), longest)
        elif choice == CUSTOM:
            expires_at = self._custom(str(data.get("expires_custom", "")))
        elif choice != NEVER:
            self.add_error(
                "expires",
                forms.ValidationError("Choose when the token ends.", code="expiration_missing"),
            )
        if not self.has_error("expires") and not self.has_error("expires_custom"):
            self.try_policy(
                lambda: policy.check_expiry(
                    expires_at, scopes, now=self.now, rules=self.rules, zone=self.zone
                )
            )
        return {**data, "expires_at": expires_at}

    def _preset(self, days: str, longest: timedelta) -> datetime:
        """Return the end of a preset: the one that the form showed, where it sent that along.

        What was read is what is stored, also when a day has gone by since. Where the access that
        was chosen meanwhile ends sooner, the form comes back with the ends as they are now.
        """
        end = policy.preset_expiry(int(days), now=self.now, zone=self.zone, longest_allowed=longest)
        shown = _instant(str(self.data.get(f"{SHOWN}{days}", "")))
        if shown is None:
            return end
        limit = self.now + longest
        if self.now + policy.MIN_LIFETIME <= shown <= limit:
            return shown
        sentence = (
            f"This token can last until {limit.astimezone(self.zone):%-d %b %Y, %H:%M %Z} at most, "
            "so the offered ends have changed. Check them and send the form again."
        )
        self.add_error("expires", forms.ValidationError(sentence, code="ends_changed"))
        return end

    def _custom(self, text: str) -> datetime | None:
        try:
            return local_instant(text, self.zone)
        except forms.ValidationError as error:
            self.add_error("expires_custom", error)
            return None


def _instant(text: str) -> datetime | None:
    """Return the instant that the form itself wrote down, or None for anything else."""
    try:
        instant = datetime.fromisoformat(text if len(text) <= _LONGEST_INSTANT else "")
        return instant.astimezone(UTC) if instant.tzinfo else None
    except (OverflowError, ValueError):
        return None


def local_instant(text: str, zone: ZoneInfo) -> datetime:
    """Return the instant that a date and time mean in ``zone``, in UTC.

    Where clocks go back and a time comes twice, the first one counts, so that a token never lives
    longer than was read. Raises ``ValidationError`` for what is not a date, and for a time that the
    clocks skip.
    """
    try:
        # fromisoformat alone takes far more than a person means, such as forty digits in a row.
        naive = datetime.fromisoformat(text.strip() if _LOCAL.match(text) else "")
    except ValueError:
        raise forms.ValidationError(
            "Type a date and a time, such as 2026-12-24 10:00.", code="not_a_date"
        ) from None
    try:
        instant = naive.replace(tzinfo=zone).astimezone(UTC)
        skipped = instant.astimezone(zone).replace(tzinfo=None) != naive
    except OverflowError:
        raise forms.ValidationError(
            "Choose a year nearer to today.", code="expiry_out_of_range"
        ) from None
    if skipped:
        later = instant.astimezone(zone)
        raise forms.ValidationError(
            f"The clocks in {zone.key} skip {naive:%H:%M} on {naive:%-d %b %Y}. "
            f"Choose {later:%H:%M}.",
            code="skipped_time",
        )
    return instant
