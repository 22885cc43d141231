"""Commands that parse, call and count."""

from __future__ import annotations
