"""The four rights of staff: what each is called by people, and by Django."""

from __future__ import annotations

TOKENS = "tokens.view_accesstoken"
REVOKE = "tokens.revoke_accesstoken"
EVENTS = "tokens.view_tokenevent"
POLICY = "tokens.change_policy"

BY_NAME = {
    "view_tokens": TOKENS,
    "revoke_tokens": REVOKE,
    "view_events": EVENTS,
    "change_policy": POLICY,
}
