"""The console's pages."""

from __future__ import annotations

from django.urls import path

from tokens.views.bulk import revoke_tokens
from tokens.views.creation import create_token, draft_token
from tokens.views.detail import token_detail
from tokens.views.editing import edit_token, narrow_token
from tokens.views.listing import token_list
from tokens.views.revocation import revoke_token
from tokens.views.revoke_all import revoke_all
from tokens.views.storing import confirm_stored

app_name = "tokens"
urlpatterns = [
    path("settings/tokens", token_list, name="list"),
    path("settings/tokens/new", create_token, name="create"),
    path("settings/tokens/revoke", revoke_tokens, name="revoke_many"),
    path("settings/tokens/<uuid:public_id>", token_detail, name="detail"),
    path("settings/tokens/<uuid:public_id>/edit", edit_token, name="edit"),
    path("settings/tokens/<uuid:public_id>/scopes", narrow_token, name="scopes"),
    path("settings/tokens/new/draft", draft_token, name="draft"),
    path("settings/tokens/<uuid:public_id>/stored", confirm_stored, name="stored"),
    path("settings/tokens/revoke-all", revoke_all, name="revoke_all"),
    path("settings/tokens/<uuid:public_id>/revoke", revoke_token, name="revoke"),
]
