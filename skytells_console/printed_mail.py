"""Mails where no mail server is set: printed, and never onto standard output."""

from __future__ import annotations

import sys
from typing import Any

from django.core.mail.backends.console import EmailBackend as ConsoleEmailBackend


class EmailBackend(ConsoleEmailBackend):
    """Prints to standard error: a command's standard output is its answer, such as a token's value."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("stream", sys.stderr)
        super().__init__(*args, **options)
