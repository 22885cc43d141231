"""Who is calling, and with what power: a bearer value becomes a principal or a refusal.

This is the hot path. It asks one fixed query of the database's driver, because building the same
query with the ORM costs many times as much (bench/README.md), and it writes only what changes. No
verdict outlives its request: whatever changes a token holds on the next one of every process.
"""

from __future__ import annotations

import functools
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import DatabaseError

from tokens import lifecycle, secret, usage
from tokens.authentication.lookup import Row, find_row
from tokens.authentication.refusals import (
    Forbidden,
    Unauthenticated,
    invalid,
    refuse_beyond,
    refuse_blocked,
    refuse_ended,
)
from tokens.models import AccessToken
from tokens.origin import (
    MAX_USER_AGENT,
    Consumer,
    Door,
    Origin,
    client_label,
    consumer_name,
    network_of,
)

__all__ = [
    "Forbidden",
    "Principal",
    "Recognised",
    "Request",
    "Unauthenticated",
    "authenticate",
    "find_token",
    "foresee",
    "recognise",
]

logger = logging.getLogger(__name__)

# A scheme without a value, or one set off by a tab, is a malformed bearer and not another scheme.
_SCHEME = re.compile(r"bearer(?=\s|\Z) *", re.IGNORECASE)
MAX_HEADER = 4096


class Request(NamedTuple):
    """What the verdict needs to know of a request, whichever door it came through.

    ``service`` names who asks about a token that somebody else presented to it: the address is then
    the service's own, which the policy's networks are held against but no use is ascribed to.
    """

    authorization: str | None
    address: str | None
    user_agent: str
    consumer_header: str
    now: datetime
    request_id: str
    service: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was accepted."""

    token_id: int
    public_id: uuid.UUID
    owner_id: int
    owner_public_id: uuid.UUID
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
            address=None if request.service else request.address,
            client="" if request.service else client_label(request.user_agent),
            request_id=request.request_id,
        )


class Recognised(NamedTuple):
    """A token that was presented and has not ended: its facts, and what ``foresee`` judges."""

    principal: Principal
    row: Row


def authenticate(
    request: Request,
    scope: str = "",
    *,
    all_projects: bool = False,
    project: str | None = None,
    within: frozenset[str] | None = None,
) -> Principal:
    """Return who is calling when the token is accepted and holds ``scope``; count the use.

    With ``all_projects``, a token that is limited to chosen projects is refused as well. With
    ``project``, the public id of one, so is every token that does not reach that project. For who
    may only ask about the scopes ``within``, a token with none of them does not exist.

    Raises ``Unauthenticated`` or ``Forbidden``, in the order the architecture fixes. Malformed values
    are refused without a query. A failing query raises: no answer is better than a wrong yes.
    """
    value = _bearer(request.authorization)
    row = find_row(value)
    if row is None or not row.facts.owner_active:
        raise invalid()
    if within is not None and within.isdisjoint(row.scopes):
        raise invalid()
    try:
        refuse_ended(row, request.now)
        refuse_blocked(row, request.address, request.now)
        refuse_beyond(row, scope, all_projects, project)
    except Unauthenticated as refused:
        _count_refused(row, request, scope, refused.code)
        raise
    except Forbidden as refused:
        refused.expires_at = row.facts.expires_at
        _count_refused(row, request, scope, refused.code)
        raise
    principal = _principal(row)
    _note(row, principal, request, value)
    _count(row, request, scope, allowed=True)
    return principal


def recognise(request: Request) -> Recognised:
    """Return the token that a request presents, if it has not ended; nothing is counted or noted.

    Raises ``Unauthenticated``. Whether the token may act is another question: see ``foresee``.
    """
    row = find_row(_bearer(request.authorization))
    if row is None or not row.facts.owner_active:
        raise invalid()
    refuse_ended(row, request.now)
    return Recognised(_principal(row), row)


def foresee(
    found: Recognised,
    *,
    scopes: Sequence[str],
    project: str | None,
    address: str | None,
    at: datetime,
) -> Forbidden | Unauthenticated | None:
    """Return how a request at ``at`` that needs all the ``scopes`` would be refused, or None.

    As at forward authentication, a token that is limited to chosen projects passes only where one of
    them is named; it does pass where nothing but the token itself is asked about.
    """
    try:
        refuse_ended(found.row, at)
        refuse_blocked(found.row, address, at)
        refuse_beyond(found.row, "", bool(scopes) and project is None, project)
        for scope in scopes:
            refuse_beyond(found.row, scope, False, None)
    except (Forbidden, Unauthenticated) as refused:
        return refused
    return None


def find_token(value: str) -> AccessToken | None:
    """Return the token that has this value, in whatever state it is; nothing is counted."""
    if not secret.is_well_formed(value):
        return None
    return AccessToken.objects.filter(digest__in=secret.digests(value)).first()


def _bearer(header: str | None) -> str:
    """Return the well-formed token of an ``Authorization`` header (RFC 6750, 2.1)."""
    if not header:
        raise Unauthenticated("", 'Send a token, as in "Authorization: Bearer sk_pat_…".')
    scheme = _SCHEME.match(header)
    if scheme is None:
        raise Unauthenticated("", 'Send the token as "Authorization: Bearer sk_pat_…".')
    value = header[scheme.end() :].rstrip(" ")
    if len(header) > MAX_HEADER or not secret.is_well_formed(value):
        raise invalid()
    return value


def _principal(row: Row) -> Principal:
    return Principal(
        token_id=row.id,
        public_id=row.public_id,
        owner_id=row.owner_id,
        owner_public_id=row.owner_public_id,
        name=row.name,
        masked=row.masked,
        scopes=row.scopes,
        projects_limited=row.projects_limited,
        created_at=row.created_at,
        expires_at=row.facts.expires_at,
    )


def _note(row: Row, principal: Principal, request: Request, value: str) -> None:
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


def _count(row: Row, request: Request, scope: str, *, allowed: bool) -> None:
    usage.record(
        token_id=row.id,
        scope=scope,
        consumer=_consumer(request),
        address=None if request.service else request.address,
        at=request.now,
        allowed=allowed,
    )


def _count_refused(row: Row, request: Request, scope: str, code: str) -> None:
    """Count a call that was too much for the token, or a knock: only a full secret comes so far."""
    if code in {"token_revoked", "token_expired"}:
        mark = usage.ENDED
    elif code == "token_paused" and row.facts.paused_at is not None:
        mark = usage.mark_of_pause(row.facts.paused_at)
    else:
        _count(row, request, scope, allowed=False)
        return
    usage.knock(token_id=row.id, mark=mark, consumer=_consumer(request), at=request.now)


def _consumer(request: Request) -> Consumer:
    if request.service:
        return Consumer(network="", client="", service=request.service)
    seen = _without_name(request.address, request.user_agent[:MAX_USER_AGENT])
    if not request.consumer_header:
        return seen
    name = consumer_name(request.consumer_header)
    return seen if secret.contains_token(name) else seen._replace(name=name)


# Clients come back, and are recognised again as the very same value.
@functools.lru_cache(maxsize=4096)
def _without_name(address: str | None, user_agent: str) -> Consumer:
    return Consumer(network=network_of(address), client=client_label(user_agent))
