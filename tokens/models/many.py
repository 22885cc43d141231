"""Many values as one parameter: one statement whatever their number, within every database's bounds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection


def one_of(values: Sequence[int] | Sequence[str]) -> tuple[str, Any]:
    """Return what stands after a column to mean "is one of these values", and its one parameter."""
    if connection.vendor == "postgresql":
        return "= ANY(%s)", list(values)
    return "IN (SELECT value FROM json_each(%s))", json.dumps(list(values))
