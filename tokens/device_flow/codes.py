"""The two codes of a device login: one for the terminal, one for the person; stored as digests only.

The person's code has eight of twenty consonants (RFC 8628, 6.1): no vowels, so that no word comes
about, and no digits, so that nothing is mistaken for a letter. That makes 34.5 bits, which is enough
because a person has five tries. The digests are keyed, so a copy of the database names no code.
"""

from __future__ import annotations

import re
import secrets

from tokens import secret

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
# Longer than any way to write eight letters down; nothing longer is looked at.
_LONGEST_TYPED = 64
_DEVICE_CODE = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)


def mint_user_code() -> str:
    """Return a new code for the person, without its dash."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def mint_device_code() -> str:
    """Return a new code for the terminal: 256 random bits."""
    return secrets.token_urlsafe(32)


def shown(user_code: str) -> str:
    """Return the person's code as it is shown: ``BCDF-GHJK``."""
    return f"{user_code[:4]}-{user_code[4:]}"


def read_user_code(typed: str) -> str | None:
    """Return the code that was typed, in any case and with any marks between; None for no code."""
    if len(typed) > _LONGEST_TYPED:
        return None
    letters = "".join(character for character in typed.upper() if character.isalnum())
    return letters if len(letters) == LENGTH and set(letters) <= set(ALPHABET) else None


def user_digest(user_code: str) -> tuple[int, bytes]:
    """Return the signing pepper's id and the digest of a new code for the person."""
    return secret.digest(_for_a_person(user_code))


def user_digests(user_code: str) -> list[bytes]:
    """Return the digests of a person's code under every pepper, for a look-up."""
    return secret.digests(_for_a_person(user_code))


def device_digest(device_code: str) -> bytes:
    """Return the digest of a new code for the terminal."""
    return secret.digest(_for_a_terminal(device_code))[1]


def device_digests(device_code: str) -> list[bytes]:
    """Return the digests of a terminal's code under every pepper; none for what cannot be one."""
    if not _DEVICE_CODE.match(device_code):
        return []
    return secret.digests(_for_a_terminal(device_code))


# The words before the codes keep the digests of codes and of tokens apart.
def _for_a_person(user_code: str) -> str:
    return f"device user code {user_code}"


def _for_a_terminal(device_code: str) -> str:
    return f"device code {device_code}"
