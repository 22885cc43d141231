"""The token's row: names, digests, scopes and times, never its value."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from tokens import scopes as scope_catalogue
from tokens.models.liveness import LivenessFacts, ended_q, live_q, paused_q
from tokens.secret import masked


class Created(models.TextChoices):
    """How a token came to be."""

    CONSOLE = "console", "in the console"
    ROTATION = "rotation", "by rotation"
    DEVICE = "device", "by device login"
    COMMAND = "command", "by an operator"


class RevokeKind(models.TextChoices):
    """Why a token was revoked."""

    OWNER = "owner", "by its owner"
    ADMIN = "admin", "by an administrator"
    SELF = "self", "by the token itself"
    LEAKED = "leaked", "because it leaked"
    ROTATED = "rotated", "by rotation"
    CANCELLED = "cancelled", "because its rotation was cancelled"
    UNUSED = "unused", "because it was unused"
    LOST = "lost", "because its delivery was lost"


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    """Reading only: every change goes through ``tokens.lifecycle``."""

    def owned_by(self, user: object) -> Self:
        """Narrow to one person's tokens: for anybody else they do not exist."""
        return self.filter(owner=user)

    def live(self, now: datetime) -> Self:
        """Narrow to tokens that live at ``now``."""
        return self.filter(live_q(now))

    def ended(self, now: datetime) -> Self:
        """Narrow to tokens that have ended at ``now``."""
        return self.filter(ended_q(now))

    def paused(self, now: datetime) -> Self:
        """Narrow to tokens that are paused at ``now``."""
        return self.filter(paused_q(now))

    def newest_first(self) -> Self:
        """Order as the pages do; the id decides between equal times."""
        return self.order_by("-created_at", "-id")


class AccessToken(models.Model):
    """A personal access token: what it may do, since when, until when, and how it ended."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="access_tokens",
        db_index=False,
    )
    name = models.CharField(max_length=64)
    name_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - NULL frees the name
    description = models.CharField(max_length=200, blank=True)
    family = models.UUIDField(default=uuid.uuid4)
    generation = models.PositiveIntegerField(default=1)

    digest = models.BinaryField(max_length=32, unique=True)
    pepper_id = models.SmallIntegerField()
    head4 = models.CharField(max_length=4)
    last4 = models.CharField(max_length=4)

    scopes = models.CharField(max_length=255)
    projects_limited = models.BooleanField(default=False)
    projects = models.ManyToManyField(
        "tokens.Project", through="tokens.TokenProject", related_name="tokens"
    )

    created_at = models.DateTimeField()
    created_via = models.CharField(max_length=16, choices=Created.choices)
    expires_at = models.DateTimeField(null=True)
    retire_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
    )
    revoke_kind = models.CharField(max_length=16, choices=RevokeKind.choices, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    paused_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    first_used_at = models.DateTimeField(null=True)
    stored_at = models.DateTimeField(null=True)
    skipped_at = models.DateTimeField(null=True)
    replaces = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="replacements", db_index=False
    )
    rotation_closed_at = models.DateTimeField(null=True)
    request_id = models.UUIDField(null=True)

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        # In the admin one looks and stops: nobody can be given a right to add or change tokens there.
        default_permissions = ("view",)
        permissions: ClassVar = [("revoke_accesstoken", "Can revoke anybody's token")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "name_key"], name="token_name_held_once_per_owner"
            ),
            models.UniqueConstraint(
                fields=["owner", "request_id"], name="token_request_mints_once"
            ),
            models.UniqueConstraint(
                fields=["replaces"],
                condition=Q(replaces__isnull=False, rotation_closed_at__isnull=True),
                name="token_has_one_open_rotation",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=models.F("created_at")),
                name="token_expires_after_it_is_created",
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True, revoke_kind="")
                | (Q(revoked_at__isnull=False) & ~Q(revoke_kind="")),
                name="token_has_a_revoke_kind_iff_revoked",
            ),
            models.CheckConstraint(
                condition=Q(paused_until__isnull=True) | Q(paused_at__isnull=False),
                name="token_pause_that_ends_has_begun",
            ),
            models.CheckConstraint(condition=~Q(scopes=""), name="token_has_a_scope"),
        ]
        # Each index serves a named query: the owner's pages, the admin's pages, expiry notices and
        # purge, purge of revoked and retired rows, "last four" search, pepper status, generations.
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="token_owner_page"),
            models.Index(fields=["created_at", "id"], name="token_admin_page"),
            models.Index(
                fields=["expires_at", "id"],
                condition=Q(revoked_at__isnull=True),
                name="token_expiry_due",
            ),
            models.Index(
                fields=["revoked_at", "id"],
                condition=Q(revoked_at__isnull=False),
                name="token_revoked_at",
            ),
            models.Index(
                fields=["retire_at", "id"],
                condition=Q(retire_at__isnull=False),
                name="token_retire_at",
            ),
            models.Index(fields=["last4"], name="token_last4"),
            models.Index(fields=["pepper_id"], name="token_pepper"),
            models.Index(fields=["family", "generation"], name="token_family"),
            # Purge lets go of what replaced a token, and the foreign key itself looks for it.
            models.Index(
                fields=["replaces"], condition=Q(replaces__isnull=False), name="token_replaces"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        """The token as it is written everywhere after it was shown."""
        return masked(self.head4, self.last4)

    @property
    def scope_names(self) -> tuple[str, ...]:
        """The scopes in catalogue order."""
        return scope_catalogue.split(self.scopes)

    def liveness(self) -> LivenessFacts:
        """Return the facts that decide about life; needs ``owner`` loaded."""
        return LivenessFacts(
            owner_active=self.owner.is_active,
            revoked_at=self.revoked_at,
            retire_at=self.retire_at,
            expires_at=self.expires_at,
            paused_at=self.paused_at,
            paused_until=self.paused_until,
        )


class TokenProject(models.Model):
    """One project a limited token may touch; losing the last row leaves "none", never "all"."""

    token = models.ForeignKey(AccessToken, on_delete=models.PROTECT, db_index=False)
    project = models.ForeignKey("tokens.Project", on_delete=models.PROTECT)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token", "project"], name="token_project_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id} may touch project {self.project_id}"
