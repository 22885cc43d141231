"""How often one may try, counted in SQL so that the count is exact across threads and workers.

Windows are fixed, not sliding: around the edge of a window somebody may try twice the limit. That
inexactness is accepted for a single statement that no race can slip through.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection

# One statement on both databases: the row is counted and read without a gap between.
_HIT = """
INSERT INTO tokens_ratelimit (key, "window", count, expires_at) VALUES (%s, %s, 1, %s)
ON CONFLICT (key, "window") DO UPDATE SET count = tokens_ratelimit.count + 1 RETURNING count
"""
_GIVE_BACK = """
UPDATE tokens_ratelimit SET count = count - 1 WHERE key = %s AND "window" = %s AND count > 0
"""


class Limit(NamedTuple):
    """At most ``tries`` in each window of ``seconds``."""

    name: str
    tries: int
    seconds: int


SIGN_IN_FROM_ONE_PLACE = Limit("sign-in-place", 5, 300)
SIGN_IN_ANYWHERE = Limit("sign-in-anywhere", 30, 300)
SIGN_IN_BY_ADDRESS = Limit("sign-in-address", 50, 300)
PROOF = Limit("proof", 5, 300)
RESET_MAIL = Limit("reset-mail", 3, 3600)
RESET_FROM_ONE_PLACE = Limit("reset-place", 20, 3600)


def sign_in(email: str, address: str, *, now: datetime) -> bool:
    """Count one try to sign in; False when it is one too many.

    Five in five minutes for an e-mail address from one place; more for the address from anywhere,
    so that a stranger cannot lock somebody out from one place alone; and a bound for each place.
    """
    # All three are counted, whatever the first answers, so that no count depends on another.
    allowed = [hit(limit, subject, now=now) for limit, subject in _sign_in_limits(email, address)]
    return all(allowed)


def sign_in_succeeded(email: str, address: str, *, now: datetime) -> None:
    """Take back the try that ``sign_in`` counted, because it was the right person."""
    for limit, subject in _sign_in_limits(email, address):
        give_back(limit, subject, now=now)


def proof(user_id: int, *, now: datetime) -> bool:
    """Count one try to prove oneself again; five in five minutes a person."""
    return hit(PROOF, str(user_id), now=now)


def proof_succeeded(user_id: int, *, now: datetime) -> None:
    """Take back the try that ``proof`` counted."""
    give_back(PROOF, str(user_id), now=now)


def password_reset_mail(email: str, *, now: datetime) -> bool:
    """Count one reset mail; three an hour for an address."""
    return hit(RESET_MAIL, email, now=now)


def password_reset_asked(address: str, *, now: datetime) -> bool:
    """Count one question for a reset mail, for whichever account; twenty an hour from one place."""
    return hit(RESET_FROM_ONE_PLACE, address, now=now)


def seconds_left(limit: Limit, *, now: datetime) -> int:
    """Return how long it is until ``limit`` begins to count anew; what Retry-After says."""
    return limit.seconds - int(now.timestamp()) % limit.seconds


def _sign_in_limits(email: str, address: str) -> list[tuple[Limit, str]]:
    return [
        (SIGN_IN_FROM_ONE_PLACE, f"{email} {address}"),
        (SIGN_IN_ANYWHERE, email),
        (SIGN_IN_BY_ADDRESS, address),
    ]


def hit(limit: Limit, subject: str, *, now: datetime) -> bool:
    """Count one try of ``subject`` and say whether it is within ``limit``."""
    window = _window(limit, now)
    ends = datetime.fromtimestamp((window + 1) * limit.seconds, tz=UTC)
    with connection.cursor() as cursor:
        cursor.execute(_HIT, [_key(limit, subject), window, _stored(ends + timedelta(days=1))])
        (count,) = cursor.fetchone()
    return bool(count <= limit.tries)


def give_back(limit: Limit, subject: str, *, now: datetime) -> None:
    """Take one counted try back, never below none."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [_key(limit, subject), _window(limit, now)])


def _window(limit: Limit, now: datetime) -> int:
    return int(now.timestamp()) // limit.seconds


def _key(limit: Limit, subject: str) -> str:
    # Hashed, so that the table holds neither addresses nor e-mail addresses in the clear.
    return f"{limit.name}:{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _stored(at: datetime) -> str | datetime:
    return connection.ops.adapt_datetimefield_value(at)  # type: ignore[return-value]
