"""What is asked for and what is answered, and a token's row before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokens import policy, secret
from tokens.models import AccessToken, Created, Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for when a token is made."""

    name: str
    scopes: Sequence[str]
    expires_at: datetime | None
    description: str = ""
    projects: Sequence[Project] | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and its value: the only moment at which the two are together."""

    token: AccessToken
    plaintext: secret.Plaintext


class AlreadyIssued(Exception):  # noqa: N818 - the first request succeeded; this tells of it
    """The same request minted before; its value was shown then and cannot be shown again."""

    def __init__(self, token: AccessToken) -> None:
        super().__init__("This request has made its token already.")
        self.token = token


def new_row(
    owner: Any,
    name: str,
    scopes: str,
    wish: Wish,
    value: secret.Plaintext,
    via: Created,
    now: datetime,
) -> AccessToken:
    """Return the unsaved row of a token that was checked already."""
    raw = value.reveal()
    pepper_id, digest = secret.digest(raw)
    return AccessToken(
        owner=owner,
        name=name,
        name_key=policy.name_key(name),
        description=wish.description.strip(),
        digest=digest,
        pepper_id=pepper_id,
        head4=raw[7:11],
        last4=raw[-4:],
        scopes=scopes,
        projects_limited=wish.projects is not None,
        created_at=now,
        created_via=via,
        expires_at=wish.expires_at,
    )
