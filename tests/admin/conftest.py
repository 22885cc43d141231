from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from skytells_console.models import User
from tests.cast import make_user, sign_in

VIEW, REVOKE, EVENTS, POLICY = (
    "view_accesstoken",
    "revoke_accesstoken",
    "view_tokenevent",
    "change_policy",
)
SERVICES, REVOKE_SERVICE = "view_service", "revoke_service"
Signer = Callable[..., Client]


@pytest.fixture
def as_carol(carol: User) -> Signer:
    """Sign carol in, who is staff and no superuser, with just these rights."""

    def signed_in(*rights: str) -> Client:
        chosen = Permission.objects.filter(content_type__app_label="tokens", codename__in=rights)
        assert chosen.count() == len(rights)
        carol.user_permissions.set(chosen)
        return sign_in(Client(), carol)

    return signed_in


@pytest.fixture
def as_root(db: None) -> Client:
    return sign_in(Client(), make_user("root@example.com", is_staff=True, is_superuser=True))
