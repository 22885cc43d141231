"""Who may issue what, for how long, how many; what may be typed; and whether a row may act now."""

from __future__ import annotations

from tokens.models.rotation import open_replacement_q
from tokens.policy.deadline import fits, misfit
from tokens.policy.expiry import MIN_LIFETIME, PRESET_DAYS, check_expiry, preset_expiry
from tokens.policy.naming import name_holder, name_taken
from tokens.policy.refusal import Refused
from tokens.policy.room import DAY, check_room
from tokens.policy.rotation import check_projects, check_retirement, check_rotatable, check_subset
from tokens.policy.rules import (
    DEFAULT_DAYS,
    PolicyRow,
    Rules,
    TokenFacts,
    accepted_q,
    current_rules,
    is_accepted,
    longest,
    network_allowed,
    rules_of,
    within_policy,
    within_policy_q,
)
from tokens.policy.wording import (
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_NAME_KEY,
    MAX_REASON,
    MAX_TEXT,
    NAME_TOO_LONG,
    check_name,
    check_scopes,
    check_text,
    name_key,
)

__all__ = [
    "DAY",
    "DEFAULT_DAYS",
    "MAX_DESCRIPTION",
    "MAX_NAME",
    "MAX_NAME_KEY",
    "MAX_REASON",
    "MAX_TEXT",
    "MIN_LIFETIME",
    "NAME_TOO_LONG",
    "PRESET_DAYS",
    "PolicyRow",
    "Refused",
    "Rules",
    "TokenFacts",
    "accepted_q",
    "check_expiry",
    "check_name",
    "check_projects",
    "check_retirement",
    "check_room",
    "check_rotatable",
    "check_scopes",
    "check_subset",
    "check_text",
    "current_rules",
    "fits",
    "is_accepted",
    "longest",
    "misfit",
    "name_holder",
    "name_key",
    "name_taken",
    "network_allowed",
    "open_replacement_q",
    "preset_expiry",
    "rules_of",
    "within_policy",
    "within_policy_q",
]
