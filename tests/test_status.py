from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.cast import NOON
from tokens.models import LivenessFacts
from tokens.models.status import Status, status_of

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
USED = NOON - HOUR
LIVING = LivenessFacts(True, None, None, NOON + 30 * DAY, None, None)


def status(last_used_at: datetime | None = USED, *, rotating: bool = False, **facts: Any) -> Status:
    return status_of(LIVING._replace(**facts), last_used_at, NOON, rotating=rotating)


def test_a_used_token_far_from_its_end_is_active() -> None:
    assert status() is Status.ACTIVE
    assert status(expires_at=None) is Status.ACTIVE


@pytest.mark.parametrize(
    ("expires_at", "shown"),
    [
        (NOON + 7 * DAY + SECOND, Status.ACTIVE),
        (NOON + 7 * DAY, Status.EXPIRING_SOON),
        (NOON + SECOND, Status.EXPIRING_SOON),
        (NOON, Status.EXPIRED),
        (NOON - DAY, Status.EXPIRED),
    ],
)
def test_a_token_expires_soon_from_seven_days_on(expires_at: datetime, shown: Status) -> None:
    assert status(expires_at=expires_at) is shown


@pytest.mark.parametrize(
    ("last_used_at", "shown"),
    [
        (None, Status.NEVER_USED),
        (NOON, Status.ACTIVE),
        (NOON + SECOND, Status.ACTIVE),
        (NOON - 90 * DAY + SECOND, Status.ACTIVE),
        (NOON - 90 * DAY, Status.UNUSED),
        (NOON - 400 * DAY, Status.UNUSED),
    ],
)
def test_a_token_is_unused_from_ninety_days_on(
    last_used_at: datetime | None, shown: Status
) -> None:
    assert status(last_used_at) is shown


def test_of_all_that_applies_the_first_is_shown() -> None:
    layers: list[tuple[dict[str, Any], Status]] = [
        ({}, Status.NEVER_USED),
        ({"expires_at": NOON + DAY}, Status.EXPIRING_SOON),
        ({"rotating": True}, Status.ROTATING),
        ({"paused_at": NOON}, Status.PAUSED),
        ({"expires_at": NOON}, Status.EXPIRED),
        ({"retire_at": NOON}, Status.ROTATED_OUT),
        ({"revoked_at": NOON}, Status.REVOKED),
    ]
    facts: dict[str, Any] = {}
    for layer, shown in layers:
        facts |= layer
        assert status(None, **facts) is shown


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("revoked_at", Status.ACTIVE),
        ("retire_at", Status.ACTIVE),
        ("paused_at", Status.ACTIVE),
    ],
)
def test_what_is_planned_has_not_happened(field: str, shown: Status) -> None:
    assert status(**{field: NOON + SECOND}) is shown


def test_a_pause_that_is_over_is_not_shown() -> None:
    assert status(paused_at=NOON - DAY, paused_until=NOON) is Status.ACTIVE


def test_a_disabled_owner_does_not_change_what_the_token_is() -> None:
    assert status(owner_active=False) is Status.ACTIVE


def test_the_words_are_the_products() -> None:
    assert [each.label for each in Status] == [
        "Revoked",
        "Rotated out",
        "Expired",
        "Paused",
        "Rotating",
        "Expiring soon",
        "Unused for 90 days",
        "Never used",
        "Active",
    ]
    assert [each for each in Status if each.is_ended] == [
        Status.REVOKED,
        Status.ROTATED_OUT,
        Status.EXPIRED,
    ]
