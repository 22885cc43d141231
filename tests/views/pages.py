"""Filling in the console's forms without a browser."""

from __future__ import annotations

import html
import re
import uuid
from typing import Any

from django.test import Client

from tokens import scopes

TOKEN = re.compile(r"sk_pat_[0-9a-f]{64}")
CREATE = "/settings/tokens/new"
LIST = "/settings/tokens"
HTMX = {"HX-Request": "true"}


def text_of(answer: Any) -> str:
    """Return an answer's text as a reader's selection would give it, without tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", answer.content.decode()))


def tokens_in(answer: Any) -> list[str]:
    """Return every whole token in an answer, as text content."""
    return TOKEN.findall(text_of(answer))


def levels(*names: str) -> dict[str, str]:
    """Return the form's levels that make these scopes."""
    return {
        f"level-{resource.key}": scopes.level_of(resource.key, names)
        for resource in scopes.RESOURCES
    }


def wish(**changes: Any) -> dict[str, Any]:
    """Return what a person sends with the create form; ``scopes`` become the levels that make them."""
    sent = {
        "name": "cli-macbook",
        "description": "",
        **levels(*changes.pop("scopes", ["projects.read", "account.read"])),
        "expires": "30",
        "expires_custom": "",
        "request_id": str(uuid.uuid4()),
    }
    return {key: value for key, value in (sent | changes).items() if value is not None}


def create(client: Client, **changes: Any) -> Any:
    """Send the create form."""
    headers = changes.pop("headers", None)
    return client.post(CREATE, wish(**changes), headers=headers)
