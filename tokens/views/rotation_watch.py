"""What a rotation's page sees live: the replacement's first request, the old token, and who has moved.

Everything that is shown is in one value, so that a poll can tell by a digest of it whether anything
is new. ``state`` changes less often than what is shown: it is what a listener is told about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Max, Subquery, Sum

from tokens.insight import in_words
from tokens.insight.days import KNOCK
from tokens.insight.moves import Move, Standing
from tokens.models import AccessToken, TokenUse
from tokens.models.liveness import is_paused
from tokens.models.rotation import Rotation
from tokens.templatetags.console_ui import relative


@dataclass(frozen=True, slots=True)
class Note:
    """A box under the verdict: what is so, and what to do about it."""

    tone: str
    strong: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One place in the table of step five, in words."""

    title: str
    client: str
    old: str
    new: str
    verdict: str
    css: str
    icon: str


@dataclass(frozen=True, slots=True)
class Halves:
    """The two halves under the verdict: the old token on one side, the replacement on the other."""

    old_strong: str
    old_text: str
    new_strong: str
    new_text: str


@dataclass(frozen=True, slots=True)
class Watch:
    """One look at a rotation. ``tone`` is ``wait``, ``ok``, ``attn`` or ``over``.

    What stands out in the sentence is between two pairs of asterisks.
    """

    tone: str
    title: str
    sentence: str
    state: str
    halves: Halves
    used: bool
    notes: tuple[Note, ...] = ()
    lines: tuple[Line, ...] = ()
    more: int = 0
    done: bool = False
    scopes: tuple[str, ...] = field(default=())

    @property
    def says(self) -> str:
        """What a listener is told when the state changes."""
        sentence = self.sentence.replace("**", "")
        return " ".join([f"{self.title}.", sentence, *(note.strong for note in self.notes)])

    @property
    def version(self) -> str:
        """A digest of all that is shown."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Uses:
    """The requests of the replacement so far."""

    allowed: int
    refused: int
    scopes: tuple[str, ...]
    missing: tuple[str, ...]
    blocked: tuple[str, ...]
    place: str
    client: str
    last_at: datetime | None


def uses_of(new: AccessToken) -> Uses:
    """Read the requests of a replacement with one query."""
    rows = TokenUse.objects.filter(token=new).exclude(scope__startswith=KNOCK)
    latest = rows.order_by("-last_at", "-pk")
    found = list(
        rows.values("scope")
        .annotate(
            allowed=Sum("allowed"),
            refused=Sum("refused"),
            at=Max("last_at"),
            network=Subquery(latest.values("network")[:1]),
            client=Subquery(latest.values("client")[:1]),
        )
        .order_by("-at")
    )
    refused = {row["scope"] for row in found if row["refused"]}
    last: Any = found[0] if found else {"network": "", "client": "", "at": None}
    return Uses(
        allowed=sum(row["allowed"] for row in found),
        refused=sum(row["refused"] for row in found),
        scopes=tuple(dict.fromkeys(row["scope"] for row in found if row["allowed"])),
        missing=tuple(sorted(refused - set(new.scope_names) - {""})),
        blocked=tuple(sorted(refused & {*new.scope_names, ""})),
        place=last["network"],
        client=last["client"],
        last_at=last["at"],
    )


def confirmation(rotation: Rotation, moves: Sequence[Move], now: datetime) -> Watch:
    """Return what step four shows: whether the replacement works, and who has used it."""
    uses = uses_of(rotation.replacement)
    on_old = [move for move in moves if move.standing is Standing.ON_THE_OLD]
    moved = sum(move.standing is Standing.MOVED for move in moves)
    used = rotation.replacement.first_used_at is not None
    tone, title, sentence, kind = _verdict(rotation, uses, now)
    notes = (*_refusals(uses, used), *(_who_is_left(moves, on_old) if used else ()))
    names = ",".join(move.key for move in on_old) if used else ""
    return Watch(
        tone=tone,
        title=title,
        sentence=sentence,
        state=f"{kind} {','.join((*uses.missing, *uses.blocked))} {moved} {names}",
        halves=halves_of(rotation, uses, now),
        used=used,
        notes=notes,
        done=used and bool(moves) and not on_old and not to_come(moves),
        scopes=tuple(scope for scope in uses.scopes if scope),
    )


def names_of(moves: Iterable[Move]) -> str:
    """Return the places in words, each once."""
    return in_words(dict.fromkeys(move.place.title for move in moves))


# --- Step four -----------------------------------------------------------------------------------


def _verdict(rotation: Rotation, uses: Uses, now: datetime) -> tuple[str, str, str, str]:
    new = rotation.replacement
    if new.first_used_at is not None:
        activity = getattr(new, "activity", None)
        when = relative(activity.last_used_at if activity else new.first_used_at, now)
        place = activity.address if activity and activity.address else uses.place
        where = f" from **{place}**" if place else ""
        sentence = f"Seen **{when}**{where}{_with(uses.client)}."
        return "ok", "The replacement works", sentence, "seen"
    if uses.refused:
        where = f" from **{uses.place}**" if uses.place else ""
        when = relative(uses.last_at, now) if uses.last_at else "just now"
        if uses.missing:
            title = f"The replacement was refused: it needs {' and '.join(uses.missing)}"
        else:
            title = "The replacement was refused"
        return "attn", title, f"Tried **{when}**{where}{_with(uses.client)}.", "refused"
    sentence = (
        "Run the pipeline that uses the replacement, or try it from a terminal. "
        "This page updates by itself."
    )
    return "wait", "Waiting for first request…", sentence, "waiting"


def _with(client: str) -> str:
    return f", {client}" if client and client != "other" else ""


def _refusals(uses: Uses, used: bool) -> tuple[Note, ...]:
    notes = []
    if uses.missing:
        lead = "Some requests were refused" if used else "It holds fewer scopes than that"
        what = " and ".join(uses.missing)
        notes.append(
            Note(
                "attn",
                f"{lead}: {what} is missing." if used else f"{lead}.",
                "If it needs more, cancel the rotation and begin again with that scope, "
                "or create a token.",
            )
        )
    if uses.blocked:
        notes.append(
            Note(
                "attn",
                "Requests were refused although it has the scope.",
                "A limit to projects or your administrator’s policy was in the way.",
            )
        )
    return tuple(notes)


def _who_is_left(moves: Sequence[Move], on_old: Sequence[Move]) -> tuple[Note, ...]:
    if not moves:
        return ()
    again = [move for move in on_old if move.replaced_at]
    only = [move for move in on_old if not move.replaced_at]
    notes = []
    if only:
        have = "has" if len(only) == 1 else "have"
        text = "Let it run once with the replacement first. This page keeps watching."
        notes.append(Note("attn", f"{names_of(only)} {have} only used the old token.", text))
    if again:
        text = "Something there still holds the old value."
        notes.append(Note("attn", f"{names_of(again)} used the old token again.", text))
    if not on_old and not to_come(moves):
        text = "Each place that used the old token has used the replacement, or went silent."
        notes.append(Note("ok", "Everything has moved over.", text))
    return tuple(notes)


def to_come(moves: Iterable[Move]) -> list[Move]:
    """Return the places that call too seldom to have been seen since."""
    return [move for move in moves if move.standing is Standing.TO_COME]


def halves_of(
    rotation: Rotation, uses: Uses, now: datetime, *, arrived: int | None = None
) -> Halves:
    """Return the state of both tokens in words.

    At the end it counts more from how many places the replacement was used, than who used the old one.
    """
    old, new = rotation.old, rotation.replacement
    activity = getattr(old, "activity", None)
    if activity is None:
        old_text = "It has never been used"
    elif activity.address and arrived is None:
        old_text = f"{activity.address}, {relative(activity.last_used_at, now)}"
    else:
        old_text = f"Last used {relative(activity.last_used_at, now)}"
    old_strong = "Paused." if is_paused(old.liveness(), now) else "Still works."
    if not uses.allowed and not uses.refused and new.first_used_at is None:
        new_strong, new_text = "Not used yet.", f"Made {relative(new.created_at, now)}"
    else:
        number = max(uses.allowed + uses.refused, 1)
        new_strong = f"{number} request{'s' if number != 1 else ''},"
        new_text = "all allowed" if not uses.refused else f"{uses.refused} refused"
        if arrived:
            new_text += f", {arrived} place{'s' if arrived != 1 else ''}"
    return Halves(old_strong, old_text, new_strong, new_text)
