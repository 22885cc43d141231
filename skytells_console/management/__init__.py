"""The operators' door to accounts."""

from __future__ import annotations
