"""How the rules for all tokens change: what a change would touch, and the only writer of ``Policy``.

A version is never changed: saving adds a row, and the row with the highest id is in force. Saving
revokes nothing; from ``blocks_from`` on the verdict refuses what is out of policy.
"""

from __future__ import annotations

from tokens.policy_change.effect import (
    LOOK_BACK,
    Counting,
    Effect,
    Elsewhere,
    Line,
    effect,
    takes_long,
)
from tokens.policy_change.outside import Tokens, outside, outside_to_list
from tokens.policy_change.saving import Draft, Overtaken, current, save

__all__ = [
    "LOOK_BACK",
    "Counting",
    "Draft",
    "Effect",
    "Elsewhere",
    "Line",
    "Overtaken",
    "Tokens",
    "current",
    "effect",
    "outside",
    "outside_to_list",
    "save",
    "takes_long",
]
