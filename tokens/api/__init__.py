"""The door for programs: bearer tokens in, JSON out."""

from __future__ import annotations
