"""Limits, the policy, services that may ask, mails owed, calendar addresses."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from tokens.models.token import AccessToken


class RateLimit(models.Model):
    """How often something was tried in one window; one row a key and window."""

    pk = models.CompositePrimaryKey("key", "window")
    key = models.CharField(max_length=64)
    window = models.BigIntegerField()
    count = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["expires_at"], name="ratelimit_expiry")]

    def __str__(self) -> str:
        return f"{self.key}: {self.count}"


class Policy(models.Model):
    """One version of the rules for all tokens; the row with the highest id is in force.

    A missing value means that the installation's setting holds. ``blocks_from`` says from when
    tokens that break the rules are refused; without it they are only refused renewal.
    """

    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    new_tokens_allowed = models.BooleanField(default=True)
    max_lifetime_days = models.PositiveIntegerField(null=True)
    max_write_lifetime_days = models.PositiveIntegerField(null=True)
    default_lifetime_days = models.PositiveIntegerField(null=True)
    no_expiration_allowed = models.BooleanField(default=True)
    allowed_scopes = models.CharField(max_length=255, blank=True)
    allowed_networks = models.TextField(blank=True)
    max_live_tokens = models.PositiveIntegerField(null=True)
    revoke_unused_after_days = models.PositiveIntegerField(null=True)
    blocks_from = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return f"policy {self.pk}"


class Service(models.Model):
    """A service that may ask about tokens, with a credential of its own."""

    name = models.CharField(max_length=64, unique=True)
    client_id = models.CharField(max_length=64, unique=True)
    secret_digest = models.BinaryField(max_length=32, unique=True)
    pepper_id = models.SmallIntegerField()
    scopes = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)
        permissions: ClassVar = [("revoke_service", "Can revoke a service")]

    def __str__(self) -> str:
        return self.name


class CalendarFeed(models.Model):
    """The address of a person's calendar of expiries; only its digest is stored."""

    owner = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="calendar_feed"
    )
    digest = models.BinaryField(max_length=32, unique=True)
    pepper_id = models.SmallIntegerField()
    last4 = models.CharField(max_length=4)
    with_names = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    last_read_at = models.DateTimeField(null=True)
    last_reader = models.CharField(max_length=80, blank=True)

    def __str__(self) -> str:
        return f"calendar of {self.owner_id}"


class Notice(models.Model):
    """A mail that is owed, or was sent."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    token = models.ForeignKey(
        AccessToken, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=80)
    data = models.JSONField(default=dict)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "kind", "subject"], name="notice_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"], condition=models.Q(sent_at__isnull=True), name="notice_due"
            ),
            models.Index(
                fields=["token"], condition=models.Q(token__isnull=False), name="notice_token"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.owner_id}"


class MailPreference(models.Model):
    """One kind of mail a person switched off or on; without a row the kind's default holds."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=32)
    wanted = models.BooleanField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["owner", "kind"], name="mail_preference_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.owner_id}: {self.wanted}"
