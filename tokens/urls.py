"""The console's pages."""

from __future__ import annotations

from django.urls import path

from tokens.views.creation import create_token, draft_token
from tokens.views.listing import token_list
from tokens.views.revocation import revoke_token
from tokens.views.storing import confirm_stored

app_name = "tokens"
urlpatterns = [
    path("settings/tokens", token_list, name="list"),
    path("settings/tokens/new", create_token, name="create"),
    path("settings/tokens/new/draft", draft_token, name="draft"),
    path("settings/tokens/<uuid:public_id>/stored", confirm_stored, name="stored"),
    path("settings/tokens/<uuid:public_id>/revoke", revoke_token, name="revoke"),
]
