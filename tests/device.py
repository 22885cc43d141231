"""A terminal that signs in, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from skytells_console.models import User
from tests.cast import origin
from tokens import device_flow
from tokens.device_flow import Redemption, Started
from tokens.models import DeviceGrant
from tokens.origin import Door

CLI = "Skytells CLI v0.1.0"
DEFAULT = ["inference", "projects.read", "deployments.read", "account.read"]
TERMINAL, BROWSER = "203.0.113.7", "198.51.100.9"


def start(
    scopes: Sequence[str] | None = tuple(DEFAULT),
    *,
    name: str = CLI,
    client_id: str = "",
    address: str | None = TERMINAL,
    at: datetime | None = None,
) -> Started:
    """Begin a login, as a terminal does."""
    where = origin(at=at, door=Door.DEVICE, address=address, client="Node.js client")
    return device_flow.start(client_id=client_id, client_name=name, scopes=scopes, origin=where)


def approve(started: Started, user: User, **facts: Any) -> bool:
    """Approve it, as the page does."""
    wanted = {
        "scopes": started.grant.scopes.split(),
        "expires_at": timezone.now() + timedelta(days=30),
        **facts,
    }
    here = origin(user, address=BROWSER)
    return device_flow.approve(grant=started.grant, user=user, origin=here, **wanted)


def deny(started: Started, user: User) -> bool:
    """Deny it, as the page does."""
    return device_flow.deny(grant=started.grant, user=user, origin=origin(user))


def redeem(started: Started, *, client_id: str | None = None, code: str = "") -> Redemption:
    """Ask for the token, as the terminal does."""
    where = origin(door=Door.DEVICE, address=TERMINAL, client="Node.js client")
    return device_flow.redeem(
        device_code=code or started.device_code,
        client_id=started.grant.client_id if client_id is None else client_id,
        origin=where,
    )


def row(started: Started) -> DeviceGrant:
    """Return the request as it is stored now."""
    return DeviceGrant.objects.get(pk=started.grant.pk)
