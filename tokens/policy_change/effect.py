"""What rules would put out of policy: counted with the very condition that the verdict rests on."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Q, QuerySet

from tokens import scopes as catalogue
from tokens.models import AccessToken, TokenConsumer
from tokens.models.lifetime import LivesLonger
from tokens.models.liveness import live_q, not_ended_q
from tokens.models.many import one_of
from tokens.policy import Rules, open_replacement_q

# How far back the preview looks for requests from networks that would be refused.
LOOK_BACK = timedelta(days=30)
# Up to how many tokens out of policy are named one by one to the database that lists them.
_FEW = 2_000
Tokens = QuerySet[Any]


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


def outside(rows: Tokens, rules: Rules, now: datetime) -> Tokens:
    """Narrow to live tokens that the rules would refuse once they block.

    A token is refused when it breaks one rule at least, so the conditions are those of the preview's
    lines; a property test holds them to the verdict's own condition.
    """
    found: Tokens = rows.filter(live_q(now) & _any_of(_broken(rules)))
    return found


def outside_to_list(rows: Tokens, rules: Rules, now: datetime) -> Tokens:
    """Return ``outside`` such that a page of it, in whatever order, is found soon.

    A database cannot tell from its statistics how many lifetimes are too long. Where there are many, a
    list finds its page among its first rows; where there are few, going through it in its order takes
    several times as long as reading the table from end to end, so those few are found beforehand.
    """
    found = outside(rows, rules, now)
    few = list(found.order_by().values_list("pk", flat=True)[: _FEW + 1])
    return rows.filter(pk__in=few) if len(few) <= _FEW else found


def effect(
    rules: Rules, now: datetime, *, today: datetime, idle_after_days: int | None = None
) -> Effect:
    """Return what the rules would do at ``now``. Exact, with three queries to seven.

    ``today`` is the first moment of the reader's day; ``idle_after_days`` counts what is so long
    unused that the policy would begin to end it.
    """
    rows = _broken(rules)
    broken = [*rows, ("In total, each token counted once", _any_of(rows))]
    by_rule = [Count("pk", filter=condition) for _, condition in broken]
    living, away = AccessToken.objects.filter(not_ended_q(now)), _switched_off()
    people = _by_owner(living, away, *by_rule, Count("pk"))
    out = frozenset(owner for owner, numbers in people.items() if numbers[-2])
    # The last use is looked up of what was used today, not of every token.
    in_use = living.filter(activity__last_used_at__gte=today)
    used = _by_owner(in_use, away, *by_rule).values() if out else ()
    *lines, total = [
        Line(
            rule,
            sum(numbers[place] for numbers in people.values()),
            sum(numbers[place] > 0 for numbers in people.values()),
            sum(numbers[place] for numbers in used),
        )
        for place, (rule, _) in enumerate(broken)
    ]
    return Effect(
        [line for line in lines if line.tokens],
        total,
        sum(numbers[-1] for numbers in people.values()),
        _idle(living, away, now, idle_after_days) if idle_after_days else 0,
        _full({owner: numbers[-1] for owner, numbers in people.items()}, away, rules, now),
        _elsewhere(living, away, rules, now) if rules.networks_limited else None,
        out,
    )


def _switched_off() -> frozenset[int]:
    """Return the people whose tokens do not live, because their accounts are switched off."""
    off = get_user_model()._default_manager.filter(is_active=False)
    return frozenset(off.values_list("pk", flat=True))


def _by_owner(tokens: Tokens, away: frozenset[int], *counts: Count) -> dict[int, list[int]]:
    """Return the numbers of each person who is not ``away``, by the person's id.

    Summed by person first: counting different people a rule would sort the tokens once a rule. Who
    is away is left out afterwards, which spares every token the look at its owner.
    """
    named = {f"number_{place}": count for place, count in enumerate(counts)}
    rows = tokens.order_by().values_list("owner_id").annotate(**named)
    return {owner: numbers for owner, *numbers in rows if owner not in away}


def _any_of(broken: list[tuple[str, Q]]) -> Q:
    found = Q(pk__isnull=True)
    for _, condition in broken:
        found |= condition
    return found


def _broken(rules: Rules) -> list[tuple[str, Q]]:
    """Return each rule in words, with the condition for tokens that break it."""
    writing = Q(pk__isnull=True)
    barred = Q(pk__isnull=True)
    for scope in catalogue.SCOPES:
        if scope.writes:
            writing |= Q(scopes__contains=scope.name)
        if scope.name not in rules.allowed_scopes:
            barred |= Q(scopes__contains=scope.name)
    longer = Q(LivesLonger(rules.max_lifetime))
    longer_writing = writing & Q(LivesLonger(rules.max_write_lifetime))
    rows = []
    if not rules.no_expiration_allowed:
        rows.append(("No expiration", Q(expires_at__isnull=True)))
    rows.append((f"Lives longer than {rules.max_lifetime.days} days", longer))
    if rules.max_write_lifetime < rules.max_lifetime:
        words = f"Holds a write scope, lives longer than {rules.max_write_lifetime.days} days"
        rows.append((words, longer_writing))
    if len(rules.allowed_scopes) < len(catalogue.BY_NAME):
        rows.append(("Holds a scope that is not allowed", barred))
    return rows


def _idle(living: Tokens, away: frozenset[int], now: datetime, after_days: int) -> int:
    """Return how many living tokens the policy would begin to end for want of use."""
    since = now - timedelta(days=after_days)
    never = Q(activity__isnull=True, created_at__lte=since)
    idle = living.filter(Q(activity__last_used_at__lte=since) | never)
    return sum(number for (number,) in _by_owner(idle, away, Count("pk")).values())


def _full(held: dict[int, int], away: frozenset[int], rules: Rules, now: datetime) -> int:
    """Return how many people have as many living tokens as they may; a rotating pair counts once."""
    pairs = _by_owner(AccessToken.objects.filter(open_replacement_q(now)), away, Count("pk"))
    return sum(
        number - pairs.get(owner, [0])[0] >= rules.max_live_tokens for owner, number in held.items()
    )


def _elsewhere(living: Tokens, away: frozenset[int], rules: Rules, now: datetime) -> Elsewhere:
    recent = TokenConsumer.objects.filter(last_at__gt=now - LOOK_BACK, network__gt="")
    seen = recent.order_by().values_list("network", flat=True).distinct()
    these, networks = one_of([network for network in seen if _is_barred(network, rules)])
    # One parameter, because there may be more networks than a statement has room for parameters.
    barred = recent.extra(where=[f"network {these}"], params=[networks])  # noqa: S610
    people = _by_owner(living.filter(pk__in=barred.values("token_id")), away, Count("pk"))
    return Elsewhere(sum(number for (number,) in people.values()), frozenset(people))


def _is_barred(network: str, rules: Rules) -> bool:
    """Say whether no address of a network may use a token; "others" name no network."""
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError:
        return False
    return not any(
        parsed.version == allowed.version and parsed.overlaps(allowed) for allowed in rules.networks
    )
