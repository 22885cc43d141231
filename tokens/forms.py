"""What people and programs send, checked once for every door. The rules themselves are the policy's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.forms.utils import ErrorDict
from django.http import QueryDict

from tokens import policy, projects, scopes as catalogue
from tokens.models import Project
from tokens.secret import contains_token, redact

NEVER, CUSTOM = "never", "custom"
_REASON_TOO_LONG = f"Reasons can be up to {policy.MAX_REASON} characters."
_DESCRIPTION_TOO_LONG = (
    "description_too_long",
    f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters.",
)
CONFIRMED = "yes"
ALL_PROJECTS, CHOSEN_PROJECTS = "all", "chosen"
_LOCAL = re.compile(r"\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?\s*\Z", re.ASCII)


class Text(forms.CharField):
    """Text that must arrive as text: JSON may bring numbers, lists and objects instead.

    ``too_long`` is the code and the sentence for text beyond ``policy.MAX_TEXT``.
    """

    def __init__(self, *, too_long: tuple[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.too_long = too_long
        # The policy refuses NUL with every other character that cannot be seen, and names it.
        self.validators = [
            each
            for each in self.validators
            if not isinstance(each, ProhibitNullCharactersValidator)
        ]

    def to_python(self, value: Any) -> str:
        """Return the text as it came; the policy decides what its edges mean.

        Its length is judged before anything else, since nothing after this is meant for such text.
        """
        if value is None:
            return ""
        if not isinstance(value, str):
            raise forms.ValidationError("Send this as text.", code="not_text")
        if len(value) > policy.MAX_TEXT:
            code, sentence = self.too_long
            raise forms.ValidationError(sentence, code=code)
        return value


class RefusableForm(forms.Form):
    """A form whose errors may come from the policy."""

    def refuse(self, refused: policy.Refused) -> None:
        """Show a refusal at the field it is about, or above the form."""
        field = refused.field if refused.field in self.fields else None
        self.add_error(field, forms.ValidationError(refused.sentence, code=refused.code))

    def try_policy(self, check: Callable[[], Any]) -> Any:
        """Return what ``check`` returns, or note its refusal and return None."""
        try:
            return check()
        except policy.Refused as refused:
            self.refuse(refused)
            return None

    def show_again(self) -> None:
        """Keep what was typed for the form that comes back: all of it, except a token's value.

        A pasted token is cut down to its prefix, because this answer is not the one that may show it.
        Call it after validation, which judges what was really sent.
        """
        assert self.errors is not None  # noqa: S101 - reading errors is what validates a form
        again: Any = self.data.copy()  # type: ignore[attr-defined]
        for name, values in list(again.lists()):
            again.setlist(name, [redact(value) for value in values])
        self.data = again

    def first_sentence(self) -> str:
        """Return the first error's sentence, in the order of the fields."""
        return str(self._first()["message"])

    def first_code(self) -> str:
        """Return the first error's code."""
        return str(self._first()["code"] or "invalid")

    def _first(self) -> dict[str, Any]:
        errors = self.errors.get_json_data()
        for name in [*self.fields, "__all__"]:
            if errors.get(name):
                return dict(errors[name][0])
        raise LookupError("The form has no error.")


class Levels(forms.Widget):
    """One choice a resource, such as ``level-projects=read``; what is missing means none."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, str]:
        """Return the level that was sent for each resource."""
        return {
            resource.key: data.get(f"level-{resource.key}", catalogue.NO_LEVEL)
            for resource in catalogue.RESOURCES
        }


class LevelsField(forms.Field):
    """The access matrix: levels as they are sent, scopes as they are stored."""

    widget = Levels

    def to_python(self, value: Any) -> list[str]:
        """Return the scopes that the levels grant together."""
        chosen: list[str] = []
        for resource in catalogue.RESOURCES:
            offered = {level.key: level.scopes for level in catalogue.levels(resource.key)}
            if value[resource.key] not in offered:
                raise forms.ValidationError(
                    f"Choose one of the levels that {resource.title} offers.", code="unknown_level"
                )
            chosen += offered[value[resource.key]]
        return chosen


class IdsField(forms.MultipleChoiceField):
    """Any list of texts; the form says which of them are somebody's own."""

    def validate(self, value: Any) -> None:
        """Leave the judgement to the form."""


class TokenForm(RefusableForm):
    """A new token. Valid means that ``expires_at`` is known, and ``projects`` (None for all) too."""

    name = Text(required=False, strip=False, too_long=policy.NAME_TOO_LONG)
    description = Text(required=False, strip=False, too_long=_DESCRIPTION_TOO_LONG)
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

    def forgive(self) -> None:
        """Show no errors: nobody asked for the token yet, the form was only filled in."""
        self._errors = ErrorDict()

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
            expires_at = policy.preset_expiry(
                int(str(choice)), now=self.now, zone=self.zone, longest_allowed=longest
            )
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

    def _custom(self, text: str) -> datetime | None:
        try:
            return local_instant(text, self.zone)
        except forms.ValidationError as error:
            self.add_error("expires_custom", error)
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


class RevokeForm(RefusableForm):
    """Why a token is revoked; saying so is optional."""

    reason = Text(
        required=False,
        max_length=policy.MAX_REASON,
        too_long=("max_length", _REASON_TOO_LONG),
        error_messages={"max_length": _REASON_TOO_LONG},
    )

    def clean_reason(self) -> str:
        """Return the reason without anything that must not be written down."""
        reason = str(self.cleaned_data["reason"])
        self.try_policy(lambda: policy.check_text(reason, field="reason", what="The reason"))
        return reason


class RevokeManyForm(RevokeForm):
    """Why several tokens are revoked; where that stops somebody, the person says so first."""

    stop = forms.BooleanField(required=False)

    def __init__(self, *args: Any, stops_somebody: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stops_somebody = stops_somebody

    def clean_stop(self) -> bool:
        """Insist on the tick only where something is in use."""
        ticked = bool(self.cleaned_data["stop"])
        if self.stops_somebody and not ticked:
            sentence = "Tick this to stop what is in use, or revoke only what is not."
            raise forms.ValidationError(sentence, code="stop_not_confirmed")
        return ticked


class DetailsForm(RefusableForm):
    """A token's name and description, as they are changed later."""

    name = Text(required=False, strip=False, too_long=policy.NAME_TOO_LONG)
    description = Text(required=False, strip=False, too_long=_DESCRIPTION_TOO_LONG)

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


class ProjectForm(RefusableForm):
    """A new project, as the CLI sends it."""

    name = Text(required=False, strip=False, too_long=policy.NAME_TOO_LONG)
    type = Text(required=False, strip=False, too_long=projects.INVALID_TYPE)

    def clean_name(self) -> str:
        """Refuse a pasted token as what it is, and not as a name of too many characters."""
        return self._without_token("name", "The project's name")

    def clean_type(self) -> str:
        """Refuse a part of a token that has the shape of a type: it would be shown in the clear."""
        return self._without_token("type", "The type")

    def _without_token(self, field: str, what: str) -> str:
        value = str(self.cleaned_data[field])
        if contains_token(value):
            self.try_policy(lambda: policy.check_text(value, field=field, what=what))
        return value
