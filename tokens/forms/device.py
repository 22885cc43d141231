"""The form that approves a terminal's request: which scopes, until when, and what ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from tokens import policy
from tokens.forms.changes import TickedField
from tokens.forms.fields import RefusableForm
from tokens.models import AccessToken


class ApprovalForm(RefusableForm):
    """An approval. Valid means that ``expires_at`` is known, and ``end`` are tokens of this person."""

    scopes = TickedField(required=False)
    expires = forms.CharField(required=False)
    end = TickedField(required=False)

    def __init__(
        self,
        *args: Any,
        asked: Sequence[str],
        earlier: Sequence[AccessToken],
        rules: policy.Rules,
        zone: ZoneInfo,
        now: datetime,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.asked, self.earlier = tuple(asked), {str(each.public_id): each for each in earlier}
        self.rules, self.zone, self.now = rules, zone, now

    def clean_scopes(self) -> list[str]:
        """Return the ticked scopes; all of them were asked for."""
        chosen = list(dict.fromkeys(self.cleaned_data["scopes"]))
        if not set(chosen) <= set(self.asked):
            sentence = (
                "The terminal did not ask for all of these scopes. Choose from the ones below."
            )
            raise forms.ValidationError(sentence, code="not_asked")
        if not chosen:
            sentence = "Choose at least one scope, or deny."
            raise forms.ValidationError(sentence, code="scopes_required")
        self.try_policy(lambda: policy.check_scopes(chosen, self.rules))
        return chosen

    def clean_end(self) -> list[AccessToken]:
        """Return the ticked sign-ins that end with the approval."""
        chosen = list(dict.fromkeys(self.cleaned_data["end"]))
        if not set(chosen) <= set(self.earlier):
            sentence = "One of these sign-ins has ended meanwhile. Choose again."
            raise forms.ValidationError(sentence, code="not_earlier")
        return [self.earlier[each] for each in chosen]

    def clean(self) -> dict[str, Any]:
        """Add ``expires_at``, which the longest lifetime of the ticked scopes bounds."""
        data = dict(super().clean() or self.cleaned_data)
        days = data.get("expires")
        if days not in {str(each) for each in policy.PRESET_DAYS}:
            error = forms.ValidationError("Choose when access ends.", code="expiration_missing")
            self.add_error("expires", error)
            return data
        return {**data, "expires_at": self.end_after(int(days), data.get("scopes") or self.asked)}

    def end_after(self, days: int, scopes: Sequence[str]) -> datetime:
        """Return when access ends that should last about ``days`` days."""
        longest = policy.longest(self.rules, scopes)
        return policy.preset_expiry(days, now=self.now, zone=self.zone, longest_allowed=longest)
