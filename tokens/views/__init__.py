"""The door for people: pages and fragments."""

from __future__ import annotations
