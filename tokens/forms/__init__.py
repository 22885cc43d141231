"""What people and programs send, checked once for every door. The rules themselves are the policy's."""

from __future__ import annotations

from tokens.forms.changes import DetailsForm, NarrowForm, RevokeForm, RevokeManyForm
from tokens.forms.creation import (
    ALL_PROJECTS,
    CHOSEN_PROJECTS,
    CUSTOM,
    NEVER,
    TokenForm,
    local_instant,
)
from tokens.forms.fields import RefusableForm
from tokens.forms.project import ProjectForm

__all__ = [
    "ALL_PROJECTS",
    "CHOSEN_PROJECTS",
    "CUSTOM",
    "NEVER",
    "DetailsForm",
    "NarrowForm",
    "ProjectForm",
    "RefusableForm",
    "RevokeForm",
    "RevokeManyForm",
    "TokenForm",
    "local_instant",
]
