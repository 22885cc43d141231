"""The fields that forms share, and a form whose errors may come from the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.forms.utils import ErrorDict

from tokens import policy, scopes as catalogue
from tokens.secret import redact

DESCRIPTION_TOO_LONG = (
    "description_too_long",
    f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters.",
)


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

    def forgive(self) -> None:
        """Show no errors: nothing was asked for yet, the form was only filled in."""
        self._errors = ErrorDict()

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
