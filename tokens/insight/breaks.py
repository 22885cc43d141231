"""Who breaks when a token stops: one verdict for the token, and the places it rests on.

Last use alone misleads: a job that calls once a month looks unused for four weeks. So every consumer
is judged by its own rhythm, and only a token that was never used is said to break nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from tokens.insight.consumers import UNKNOWN_RHYTHM, Consumer, consumers_of_each, with_knocks
from tokens.insight.places import Place, listed
from tokens.models import TokenActivity

NAMED = 3
SHOWN = 6
_DAY = timedelta(days=1)


class Verdict(Enum):
    """What stopping a token now would do."""

    # Somebody used it within a day, or calls so often that the next request is near.
    BREAKS = "breaks"
    # Nobody used it for a day, but a job that calls seldom is still expected.
    BREAKS_LATER = "breaks_later"
    NOBODY_KNOWN = "nobody_known"
    NEVER_USED = "never_used"

    @property
    def breaks_somebody(self) -> bool:
        """Whether somebody is expected to be refused."""
        return self in {Verdict.BREAKS, Verdict.BREAKS_LATER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakage:
    """A verdict, its words, and the places, those that would break first.

    ``headline`` is short, for a line among others; ``sentence`` stands by itself. ``breaking`` names
    the networks and services that would break, each once, whoever called last first.
    """

    verdict: Verdict
    headline: str
    sentence: str
    places: list[Place]
    breaking: tuple[str, ...]
    last_at: datetime | None

    @property
    def breaks_somebody(self) -> bool:
        """Whether somebody is expected to be refused."""
        return self.verdict.breaks_somebody

    @property
    def in_words(self) -> str:
        """The places that would break, at most three by name."""
        return in_words(self.breaking)

    @property
    def shown(self) -> list[Place]:
        """The places that a dialog lists: all that would break, and a few of the others."""
        return self.places[: max(SHOWN, sum(place.expected for place in self.places))]

    @property
    def unlisted(self) -> int:
        """How many places a dialog does not list."""
        return len(self.places) - len(self.shown)


def who_breaks(token_id: int, now: datetime) -> Breakage:
    """Return who would be refused if the token stopped now. Three queries."""
    return who_breaks_each([token_id], now)[token_id]


def who_breaks_each(token_ids: Collection[int], now: datetime) -> dict[int, Breakage]:
    """Return the same for each of the tokens, with three queries for all of them."""
    found = with_knocks(consumers_of_each(token_ids, now), now)
    used = TokenActivity.objects.filter(token_id__in=token_ids)
    last_uses = dict(used.values_list("token_id", "last_used_at"))
    return {
        token_id: judged(found[token_id], last_uses.get(token_id), now) for token_id in token_ids
    }


def judged(found: list[Consumer], last_used_at: datetime | None, now: datetime) -> Breakage:
    """Return the verdict on these consumers of a token, and on its last use where they are forgotten."""
    expected = [consumer for consumer in found if consumer.is_expected(now)]
    last_at = max((consumer.last_at for consumer in found), default=last_used_at)
    verdict = _verdict(expected, last_at, now)
    breaking = named_once(expected)
    lines = sorted(listed(found, now), key=lambda place: (not place.expected, not place.may_return))
    headline = _headline(verdict, breaking)
    return Breakage(
        verdict=verdict,
        headline=headline,
        sentence=_sentence(headline, verdict, expected, lines, last_at, now),
        places=lines,
        breaking=breaking,
        last_at=last_at,
    )


def in_words(names: Iterable[str]) -> str:
    """Return a list in words, at most three by name: "A, B, C and 4 more"."""
    every = list(names)
    named, more = every[:NAMED], len(every) - NAMED
    if more > 0:
        return f"{', '.join(named)} and {more} more"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def named_once(found: Iterable[Consumer]) -> tuple[str, ...]:
    """Return the places of these consumers, each once: two clients on one network are one place."""
    return tuple(dict.fromkeys(consumer.place for consumer in found))


def _verdict(expected: list[Consumer], last_at: datetime | None, now: datetime) -> Verdict:
    if last_at is None:
        return Verdict.NEVER_USED
    if not expected:
        return Verdict.NOBODY_KNOWN
    recent = any(now - consumer.last_at < UNKNOWN_RHYTHM for consumer in expected)
    return Verdict.BREAKS if recent else Verdict.BREAKS_LATER


def _headline(verdict: Verdict, breaking: tuple[str, ...]) -> str:
    if verdict.breaks_somebody:
        return f"Breaks {in_words(breaking)}"
    return "Breaks nobody" if verdict is Verdict.NEVER_USED else "Breaks nobody we know of"


def _sentence(
    headline: str,
    verdict: Verdict,
    expected: list[Consumer],
    lines: list[Place],
    last_at: datetime | None,
    now: datetime,
) -> str:
    if last_at is None:
        return f"{headline}: it has never been used."
    seldom = [each for each in expected if now - each.last_at >= UNKNOWN_RHYTHM]
    if verdict is Verdict.BREAKS_LATER and len(expected) == 1:
        return f"{headline}, which {_rhythm(seldom[0], now)}."
    said = f"{headline}."
    if verdict is Verdict.NOBODY_KNOWN:
        said = f"{headline}: last used {_ago(last_at, now)}."
    # What calls seldom is what people forget; runners from ever new networks are as easy to forget.
    for job in seldom[:1]:
        return f"{said} Easy to forget: {job.place} {_rhythm(job, now)}."
    for place in lines:
        if place.may_return:
            return f"{said} Easy to forget: {place.title}, {_rhythm(place, now)}."
    return said


def _rhythm(caller: Consumer | Place, now: datetime) -> str:
    gap = _days(caller.usual_gap or _DAY).removeprefix("1 ")
    last = _ago(caller.last_at, now)
    if isinstance(caller, Place):
        return f"usual gap {gap}, last seen {last}"
    return f"calls about every {gap} and was last seen {last}"


def _ago(at: datetime, now: datetime) -> str:
    distance = now - at
    return "today" if distance < _DAY else f"{_days(distance)} ago"


def _days(distance: timedelta) -> str:
    number = max(round(distance / _DAY), 1)
    return "1 day" if number == 1 else f"{number} days"
