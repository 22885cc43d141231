"""What may be typed: names, texts and scopes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from tokens import scopes as catalogue
from tokens.policy.refusal import Refused
from tokens.policy.rules import Rules
from tokens.secret import INVISIBLE, MAX_NORMALISED, VARIATION_SELECTORS, contains_token

MAX_NAME = 64
MAX_NAME_KEY = 255
MAX_DESCRIPTION = 200
MAX_REASON = 200
# Nothing that is longer is looked at closely: judging Unicode takes more than linear time.
MAX_TEXT = MAX_NORMALISED
NAME_TOO_LONG = ("name_too_long", f"Names can be up to {MAX_NAME} characters.")
# Marks stacked higher than any language does cover the lines above and below.
MAX_MARKS = 4
# What Python writes where bytes were no UTF-8.
_UNREADABLE = "\ufffd"


def check_text(text: str, *, field: str, what: str) -> None:
    """Raise ``Refused`` for a token's value or characters that cannot be seen.

    Bidirectional and control characters could make a name read as another one; a pasted secret would
    be stored and shown in the clear. Text longer than any field is refused unread.
    """
    if len(text) > MAX_TEXT:
        raise Refused(
            field, "too_long", f"{what} is longer than {MAX_TEXT} characters. Shorten it."
        )
    if contains_token(text):
        raise Refused(
            field,
            "contains_token",
            f"{what} holds a token, or part of one. Take it out: a token is never written down here.",
        )
    if _UNREADABLE in text:
        raise Refused(
            field, "unreadable", f"{what} holds a character that could not be read. Type it again."
        )
    for character in text:
        if not character.isprintable() or character in INVISIBLE:
            raise Refused(
                field,
                "unprintable",
                f"{what} holds a character that cannot be seen (U+{ord(character):04X}). "
                "Type it again without it.",
            )


def _check_looks(name: str, what: str) -> None:
    """Raise ``Refused`` for a name without anything to see, or with marks stacked on each other."""
    kinds = [unicodedata.category(character) for character in name]
    if all(kind[0] in "MZ" for kind in kinds):
        raise Refused("name", "unprintable", f"{what} needs a character that can be seen.")
    stacked = 0
    for kind in kinds:
        stacked = stacked + 1 if kind in {"Mn", "Me"} else 0
        if stacked > MAX_MARKS:
            raise Refused(
                "name",
                "too_many_marks",
                f"{what} has more than {MAX_MARKS} marks on one letter. Type it again with fewer.",
            )


def check_name(name: str, *, what: str = "The name") -> str:
    """Return the name as it will be stored. Raises ``Refused`` when nobody should have to read it."""
    stripped = name.strip()
    if len(stripped) > MAX_TEXT:
        raise Refused("name", *NAME_TOO_LONG)
    cleaned = unicodedata.normalize("NFC", stripped)
    if not cleaned:
        raise Refused("name", "name_required", "Give the token a name.")
    # A pasted token is too long as well, but what it is matters more than its length.
    check_text(cleaned, field="name", what=what)
    if len(cleaned) > MAX_NAME or len(name_key(cleaned)) > MAX_NAME_KEY:
        raise Refused("name", *NAME_TOO_LONG)
    _check_looks(cleaned, what)
    return cleaned


def name_key(name: str) -> str:
    """Return the form under which two names are the same name: NFKC, without case or selectors."""
    plain = "".join(character for character in name if character not in VARIATION_SELECTORS)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())


def check_scopes(names: Iterable[str], rules: Rules) -> str:
    """Return the stored form of the scopes. Raises ``Refused`` for none, unknown or forbidden ones."""
    chosen = list(names)
    strange = catalogue.unknown(chosen)
    if strange:
        listed = ", ".join(sorted(catalogue.BY_NAME))
        raise Refused(
            "scopes", "unknown_scope", f"There is no such scope. The scopes are: {listed}."
        )
    if not chosen:
        raise Refused("scopes", "scopes_required", "Choose at least one scope.")
    forbidden = [name for name in chosen if name not in rules.allowed_scopes]
    if forbidden:
        raise Refused(
            "scopes",
            "scope_not_allowed",
            f"Your administrator does not allow {', '.join(sorted(set(forbidden)))}. Leave it out.",
        )
    return catalogue.canonical(chosen)
