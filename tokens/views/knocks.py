"""What a token's page says of those who present it while it is paused, or after its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tokens import usage
from tokens.insight.consumers import place_name
from tokens.models import AccessToken
from tokens.models.status import Status
from tokens.templatetags.console_ui import relative
from tokens.usage import Knocker, Knocks
from tokens.views.rows import Row, clock_words


@dataclass(frozen=True, slots=True)
class KnockLine:
    """One line of the list: who, from where, how often, and whether that place is a new one."""

    place: str
    client: str
    new: str
    times: str
    last_at: datetime
    last: str


@dataclass(frozen=True, slots=True)
class Banner:
    """The one banner of a token's page: what is the matter, and who knocked.

    ``says`` is what a listener is told when it changes, so it holds no age of anything.
    """

    kind: str
    title: str
    text: str
    lines: list[KnockLine]
    unlisted: int = 0
    is_muted: bool = False
    says: str = ""


def banner_of(
    token: AccessToken, row: Row, knocks: Mapping[str, Knocks], now: datetime
) -> Banner | None:
    """Return the banner of a token that is paused, or that is still tried after its end."""
    if row.status.key == Status.PAUSED.key and token.paused_at is not None:
        mark = usage.mark_of_pause(token.paused_at)
        return _paused(token, knocks.get(mark, usage.NOBODY), now)
    if row.ended and usage.ENDED in knocks:
        return _afterlife(knocks[usage.ENDED], now)
    return None


def places_that_knocked(found: Knocks) -> str:
    """Return how many places knocked during a pause: "3 places knocked meanwhile"."""
    return f"{_count(found.places, 'place')} knocked meanwhile"


def _paused(token: AccessToken, found: Knocks, now: datetime) -> Banner:
    title = "Paused by you, until you resume it"
    if token.paused_until is not None:
        title = f"Paused until {clock_words(token.paused_until, now)} by you"
    says = places_that_knocked(found) if found.times else "Nobody knocked so far"
    text = f"{says}."
    if found.times:
        each = "It" if found.places == 1 else "Each"
        text += f" {each} got a refusal; nothing else changed."
    if token.expires_at is not None:
        text += " The expiration date does not move."
    lines = [_line(each, "time", "new place", now) for each in found.knockers]
    return Banner("paused", title, text, lines, found.unlisted, says=says)


def _afterlife(found: Knocks, now: datetime) -> Banner:
    by = found.latest
    often = "once" if found.times == 1 else f"{found.times} times"
    last = "" if found.times == 1 else "last "
    ago, place = relative(by.last_at, now), place_name(by.place, "")
    title = f"Still tried at least {often}, {last}{ago} from {place}"
    lines = [_line(each, "try", "never used it before", now) for each in found.knockers]
    return Banner("afterlife", title, "", lines, found.unlisted, found.is_muted)


def _line(by: Knocker, unit: str, new: str, now: datetime) -> KnockLine:
    client = by.client if by.client and by.client != "other" else "An unknown client"
    return KnockLine(
        place=place_name(by.place, ""),
        client=f"{client}, {by.name}" if by.name else client,
        new=new if by.is_new else "",
        times=_count(by.times, unit),
        last_at=by.last_at,
        last=f"{'last ' if by.times > 1 else ''}{relative(by.last_at, now)}",
    )


def _count(number: int, unit: str) -> str:
    plural = "tries" if unit == "try" else f"{unit}s"
    return f"{number} {unit if number == 1 else plural}"
