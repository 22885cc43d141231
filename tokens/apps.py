"""The app of the console: personal access tokens."""

from __future__ import annotations

from django.apps import AppConfig


class TokensConfig(AppConfig):
    """Registers the app and its system checks."""

    name = "tokens"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load the system checks, wire the mails, and refuse to start without a usable pepper.

        A web server never runs system checks, so a pepper that is missing or too short would show
        at the first token only; here it stops the process.
        """
        from tokens import checks, mailer, notices, secret  # noqa: F401, PLC0415

        secret.peppers()
        notices.deliver_with(mailer.wake)
