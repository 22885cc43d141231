"""Values found where others can read them: any text is searched, and no value is ever printed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TextIO

from tokens import secret
from tokens.models import AccessToken

_CHUNK = 1 << 20
_AT_ONCE = 200


def readable(stream: TextIO) -> TextIO:
    """Return ``stream`` such that bytes of any kind can be read from it, as grep finds them."""
    raw = getattr(stream, "buffer", None)
    return io.TextIOWrapper(raw, encoding="ascii", errors="replace") if raw else stream


def values_in(stream: TextIO) -> Iterator[str]:
    """Yield each token's value that the text holds, once, however long the text and its lines are."""
    seen: set[bytes] = set()
    rest = ""
    while chunk := stream.read(_CHUNK):
        text = rest + chunk
        for value in secret.found_in(text):
            # Digests are remembered and not the values, which nothing needs for longer.
            (digest, *_) = secret.digests(value)
            if digest not in seen:
                seen.add(digest)
                yield value
        # A value that stands across the edge is whole in the next text, and found once there.
        rest = text[-(secret.LENGTH - 1) :]


def tokens_of(values: Iterator[str]) -> Iterator[AccessToken | None]:
    """Yield the token of each value, or None for a value that this installation never made."""
    waiting: list[str] = []
    for value in values:
        waiting.append(value)
        if len(waiting) == _AT_ONCE:
            yield from _look_up(waiting)
            waiting = []
    yield from _look_up(waiting)


def _look_up(values: list[str]) -> list[AccessToken | None]:
    digests = [secret.digests(value) for value in values]
    wanted = [digest for each in digests for digest in each]
    rows = AccessToken.objects.select_related("owner").filter(digest__in=wanted)
    known = {bytes(token.digest): token for token in rows}
    return [next((known[one] for one in each if one in known), None) for each in digests]
