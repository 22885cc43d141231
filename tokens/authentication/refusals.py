"""Why a token is refused, in the order the architecture fixes, and the facts that decide it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from django.db import connection

from tokens import policy
from tokens.authentication.lookup import Row
from tokens.models.liveness import is_ended, is_expired, is_paused

_PROJECT_OF_OWNER = """
SELECT EXISTS (SELECT 1 FROM tokens_tokenproject tp WHERE tp.token_id = %s AND tp.project_id = p.id)
FROM tokens_project p
WHERE p.public_id = %s AND p.owner_id = %s
"""


class Unauthenticated(Exception):  # noqa: N818 - an answer, not a fault
    """401: there is no usable token. ``code`` is empty when no credential came at all."""

    def __init__(self, code: str, sentence: str, *, challenge: str = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.challenge = code, sentence, challenge


class Forbidden(Exception):  # noqa: N818 - an answer, not a fault
    """403: the token is real and lives, but may not do this."""

    def __init__(self, code: str, sentence: str, *, scope: str = "") -> None:
        super().__init__(sentence)
        self.code, self.sentence, self.scope = code, sentence, scope
        # The planned end of the token that was refused, where the refusal is about one.
        self.expires_at: datetime | None = None


def invalid() -> Unauthenticated:
    """Return the one answer for malformed, unknown and disabled: trying must teach nothing."""
    return Unauthenticated(
        "invalid_token",
        "This token is not valid. Check that all 71 characters were copied.",
        challenge="The token is not valid.",
    )


def refuse_ended(row: Row, now: datetime) -> None:
    """Refuse a token that has come to its end, and say how it did."""
    facts = row.facts
    if not is_ended(facts, now):
        return
    only_expired = is_expired(facts, now) and not is_ended(facts._replace(expires_at=None), now)
    if only_expired:
        raise Unauthenticated(
            "token_expired",
            "This token has expired. Create another in Settings → Tokens.",
            challenge="The token has expired.",
        )
    raise Unauthenticated(
        "token_revoked",
        "This token was revoked. Create another in Settings → Tokens.",
        challenge="The token was revoked.",
    )


def refuse_blocked(row: Row, address: str | None, now: datetime) -> None:
    """Refuse what the owner or the administrator has stopped, whatever is asked for."""
    if is_paused(row.facts, now):
        ending = _pause_ending(row.facts.paused_until, now)
        raise Forbidden("token_paused", f"This token is paused {ending}.")
    rules = policy.rules_of(row.policy)
    token = policy.TokenFacts(row.created_at, row.facts.expires_at, row.scopes)
    if not policy.within_policy(token, rules, now):
        raise Forbidden(
            "policy_blocked", "Your administrator's policy does not allow this token any more."
        )
    if not policy.network_allowed(address, rules):
        raise Forbidden("policy_blocked", "Your administrator does not allow requests from here.")


def _pause_ending(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "until its owner resumes it"
    end = until.astimezone(UTC)
    # A bare time would be read as today's.
    same_day = end.date() == now.astimezone(UTC).date()
    return f"until {end:%H:%M} UTC" if same_day else f"until {end:%-d %b %Y, %H:%M} UTC"


def refuse_beyond(row: Row, scope: str, all_projects: bool, project: str | None) -> None:
    """Refuse what was not granted to this token; projects come first, as the architecture says."""
    if project is not None and not _reaches(row, project):
        raise Forbidden("project_not_allowed", "This token is not for this project.")
    if all_projects and row.projects_limited:
        raise Forbidden(
            "project_not_allowed",
            "This token is limited to chosen projects, and this needs one for all of them.",
        )
    if scope and scope not in row.scopes:
        raise Forbidden(
            "insufficient_scope", f"This token is missing the {scope} scope.", scope=scope
        )


def _reaches(row: Row, project: str) -> bool:
    """Say whether a project is the owner's and, for a limited token, among the chosen ones."""
    try:
        public_id = uuid.UUID(project)
    except ValueError:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_PROJECT_OF_OWNER, [row.id, public_id.hex, row.owner_id])
        found = cursor.fetchone()
    return found is not None and (not row.projects_limited or bool(found[0]))
