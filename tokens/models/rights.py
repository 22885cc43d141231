"""The six rights of staff: what each is called by people, and by Django."""

from __future__ import annotations

TOKENS = "tokens.view_accesstoken"
REVOKE = "tokens.revoke_accesstoken"
EVENTS = "tokens.view_tokenevent"
POLICY = "tokens.change_policy"
SERVICES = "tokens.view_service"
REVOKE_SERVICE = "tokens.revoke_service"

BY_NAME = {
    "view_tokens": TOKENS,
    "revoke_tokens": REVOKE,
    "view_events": EVENTS,
    "change_policy": POLICY,
    "view_services": SERVICES,
    "revoke_services": REVOKE_SERVICE,
}
