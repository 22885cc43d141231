"""What a mail says when the rules for all tokens changed and tokens of its reader break them."""

from __future__ import annotations

from datetime import datetime

from tokens import policy, policy_change
from tokens.mailer.pieces import (
    Fact,
    Item,
    Link,
    Mail,
    address,
    instant,
    page,
    revocation,
    rotation,
)
from tokens.models import AccessToken, Notice
from tokens.policy import Rules

_MOST_ITEMS = 50


def is_still_true(notice: Notice, now: datetime) -> bool:
    """Say whether the rules in force still concern this person."""
    rules = policy.current_rules()
    return rules.networks_limited or _outside(notice, rules, now).exists()


def mail_about_policy(notice: Notice, now: datetime) -> Mail:
    """Return what the rules in force mean for one person's tokens."""
    rules = policy.current_rules()
    found = list(_outside(notice, rules, now).order_by("pk")[: _MOST_ITEMS + 1])
    at = instant(datetime.fromisoformat(notice.data["at"]))
    begins = rules.blocks_from
    from_then = instant(begins) if begins and begins > now else ""
    return Mail(
        notice=notice,
        subject=_subject(found),
        lede=f"Your administrator changed the rules for all tokens on {at}."
        f"{_standing(found, begins, from_then)}",
        strong=from_then,
        button=Link("Look at your tokens", page("tokens:list")),
        items=tuple(map(_item, found[:_MOST_ITEMS])),
        facts=_facts(rules),
        note="The list has more." if len(found) > _MOST_ITEMS else "",
        because=f"tokens belong to {address(notice)}",
    )


def _outside(notice: Notice, rules: Rules, now: datetime) -> policy_change.Tokens:
    mine = AccessToken.objects.filter(owner_id=notice.owner_id)
    return policy_change.outside(mine, rules, now)


def _subject(found: list[AccessToken]) -> str:
    if len(found) == 1:
        return f"{found[0].name} breaks a new rule"
    return "Tokens of yours break new rules" if found else "New rules for your tokens"


def _standing(found: list[AccessToken], begins: datetime | None, from_then: str) -> str:
    if not found:
        return ""
    which = "One of your tokens breaks" if len(found) == 1 else "Some of your tokens break"
    they, them = ("It", "it") if len(found) == 1 else ("They", "them")
    verbs = ("keeps", "is") if len(found) == 1 else ("keep", "are")
    if from_then:
        end = f"{they} {verbs[0]} working until {from_then}. Rotate {them} before."
    elif begins:
        end = f"{they} {verbs[1]} refused from now on. Rotate {them} to go on."
    else:
        end = f"{they} {verbs[0]} working. The next rotation must keep the rules."
    return f" {which} them. {end}"


def _item(token: AccessToken) -> Item:
    end = f"Expires on {instant(token.expires_at)}" if token.expires_at else "No expiration"
    return Item(token.name, f"{token.masked}. {end}.", (rotation(token), revocation(token)))


def _facts(rules: Rules) -> tuple[Fact, ...]:
    facts = [
        Fact("Longest lifetime", f"{rules.max_lifetime.days} days"),
        Fact("With a write scope", f"{rules.max_write_lifetime.days} days"),
    ]
    if not rules.no_expiration_allowed:
        facts.append(Fact("No expiration", "Not allowed"))
    if rules.networks_limited:
        facts.append(Fact("Networks", "Requests from other networks than the allowed are refused"))
    return tuple(facts)
