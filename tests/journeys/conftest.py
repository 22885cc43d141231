"""Which journeys there are: the real CLI takes part where somebody has one."""

from __future__ import annotations

import os

from playwright.sync_api import expect

# Left out and not skipped, because a run in which nothing is skipped must not need a CLI.
collect_ignore = [] if os.environ.get("SKYTELLS_CLI") else ["test_real_cli.py"]

# What is waited for comes at once, or late on a busy machine; a fault only takes longer to show.
expect.set_options(timeout=20_000)
