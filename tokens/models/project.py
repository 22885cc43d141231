"""Projects: small and real, because the CLI checks a pasted token by listing them."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models


class ProjectQuerySet(models.QuerySet["Project"]):
    """Reading only: ``tokens.projects`` writes."""

    def owned_by(self, user_id: int) -> Self:
        """Narrow to one person's projects."""
        return self.filter(owner_id=user_id)


class Project(models.Model):
    """A project of one person."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="projects", db_index=False
    )
    name = models.CharField(max_length=64)
    name_key = models.CharField(max_length=255)
    slug = models.CharField(max_length=80)
    type = models.CharField(max_length=32, blank=True)
    status = models.CharField(max_length=16, default="active")
    created_at = models.DateTimeField()

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["owner", "name_key"], name="project_name_once_per_owner"
            ),
            models.UniqueConstraint(fields=["owner", "slug"], name="project_slug_once_per_owner"),
        ]

    def __str__(self) -> str:
        return self.name
