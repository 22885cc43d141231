"""What is stored, what can never be stored, and what *live* means. Nothing here writes."""

from __future__ import annotations

from tokens.models.bookkeeping import (
    CalendarFeed,
    MailPreference,
    Notice,
    Policy,
    RateLimit,
    Service,
)
from tokens.models.device import DeviceGrant
from tokens.models.event import AuditSeal, EventDetail, TokenEvent
from tokens.models.liveness import LivenessFacts
from tokens.models.project import Project
from tokens.models.token import AccessToken, Created, RevokeKind, TokenProject
from tokens.models.use import MutedScope, RotationTick, TokenActivity, TokenConsumer, TokenUse

__all__ = [
    "AccessToken",
    "AuditSeal",
    "CalendarFeed",
    "Created",
    "DeviceGrant",
    "EventDetail",
    "LivenessFacts",
    "MailPreference",
    "MutedScope",
    "Notice",
    "Policy",
    "Project",
    "RateLimit",
    "RevokeKind",
    "RotationTick",
    "Service",
    "TokenActivity",
    "TokenConsumer",
    "TokenEvent",
    "TokenProject",
    "TokenUse",
]
