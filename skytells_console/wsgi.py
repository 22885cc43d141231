"""The door through which gunicorn, or any other WSGI server, calls the console."""

from __future__ import annotations

import logging
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skytells_console.settings")

# A warning of Python is a line of the log like every other, masked and in its format.
logging.captureWarnings(True)
application = get_wsgi_application()
# All views are loaded before this process answers anybody: the first one who asks does not wait for it.
get_resolver().url_patterns  # noqa: B018
