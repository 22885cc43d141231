"""Which address a request came from, believing only the proxies that were configured."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

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
    try:
        address = ipaddress.ip_address(candidate.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _without_port(entry: str) -> str:
    found = _WITH_PORT.fullmatch(entry)
    return (found["bracketed"] or found["plain"]) if found else entry
