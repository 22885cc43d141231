"""Tokens that were made under wider rules: which they are and why, known before anything refuses them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.db.models import BooleanField, Case, Value, When

from tokens.policy.rules import Rules, TokenFacts, longest, within_policy_q


def fits(rules: Rules, now: datetime) -> Case:
    """Return the expression that says whether the rules let a token act once they block.

    A Case, because the negation of a condition with NULLs in it is not its complement in SQL.
    """
    blocking = replace(rules, blocks_from=now)
    return Case(
        When(within_policy_q(blocking, now), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )


def misfit(token: TokenFacts, rules: Rules) -> str:
    """Say in words why a token is outside the rules, whether or not they block yet; "" when it fits.

    The twin of ``fits``. Of two reasons the one that no later date would mend is said.
    """
    if not rules.allowed_scopes.issuperset(token.scopes):
        return "More access than your administrator allows"
    if token.expires_at is None:
        if rules.no_expiration_allowed:
            return ""
        return "No expiration, which your administrator does not allow"
    if token.expires_at - token.created_at > longest(rules, token.scopes):
        return "Longer than your administrator allows"
    return ""
