"""What is remembered: append-only events, their erasable side rows, and seals over them.

There are no foreign keys here: an event outlives what it tells of, and a database that cascades
would have to change rows that nothing may change.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class TokenEvent(models.Model):
    """One thing that happened. On PostgreSQL triggers refuse UPDATE, DELETE and TRUNCATE."""

    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    door = models.CharField(max_length=16)
    actor_id = models.BigIntegerField(null=True)
    owner_id = models.BigIntegerField(null=True)
    token_public_id = models.UUIDField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["token_public_id", "id"], name="event_token"),
            models.Index(fields=["owner_id", "id"], name="event_owner"),
            models.Index(fields=["actor_id", "id"], name="event_actor"),
            models.Index(fields=["kind", "id"], name="event_kind"),
            models.Index(fields=["at"], name="event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"


class EventDetail(models.Model):
    """Where an event came from; a row of its own, so that personal data can be erased."""

    event_id = models.BigIntegerField(primary_key=True)
    address = models.GenericIPAddressField(null=True)
    client = models.CharField(max_length=40, blank=True)
    token_name = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=32, blank=True)

    def __str__(self) -> str:
        return f"detail of event {self.event_id}"


class AuditSeal(models.Model):
    """A hash over a stretch of events and the seal before it; made by ``audit seal``."""

    at = models.DateTimeField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField(unique=True)
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(last_id__gte=models.F("first_id")), name="seal_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"events {self.first_id} to {self.last_id}"
