"""The project package as an app, because it holds the user model."""

from __future__ import annotations

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Registers the user model and the account commands."""

    name = "skytells_console"
    label = "skytells_console"
    default_auto_field = "django.db.models.BigAutoField"
