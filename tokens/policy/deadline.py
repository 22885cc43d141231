"""Rules that were announced: which tokens they refuse from their date on, known before it comes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.db.models import BooleanField, Case, Value, When

from tokens.policy.rules import Rules, within_policy_q


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
