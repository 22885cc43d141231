"""Whether the old token of a rotation is quiet, and where each of its places stands: step five."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tokens.insight.moves import Move, Standing
from tokens.models.rotation import Rotation
from tokens.templatetags.console_ui import relative
from tokens.templatetags.use_words import near_day
from tokens.views.rotation_watch import Line, Note, Watch, halves_of, names_of, to_come, uses_of

SHOWN = 12


def ending(
    rotation: Rotation, moves: Sequence[Move], arrived: int, ticked: set[str], now: datetime
) -> Watch:
    """Return what step five shows: whether the old token is quiet, or who is still on it.

    ``arrived`` is the number of places that used the replacement.
    """
    uses = uses_of(rotation.replacement)
    on_old = [move for move in moves if move.standing is Standing.ON_THE_OLD]
    tone, title, sentence = _stillness(rotation, moves, on_old, now)
    return Watch(
        tone=tone,
        title=title,
        sentence=sentence,
        state=f"{tone} {','.join(move.key for move in on_old)} {bool(rotation.old.retire_at)}",
        halves=halves_of(rotation, uses, now, arrived=arrived),
        used=rotation.replacement.first_used_at is not None,
        # The table of places says it in its own line.
        notes=() if on_old else tuple(_seldom(move, ticked) for move in to_come(moves)[:3]),
        lines=tuple(_line(move, now) for move in moves[:SHOWN]) if on_old else (),
        more=max(len(moves) - SHOWN, 0) if on_old else 0,
        done=bool(moves) and not on_old and rotation.replacement.first_used_at is not None,
    )


def _stillness(
    rotation: Rotation, moves: Sequence[Move], on_old: Sequence[Move], now: datetime
) -> tuple[str, str, str]:
    if rotation.replacement.first_used_at is None:
        title, text = "The replacement has not been used yet", "You went on without the check."
        return "attn", title, text
    if not moves:
        return "ok", "The old token is quiet", "No place has ever used it."
    if on_old:
        return "attn", "The old token is still used", _still_used(on_old, now)
    moved = sum(move.replaced_at is not None for move in moves)
    have = "has" if moved == 1 else "have"
    if len(moves) == 1:
        who = "The one place that used it has" if moved else "The one place that used it has not"
    else:
        who = f"{moved} of the {len(moves)} places that used it {have}"
    last = max(move.place.last_at for move in moves)
    return "ok", "The old token is quiet", f"{_silence(last, now)} {who} used the replacement."


def _still_used(on_old: Sequence[Move], now: datetime) -> str:
    last = max((move.place for move in on_old), key=lambda place: place.last_at)
    when = relative(last.last_at, now)
    used = f"The old token was used {when} from **{last.title}**."
    stops = "it" if len(on_old) == 1 else names_of(on_old)
    return f"{used} Revoking now stops {stops}."


def _silence(last: datetime, now: datetime) -> str:
    words = relative(last, now)
    # Beyond a year it is the day and no span.
    span = "less than a minute" if words == "just now" else words.removesuffix(" ago")
    return f"No request {'since' if span == words else 'for'} **{span}.**"


def _seldom(move: Move, ticked: set[str]) -> Note:
    place = move.place
    day = f", next ≈ {near_day(place.next_day)}" if place.next_day else ""
    job = place.job.lower() or "job that seldom calls"
    said = "You ticked it as updated; it" if not ticked.isdisjoint(place.keys) else "It"
    return Note(
        "plain",
        f"{place.title} is a {job}{day}.",
        f"{said} has not called since. To be sure, revoke at a date after that.",
    )


def _line(move: Move, now: datetime) -> Line:
    place = move.place
    verdict, css, icon = {
        Standing.ON_THE_OLD: ("Still on the old one", "bad", "warning"),
        Standing.MOVED: ("Moved over", "ok", "check"),
        Standing.SILENT: ("Not seen lately", "", "clock"),
        Standing.TO_COME: ("", "", "clock"),
    }[move.standing]
    if not verdict:
        day = f", next ≈ {near_day(place.next_day)}" if place.next_day else ""
        verdict = f"{place.job.removesuffix(' job') or 'Seldom'}{day}"
    return Line(
        title=place.title,
        client=place.client if place.client != "other" else "",
        old=relative(place.last_at, now),
        new=relative(move.replaced_at, now) if move.replaced_at else "Not yet",
        verdict=verdict,
        css=css,
        icon=icon,
    )
