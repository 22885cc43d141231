"""The one status that is shown for a token: derived from times, never stored."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from tokens.models.liveness import LivenessFacts, is_expired, is_paused, is_retired

EXPIRING_SOON = timedelta(days=7)
UNUSED = timedelta(days=90)


class Status(Enum):
    """Key, word and family of each status, in the order in which the first that applies is shown."""

    REVOKED = ("revoked", "Revoked", "ended")
    ROTATED_OUT = ("rotated_out", "Rotated out", "ended")
    EXPIRED = ("expired", "Expired", "ended")
    PAUSED = ("paused", "Paused", "attn")
    ROTATING = ("rotating", "Rotating", "prog")
    EXPIRING_SOON = ("expiring_soon", "Expiring soon", "attn")
    UNUSED = ("unused", "Unused for 90 days", "attn")
    NEVER_USED = ("never_used", "Never used", "idle")
    ACTIVE = ("active", "Active", "ok")

    def __init__(self, key: str, label: str, family: str) -> None:
        self.key, self.label, self.family = key, label, family

    @property
    def is_ended(self) -> bool:
        """Whether nothing can be done about the token any more."""
        return self.family == "ended"


def status_of(
    facts: LivenessFacts, last_used_at: datetime | None, now: datetime, *, rotating: bool = False
) -> Status:
    """Return the first status that applies at ``now``."""
    ended = _ended_status(facts, now)
    if ended is not None:
        return ended
    if is_paused(facts, now):
        return Status.PAUSED
    if rotating:
        return Status.ROTATING
    if facts.expires_at is not None and facts.expires_at - now <= EXPIRING_SOON:
        return Status.EXPIRING_SOON
    if last_used_at is None:
        return Status.NEVER_USED
    return Status.UNUSED if now - last_used_at >= UNUSED else Status.ACTIVE


def _ended_status(facts: LivenessFacts, now: datetime) -> Status | None:
    if facts.revoked_at is not None and facts.revoked_at <= now:
        return Status.REVOKED
    if is_retired(facts, now):
        return Status.ROTATED_OUT
    return Status.EXPIRED if is_expired(facts, now) else None
