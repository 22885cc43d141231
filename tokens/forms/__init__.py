"""What people and programs send, checked once for every door. The rules themselves are the policy's."""

from __future__ import annotations

from tokens.forms.changes import (
    PAUSE_LENGTHS,
    UNTIL_RESUMED,
    DetailsForm,
    MuteForm,
    NarrowForm,
    PauseForm,
    RevokeForm,
    RevokeManyForm,
    pause_end,
)
from tokens.forms.creation import (
    ALL_PROJECTS,
    CHOSEN_PROJECTS,
    CUSTOM,
    NEVER,
    SHOWN,
    TokenForm,
    local_instant,
)
from tokens.forms.device import ApprovalForm
from tokens.forms.fields import RefusableForm
from tokens.forms.notifications import NotificationsForm
from tokens.forms.project import ProjectForm
from tokens.forms.rotation import RetireForm, RotationForm

__all__ = [
    "ALL_PROJECTS",
    "CHOSEN_PROJECTS",
    "CUSTOM",
    "NEVER",
    "PAUSE_LENGTHS",
    "SHOWN",
    "UNTIL_RESUMED",
    "ApprovalForm",
    "DetailsForm",
    "MuteForm",
    "NarrowForm",
    "NotificationsForm",
    "PauseForm",
    "ProjectForm",
    "RefusableForm",
    "RetireForm",
    "RevokeForm",
    "RevokeManyForm",
    "RotationForm",
    "TokenForm",
    "local_instant",
    "pause_end",
]
