#!/usr/bin/env python
"""Django's command-line door; ``manage.py help`` lists the commands."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

if __name__ == "__main__":
    # What a command makes, the embedded database and its side files among it, is its owner's alone.
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skytells_console.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # The message says what to mend; a traceback above it would only hide it.
        sys.exit(f"manage.py: {error}")
