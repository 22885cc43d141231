"""Who may issue what, for how long, how many; what may be typed; and whether a row may act now."""

from __future__ import annotations

import functools
import ipaddress
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, Q

from tokens import scopes as catalogue
from tokens.models import AccessToken, LivenessFacts, Policy
from tokens.models.liveness import is_live, is_paused, live_q, not_paused_q
from tokens.secret import contains_token

MAX_NAME = 64
MAX_NAME_KEY = 255
MAX_DESCRIPTION = 200
MAX_REASON = 200
PRESET_DAYS = (7, 30, 60, 90)
DEFAULT_DAYS = 30
MIN_LIFETIME = timedelta(hours=1)
DAY = timedelta(days=1)
_MORNING = time(10)
_SATURDAY = 5
# What decoders leave in the place of bytes that are no text.
_UNREADABLE = "\ufffd"


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """The policy says no. ``sentence`` tells the person what to do; ``field`` is where it belongs."""

    def __init__(self, field: str, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field, self.code, self.sentence = field, code, sentence


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
    return _rules(
        row,
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
    return Rules(
        new_tokens_allowed=allow_new and row.new_tokens_allowed is not False,
        max_lifetime=lifetime,
        max_write_lifetime=_tighter(lifetime, row.max_write_lifetime_days),
        default_days=row.default_lifetime_days or DEFAULT_DAYS,
        no_expiration_allowed=allow_none and row.no_expiration_allowed is not False,
        allowed_scopes=frozenset(catalogue.split(row.allowed_scopes or ""))
        or frozenset(catalogue.BY_NAME),
        networks=tuple(
            ipaddress.ip_network(line, strict=False)
            for line in (row.allowed_networks or "").split()
        ),
        max_live_tokens=max_live
        if row.max_live_tokens is None
        else min(max_live, row.max_live_tokens),
        blocks_from=row.blocks_from,
    )


def _tighter(lifetime: timedelta, days: int | None) -> timedelta:
    return lifetime if days is None else min(lifetime, timedelta(days=days))


# --- May this row act now? -----------------------------------------------------------------------


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
    in_time = short & (~writing | short_enough_to_write)
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
    if not rules.networks:
        return True
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return any(parsed in network for network in rules.networks)


# --- What may be typed ---------------------------------------------------------------------------


def check_text(text: str, *, field: str, what: str) -> None:
    """Raise ``Refused`` for a token's value or characters that cannot be seen.

    Bidirectional and control characters could make a name read as another one; a pasted secret would
    be stored and shown in the clear.
    """
    if contains_token(text):
        raise Refused(
            field,
            "contains_token",
            f"{what} holds a token, or part of one. Take it out: a token is never written down here.",
        )
    if _UNREADABLE in text:
        raise Refused(
            field, "unreadable", f"{what} holds a character that could not be read. Type it again."
        )
    for character in text:
        if not character.isprintable():
            raise Refused(
                field,
                "unprintable",
                f"{what} holds a character that cannot be seen (U+{ord(character):04X}). "
                "Type it again without it.",
            )


def check_name(name: str, *, what: str = "The name") -> str:
    """Return the name as it will be stored. Raises ``Refused`` when nobody should have to read it."""
    cleaned = unicodedata.normalize("NFC", name.strip())
    if not cleaned:
        raise Refused("name", "name_required", "Give the token a name.")
    if len(cleaned) > MAX_NAME or len(name_key(cleaned)) > MAX_NAME_KEY:
        raise Refused("name", "name_too_long", f"Names can be up to {MAX_NAME} characters.")
    check_text(cleaned, field="name", what=what)
    return cleaned


def name_key(name: str) -> str:
    """Return the form under which two names are the same name: NFKC, without case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_scopes(names: Iterable[str], rules: Rules) -> str:
    """Return the stored form of the scopes. Raises ``Refused`` for none, unknown or forbidden ones."""
    chosen = list(names)
    strange = catalogue.unknown(chosen)
    if strange:
        listed = ", ".join(sorted(catalogue.BY_NAME))
        raise Refused(
            "scopes", "unknown_scope", f"There is no such scope. The scopes are: {listed}."
        )
    if not chosen:
        raise Refused("scopes", "scopes_required", "Choose at least one scope.")
    forbidden = [name for name in chosen if name not in rules.allowed_scopes]
    if forbidden:
        raise Refused(
            "scopes",
            "scope_not_allowed",
            f"Your administrator does not allow {', '.join(sorted(set(forbidden)))}. Leave it out.",
        )
    return catalogue.canonical(chosen)


# --- For how long --------------------------------------------------------------------------------


def preset_expiry(
    days: int, *, now: datetime, zone: ZoneInfo, longest_allowed: timedelta
) -> datetime:
    """Return the end of a token that should last about ``days`` days: a working day's 10:00.

    A token that ends on a Sunday night ends when nobody is there to see it, so the end moves on to
    the next working morning in the person's zone; where the policy forbids that, back to the last
    one before its limit, or to the limit itself when there is none an hour from now.
    """
    limit = now + longest_allowed
    wanted = now + timedelta(days=days)
    end = _morning(wanted, zone, step=1)
    if end > limit:
        end = _morning(min(wanted, limit), zone, step=-1)
    if end < now + MIN_LIFETIME:
        end = limit
    return end


def _morning(at: datetime, zone: ZoneInfo, *, step: int) -> datetime:
    """Return the nearest working day's 10:00 from ``at`` on, forwards or backwards, in UTC."""
    day = at.astimezone(zone).date()
    while True:
        morning = datetime.combine(day, _MORNING, tzinfo=zone).astimezone(UTC)
        if day.weekday() < _SATURDAY and (morning - at) * step >= timedelta(0):
            return morning
        day += timedelta(days=step)


def check_expiry(
    expires_at: datetime | None, scopes: Iterable[str], *, now: datetime, rules: Rules
) -> None:
    """Raise ``Refused`` unless the token may end then: an hour from now at least, or never if allowed."""
    if expires_at is None:
        if not rules.no_expiration_allowed:
            raise Refused(
                "expires",
                "expiration_required",
                "Your administrator asks for an expiration. Choose one.",
            )
        return
    limit = now + longest(rules, scopes)
    if not now + MIN_LIFETIME <= expires_at <= limit:
        raise Refused(
            "expires_custom",
            "expiry_out_of_range",
            f"Choose a time between one hour from now and {limit:%-d %b %Y, %H:%M} UTC.",
        )


# --- How many ------------------------------------------------------------------------------------


def check_room(owner_id: int, rules: Rules, *, now: datetime) -> None:
    """Raise ``Refused`` when the person has too many tokens, made too many today, or none may be made.

    Exact only under the owner's lock, which ``lifecycle.issue`` holds.
    """
    if not rules.new_tokens_allowed:
        raise Refused(
            "", "no_new_tokens", "New tokens are switched off for now. Ask your administrator."
        )
    mine = AccessToken.objects.filter(owner_id=owner_id)
    if mine.filter(live_q(now)).exclude(open_replacement_q(now)).count() >= rules.max_live_tokens:
        raise Refused(
            "",
            "too_many_tokens",
            f"You have reached {rules.max_live_tokens} active tokens. Revoke one first.",
        )
    daily = settings.TOKENS_MAX_NEW_PER_DAY
    if mine.filter(created_at__gt=now - DAY).count() >= daily:
        raise Refused(
            "",
            "too_many_new_tokens",
            f"You have made {daily} tokens in the last 24 hours. Wait until tomorrow.",
        )


def open_replacement_q(now: datetime) -> Q:
    """Return the condition for replacements whose rotation is open: the pair counts as one token."""
    old_goes_on = (
        (Q(replaces__revoked_at__isnull=True) | Q(replaces__revoked_at__gt=now))
        & (Q(replaces__retire_at__isnull=True) | Q(replaces__retire_at__gt=now))
        & (Q(replaces__expires_at__isnull=True) | Q(replaces__expires_at__gt=now))
    )
    return Q(replaces__isnull=False, rotation_closed_at__isnull=True) & old_goes_on
