"""The rules as they are typed, and the draft that they make."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from tokens import policy_change, scopes as catalogue
from tokens.forms import RefusableForm

RENEWAL, NOW, DATE = "renewal", "now", "date"
MAX_DAYS = 3660
_MAX_LINES = 200
_NO_DATE = "Choose a day that is still to come, within a year."
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class DayInput(forms.DateInput):
    """A browser's own field for a day; what is no day comes back in one for text, which shows it."""

    input_type = "date"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Describe the field for what it holds."""
        context = super().get_context(name, value, attrs)
        shown = context["widget"]["value"]
        if shown and not _is_day(shown):
            context["widget"]["type"] = "text"
        return context


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        return False
    return True


def _number(label: str, hint: str, high: int = MAX_DAYS) -> forms.IntegerField:
    sentence = f"Type a whole number from 1 to {high}, or leave it empty."
    return forms.IntegerField(
        label=label,
        help_text=hint,
        required=False,
        min_value=1,
        max_value=high,
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), sentence),
    )


class PolicyForm(RefusableForm):
    """One version of the rules; an empty field means that the installation's setting holds."""

    max_lifetime_days = _number(
        "Longest lifetime, in days", "New tokens and replacements. Empty: the setting holds."
    )
    max_write_lifetime_days = _number(
        "Longest lifetime with a write scope, in days", "Empty: the same as above."
    )
    default_lifetime_days = _number(
        "Default lifetime, in days", "What the create form has chosen when it opens. Empty: 30."
    )
    no_expiration_allowed = forms.BooleanField(
        label="Allow “No expiration”", help_text="Off: the choice is not drawn.", required=False
    )
    allowed_scopes = forms.MultipleChoiceField(
        label="Allowed scopes",
        choices=[(name, name) for name in catalogue.BY_NAME],
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": "Tick at least one scope. To stop new tokens, untick them below.",
            "invalid_choice": "Tick scopes of the list only.",
        },
    )
    max_live_tokens = _number(
        "Active tokens per person", "Empty: the setting holds. Nobody loses a token.", 100_000
    )
    revoke_unused_after_days = _number(
        "Revoke after this many days without use",
        "Empty: never by itself. Owners get a mail before.",
    )
    allowed_networks = forms.CharField(
        label="Allowed networks",
        help_text=(
            "One a line, such as 203.0.113.0/24 or 2001:db8::/48. Empty: any. From the moment of "
            "saving, requests from elsewhere are refused, for every token."
        ),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    new_tokens_allowed = forms.BooleanField(
        label="Allow new tokens", help_text="Off: nobody can create or rotate one.", required=False
    )
    when = forms.ChoiceField(
        label="Tokens that break these rules",
        choices=[
            (RENEWAL, "Keep working; their replacements must keep the rules"),
            (NOW, "Are refused from now on"),
            (DATE, "Are refused from a day on"),
        ],
        widget=forms.RadioSelect,
        initial=RENEWAL,
        error_messages=dict.fromkeys(
            ("required", "invalid_choice"), "Choose what happens to tokens that break the rules."
        ),
    )
    day = forms.DateField(
        label="Refused from",
        help_text="The first moment of that day in your time zone.",
        required=False,
        widget=DayInput(format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
        error_messages={"invalid": _NO_DATE},
    )

    mail_owners = forms.BooleanField(required=False)

    def clean_allowed_networks(self) -> str:
        """Return the networks, one a line, each as it is understood."""
        lines = self.cleaned_data["allowed_networks"].split()
        if len(lines) > _MAX_LINES:
            raise forms.ValidationError(f"Name at most {_MAX_LINES} networks.", code="too_many")
        try:
            return "\n".join(str(ipaddress.ip_network(line, strict=False)) for line in lines)
        except ValueError:
            raise forms.ValidationError(
                "Write one network a line, such as 203.0.113.0/24 or 2001:db8::/48.",
                code="network",
            ) from None

    def clean(self) -> dict[str, Any]:
        """Insist on a day where one is needed."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("when") == DATE and "day" not in self.errors:
            today = timezone.localdate()
            day = cleaned.get("day")
            if day is None or not today < day <= today + timedelta(days=366):
                self.add_error("day", forms.ValidationError(_NO_DATE, code="day"))
        return cleaned

    def draft(self, held: policy_change.Draft, now: datetime) -> policy_change.Draft:
        """Return the version that was typed; a block that has begun keeps its beginning."""
        typed = self.cleaned_data
        chosen = typed["allowed_scopes"]
        names = [name for name in catalogue.BY_NAME if name in chosen]
        kept = ("when", "day", "allowed_scopes", "mail_owners")
        return policy_change.Draft(
            allowed_scopes="" if len(names) == len(catalogue.BY_NAME) else " ".join(names),
            blocks_from=_blocks_from(typed["when"], typed["day"], held.blocks_from, now),
            **{name: value for name, value in typed.items() if name not in kept},
        )


def _blocks_from(
    when: str, day: date | None, held: datetime | None, now: datetime
) -> datetime | None:
    if when == RENEWAL:
        return None
    if when == DATE and day is not None:
        zone = timezone.get_current_timezone()
        return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    return held if held is not None and held <= now else now


def typed(draft: policy_change.Draft, now: datetime) -> dict[str, Any]:
    """Return the fields of a version, as the form shows it."""
    names = [name for name in PolicyForm.base_fields if hasattr(draft, name)]
    fields = {name: getattr(draft, name) for name in names}
    fields["allowed_scopes"] = catalogue.split(draft.allowed_scopes) or list(catalogue.BY_NAME)
    fields["when"] = RENEWAL
    if draft.blocks_from is not None:
        fields["when"] = NOW if draft.blocks_from <= now else DATE
        if draft.blocks_from > now:
            fields["day"] = timezone.localdate(draft.blocks_from)
    return fields
