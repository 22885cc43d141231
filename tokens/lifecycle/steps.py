"""The steps that the writers share: locks, conditional updates, names and the memory of it all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q

from tokens import audit, policy
from tokens.models import AccessToken, Project, TokenProject
from tokens.models.liveness import ended_q
from tokens.origin import Origin


def lock_owner(owner_id: int) -> None:
    """Let one writer of a person's tokens in at a time, until the transaction ends.

    Limits and names are counted over many rows. SQLite's IMMEDIATE transaction holds the whole
    database; PostgreSQL locks the owner's row, but not its key: whoever revokes a token refers to that
    row while holding the token's, and would wait here for somebody who waits for the token.
    """
    get_user_model().objects.select_for_update(no_key=True).only("pk").get(pk=owner_id)


def check_description(text: str) -> str:
    """Return the description as it is stored. Raises ``policy.Refused`` for what must not be."""
    cleaned = text.strip()
    if len(cleaned) > policy.MAX_DESCRIPTION:
        raise policy.Refused(
            "description",
            "description_too_long",
            f"Descriptions can be up to {policy.MAX_DESCRIPTION} characters.",
        )
    policy.check_text(cleaned, field="description", what="The description")
    return cleaned


def claim_name(owner_id: int, name: str, now: datetime, but_for: int = 0) -> None:
    """Free the name if its holder has ended by time alone; refuse when somebody holds it."""
    key = policy.name_key(name)
    holders = AccessToken.objects.filter(owner_id=owner_id, name_key=key).exclude(pk=but_for)
    holders.filter(ended_q(now)).update(name_key=None)
    if holders.exists():
        raise policy.name_taken(name)


def limit_to_projects(token: AccessToken, projects: Sequence[Project] | None) -> None:
    """Write down which projects a new token may touch. Raises ``policy.Refused`` for a stranger's."""
    if projects is None:
        return
    if any(project.owner_id != token.owner_id for project in projects):
        raise policy.Refused("projects", "unknown_project", "Choose projects of your own.")
    # A project that was sent twice is one project.
    TokenProject.objects.bulk_create(
        [TokenProject(token=token, project=project) for project in dict.fromkeys(projects)]
    )


def unrevoked(**facts: Any) -> Q:
    """Return the condition for tokens with these facts that nobody has revoked.

    A revocation counts at once, also for a caller whose clock was read a moment before it.
    """
    return Q(revoked_at__isnull=True, **facts)


def update(condition: Q, **values: Any) -> bool:
    """Update at most one row, only while the condition holds; return whether it did."""
    return AccessToken.objects.filter(condition).update(**values) == 1


def remember(event: audit.Kind, token: AccessToken, origin: Origin, /, **data: Any) -> None:
    """Write the event of a change to one token, in the transaction of the change."""
    audit.record(
        event,
        origin=origin,
        owner_id=token.owner_id,
        token_public_id=token.public_id,
        token_name=token.name,
        data=data,
    )


def iso(at: datetime | None) -> str | None:
    """Return an instant as events keep it."""
    return at.isoformat() if at else None
