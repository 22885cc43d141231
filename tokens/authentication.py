"""Who is calling, and with what power: a bearer value becomes a principal or a refusal.

This is the hot path. It asks one fixed query on Django's cursor, because building the same query with
the ORM costs about fourteen times as much (bench/README.md), and it writes only what changes.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, connection

from tokens import lifecycle, policy, secret, usage
from tokens.models.liveness import LivenessFacts, is_ended, is_expired, is_paused
from tokens.origin import Consumer, Door, Origin, client_label, consumer_name, network_of

logger = logging.getLogger(__name__)

# A scheme without a value, or one set off by a tab, is a malformed bearer and not another scheme.
_SCHEME = re.compile(r"bearer(?=\s|\Z) *", re.IGNORECASE)
MAX_HEADER = 4096

_COLUMNS = """
SELECT t.id, t.public_id, t.owner_id, u.is_active, t.revoked_at, t.retire_at, t.expires_at,
       t.paused_at, t.paused_until, t.created_at, t.scopes, t.projects_limited, t.first_used_at,
       t.pepper_id, t.name, t.head4, t.last4, p.new_tokens_allowed, p.max_lifetime_days,
       p.max_write_lifetime_days, p.default_lifetime_days, p.no_expiration_allowed,
       p.allowed_scopes, p.allowed_networks, p.max_live_tokens, p.blocks_from
FROM tokens_accesstoken t
JOIN skytells_console_user u ON u.id = t.owner_id
LEFT JOIN tokens_policy p ON p.id = (SELECT MAX(id) FROM tokens_policy)
"""
_BY_ONE_DIGEST = _COLUMNS + "WHERE t.digest = %s"
_BY_DIGESTS = _COLUMNS + "WHERE t.digest IN ({})"
_POLICY_STARTS = 17


class Request(NamedTuple):
    """What the verdict needs to know of a request, whichever door it came through."""

    authorization: str | None
    address: str | None
    user_agent: str
    consumer_header: str
    now: datetime
    request_id: str


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was accepted."""

    token_id: int
    public_id: uuid.UUID
    owner_id: int
    name: str
    masked: str
    scopes: tuple[str, ...]
    projects_limited: bool
    created_at: datetime
    expires_at: datetime | None

    def origin(self, request: Request) -> Origin:
        """Return the origin of what this caller does next."""
        return Origin(
            at=request.now,
            door=Door.API,
            actor_id=self.owner_id,
            token_id=self.token_id,
            address=request.address,
            client=client_label(request.user_agent),
            request_id=request.request_id,
        )


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


class _Row(NamedTuple):
    id: int
    public_id: uuid.UUID
    owner_id: int
    facts: LivenessFacts
    created_at: datetime
    scopes: tuple[str, ...]
    projects_limited: bool
    first_used_at: datetime | None
    pepper_id: int
    name: str
    masked: str
    policy: policy.PolicyRow


def authenticate(request: Request, scope: str = "", *, all_projects: bool = False) -> Principal:
    """Return who is calling when the token is accepted and holds ``scope``; count the use.

    With ``all_projects``, a token that is limited to chosen projects is refused as well.

    Raises ``Unauthenticated`` or ``Forbidden``, in the order the architecture fixes. Malformed values
    are refused without a query. A failing query raises: no answer is better than a wrong yes.
    """
    value = _bearer(request.authorization)
    row = _find(value)
    if row is None or not row.facts.owner_active:
        raise _invalid()
    _refuse_ended(row, request.now)
    try:
        _refuse_blocked(row, request)
        _refuse_beyond(row, scope, all_projects)
    except Forbidden:
        _count(row, request, scope, allowed=False)
        raise
    principal = Principal(
        token_id=row.id,
        public_id=row.public_id,
        owner_id=row.owner_id,
        name=row.name,
        masked=row.masked,
        scopes=row.scopes,
        projects_limited=row.projects_limited,
        created_at=row.created_at,
        expires_at=row.facts.expires_at,
    )
    _note(row, principal, request, value)
    _count(row, request, scope, allowed=True)
    return principal


def _bearer(header: str | None) -> str:
    """Return the well-formed token of an ``Authorization`` header (RFC 6750, 2.1)."""
    if not header:
        raise Unauthenticated("", 'Send a token, as in "Authorization: Bearer sk_pat_…".')
    scheme = _SCHEME.match(header)
    if scheme is None:
        raise Unauthenticated("", 'Send the token as "Authorization: Bearer sk_pat_…".')
    value = header[scheme.end() :].rstrip(" ")
    if len(header) > MAX_HEADER or not secret.is_well_formed(value):
        raise _invalid()
    return value


def _invalid() -> Unauthenticated:
    # One answer for malformed, unknown and disabled, so that nothing can be learned by trying.
    return Unauthenticated(
        "invalid_token",
        "This token is not valid. Check that all 71 characters were copied.",
        challenge="The token is not valid.",
    )


def _find(value: str) -> _Row | None:
    candidates = secret.digests(value)
    if len(candidates) == 1:
        sql, parameters = _BY_ONE_DIGEST, candidates
    else:
        sql, parameters = _BY_DIGESTS.format(", ".join(["%s"] * len(candidates))), candidates
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        found = cursor.fetchone()
    return _row(found) if found else None


def _row(found: Sequence[Any]) -> _Row:
    rules = found[_POLICY_STARTS:]
    return _Row(
        id=found[0],
        public_id=found[1] if isinstance(found[1], uuid.UUID) else uuid.UUID(found[1]),
        owner_id=found[2],
        facts=LivenessFacts(bool(found[3]), *map(_aware, found[4:9])),
        created_at=_aware(found[9]) or datetime.min.replace(tzinfo=UTC),
        scopes=tuple(found[10].split()),
        projects_limited=bool(found[11]),
        first_used_at=found[12],
        pepper_id=found[13],
        name=found[14],
        masked=secret.masked(found[15], found[16]),
        policy=policy.PolicyRow._make((*rules[:-1], _aware(rules[-1]))),
    )


def _aware(at: datetime | None) -> datetime | None:
    # SQLite's cursor gives times without a zone; Django stores them in UTC.
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _refuse_ended(row: _Row, now: datetime) -> None:
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


def _refuse_blocked(row: _Row, request: Request) -> None:
    """Refuse what the owner or the administrator has stopped, whatever is asked for."""
    if is_paused(row.facts, request.now):
        ending = _pause_ending(row.facts.paused_until, request.now)
        raise Forbidden("token_paused", f"This token is paused {ending}.")
    rules = policy.rules_of(row.policy)
    token = policy.TokenFacts(row.created_at, row.facts.expires_at, row.scopes)
    if not policy.within_policy(token, rules, request.now):
        raise Forbidden(
            "policy_blocked", "Your administrator's policy does not allow this token any more."
        )
    if not policy.network_allowed(request.address, rules):
        raise Forbidden("policy_blocked", "Your administrator does not allow requests from here.")


def _pause_ending(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "until its owner resumes it"
    end = until.astimezone(UTC)
    # A bare time would be read as today's.
    same_day = end.date() == now.astimezone(UTC).date()
    return f"until {end:%H:%M} UTC" if same_day else f"until {end:%-d %b %Y, %H:%M} UTC"


def _refuse_beyond(row: _Row, scope: str, all_projects: bool) -> None:
    """Refuse what was not granted to this token; projects come first, as the architecture says."""
    if all_projects and row.projects_limited:
        raise Forbidden(
            "project_not_allowed",
            "This token is limited to chosen projects, and this needs one for all of them.",
        )
    if scope and scope not in row.scopes:
        raise Forbidden(
            "insufficient_scope", f"This token is missing the {scope} scope.", scope=scope
        )


def _note(row: _Row, principal: Principal, request: Request, value: str) -> None:
    """Write what changes at most once in a token's life; a busy database never refuses a request."""
    signing = secret.peppers().signing_id
    if row.first_used_at is not None and row.pepper_id == signing:
        return
    try:
        origin = principal.origin(request)
        if row.first_used_at is None:
            lifecycle.note_first_use(token_id=row.id, origin=origin)
        if row.pepper_id != signing:
            lifecycle.redigest(token_id=row.id, value=value, origin=origin)
    except DatabaseError:
        logger.exception("The first use of token %s could not be noted.", row.public_id)


def _count(row: _Row, request: Request, scope: str, *, allowed: bool) -> None:
    name = consumer_name(request.consumer_header) if request.consumer_header else ""
    usage.record(
        token_id=row.id,
        scope=scope,
        consumer=Consumer(
            network=network_of(request.address),
            client=client_label(request.user_agent),
            name="" if name and secret.contains_token(name) else name,
        ),
        address=request.address,
        at=request.now,
        allowed=allowed,
    )
