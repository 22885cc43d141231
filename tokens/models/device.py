"""A terminal's request to sign in (RFC 8628); both codes are kept as digests only."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from tokens.models.token import AccessToken


class DeviceGrant(models.Model):
    """One device authorization. Its state is derived from its times."""

    device_digest = models.BinaryField(max_length=32, unique=True)
    user_digest = models.BinaryField(max_length=32)
    pepper_id = models.SmallIntegerField()
    client_id = models.CharField(max_length=64, blank=True)
    client_name = models.CharField(max_length=80, blank=True)
    scopes = models.CharField(max_length=255)
    address = models.GenericIPAddressField(null=True)
    network = models.CharField(max_length=49, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    interval = models.PositiveSmallIntegerField(default=5)
    last_polled_at = models.DateTimeField(null=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    approved_at = models.DateTimeField(null=True)
    denied_at = models.DateTimeField(null=True)
    redeemed_at = models.DateTimeField(null=True)
    granted_scopes = models.CharField(max_length=255, blank=True)
    token_expires_at = models.DateTimeField(null=True)
    token = models.ForeignKey(
        AccessToken, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user_digest"],
                condition=Q(
                    approved_at__isnull=True, denied_at__isnull=True, redeemed_at__isnull=True
                ),
                name="device_user_code_once_while_pending",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True) | Q(user__isnull=False),
                name="device_approval_has_a_person",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="device_expiry"),
            models.Index(fields=["network", "created_at"], name="device_network"),
            models.Index(fields=["token"], condition=Q(token__isnull=False), name="device_token"),
        ]

    def __str__(self) -> str:
        return f"device grant {self.pk}"
