"""What each mail says: facts in words, and links to pages that ask before they act."""

from __future__ import annotations

from datetime import datetime

from tokens.insight.consumers import place_name
from tokens.mailer.pieces import (
    Fact,
    Link,
    Mail,
    address,
    instant,
    look,
    meaning,
    page,
    revocation,
    value_of,
)
from tokens.models import AccessToken, Notice, RevokeKind
from tokens.models.liveness import ended_at
from tokens.notices import Kind
from tokens.origin import Door

_REVOKED_BY = {
    RevokeKind.SELF: "Whoever holds its value revoked it, with the token itself, on {at}.",
    RevokeKind.ADMIN: "An administrator revoked it on {at}.",
    RevokeKind.LEAKED: "It was revoked on {at}, because its value was found where others can read it.",
    RevokeKind.UNUSED: "It was revoked on {at}, because nothing had used it for a long time.",
    RevokeKind.LOST: "It was revoked on {at}, because its value may never have reached you.",
}
_REVOKED_BY_SOMEBODY = "Somebody else than you revoked it on {at}."

_MADE = {
    Door.BROWSER: "In the console",
    Door.API: "Over the API",
    Door.ADMIN: "By an administrator",
    Door.COMMAND: "By an operator",
    Door.DEVICE: "By a device you approved",
}


def mail_about(notice: Notice) -> Mail:
    """Return what is said about ``notice``, which comes with its owner and its token."""
    at = instant(datetime.fromisoformat(notice.data["at"]))
    if notice.token is None or notice.kind == Kind.PASSWORD_CHANGED:
        return _password_changed(notice, at)
    if notice.kind == Kind.TOKEN_CREATED:
        return _created(notice, notice.token, at)
    if notice.kind == Kind.TOKEN_KNOCKED:
        return _knocked(notice, notice.token, at)
    return _revoked(notice, notice.token, at)


def _created(notice: Notice, token: AccessToken, at: str) -> Mail:
    made = [_MADE.get(Door(notice.data["door"]), ""), *_place(notice.data)]
    return Mail(
        notice=notice,
        subject=f"{token.name} was created",
        lede=f"{_what(token)} was created on {at}. It acts as you, until it ends or you revoke it.",
        button=look(token),
        facts=(
            value_of(token),
            Fact("Can", meaning(token)),
            Fact("Expires", instant(token.expires_at) if token.expires_at else "No expiration"),
            Fact("Created", ", ".join(word for word in made if word)),
        ),
        question="Was it not you? Revoke the token, then change your password.",
        ways_out=(
            revocation(token),
            Link("Change your password", page("password")),
        ),
    )


def _revoked(notice: Notice, token: AccessToken, at: str) -> Mail:
    kinds = {str(kind): sentence for kind, sentence in _REVOKED_BY.items()}
    sentence = kinds.get(token.revoke_kind, _REVOKED_BY_SOMEBODY).format(at=at)
    place = ", ".join(_place(notice.data))
    return Mail(
        notice=notice,
        subject=f"{token.name} was revoked",
        lede=f"{sentence} What still uses it is refused from now on.",
        button=look(token),
        facts=(
            value_of(token),
            *([Fact("Reason", token.reason)] if token.reason else []),
            *([Fact("Asked", place[0].upper() + place[1:])] if place else []),
        ),
        question="Does something still need it? Create another token and put it in its place.",
        ways_out=(Link("Create a token", page("tokens:create")),),
        because=f"the token belonged to {address(notice)}",
    )


def _knocked(notice: Notice, token: AccessToken, at: str) -> Mail:
    end = ended_at(token.liveness())
    how = "It was revoked" if token.revoked_at is not None else "It ended"
    when = f"{how} on {instant(end)}. " if end else ""
    return Mail(
        notice=notice,
        subject=f"{token.name} is still tried",
        lede=f"{when}Something still sends its value, and every try gets 401.",
        button=look(token, "See who tries it"),
        facts=(
            value_of(token),
            Fact("Tried", at),
            *([Fact("From", place)] if (place := _knocker(notice.data)) else []),
        ),
        question="Something there still holds the old value: remove it, or give it a token of its own.",
        ways_out=(Link("Create a token", page("tokens:create")),),
        because="you asked to be told of tokens that are tried after their end. It comes once a token, "
        f"to {address(notice)}",
    )


def _password_changed(notice: Notice, at: str) -> Mail:
    place = ", ".join(_place(notice.data))
    return Mail(
        notice=notice,
        subject="Your password was changed",
        lede=f"It was changed on {at}. Every other browser was signed out. Your tokens keep working.",
        button=Link("Revoke all tokens", page("tokens:revoke_all")),
        facts=(
            Fact("Account", address(notice)),
            *([Fact("Changed", place[0].upper() + place[1:])] if place else []),
        ),
        question="Was it not you? Choose a new password, then revoke all tokens.",
        ways_out=(Link("Choose a new password", page("account_reset_password")),),
        because=f"the account belongs to {address(notice)}",
    )


def _place(facts: dict[str, str]) -> list[str]:
    client = facts.get("client", "")
    place = [f"from {facts['address']}"] if facts.get("address") else []
    return [*place, client] if client and client != "other" else place


def _knocker(facts: dict[str, str]) -> str:
    client = facts.get("client", "")
    known = [place_name(facts.get("place", ""), ""), client if client != "other" else ""]
    return ", ".join(word for word in known if word)


def _what(token: AccessToken) -> str:
    return "This token" if token.replaces_id is None else "The replacement in a rotation"
