"""Is this installation safe to run? Judged by ``manage.py check --deploy``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def public_url_is_https(**_: Any) -> list[CheckMessage]:
    """Tokens and sessions travel in the clear without TLS."""
    if settings.TLS:
        return []
    return [
        Warning(
            "PUBLIC_URL does not begin with https, so tokens would travel in the clear.",
            hint="Set PUBLIC_URL to the https address under which the console is reached.",
            id="tokens.W001",
        )
    ]
