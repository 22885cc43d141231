"""The console's pages."""

from __future__ import annotations

from django.urls import path

from tokens.views.creation import create_token
from tokens.views.listing import token_list
from tokens.views.revocation import revoke_token
from tokens.views.revoke_all import revoke_all

app_name = "tokens"
urlpatterns = [
    path("settings/tokens", token_list, name="list"),
    path("settings/tokens/new", create_token, name="create"),
    path("settings/tokens/revoke-all", revoke_all, name="revoke_all"),
    path("settings/tokens/<uuid:public_id>/revoke", revoke_token, name="revoke"),
]
