"""The project: settings, accounts, and what every request passes."""

from __future__ import annotations
