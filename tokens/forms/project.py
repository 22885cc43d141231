"""The form of a new project."""

from __future__ import annotations

from tokens import policy, projects
from tokens.forms.fields import RefusableForm, Text
from tokens.secret import contains_token


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
