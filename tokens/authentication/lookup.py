"""What one query tells of a presented token, asked of the database's driver on its own cursor."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tokens import policy, secret
from tokens.models.liveness import LivenessFacts
from tokens.models.reading import FixedSelect

_COLUMNS = """
SELECT t.id, t.public_id, t.owner_id, u.is_active, t.revoked_at, t.retire_at, t.expires_at,
       t.paused_at, t.paused_until, t.created_at, t.scopes, t.projects_limited, t.first_used_at,
       t.pepper_id, t.name, t.head4, t.last4, u.public_id, p.new_tokens_allowed, p.max_lifetime_days,
       p.max_write_lifetime_days, p.default_lifetime_days, p.no_expiration_allowed,
       p.allowed_scopes, p.allowed_networks, p.max_live_tokens, p.blocks_from
FROM tokens_accesstoken t
JOIN skytells_console_user u ON u.id = t.owner_id
LEFT JOIN tokens_policy p ON p.id = (SELECT MAX(id) FROM tokens_policy)
"""
_BY_DIGESTS = _COLUMNS + "WHERE t.digest IN ({})"
_POLICY_STARTS = 18
_NO_POLICY = policy.PolicyRow()


class Row(NamedTuple):
    """What one query tells of a token, its owner's standing and the policy in force."""

    id: int
    public_id: uuid.UUID
    owner_id: int
    owner_public_id: uuid.UUID
    facts: LivenessFacts
    created_at: datetime
    scopes: tuple[str, ...]
    projects_limited: bool
    first_used_at: datetime | None
    pepper_id: int
    name: str
    masked: str
    policy: policy.PolicyRow


def find_row(value: str) -> Row | None:
    """Return what is known of the token with this well-formed value; one query, counting nothing."""
    candidates = secret.digests(value)
    found = by_digests(len(candidates)).row(candidates)
    return row_of(found) if found else None


@functools.cache
def by_digests(number: int) -> FixedSelect:
    """Return the look-up among as many digests as there are peppers."""
    return FixedSelect(_BY_DIGESTS.format(", ".join(["%s"] * number)))


def row_of(found: Sequence[Any]) -> Row:
    """Name the columns of a row as the driver gives them."""
    # SQLite's cursor gives times without a zone; Django stores them in UTC.
    aware = [at if at is None or at.tzinfo else at.replace(tzinfo=UTC) for at in found[4:10]]
    rules = found[_POLICY_STARTS:]
    return Row(
        id=found[0],
        public_id=_uuid(found[1]),
        owner_id=found[2],
        owner_public_id=_uuid(found[17]),
        facts=LivenessFacts(bool(found[3]), *aware[:5]),
        created_at=aware[5],
        scopes=tuple(found[10].split()),
        projects_limited=bool(found[11]),
        first_used_at=found[12],
        pepper_id=found[13],
        name=found[14],
        masked=secret.masked(found[15], found[16]),
        policy=_NO_POLICY if rules == _NO_POLICY else _policy(*rules),
    )


def _policy(*columns: Any) -> policy.PolicyRow:
    row = policy.PolicyRow._make(columns)
    blocks_from = row.blocks_from
    if blocks_from is not None and blocks_from.tzinfo is None:
        row = row._replace(blocks_from=blocks_from.replace(tzinfo=UTC))
    return row


def _uuid(stored: uuid.UUID | str) -> uuid.UUID:
    # SQLite's cursor gives the digits of an id, PostgreSQL's the id.
    return stored if isinstance(stored, uuid.UUID) else uuid.UUID(stored)
