"""Commands that make accounts and reset links."""

from __future__ import annotations
