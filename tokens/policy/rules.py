"""Which rules are in force, and whether a row may act under them."""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import F, Q

from tokens import scopes as catalogue
from tokens.models import LivenessFacts, Policy
from tokens.models.liveness import is_live, is_paused, live_q, not_paused_q

DEFAULT_DAYS = 30
# Ten years, the longest lifetime that a setting may name; beyond it a day count is a slip.
MAX_DAYS = 3660
logger = logging.getLogger(__name__)


class PolicyRow(NamedTuple):
    """The columns of the policy that the verdict reads; all None when no policy was ever saved."""

    new_tokens_allowed: bool | None = None
    max_lifetime_days: int | None = None
    max_write_lifetime_days: int | None = None
    default_lifetime_days: int | None = None
    no_expiration_allowed: bool | None = None
    allowed_scopes: str | None = None
    allowed_networks: str | None = None
    max_live_tokens: int | None = None
    blocks_from: datetime | None = None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force: the installation's settings, tightened by the saved policy."""

    new_tokens_allowed: bool
    max_lifetime: timedelta
    max_write_lifetime: timedelta
    default_days: int
    no_expiration_allowed: bool
    allowed_scopes: frozenset[str]
    networks_limited: bool
    networks: tuple[Network, ...]
    max_live_tokens: int
    blocks_from: datetime | None


class TokenFacts(NamedTuple):
    """What the policy's verdict needs to know of one token."""

    created_at: datetime
    expires_at: datetime | None
    scopes: tuple[str, ...]


def current_rules() -> Rules:
    """Return the rules in force now, with one query."""
    row = Policy.objects.order_by("-id").values_list(*PolicyRow._fields).first()
    return rules_of(PolicyRow(*row) if row else PolicyRow())


def rules_of(row: PolicyRow) -> Rules:
    """Return the rules that a policy's columns and the installation's settings make together."""
    return _rules(row, *_installed())


@functools.cache
def _installed() -> tuple[bool, timedelta, bool, int]:
    """Return what the settings say, read once: asking them costs each request more than the rules."""
    return (
        settings.TOKENS_ALLOW_NEW,
        settings.TOKENS_MAX_LIFETIME,
        settings.TOKENS_ALLOW_NO_EXPIRATION,
        settings.TOKENS_MAX_LIVE,
    )


@functools.lru_cache(maxsize=16)
def _rules(
    row: PolicyRow, allow_new: bool, max_lifetime: timedelta, allow_none: bool, max_live: int
) -> Rules:
    lifetime = _tighter(max_lifetime, row.max_lifetime_days)
    lines = (row.allowed_networks or "").split()
    return Rules(
        new_tokens_allowed=allow_new and row.new_tokens_allowed is not False,
        max_lifetime=lifetime,
        max_write_lifetime=_tighter(lifetime, row.max_write_lifetime_days),
        default_days=min(row.default_lifetime_days or DEFAULT_DAYS, MAX_DAYS),
        no_expiration_allowed=allow_none and row.no_expiration_allowed is not False,
        allowed_scopes=frozenset(catalogue.split(row.allowed_scopes or ""))
        or frozenset(catalogue.BY_NAME),
        networks_limited=bool(lines),
        networks=tuple(filter(None, map(_network, lines))),
        max_live_tokens=max_live
        if row.max_live_tokens is None
        else min(max_live, row.max_live_tokens),
        blocks_from=row.blocks_from,
    )


def _network(line: str) -> Network | None:
    """Return the network that a line names, or None, which nothing is in.

    Whoever saves a policy checks its lines; this one may have been written past that check, and must
    neither open the door nor break it. The rules are kept, so that the log says this once a process.
    """
    try:
        return ipaddress.ip_network(line, strict=False)
    except ValueError:
        logger.error("A line of the policy's networks cannot be read and matches nothing.")
        return None


def _tighter(lifetime: timedelta, days: int | None) -> timedelta:
    # A number of days beyond the lifetime tightens nothing, and may be too large for a timedelta.
    return lifetime if days is None or days > lifetime.days else timedelta(days=days)


def longest(rules: Rules, scopes: Iterable[str]) -> timedelta:
    """Return the longest lifetime the rules allow a token with these scopes."""
    writes = any(catalogue.BY_NAME[name].writes for name in scopes if name in catalogue.BY_NAME)
    return rules.max_write_lifetime if writes else rules.max_lifetime


def within_policy(token: TokenFacts, rules: Rules, now: datetime) -> bool:
    """Say whether the rules let this token act at ``now``; the twin of ``within_policy_q``."""
    if rules.blocks_from is None or now < rules.blocks_from:
        return True
    if not rules.allowed_scopes.issuperset(token.scopes):
        return False
    if token.expires_at is None:
        return rules.no_expiration_allowed
    return token.expires_at - token.created_at <= longest(rules, token.scopes)


def within_policy_q(rules: Rules, now: datetime) -> Q:
    """Return the condition for tokens that the rules let act at ``now``."""
    everything = Q(pk__isnull=False)
    if rules.blocks_from is None or now < rules.blocks_from:
        return everything
    writing = Q(pk__isnull=True)
    for scope in catalogue.SCOPES:
        # No scope's name is part of another's, so containment is membership.
        if scope.writes:
            writing |= Q(scopes__contains=scope.name)
        if scope.name not in rules.allowed_scopes:
            everything &= ~Q(scopes__contains=scope.name)
    short = Q(expires_at__lte=F("created_at") + rules.max_lifetime)
    short_enough_to_write = Q(expires_at__lte=F("created_at") + rules.max_write_lifetime)
    in_time = short
    if rules.max_write_lifetime < rules.max_lifetime:
        in_time &= ~writing | short_enough_to_write
    if rules.no_expiration_allowed:
        in_time |= Q(expires_at__isnull=True)
    return everything & in_time


def is_accepted(facts: LivenessFacts, token: TokenFacts, rules: Rules, now: datetime) -> bool:
    """Say whether the token is a yes at ``now``: live, not paused, within policy."""
    return is_live(facts, now) and not is_paused(facts, now) and within_policy(token, rules, now)


def accepted_q(rules: Rules, now: datetime) -> Q:
    """Return the condition for accepted tokens; the twin of ``is_accepted``."""
    return live_q(now) & not_paused_q(now) & within_policy_q(rules, now)


def network_allowed(address: str | None, rules: Rules) -> bool:
    """Say whether a request from ``address`` may use a token at all."""
    if not rules.networks_limited:
        return True
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(parsed in network for network in rules.networks)
