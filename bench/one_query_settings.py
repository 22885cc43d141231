"""The console's settings, and so its database, without any middleware."""

from __future__ import annotations

from skytells_console.settings import *  # noqa: F403

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "skytells_console",
    "tokens",
]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "bench.one_query"
