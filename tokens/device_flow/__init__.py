"""How a terminal signs in (RFC 8628): the only writer of ``DeviceGrant``.

A terminal starts a request and gets two codes. It shows the short one to a person, who finds the
request by it in a browser and approves or denies it. With the long one the terminal asks until it
gets its token, once.
"""

from __future__ import annotations

from tokens.device_flow.codes import ALPHABET, shown
from tokens.device_flow.deciding import (
    Found,
    Miss,
    State,
    approve,
    deny,
    earlier_logins,
    look_up,
    promised,
    withdraw,
)
from tokens.device_flow.grants import client_of
from tokens.device_flow.redeeming import MAX_INTERVAL, Redemption, Reply, redeem
from tokens.device_flow.starting import (
    DEFAULT_SCOPES,
    INTERVAL,
    LIFETIME,
    MAX_PENDING,
    MAX_PENDING_A_NETWORK,
    Started,
    TooManyStarts,
    start,
)

__all__ = [
    "ALPHABET",
    "DEFAULT_SCOPES",
    "INTERVAL",
    "LIFETIME",
    "MAX_INTERVAL",
    "MAX_PENDING",
    "MAX_PENDING_A_NETWORK",
    "Found",
    "Miss",
    "Redemption",
    "Reply",
    "Started",
    "State",
    "TooManyStarts",
    "approve",
    "client_of",
    "deny",
    "earlier_logins",
    "look_up",
    "promised",
    "redeem",
    "shown",
    "start",
    "withdraw",
]
