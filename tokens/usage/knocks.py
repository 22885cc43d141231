"""Who still presents a token that may not act: while it is paused, and after its end.

A knock is a line of use that was refused, with a mark in the place of the scope: one mark for each
pause, one for the time after the end. So knocks share the days, the caps and the writer of all use, and
no reader of scopes takes them for calls that lacked one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Exists, F, Max, OuterRef, Q, Sum

from tokens import notices
from tokens.models import MutedScope, TokenConsumer, TokenUse
from tokens.usage.lines import ENDED, OTHERS

# No scope begins so.
PREFIX = "#"
PLACES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Knocker:
    """One consumer that knocked: from which place, as what, how often at least, and when last.

    ``place`` is a network, or a service's name; ``insight.place_name`` has the words for it.
    """

    place: str
    client: str
    name: str
    times: int
    last_at: datetime
    is_new: bool


@dataclass(frozen=True, slots=True)
class Knocks:
    """All knocks of one pause or after one end; ``knockers`` are the latest few of ``consumers``.

    ``is_muted`` says that the owner expects them and does not want to hear of them.
    """

    times: int
    places: int
    consumers: int
    knockers: tuple[Knocker, ...]
    is_muted: bool = False

    @property
    def latest(self) -> Knocker:
        """The consumer that knocked last; there is one where ``times`` is not zero."""
        return self.knockers[0]

    @property
    def unlisted(self) -> int:
        """How many consumers are not among ``knockers``."""
        return self.consumers - len(self.knockers)


NOBODY = Knocks(times=0, places=0, consumers=0, knockers=())


def mark_of_pause(since: datetime) -> str:
    """Return the mark of the pause that began at ``since``; each pause has its own."""
    return f"{PREFIX}paused {since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"


def during_pause(token_id: int, since: datetime) -> Knocks:
    """Return who knocked since the token's pause began. One query."""
    mark = mark_of_pause(since)
    return _read(Q(token_id=token_id, scope=mark)).get(mark, NOBODY)


def after_end(token_id: int) -> Knocks:
    """Return who still tried the ended token, as far back as days are kept. One query."""
    return _read(Q(token_id=token_id, scope=ENDED)).get(ENDED, NOBODY)


def knocks_of(token_id: int) -> dict[str, Knocks]:
    """Return all knocks at a token by their marks, for a page that tells of several. One query."""
    return _read(Q(token_id=token_id, scope__startswith=PREFIX))


def tell_owners(token_ids: set[int]) -> None:
    """Owe the mail about a first knock at these ended tokens, where their owners want it."""
    muted = MutedScope.objects.filter(token_id__in=token_ids, scope=ENDED)
    unmuted = token_ids.difference(muted.values_list("token_id", flat=True))
    for token in notices.owed_a_first_knock(unmuted):
        found = after_end(token.pk)
        # The database may have been too busy to take the knock itself; it comes with the next one.
        if found.times:
            by = found.latest
            notices.token_knocked(token, at=by.last_at, place=by.place, client=by.client)


def _read(condition: Q) -> dict[str, Knocks]:
    # A place is known by its network, whatever runs there; a service is a place by its name.
    earlier = TokenConsumer.objects.filter(
        token_id=OuterRef("token_id"), network=OuterRef("network"), service=OuterRef("service")
    )
    muted = MutedScope.objects.filter(token_id=OuterRef("token_id"), scope=OuterRef("scope"))
    rows = (
        TokenUse.objects.filter(condition)
        .values("scope", "consumer_key", "network", "client", "consumer_name", "service")
        .annotate(
            times=Sum("refused"),
            last=Max("last_at"),
            known=Exists(earlier),
            muted=Exists(muted),
        )
        .order_by(F("last").desc(), "consumer_key")
    )
    found: dict[str, list[Knocker]] = {}
    expected: set[str] = set()
    for row in rows:
        knocker = Knocker(
            place=row["service"] or row["network"],
            client=row["client"],
            name=row["consumer_name"],
            times=row["times"],
            last_at=row["last"],
            is_new=not row["known"] and row["network"] != OTHERS.network,
        )
        found.setdefault(row["scope"], []).append(knocker)
        if row["muted"]:
            expected.add(row["scope"])
    return {mark: _summed(knockers, mark in expected) for mark, knockers in found.items()}


def _summed(found: list[Knocker], is_muted: bool) -> Knocks:
    return Knocks(
        times=sum(each.times for each in found),
        places=len({each.place for each in found}),
        consumers=len(found),
        knockers=tuple(found[:PLACES_SHOWN]),
        is_muted=is_muted,
    )
