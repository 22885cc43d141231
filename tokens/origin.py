"""Who did something, through which door, from where, when: one value passed to every writer."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

MAX_CONSUMER_NAME = 80
MAX_USER_AGENT = 256


class Door(StrEnum):
    """The ways into the product."""

    BROWSER = "browser"
    API = "api"
    ADMIN = "admin"
    COMMAND = "command"
    DEVICE = "device"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source of one action. ``at`` is the only clock that a writer reads, in UTC.

    ``quiet`` is for lives that are made up, such as a sample's: nobody is mailed about them.
    """

    at: datetime
    door: Door
    actor_id: int | None = None
    token_id: int | None = None
    address: str | None = None
    client: str = ""
    request_id: str = ""
    quiet: bool = False


class Consumer(NamedTuple):
    """What used a token, as far as the console can tell: a network, a kind of client, and a name.

    ``name`` comes from the ``X-Skytells-Consumer`` header: it is shown, never trusted.
    """

    network: str
    client: str
    name: str = ""
    service: str = ""


# The first match wins, so what calls itself several things is listed by its most telling word.
_LABELS = (
    ("curl", "curl"),
    ("wget", "Wget"),
    ("python-requests", "Python requests"),
    ("python-httpx", "Python httpx"),
    ("aiohttp", "Python aiohttp"),
    ("python-urllib", "Python urllib"),
    ("go-http-client", "Go client"),
    ("okhttp", "Java OkHttp"),
    ("apache-httpclient", "Java HttpClient"),
    ("postman", "Postman"),
    ("insomnia", "Insomnia"),
    ("powershell", "PowerShell"),
    ("github-actions", "GitHub Actions"),
    ("terraform", "Terraform"),
    ("undici", "Node.js client"),
    ("node", "Node.js client"),
    ("axios", "Node.js axios"),
    ("firefox/", "Firefox"),
    ("edg/", "Edge"),
    ("chrome/", "Chrome"),
    ("safari/", "Safari"),
)


def client_label(user_agent: str) -> str:
    """Return a short word for a ``User-Agent``, from a closed list.

    The Skytells CLI sends only ``node``, so it is called "Node.js client"; no version is invented.
    """
    lowered = user_agent[:MAX_USER_AGENT].lower()
    for needle, label in _LABELS:
        if needle in lowered:
            return label
    return "other"


# Parsing an address costs as much as looking a token up in memory, and clients come back.
@functools.lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """Return the network an address belongs to: IPv4 /24, IPv6 /48, or "unknown"."""
    if not address:
        return "unknown"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    length = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network(f"{parsed}/{length}", strict=False))


def consumer_name(header: str) -> str:
    """Return the printable ASCII part of an ``X-Skytells-Consumer`` header, shortened."""
    kept = "".join(character for character in header if " " <= character <= "~")
    return kept.strip()[:MAX_CONSUMER_NAME]
