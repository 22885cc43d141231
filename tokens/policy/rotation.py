"""What a replacement may be: never more than the token it replaces; and when the old one may end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.policy.refusal import Refused
from tokens.policy.rules import Rules


def check_rotatable(token: AccessToken, *, replacing: bool, rotating: bool, now: datetime) -> None:
    """Raise ``Refused`` unless a rotation of the token may begin; needs ``owner`` loaded.

    ``replacing`` says whether it is itself the replacement in an open rotation, ``rotating`` whether
    it has one. A pause stands in no way: the old token stays paused, and the replacement is not.
    """
    if token.revoked_at is not None or is_ended(token.liveness(), now):
        raise Refused(
            "",
            "token_ended",
            f"{token.name} has ended, so it cannot be rotated. Create another token instead.",
        )
    if replacing:
        raise Refused(
            "",
            "replacement_in_rotation",
            f"This is the replacement in the rotation of {token.name}. Finish that rotation first.",
        )
    if rotating:
        raise Refused(
            "",
            "already_rotating",
            f"{token.name} is being rotated already. Continue that rotation, or cancel it.",
        )


def check_subset(held: Iterable[str], chosen: Iterable[str]) -> None:
    """Raise ``Refused`` when a replacement would get a scope that the old token does not have."""
    if not set(chosen) <= set(held):
        raise Refused(
            "scopes",
            "scopes_widened",
            "The replacement can only have scopes of the old token. Create a token for more.",
        )


def check_projects(held: frozenset[int] | None, chosen: Iterable[int] | None) -> None:
    """Raise ``Refused`` when a replacement would reach more projects; None stands for all of them."""
    if held is not None and (chosen is None or not held.issuperset(chosen)):
        raise Refused(
            "projects",
            "projects_widened",
            "The replacement can only reach projects of the old token. Create a token for more.",
        )


def check_retirement(
    at: datetime, *, expires_at: datetime | None, now: datetime, rules: Rules
) -> None:
    """Raise ``Refused`` unless the old token may be made to end then: later, and not beyond its end."""
    if at <= now:
        raise Refused(
            "at", "retirement_past", "Choose a time that is still to come, or revoke it now."
        )
    limit = now + rules.max_lifetime if expires_at is None else expires_at
    if at > limit:
        raise Refused(
            "at",
            "retirement_too_late",
            "The old token expires before that. Choose an earlier time."
            if expires_at
            else f"Choose a time within {rules.max_lifetime.days} days.",
        )
