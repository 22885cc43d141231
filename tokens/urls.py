"""The console's pages."""

from __future__ import annotations

from django.urls import path

from tokens.views.banners import hide_banner
from tokens.views.bulk import revoke_tokens
from tokens.views.creation import create_token, draft_token
from tokens.views.detail import token_detail
from tokens.views.device import approve_device, deny_device, enter_code
from tokens.views.editing import edit_token, narrow_token
from tokens.views.listing import token_list
from tokens.views.muting import keep_scopes, mute_scope
from tokens.views.pausing import pause_token, resume_token
from tokens.views.revocation import revoke_token
from tokens.views.revoke_all import revoke_all
from tokens.views.rotation import choose_scopes, draft_rotation, rotate_token
from tokens.views.rotation_end import revoke_old, show_finished
from tokens.views.rotation_steps import (
    cancel_rotation,
    confirm_works,
    copy_replacement,
    update_consumer,
    watch_rotation,
)
from tokens.views.storing import confirm_stored

_ROTATION = "settings/tokens/<uuid:public_id>/rotate"

app_name = "tokens"
urlpatterns = [
    path("settings/tokens", token_list, name="list"),
    path("settings/tokens/new", create_token, name="create"),
    path("settings/tokens/revoke", revoke_tokens, name="revoke_many"),
    path("settings/tokens/<uuid:public_id>", token_detail, name="detail"),
    path("settings/tokens/<uuid:public_id>/edit", edit_token, name="edit"),
    path("settings/tokens/<uuid:public_id>/scopes", narrow_token, name="scopes"),
    path("settings/tokens/<uuid:public_id>/mute", mute_scope, name="mute"),
    path("settings/tokens/<uuid:public_id>/keep", keep_scopes, name="keep"),
    path("settings/tokens/new/draft", draft_token, name="draft"),
    path("settings/tokens/<uuid:public_id>/stored", confirm_stored, name="stored"),
    path("settings/tokens/revoke-all", revoke_all, name="revoke_all"),
    path("settings/tokens/<uuid:public_id>/pause", pause_token, name="pause"),
    path("settings/tokens/<uuid:public_id>/resume", resume_token, name="resume"),
    path("settings/tokens/<uuid:public_id>/revoke", revoke_token, name="revoke"),
    path(_ROTATION, rotate_token, name="rotate"),
    path(f"{_ROTATION}/scopes", choose_scopes, name="rotate_scopes"),
    path(f"{_ROTATION}/draft", draft_rotation, name="rotate_draft"),
    path(f"{_ROTATION}/copy", copy_replacement, name="rotate_copy"),
    path(f"{_ROTATION}/update", update_consumer, name="rotate_update"),
    path(f"{_ROTATION}/confirm", confirm_works, name="rotate_confirm"),
    path(f"{_ROTATION}/watch", watch_rotation, name="rotate_watch"),
    path(f"{_ROTATION}/revoke", revoke_old, name="rotate_revoke"),
    path(f"{_ROTATION}/cancel", cancel_rotation, name="rotate_cancel"),
    path(f"{_ROTATION}/finished", show_finished, name="rotate_finished"),
    path("settings/tokens/later", hide_banner, name="later"),
    path("device", enter_code, name="device"),
    path("device/approve", approve_device, name="device_approve"),
    path("device/deny", deny_device, name="device_deny"),
]
