"""What a token's page tells of its use, in words: thirty days, places, scopes and refused calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from tokens import insight, scopes as catalogue, usage
from tokens.insight import DayCount, Place, Refused, ScopeUse
from tokens.models import AccessToken
from tokens.models.liveness import ended_at
from tokens.models.status import Status
from tokens.templatetags.use_words import counted, near_day
from tokens.views.rows import Row

PLACES_FOR = timedelta(days=90)
PLACES_SHOWN = 8
# The columns of the plot that have a word under them; the last one is today's.
_AXIS = (0, 7, 14, 21)

# What whoever found the token could no longer do without the scope.
_WITHOUT = {
    "inference": "spend on your account",
    "projects.read": "read your projects",
    "projects.write": "change your projects",
    "deployments.read": "read your deployments and their logs",
    "deployments.write": "deploy",
    "keys.read": "see which API keys you have",
    "keys.write": "make API keys",
    "account.read": "read your account",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The sentence beside the plot, in the parts that are set apart: two numbers and a scope."""

    requests: str
    when: str
    refused: str = ""
    since: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Scopes that went unused, and the form in which leaving them out is filled in."""

    scopes: tuple[str, ...]
    days: int
    effect: str
    url: str
    keep_url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of refused calls: what it means, and where more can be asked for."""

    refused: Refused
    meaning: str
    create_url: str


def use_context(
    token: AccessToken, row: Row, wish: list[tuple[str, str]] | None, now: datetime
) -> dict[str, Any]:
    """Return what the page's parts about use need, with two queries, and one more where scopes go unused.

    ``wish`` is what a create page is filled in with to make another token like this one; None where
    none can be made.
    """
    seen = insight.seen(token, now)
    end = ended_at(token.liveness()) if row.ended else None
    recent = [place for place in seen.places if _belongs_here(place, now)]
    refused = [] if row.ended else seen.refused
    return {
        "use_days": seen.days,
        "use_rows": seen.days[::-1],
        "use_axis": [near_day(seen.days[number].day) for number in _AXIS],
        "use_knocks": seen.knocks,
        "use_ended": end.date() if end else None,
        "use_summary": _summary(seen.days, seen.refused, seen.knocks, row, end),
        "places": recent[:PLACES_SHOWN],
        "more_places": recent[PLACES_SHOWN:],
        "scope_uses": {each.scope: each for each in seen.scopes},
        "leave_out": None if row.ended else _leave_out(token, seen.scopes, now),
        "kept_days": usage.KEPT_FOR.days,
        "inbox": [_entry(each, wish) for each in refused if each.muted_at is None],
        "muted": [each for each in refused if each.muted_at is not None],
        "mute_url": reverse("tokens:mute", kwargs={"public_id": token.public_id}),
    }


def _belongs_here(place: Place, now: datetime) -> bool:
    """Say whether the page lists the place: seen in ninety days, or a job that is still expected."""
    return now - place.last_at < PLACES_FOR or not place.quiet


def _summary(
    days: list[DayCount],
    refused: list[Refused],
    knocks: int,
    row: Row,
    end: datetime | None,
) -> Summary | None:
    """Return the sentence that says what the plot draws, or nothing where it would be empty."""
    allowed, turned_away = sum(day.allowed for day in days), sum(day.refused for day in days)
    if not allowed and not turned_away:
        return None
    if end is not None:
        expired = row.status.key == Status.EXPIRED.key
        how = "it expired" if expired else f"it was {row.status.label.lower()}"
        tries = f"{knocks:,} {'try' if knocks == 1 else 'tries'}" if knocks else ""
        when = f"before {how} on {near_day(end)}{',' if knocks else '.'}"
        return Summary(counted(allowed, "request"), when, tries, "since." if knocks else "")
    return Summary(
        counted(allowed, "request"),
        _when(days),
        f"{turned_away:,} refused" if turned_away else "",
        *_since(days, refused, knocks),
    )


def _when(days: list[DayCount]) -> str:
    used = [day for day in days if day.allowed]
    if not used:
        return "in 30 days."
    most = max(used, key=lambda day: day.allowed)
    if most.allowed == 1 or len(used) == 1:
        return f"on {len(used)} of 30 days, last on {near_day(used[-1].day)}."
    return f"on {len(used)} of 30 days, most on {near_day(most.day)} ({most.allowed:,})."


def _since(days: list[DayCount], refused: list[Refused], knocks: int) -> tuple[str, str]:
    turned_away = [day.day for day in days if day.refused]
    if not turned_away:
        return "", ""
    when = f"{'since' if len(turned_away) > 1 else 'on'} {near_day(turned_away[0])}"
    scopes = {each.scope for each in refused}
    if len(scopes) == 1 and not knocks and "" not in scopes:
        return f"{when}, all for", scopes.pop()
    return f"{when}.", ""


def _leave_out(token: AccessToken, uses: list[ScopeUse], now: datetime) -> LeaveOut | None:
    """Return the scopes to leave out; a token of which nothing is used needs another advice.

    What the owner chose to keep is not brought up again for a while.
    """
    unused = [each for each in uses if each.unused]
    if not unused or len(unused) == len(uses):
        return None
    kept = usage.kept_scopes(token.pk, now)
    unused = [each for each in unused if each.scope not in kept]
    if not unused:
        return None
    names = tuple(each.scope for each in unused)
    alone = _WITHOUT.get(names[0]) if len(names) == 1 else None
    effect = f"cannot {alone}" if alone else "can do less"
    query = urlencode([("remove", name) for name in names])
    url = reverse("tokens:scopes", kwargs={"public_id": token.public_id})
    return LeaveOut(
        scopes=names,
        days=min(each.idle_days for each in unused),
        effect=effect,
        url=f"{url}?{query}",
        keep_url=reverse("tokens:keep", kwargs={"public_id": token.public_id}),
    )


def _entry(refused: Refused, wish: list[tuple[str, str]] | None) -> Entry:
    scope = catalogue.BY_NAME.get(refused.scope)
    if refused.held or scope is None:
        return Entry(refused, "", "")
    meaning = f"{scope.meaning[:1].lower()}{scope.meaning[1:]}"
    if wish is None:
        return Entry(refused, meaning, "")
    more = [*wish, ("scopes", scope.name)]
    return Entry(refused, meaning, f"{reverse('tokens:create')}?{urlencode(more)}")
