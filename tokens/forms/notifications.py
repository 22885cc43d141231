"""The form of the mails a person wants."""

from __future__ import annotations

from django import forms

from tokens.notices import Kind
from tokens.notices.preferences import CHOOSABLE

_NOT_OFFERED = "That mail cannot be chosen here. Nothing was saved; choose again and save."


class NotificationsForm(forms.Form):
    """The kinds of mail that are ticked. No tick at all is an answer too."""

    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[(str(kind), str(kind)) for kind in sorted(CHOOSABLE)],
        error_messages={"invalid_choice": _NOT_OFFERED},
    )

    def chosen(self) -> frozenset[Kind]:
        """Return the kinds that were ticked, once the form is valid."""
        return frozenset(Kind(kind) for kind in self.cleaned_data["kinds"])
