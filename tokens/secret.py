"""What a token looks like: minted, checked, digested, masked. Nothing here touches the database.

The format is the one the public Skytells CLI demands: ``sk_pat_`` and 64 lower-case hexadecimal
digits. The first 56 are random (224 bits); the last 8 are the CRC-32 of everything before them, so
that a typo or a look-alike is refused without a query. The checksum proves nothing about who made
a token; only the keyed digest does.
"""

from __future__ import annotations

import functools
import hmac
import re
import secrets
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

PREFIX = "sk_pat_"
SERVICE_PREFIX = "sk_svc_"
CALENDAR_PREFIX = "sk_cal_"
LENGTH = 71
_RANDOM_HEX = 56
_CHECKED_LENGTH = len(PREFIX) + _RANDOM_HEX
_SHAPE = re.compile(r"sk_pat_[0-9a-f]{64}\Z", re.ASCII)
_SERVICE_SHAPE = re.compile(r"sk_svc_[0-9a-f]{64}\Z", re.ASCII)
_CALENDAR_SHAPE = re.compile(r"sk_cal_[0-9a-f]{64}\Z", re.ASCII)
_ANYWHERE = re.compile(r"sk_pat_[0-9a-f]{64}", re.ASCII)
# Eight digits are enough to be somebody's secret by accident; any case, because people retype.
_FRAGMENT = re.compile(r"sk_(pat|svc|cal)_[0-9a-f]{8,}", re.IGNORECASE)
_PEPPER_ID = re.compile(r"[0-9]{1,5}\Z", re.ASCII)
MIN_PEPPER_BYTES = 32
_BARE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE)
_RUN = re.compile(r"(?=([0-9a-f]{64}))", re.IGNORECASE)
# Unicode counts these as letters, marks or signs, and nobody can see them: fillers, joiners, vowels
# and selectors of scripts that no longer need them, the empty Braille pattern, a note without a head.
INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159"
    + "".join(map(chr, [*range(0x180B, 0x1810), *range(0xE0100, 0xE01F0)]))
)
# These choose how the character before them is drawn, which an emoji needs.
VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
# Unicode puts a run of combining marks in order in quadratic time and lets no other thread run
# meanwhile, so no text that is longer than this is ever normalised.
MAX_NORMALISED = 1000


class Plaintext:
    """A secret's value on its one way out; whatever prints or formats it shows the masked form."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself, for the one answer that may carry it."""
        return self._value

    @property
    def groups(self) -> list[str]:
        """The value in the pieces a person reads: the prefix, then eight groups of eight."""
        body = self._value[len(PREFIX) :]
        return [PREFIX, *(body[start : start + 8] for start in range(0, len(body), 8))]

    def __str__(self) -> str:
        return f"{self._value[:11]}…{self._value[-4:]}"

    def __repr__(self) -> str:
        return f"<Plaintext {self}>"

    def __reduce__(self) -> str:
        raise TypeError("A token's value is never stored, so it cannot be serialised.")


class Peppers(NamedTuple):
    """The keys of the digest: all of them verify, one of them signs."""

    keys: Mapping[int, bytes]
    signing_id: int
    signing_first: tuple[bytes, ...]


def mint() -> Plaintext:
    """Return a new token's value, from the operating system's source of randomness."""
    checked = PREFIX + secrets.token_hex(_RANDOM_HEX // 2)
    return Plaintext(checked + _checksum(checked))


def mint_many(number: int) -> list[Plaintext]:
    """Return new values as ``mint`` does, with one question to the source of randomness for all."""
    digits = secrets.token_hex(number * _RANDOM_HEX // 2)
    starts = range(0, number * _RANDOM_HEX, _RANDOM_HEX)
    checked = (PREFIX + digits[start : start + _RANDOM_HEX] for start in starts)
    return [Plaintext(each + _checksum(each)) for each in checked]


def mint_for_service() -> Plaintext:
    """Return a new value with which a service proves itself: 256 bits, and never taken for a token."""
    return Plaintext(SERVICE_PREFIX + secrets.token_hex(32))


def is_service_secret(value: str) -> bool:
    """Say whether ``value`` has the exact shape of a service's secret."""
    return _SERVICE_SHAPE.match(value) is not None


def mint_for_calendar() -> Plaintext:
    """Return the secret part of a calendar's address: 256 bits, and never taken for a token."""
    return Plaintext(CALENDAR_PREFIX + secrets.token_hex(32))


def is_calendar_secret(value: str) -> bool:
    """Say whether ``value`` has the exact shape of the secret part of a calendar's address."""
    return _CALENDAR_SHAPE.match(value) is not None


def is_well_formed(value: str) -> bool:
    """Say whether ``value`` has the exact shape and checksum of a token.

    Failure means that no such token can exist; success does not mean that one does.
    """
    return (
        len(value) == LENGTH
        and _SHAPE.match(value) is not None
        and _checksum(value[:_CHECKED_LENGTH]) == value[_CHECKED_LENGTH:]
    )


def _checksum(checked: str) -> str:
    return f"{zlib.crc32(checked.encode('ascii')):08x}"


def digest(value: str) -> tuple[int, bytes]:
    """Return the signing pepper's id and the 32-byte digest under it, for a token about to be stored.

    HMAC-SHA-256 and not a slow hash: 224 random bits cannot be guessed, so slowness would only cost
    every request its time (OWASP ASVS 5.0, 6.5.2, asks for a slow hash below 112 bits).
    """
    keys = peppers()
    return keys.signing_id, hmac.digest(keys.keys[keys.signing_id], value.encode("ascii"), "sha256")


def digests(value: str) -> list[bytes]:
    """Return the digests of ``value`` under every pepper, the signing one first, for a look-up."""
    raw = value.encode("ascii")
    return [hmac.digest(key, raw, "sha256") for key in peppers().signing_first]


@functools.cache
def peppers() -> Peppers:
    """Return the configured peppers, which are read once: others count from the next start on.

    Raises ``ImproperlyConfigured`` when they cannot be used.
    """
    keys = _parse_peppers(settings.TOKEN_PEPPERS)
    signing_id = settings.TOKEN_PEPPER_ID or max(keys)
    if signing_id not in keys:
        raise ImproperlyConfigured(
            f"TOKEN_PEPPER_ID is {signing_id}, but TOKEN_PEPPERS has no such id."
        )
    others = (key for number, key in keys.items() if number != signing_id)
    return Peppers(keys, signing_id, (keys[signing_id], *others))


def _parse_peppers(text: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for entry in re.split(r"[,\s]+", text.strip()):
        number, colon, value = entry.partition(":")
        if not colon or not _PEPPER_ID.match(number) or not 0 < int(number) < 32768:
            raise ImproperlyConfigured("TOKEN_PEPPERS must hold entries such as 1:<64 random hex>.")
        if int(number) in keys:
            raise ImproperlyConfigured(f"TOKEN_PEPPERS holds two peppers with the id {number}.")
        if len(value.encode()) < MIN_PEPPER_BYTES:
            raise ImproperlyConfigured(
                f"The pepper {number} in TOKEN_PEPPERS is shorter than {MIN_PEPPER_BYTES} bytes: "
                "make a longer one."
            )
        keys[int(number)] = value.encode()
    return keys


def masked(head4: str, last4: str) -> str:
    """Return how a token is written after it was shown: the CLI's 11 characters, then the last 4."""
    return f"{PREFIX}{head4}…{last4}"


def contains_token(text: str) -> bool:
    """Say whether ``text`` holds a token or enough of one to be dangerous.

    So are 64 digits without the prefix when their checksum fits, which none have by chance.
    Look-alikes, characters that nobody can see between the others, and bare digits are found in
    texts of up to ``MAX_NORMALISED`` characters; every door refuses longer ones for their length.
    """
    if _FRAGMENT.search(text):
        return True
    if len(text) > MAX_NORMALISED:
        return False
    plain = text if text.isascii() else unicodedata.normalize("NFKC", _seen(text))
    return bool(_FRAGMENT.search(plain)) or any(
        is_well_formed(PREFIX + run.lower()) for run in _RUN.findall(plain)
    )


def _seen(text: str) -> str:
    return "".join(
        character
        for character in text
        if character not in INVISIBLE
        and character not in VARIATION_SELECTORS
        and unicodedata.category(character) != "Cf"
    )


def redact(text: str) -> str:
    """Return ``text`` with everything shaped like a secret cut down to its prefix."""
    return _BARE.sub(_cut_bare, _FRAGMENT.sub(_cut_fragment, text))


def _cut_fragment(found: re.Match[str]) -> str:
    return f"sk_{found[1].lower()}_[redacted]"


def redact_address(address: str) -> str:
    """Return a path with its query, without any token that a link may have put there.

    Only what holds one is written anew; every other address stays as it came.
    """
    path, mark, query = address.partition("?")
    safe = [
        (_without_token(name), _without_token(value))
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    if contains_token(unquote(path)):
        path = "/"
    if safe == parse_qsl(query, keep_blank_values=True):
        return f"{path}{mark}{query}"
    return f"{path}?{urlencode(safe)}"


def _without_token(text: str) -> str:
    cut = redact(text)
    return f"{PREFIX}[redacted]" if contains_token(cut) else cut


def _cut_bare(digits: re.Match[str]) -> str:
    known = is_well_formed(PREFIX + digits[0].lower())
    return f"{PREFIX}[redacted]" if known else digits[0]


def found_in(text: str) -> Iterator[str]:
    """Yield every token that ``text`` holds in full, with its checksum right, wherever it stands."""
    for match in _ANYWHERE.finditer(text):
        if is_well_formed(match[0]):
            yield match[0]
