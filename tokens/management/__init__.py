"""The door for operators."""

from __future__ import annotations
