"""How often one may try, counted in SQL so that the count is exact across threads and workers.

Windows are fixed, not sliding: around the edge of a window somebody may try twice the limit. That
inexactness is accepted for a single statement that no race can slip through. Rows of windows long
past are removed now and then by whoever comes to be counted.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
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
# Two that forget at once must neither wait for each other nor meet in a deadlock; SQLite, where one
# statement writes at a time, has no such words.
_FORGET = """
DELETE FROM tokens_ratelimit WHERE (key, "window") IN (
    SELECT key, "window" FROM tokens_ratelimit WHERE expires_at < %s
    ORDER BY expires_at LIMIT %s {skip_locked}
)
"""
# One count in so many also forgets; it removes more rows than were made since the last one did.
_FORGET_ONE_IN = 256
_FORGET_AT_MOST = 1000
# A provider hands out whole networks of this size, so another address of one is no other place.
_IPV6_PLACE = 64


class Limit(NamedTuple):
    """At most ``tries`` in each window of ``seconds``."""

    name: str
    tries: int
    seconds: int


SIGN_IN_FROM_ONE_PLACE = Limit("sign-in-place", 5, 300)
SIGN_IN_ANYWHERE = Limit("sign-in-anywhere", 30, 300)
SIGN_IN_BY_ADDRESS = Limit("sign-in-address", 50, 300)
PROOF = Limit("proof", 5, 300)
DEVICE_CODE = Limit("device-code", 5, 900)
IDENTIFY = Limit("identify", 30, 300)
RESET_MAIL = Limit("reset-mail", 3, 3600)
RESET_FROM_ONE_PLACE = Limit("reset-place", 20, 3600)


def sign_in(email: str, address: str, *, now: datetime) -> bool:
    """Count one try to sign in; False when it is one too many.

    A bound for each place; five in five minutes for an e-mail address from one place; more for the
    e-mail address from anywhere. The first limit that refuses ends the counting: a try that a place
    has no right to must not use up what the person may try from elsewhere. So one place locks
    nobody out. Six places together can, for the rest of five minutes, and that is accepted: without
    the third limit a password could be guessed from many places at once.
    """
    limits = _sign_in_limits(email, address)
    return all(hit(limit, subject, now=now) for limit, subject in limits)


def sign_in_succeeded(email: str, address: str, *, now: datetime) -> None:
    """Take back the try that ``sign_in`` allowed, because it was the right person.

    A try that was allowed was counted by every limit, so each gives one back.
    """
    for limit, subject in _sign_in_limits(email, address):
        give_back(limit, subject, now=now)


def proof(user_id: int, *, now: datetime) -> bool:
    """Count one try to prove oneself again; five in five minutes a person."""
    return hit(PROOF, str(user_id), now=now)


def proof_succeeded(user_id: int, *, now: datetime) -> None:
    """Take back the try that ``proof`` counted."""
    give_back(PROOF, str(user_id), now=now)


def device_code(user_id: int, *, now: datetime) -> bool:
    """Count one try to find a device's request by its code; five in fifteen minutes a person."""
    return hit(DEVICE_CODE, str(user_id), now=now)


def device_code_found(user_id: int, *, now: datetime) -> None:
    """Take back the try that ``device_code`` counted."""
    give_back(DEVICE_CODE, str(user_id), now=now)


def identify(user_id: int, *, now: datetime) -> bool:
    """Count one question whose token a value is; thirty in five minutes an administrator."""
    return hit(IDENTIFY, str(user_id), now=now)


def password_reset_mail(email: str, *, now: datetime) -> bool:
    """Count one reset mail; three an hour for an e-mail address.

    A stranger can use them up. The person then waits an hour, and an operator's ``reset_link`` does
    not count.
    """
    return hit(RESET_MAIL, email, now=now)


def password_reset_asked(address: str, *, now: datetime) -> bool:
    """Count one question for a reset mail, for whichever account; twenty an hour from one place."""
    return hit(RESET_FROM_ONE_PLACE, _place(address), now=now)


def seconds_left(limit: Limit, *, now: datetime) -> int:
    """Return how long it is until ``limit`` begins to count anew; what Retry-After says."""
    return limit.seconds - int(now.timestamp()) % limit.seconds


def _sign_in_limits(email: str, address: str) -> list[tuple[Limit, str]]:
    place = _place(address)
    return [
        (SIGN_IN_BY_ADDRESS, place),
        (SIGN_IN_FROM_ONE_PLACE, f"{email} {place}"),
        (SIGN_IN_ANYWHERE, email),
    ]


def _place(address: str) -> str:
    """Return the place an address counts as: an IPv4 address itself, an IPv6 address's /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_PLACE), strict=False))


def hit(limit: Limit, subject: str, *, now: datetime) -> bool:
    """Count one try of ``subject`` and say whether it is within ``limit``."""
    window = _window(limit, now)
    ends = datetime.fromtimestamp((window + 1) * limit.seconds, tz=UTC)
    with connection.cursor() as cursor:
        cursor.execute(_HIT, [_key(limit, subject), window, _stored(ends + timedelta(days=1))])
        (count,) = cursor.fetchone()
    if secrets.randbelow(_FORGET_ONE_IN) == 0:
        forget_expired(now=now, at_most=_FORGET_AT_MOST)
    return bool(count <= limit.tries)


def give_back(limit: Limit, subject: str, *, now: datetime) -> None:
    """Take one counted try back, never below none."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, [_key(limit, subject), _window(limit, now)])


def forget_expired(*, now: datetime, at_most: int) -> int:
    """Remove up to ``at_most`` rows whose window ended a day ago or more; return how many went."""
    skip_locked = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET.format(skip_locked=skip_locked), [_stored(now), at_most])
        return int(cursor.rowcount)


def _window(limit: Limit, now: datetime) -> int:
    return int(now.timestamp()) // limit.seconds


def _key(limit: Limit, subject: str) -> str:
    # Hashed, so that the table holds neither addresses nor e-mail addresses in the clear.
    return f"{limit.name}:{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _stored(at: datetime) -> str | datetime:
    return connection.ops.adapt_datetimefield_value(at)  # type: ignore[return-value]
