"""The door through which gunicorn, or any other WSGI server, calls the console."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skytells_console.settings")

application = get_wsgi_application()
