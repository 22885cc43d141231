#!/usr/bin/env python
"""Django's command-line door; ``manage.py help`` lists the commands."""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    # What a command makes, the embedded database and its side files among it, is its owner's alone.
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skytells_console.settings")
    execute_from_command_line(sys.argv)
