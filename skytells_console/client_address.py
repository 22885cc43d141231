"""Which address a request came from, believing only the proxies that were configured."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# The longest IPv6 address has 45 characters; a zone may follow it.
MAX_ADDRESS = 80
# Some proxies write a port behind the address, and brackets around one that has colons itself.
_WITH_PORT = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[0-9.]+))(?::[0-9]{1,5})?", re.ASCII
)


def client_address(meta: Mapping[str, Any], trusted_proxies: int) -> str | None:
    """Return the client's address as text, or None when it cannot be known.

    ``X-Forwarded-For`` counts only as far back as ``trusted_proxies`` entries from its end, because
    everything before them was written by the client.
    """
    candidate = str(meta.get("REMOTE_ADDR") or "")
    forwarded = str(meta.get("HTTP_X_FORWARDED_FOR", ""))
    # Without the header the request did not come through the proxies, so the socket's word counts.
    if trusted_proxies and forwarded.strip():
        chain = [part.strip() for part in forwarded.split(",")]
        if len(chain) >= trusted_proxies:
            candidate = _without_port(chain[-trusted_proxies])
    # Nothing longer is an address, and only what may be one is worth remembering.
    return _as_text(candidate) if len(candidate) <= MAX_ADDRESS else None


# Clients come back, and reading an address costs as much as the rest of finding it.
@functools.lru_cache(maxsize=4096)
def _as_text(candidate: str) -> str | None:
    try:
        address = ipaddress.ip_address(candidate.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _without_port(entry: str) -> str:
    found = _WITH_PORT.fullmatch(entry)
    return (found["bracketed"] or found["plain"]) if found else entry
