"""All that a token's page tells of its use, read with two queries whatever the number of consumers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tokens.insight.consumers import consumers
from tokens.insight.days import DayCount, Refused, counted, read_lines, refused_of
from tokens.insight.held import ScopeUse, used
from tokens.insight.places import Place, listed
from tokens.models import AccessToken


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The use of one token."""

    places: list[Place]
    scopes: list[ScopeUse]
    days: list[DayCount]
    refused: list[Refused]
    # How often it was presented while it was paused or after its end.
    knocks: int


def seen(token: AccessToken, now: datetime) -> Seen:
    """Return the use of a token. Two queries."""
    found = consumers(token.pk, now)
    lines = read_lines(token.pk, now)
    uses = [(scope, at) for each in found for scope, at in each.last_by_scope]
    return Seen(
        places=listed(found, now),
        scopes=used(token, uses, now),
        days=counted(lines, now),
        refused=refused_of(lines, token.scope_names),
        knocks=sum(line.refused for line in lines if line.is_knock),
    )
