"""Personal access tokens: rules, storage, and the four doors to them."""

from __future__ import annotations
