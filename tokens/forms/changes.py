"""The forms that change or end a token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms

from tokens import policy, scopes
from tokens.forms.fields import DESCRIPTION_TOO_LONG, RefusableForm, Text
from tokens.usage import ENDED

_REASON_TOO_LONG = f"Reasons can be up to {policy.MAX_REASON} characters."
CONFIRMED = "yes"
UNTIL_RESUMED = "resumed"
PAUSE_LENGTHS = ("5", "15", "60", UNTIL_RESUMED)
USUAL_PAUSE = "15"
_NO_SUCH_PAUSE = "Choose 5, 15 or 60 minutes, or until it is resumed."


class RevokeForm(RefusableForm):
    """Why a token is revoked, which is optional; where that stops somebody, the person says so first."""

    stop = forms.BooleanField(required=False)
    reason = Text(
        required=False,
        max_length=policy.MAX_REASON,
        too_long=("max_length", _REASON_TOO_LONG),
        error_messages={"max_length": _REASON_TOO_LONG},
    )
    not_ticked = "Tick this to stop what is in use, or keep the token."

    def __init__(self, *args: Any, stops_somebody: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stops_somebody = stops_somebody

    def clean_stop(self) -> bool:
        """Insist on the tick only where something is in use."""
        ticked = bool(self.cleaned_data["stop"])
        if self.stops_somebody and not ticked:
            raise forms.ValidationError(self.not_ticked, code="stop_not_confirmed")
        return ticked

    def clean_reason(self) -> str:
        """Return the reason without anything that must not be written down."""
        reason = str(self.cleaned_data["reason"])
        self.try_policy(lambda: policy.check_text(reason, field="reason", what="The reason"))
        return reason


class RevokeManyForm(RevokeForm):
    """The same for several tokens, of which some can be left out."""

    not_ticked = "Tick this to stop what is in use, or revoke only what is not."


class PauseForm(RefusableForm):
    """For how long a token is paused: some minutes, or until it is resumed."""

    length = forms.ChoiceField(
        choices=[(value, value) for value in PAUSE_LENGTHS],
        initial=USUAL_PAUSE,
        error_messages={"required": _NO_SUCH_PAUSE, "invalid_choice": _NO_SUCH_PAUSE},
    )

    def until(self, now: datetime) -> datetime | None:
        """Return when the chosen pause ends, or None for one that lasts until it is resumed."""
        return pause_end(self.cleaned_data["length"], now)


def pause_end(length: str, now: datetime) -> datetime | None:
    """Return the end of a pause of one of ``PAUSE_LENGTHS`` that begins now.

    It is a full minute, the next one, so that a page or a refusal that names the minute is right, and
    a form that is sent twice moves nothing.
    """
    if length == UNTIL_RESUMED:
        return None
    end = now + timedelta(minutes=int(length))
    full = end.replace(second=0, microsecond=0)
    return end if end == full else full + timedelta(minutes=1)


class DetailsForm(RefusableForm):
    """A token's name and description, as they are changed later."""

    name = Text(required=False, strip=False, too_long=policy.NAME_TOO_LONG)
    description = Text(required=False, strip=False, too_long=DESCRIPTION_TOO_LONG)

    def clean_name(self) -> str:
        """Return the name as it will be stored."""
        name = str(self.cleaned_data["name"])
        return str(self.try_policy(lambda: policy.check_name(name)) or "")

    def clean_description(self) -> str:
        """Return the description without anything that must not be written down."""
        text = str(self.cleaned_data["description"]).strip()
        what = "The description"
        self.try_policy(lambda: policy.check_text(text, field="description", what=what))
        if len(text) > policy.MAX_DESCRIPTION and not self.has_error("description"):
            sentence = f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters."
            raise forms.ValidationError(sentence, code="description_too_long")
        return text


class TickedField(forms.MultipleChoiceField):
    """Any list of texts; which of them were offered is the form's to say."""

    def validate(self, value: Any) -> None:
        """Leave the judgement to the form, whose sentences say what to do."""


class NarrowForm(RefusableForm):
    """The scopes to take away from a token that holds ``held``, and the word that this is meant."""

    remove = TickedField(required=False)
    confirm = forms.CharField(required=False)

    def __init__(self, *args: Any, held: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held = held

    def clean_remove(self) -> list[str]:
        """Return those of the held scopes that were ticked."""
        chosen = set(self.cleaned_data["remove"])
        if not chosen:
            raise forms.ValidationError("Choose at least one scope to remove.", code="none_chosen")
        if not chosen <= set(self.held):
            sentence = "The token does not have all of these scopes any more. Choose again."
            raise forms.ValidationError(sentence, code="not_held")
        if chosen == set(self.held):
            sentence = "Leave at least one scope. To stop the token altogether, revoke it."
            raise forms.ValidationError(sentence, code="all_chosen")
        return [name for name in self.held if name in chosen]

    def clean_confirm(self) -> bool:
        """Refuse to act without the word that this is meant."""
        # The box sends one word; whatever else arrives is no yes.
        if self.cleaned_data["confirm"] != CONFIRMED:
            sentence = "Tick this box to confirm. Removed scopes cannot be given back."
            raise forms.ValidationError(sentence, code="not_confirmed")
        return True


class MuteForm(forms.Form):
    """One scope whose refused calls are expected, or are to be heard of again."""

    MUTE, UNMUTE = "mute", "unmute"

    scope = forms.CharField(required=False)
    action = forms.CharField(required=False)

    def clean_scope(self) -> str:
        """Return the scope; none stands for requests that need none, a mark for tries after the end."""
        scope = str(self.cleaned_data["scope"])
        if scope and scope != ENDED and scope not in scopes.BY_NAME:
            raise forms.ValidationError("There is no such scope. Nothing was muted.")
        return scope

    def clean_action(self) -> str:
        """Return what to do, which the buttons name."""
        action = str(self.cleaned_data["action"])
        if action not in {self.MUTE, self.UNMUTE}:
            raise forms.ValidationError("Choose whether to mute these calls or to show them.")
        return action
