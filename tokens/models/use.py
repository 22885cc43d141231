"""What used a token: last use, use per day, and consumers remembered for long. ``usage`` writes."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from tokens.models.token import AccessToken


class TokenActivity(models.Model):
    """The last-used facts, apart from the token's row so that frequent updates stay cheap."""

    token = models.OneToOneField(
        AccessToken, on_delete=models.PROTECT, primary_key=True, related_name="activity"
    )
    last_used_at = models.DateTimeField()
    address = models.GenericIPAddressField(null=True)
    client = models.CharField(max_length=40, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["last_used_at"], name="activity_last_used")]

    def __str__(self) -> str:
        return f"{self.token_id} last used {self.last_used_at:%Y-%m-%d}"


class TokenUse(models.Model):
    """How often one consumer used one scope of one token on one day (UTC), and how often in vain.

    Where a paused or ended token was presented, a mark of ``usage.knocks`` stands in the scope's place.
    """

    token = models.ForeignKey(AccessToken, on_delete=models.PROTECT, db_index=False)
    day = models.DateField()
    scope = models.CharField(max_length=40, blank=True)
    consumer_key = models.CharField(max_length=32)
    network = models.CharField(max_length=49, blank=True)
    client = models.CharField(max_length=40, blank=True)
    consumer_name = models.CharField(max_length=80, blank=True)
    service = models.CharField(max_length=64, blank=True)
    allowed = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["token", "day", "scope", "consumer_key"],
                name="use_once_per_day_and_consumer",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["day"], name="use_day"),
            # For the last day of a service in the admin. The day never changes, so that counting a
            # further use leaves this index alone.
            models.Index(
                fields=["service", "day"], condition=models.Q(service__gt=""), name="use_service"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.token_id} on {self.day}: {self.allowed} allowed, {self.refused} refused"


class TokenConsumer(models.Model):
    """One consumer of one scope of a token, kept 400 days so that a monthly job stays visible."""

    token = models.ForeignKey(AccessToken, on_delete=models.PROTECT, db_index=False)
    scope = models.CharField(max_length=40, blank=True)
    consumer_key = models.CharField(max_length=32)
    network = models.CharField(max_length=49, blank=True)
    client = models.CharField(max_length=40, blank=True)
    consumer_name = models.CharField(max_length=80, blank=True)
    service = models.CharField(max_length=64, blank=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    days = models.PositiveIntegerField(default=1)
    count = models.PositiveBigIntegerField(default=0)
    # The last nine gaps between uses, in seconds, oldest first; ``usage.gaps`` says what a gap is,
    # and ``insight`` reads them. A negative number at the end is how long the present run has lasted.
    gaps = models.JSONField(default=list)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["token", "scope", "consumer_key"], name="consumer_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["last_at"], name="consumer_last")]

    def __str__(self) -> str:
        return f"{self.token_id} from {self.network or self.service}"


class RotationTick(models.Model):
    """A person's own note, during a rotation, that one consumer was updated."""

    token = models.ForeignKey(AccessToken, on_delete=models.PROTECT, db_index=False)
    consumer_key = models.CharField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token", "consumer_key"], name="tick_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id}: {self.consumer_key} ticked"


class MutedScope(models.Model):
    """What a token's owner does not want to hear of again: refused calls, or a scope that goes unused.

    A mark before the scope tells the second kind from the first; ``usage.muting`` sets it.
    """

    token = models.ForeignKey(AccessToken, on_delete=models.PROTECT, db_index=False)
    scope = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["token", "scope"], name="muted_once"),
        ]

    def __str__(self) -> str:
        return f"{self.token_id}: no word of {self.scope or 'requests without a scope'}"
