"""What is remembered of every change: one writer, no way to update."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from tokens.models import EventDetail, TokenEvent
from tokens.origin import Origin


class Kind(StrEnum):
    """The things that are remembered; the stored words never change."""

    ISSUED = "token.issued"
    ISSUED_BATCH = "token.issued_batch"
    RENAMED = "token.renamed"
    NARROWED = "token.narrowed"
    FIRST_USED = "token.first_used"
    STORED = "token.stored"
    REDIGESTED = "token.redigested"
    PAUSED = "token.paused"
    PAUSE_MOVED = "token.pause_moved"
    RESUMED = "token.resumed"
    REVOKED = "token.revoked"
    ROTATION_STARTED = "token.rotation_started"
    ROTATION_CANCELLED = "token.rotation_cancelled"
    ROTATION_FINISHED = "token.rotation_finished"
    RETIREMENT_SET = "token.retirement_set"
    CHECK_SKIPPED = "token.check_skipped"
    PLACES_TICKED = "token.places_ticked"
    PURGED_BATCH = "token.purged_batch"
    PROJECT_CREATED = "project.created"
    SERVICE_CREATED = "service.created"
    SERVICE_REVOKED = "service.revoked"
    DEVICE_APPROVED = "device.approved"
    DEVICE_DENIED = "device.denied"
    POLICY_CHANGED = "policy.changed"
    ACCOUNT_DEACTIVATED = "account.deactivated"
    RIGHTS_CHANGED = "account.rights_changed"
    CALENDAR_CREATED = "calendar.created"
    CALENDAR_REPLACED = "calendar.replaced"
    CALENDAR_REVOKED = "calendar.revoked"
    CALENDAR_NAMES_CHOSEN = "calendar.names_chosen"


def record(
    kind: Kind,
    *,
    origin: Origin,
    owner_id: int | None = None,
    token_public_id: uuid.UUID | None = None,
    token_name: str = "",
    data: Mapping[str, Any] | None = None,
) -> TokenEvent:
    """Write one event; the caller's transaction is the event's, so neither exists without the other.

    ``data`` is plain data without personal facts: what can identify a person (address, client, the
    name of a token) goes into the erasable side row.
    """
    event = TokenEvent.objects.create(
        at=origin.at,
        kind=kind,
        door=origin.door,
        actor_id=origin.actor_id,
        owner_id=owner_id,
        token_public_id=token_public_id,
        data=dict(data or {}),
    )
    EventDetail.objects.create(
        event_id=event.pk,
        address=origin.address,
        client=origin.client,
        token_name=token_name,
        request_id=origin.request_id,
    )
    return event


def record_batch(
    kind: Kind, *, origin: Origin, token_public_ids: Sequence[uuid.UUID], data: Mapping[str, Any]
) -> TokenEvent:
    """Write one event for many tokens, naming each of them."""
    ids = [str(public_id) for public_id in token_public_ids]
    return record(kind, origin=origin, data={**data, "count": len(ids), "tokens": ids})
