"""What mails are made of: their content, and how they name people, times, powers and pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import reverse

from tokens import scopes as catalogue
from tokens.models import AccessToken, Notice

NEVER_ASKS = "Skytells never asks for a token by email."


class Fact(NamedTuple):
    """One line of the table: what it is about, what it says, and whether it is a token's name."""

    label: str
    value: str
    mono: bool = False


class Link(NamedTuple):
    """Where a page stands that asks before it does anything."""

    label: str
    url: str


class Life(NamedTuple):
    """How much of a token's life is over, in percent, and the words at the two ends of the line."""

    percent: int
    begun: str
    left: str


class Item(NamedTuple):
    """One of several tokens that a mail is about."""

    title: str
    sentence: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The content of one mail, the same in its text and in its HTML.

    It goes to the owner of ``notice``. ``strong`` is the part of the lede that must not be missed, and
    ``closing`` ends the question after its links, where they are part of its sentence. ``because`` says
    why the mail came, and ``more`` what else will come.
    """

    notice: Notice
    subject: str
    lede: str
    button: Link
    facts: tuple[Fact, ...] = ()
    question: str = ""
    ways_out: tuple[Link, ...] = ()
    because: str = ""
    more: str = ""
    strong: str = ""
    life: Life | None = None
    note: str = ""
    items: tuple[Item, ...] = ()
    closing: str = ""

    @property
    def address(self) -> str:
        """Where the mail goes."""
        return address(self.notice)

    @property
    def foot(self) -> str:
        """The last lines: why this mail came, what else will come, and what Skytells never does."""
        because = self.because or f"the token belongs to {self.address}"
        lines = (f"You get this because {because}.", self.more, NEVER_ASKS)
        return " ".join(filter(None, lines))

    @property
    def lede_parts(self) -> tuple[str, str, str]:
        """What stands before the strong part, the strong part, and what stands after it."""
        return self.lede.partition(self.strong) if self.strong else (self.lede, "", "")


def address(notice: Notice) -> str:
    """Return where the mail goes."""
    owner: Any = notice.owner
    return str(owner.email)


def meaning(token: AccessToken) -> str:
    """Return what the token's scopes allow, in one line of words."""
    meanings = [catalogue.BY_NAME[name].meaning for name in token.scope_names]
    return ", ".join([*meanings[:1], *(text[0].lower() + text[1:] for text in meanings[1:])])


def instant(at: datetime) -> str:
    """Return a time as mails say it, in UTC."""
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M} UTC"


def page(name: str, **parts: Any) -> str:
    """Return the public address of a page. Raises ``NoReverseMatch`` when there is none."""
    # The API's requests have addresses of their own, so the pages' are named here.
    return settings.PUBLIC_URL + reverse(name, urlconf=settings.ROOT_URLCONF, kwargs=parts)


def value_of(token: AccessToken, label: str = "Token") -> Fact:
    """Return the line that says which token it is, by what may be shown of its value."""
    return Fact(label, token.masked, mono=True)


def look(token: AccessToken, label: str = "Look at the token") -> Link:
    """Return the link to the token's own page."""
    return Link(label, page("tokens:detail", public_id=token.public_id))


def rotation(token: AccessToken, label: str = "Rotate this token") -> Link:
    """Return the link to the token's rotation, where it stands."""
    return Link(label, page("tokens:rotate", public_id=token.public_id))


def revocation(token: AccessToken) -> Link:
    """Return the link to the page that asks before it revokes the token."""
    return Link("Revoke it now", page("tokens:revoke", public_id=token.public_id))
