"""What rules would put out of policy: counted with the very condition that the verdict rests on."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import add
from typing import NamedTuple

from django.contrib.auth import get_user_model
from django.db.models import Count, Max, Min, Q

from tokens.models import AccessToken, TokenConsumer
from tokens.models.liveness import not_ended_q
from tokens.models.many import one_of
from tokens.policy import Rules, open_replacement_q
from tokens.policy_change.outside import Tokens, any_of, broken_by

# How far back the preview looks for requests from networks that would be refused.
LOOK_BACK = timedelta(days=30)
# How many ids one statement of a count covers at least, and how many statements there are at most.
STRETCH = 500_000
_MOST_STRETCHES = 20


class Stretch(NamedTuple):
    """Ids from ``first`` to before ``end``; None means that there is no such bound."""

    first: int | None = None
    end: int | None = None

    def of(self, name: str) -> Q:
        """Return the condition that the id of this name lies within."""
        begins = Q() if self.first is None else Q(**{f"{name}__gte": self.first})
        return begins if self.end is None else begins & Q(**{f"{name}__lt": self.end})


_AT_ONCE = [Stretch()]


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of the preview: how many tokens of how many people break it, and how many are in use."""

    rule: str
    tokens: int
    people: int
    used: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Living tokens that were used lately from networks outside of the allowed ones."""

    tokens: int
    owners: frozenset[int]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a draft would do: each broken rule, and the total that counts each token once.

    ``idle`` tokens are so long unused that the policy would begin to end them. ``full`` people hold as
    many tokens as they may, so that they can make no further one. ``elsewhere`` is None where any
    network is allowed.
    """

    lines: list[Line]
    total: Line
    live: int
    idle: int
    full: int
    elsewhere: Elsewhere | None
    out: frozenset[int]

    @property
    def concerned(self) -> frozenset[int]:
        """The owners of what would be out of policy or refused for its network."""
        return self.out | (self.elsewhere.owners if self.elsewhere else frozenset())

    @property
    def sentence(self) -> str:
        """The total in one sentence."""
        total = self.total
        if not total.tokens:
            return f"All {self.live} tokens fit." if self.live != 1 else "The one token fits."
        return (
            f"This would put {_count(total.tokens, 'token', 'tokens')} of "
            f"{_count(total.people, 'person', 'people')} out of policy; "
            f"{total.used} of these tokens {'was' if total.used == 1 else 'were'} used today."
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def effect(
    rules: Rules, now: datetime, today: datetime, idle_after_days: int | None = None
) -> Effect:
    """Return what the rules would do at ``now``. Exact; few tokens take four queries to eight.

    ``today`` is the first moment of the reader's day; ``idle_after_days`` counts what is so long
    unused that the policy would begin to end it.
    """
    count = Counting(rules, now, today, idle_after_days)
    for _ in count:
        pass
    return count.effect


def takes_long() -> bool:
    """Say whether there are so many tokens that whoever waits should see how far the counting is."""
    return len(_stretches()) > 1


class Counting:
    """A count as ``effect`` makes it: go through it to its end, then read its ``effect``.

    It yields, after each stretch of tokens, which part of the work is done.
    """

    effect: Effect

    def __init__(
        self, rules: Rules, now: datetime, today: datetime, idle_after_days: int | None = None
    ) -> None:
        self._rules, self._now, self._today = rules, now, today
        self._idle_after_days = idle_after_days

    def __iter__(self) -> Iterator[float]:
        """Count, and yield the part that is done, up to 1."""
        stretches = _stretches()
        # After the stretches come today's use, the pairs and the networks, where these are limited.
        passes = 2 if self._idle_after_days else 1
        whole = len(stretches) * passes + 2 + self._rules.networks_limited
        for done, _ in enumerate(self._steps(stretches), start=1):
            yield done / whole

    def _steps(self, stretches: list[Stretch]) -> Iterator[None]:
        rules, now = self._rules, self._now
        rows = broken_by(rules)
        broken = [*rows, ("In total, each token counted once", any_of(rows))]
        by_rule = [Count("pk", filter=condition) for _, condition in broken]
        living, away = AccessToken.objects.filter(not_ended_q(now)), _switched_off()
        since = now - timedelta(days=self._idle_after_days or 0)
        old = Count("pk", filter=Q(created_at__lte=since))
        people = yield from _by_owner(living, away, stretches, *by_rule, old, Count("pk"))
        out = frozenset(owner for owner, numbers in people.items() if numbers[-3])
        # The last use is looked up of what was used today, not of every token.
        in_use = living.filter(activity__last_used_at__gte=self._today) if out else living.none()
        used = yield from _by_owner(in_use, away, _AT_ONCE, *by_rule)
        idle = 0
        if self._idle_after_days:
            idle = sum(numbers[-2] for numbers in people.values())
            idle -= yield from _kept_by_use(living, away, since, stretches)
        rotating = AccessToken.objects.filter(open_replacement_q(now))
        pairs = yield from _by_owner(rotating, away, _AT_ONCE, Count("pk"))
        *lines, total = _lines([rule for rule, _ in broken], people, used)
        held = {owner: numbers[-1] for owner, numbers in people.items()}
        self.effect = Effect(
            [line for line in lines if line.tokens],
            total,
            sum(held.values()),
            idle,
            # A rotating pair counts once.
            sum(held[each] - pairs.get(each, [0])[0] >= rules.max_live_tokens for each in held),
            (yield from _elsewhere(living, away, rules, now)) if rules.networks_limited else None,
            out,
        )


def _stretches() -> list[Stretch]:
    """Split all tokens by their ids, each into one stretch."""
    ends = AccessToken.objects.aggregate(low=Min("pk"), high=Max("pk"))
    low, high = ends["low"] or 0, ends["high"] or 0
    step = max(STRETCH, -(-(high - low) // _MOST_STRETCHES))
    # The first and the last are open, so that what is made meanwhile lies in one of them.
    starts = list(range(low, high, step))[1:]
    return [Stretch(*ends) for ends in zip([None, *starts], [*starts, None], strict=True)]


def _switched_off() -> frozenset[int]:
    """Return the people whose tokens do not live, because their accounts are switched off."""
    off = get_user_model()._default_manager.filter(is_active=False)
    return frozenset(off.values_list("pk", flat=True))


def _by_owner(
    tokens: Tokens,
    away: frozenset[int],
    stretches: list[Stretch],
    *counts: Count,
    also: str = "pk",
) -> Generator[None, None, dict[int, list[int]]]:
    """Return the numbers of each person who is not ``away``, by the person's id.

    Summed by person first: counting different people a rule would sort the tokens once a rule. Who
    is away is left out afterwards, which spares every token the look at its owner. ``also`` names the same
    id in a joined table, of which the database would read more than the stretch without being told.
    """
    named = {f"number_{place}": count for place, count in enumerate(counts)}
    people: dict[int, list[int]] = {}
    for stretch in stretches:
        inside = stretch.of("pk") & stretch.of(also)
        rows = tokens.filter(inside).order_by().values_list("owner_id").annotate(**named)
        for owner, *numbers in rows:
            held = people.get(owner)
            people[owner] = list(map(add, held, numbers)) if held else numbers
        yield
    return {owner: numbers for owner, numbers in people.items() if owner not in away}


def _sum(people: dict[int, list[int]]) -> int:
    return sum(number for (number,) in people.values())


def _lines(
    rules: list[str], people: dict[int, list[int]], used: dict[int, list[int]]
) -> list[Line]:
    return [
        Line(
            rule,
            sum(numbers[place] for numbers in people.values()),
            sum(numbers[place] > 0 for numbers in people.values()),
            sum(numbers[place] for numbers in used.values()),
        )
        for place, rule in enumerate(rules)
    ]


def _kept_by_use(
    living: Tokens, away: frozenset[int], since: datetime, stretches: list[Stretch]
) -> Generator[None, None, int]:
    """Return how many tokens as old as ``since`` were used after it.

    The unused are the old ones without these, which spares every token the look at whether it was
    used. One whose use is older than itself, by a clock that was behind, is unused all the same.
    """
    kept = Count("pk", filter=Q(created_at__lte=since, activity__last_used_at__gt=since))
    odd = Count("pk", filter=Q(created_at__gt=since, activity__last_used_at__lte=since))
    used = living.filter(activity__isnull=False)
    people = yield from _by_owner(used, away, stretches, kept, odd, also="activity__token_id")
    return sum(numbers[0] - numbers[1] for numbers in people.values())


def _elsewhere(
    living: Tokens, away: frozenset[int], rules: Rules, now: datetime
) -> Generator[None, None, Elsewhere]:
    recent = TokenConsumer.objects.filter(last_at__gt=now - LOOK_BACK, network__gt="")
    seen = recent.order_by().values_list("network", flat=True).distinct()
    these, networks = one_of([network for network in seen if _is_barred(network, rules)])
    # One parameter, because there may be more networks than a statement has room for parameters.
    barred = recent.extra(where=[f"network {these}"], params=[networks])  # noqa: S610
    found = living.filter(pk__in=barred.values("token_id"))
    people = yield from _by_owner(found, away, _AT_ONCE, Count("pk"))
    return Elsewhere(_sum(people), frozenset(people))


def _is_barred(network: str, rules: Rules) -> bool:
    """Say whether no address of a network may use a token; "others" name no network."""
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError:
        return False
    return not any(
        parsed.version == allowed.version and parsed.overlaps(allowed) for allowed in rules.networks
    )
