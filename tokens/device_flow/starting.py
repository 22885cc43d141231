"""How a device login begins: anybody may ask, so what they may ask for is bounded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, connection, transaction

from tokens import policy, scopes as catalogue
from tokens.device_flow import codes
from tokens.device_flow.grants import numbered, pending_q
from tokens.models import DeviceGrant
from tokens.origin import Origin, network_of

LIFETIME = timedelta(minutes=15)
INTERVAL = 5
MAX_PENDING_A_NETWORK = 10
# Of 25.6 billion codes so many can be waiting; five tries then hit one of them once in five million.
MAX_PENDING = 1000
# What the public CLI asks for when nobody says otherwise; so does a client that names no scope.
DEFAULT_SCOPES = catalogue.PRESETS[0].scopes
_CLIENT_ID = re.compile(r"[!-~]{0,64}\Z", re.ASCII)
# Any number will do, as long as nothing else in this database locks the same one.
_LOCK = 8628


@dataclass(frozen=True, slots=True)
class Started:
    """A new request and its two codes: the only moment at which they are together."""

    grant: DeviceGrant
    device_code: str
    user_code: str


class TooManyStarts(Exception):  # noqa: N818 - an answer, not a fault
    """So many requests wait already that another is refused; one of them ends in ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many device logins are waiting for approval.")
        self.seconds = seconds


def start(
    *, client_id: str, client_name: str, scopes: Sequence[str] | None, origin: Origin
) -> Started:
    """Write down that a client asks for access, and return its codes.

    Raises ``policy.Refused`` for scopes, a name or an id that cannot be used, and ``TooManyStarts``.
    """
    rules = policy.current_rules()
    if not rules.new_tokens_allowed:
        raise policy.Refused(
            "", "no_new_tokens", "New tokens are switched off for now. Ask your administrator."
        )
    wanted = _check_scopes(scopes, rules)
    name = _check_client(client_id, client_name)
    network = network_of(origin.address)
    # Looked at before anything is locked, so that a storm of starts does not queue for the lock.
    _check_caps(network, origin.at)
    with transaction.atomic():
        _lock()
        _check_caps(network, origin.at)
        return _store(
            DeviceGrant(
                client_id=client_id,
                client_name=name,
                scopes=wanted,
                address=origin.address,
                network=network,
                created_at=origin.at,
                expires_at=origin.at + LIFETIME,
                interval=INTERVAL,
            )
        )


def _check_scopes(scopes: Sequence[str] | None, rules: policy.Rules) -> str:
    if scopes is None:
        allowed = DEFAULT_SCOPES & rules.allowed_scopes
        return policy.check_scopes(allowed, rules)
    # The CLI splits a list at its commas and sends what comes of it; an empty name asks for nothing.
    names = [name for name in scopes if name.strip()]
    if not names:
        raise policy.Refused("scopes", "scopes_required", "Name at least one scope.")
    return policy.check_scopes(names, rules)


def _check_client(client_id: str, client_name: str) -> str:
    """Return the name as it is stored: as it was judged, which can be much shorter than what came."""
    if not _CLIENT_ID.match(client_id):
        raise policy.Refused(
            "client_id",
            "invalid_client_id",
            "A client_id is up to 64 printable ASCII characters without spaces.",
        )
    policy.check_text(client_id, field="client_id", what="The client_id")
    if not client_name.strip():
        return ""
    name = policy.check_name(client_name, what="The client's name")
    # The token is named after the client, with a number where the name is taken.
    policy.check_name(numbered(name, 9999), what="The client's name")
    return name


def _check_caps(network: str, now: datetime) -> None:
    pending = DeviceGrant.objects.filter(pending_q(now))
    same_network = pending.filter(network=network, created_at__gt=now - LIFETIME)
    for waiting, most in ((same_network, MAX_PENDING_A_NETWORK), (pending, MAX_PENDING)):
        if waiting.count() >= most:
            first = waiting.order_by("expires_at").values_list("expires_at", flat=True).first()
            raise TooManyStarts(int((first - now).total_seconds()) + 1 if first else 1)


def _lock() -> None:
    # Counting rows and adding one is exact only for one at a time. SQLite's IMMEDIATE transaction
    # lets one writer in anyway; PostgreSQL is asked for a lock of its own.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _store(grant: DeviceGrant) -> Started:
    """Give the request its codes and write it; a person's code that somebody has is drawn again."""
    device_code = codes.mint_device_code()
    grant.device_digest = codes.device_digest(device_code)
    for tries_left in (2, 1, 0):
        user_code = codes.mint_user_code()
        grant.pepper_id, grant.user_digest = codes.user_digest(user_code)
        try:
            with transaction.atomic():
                grant.save(force_insert=True)
        except IntegrityError:
            if not tries_left:
                raise
        else:
            return Started(grant, device_code, user_code)
    raise AssertionError("The last try either returns or raises.")
