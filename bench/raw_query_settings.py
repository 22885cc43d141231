"""The console's settings without its middleware, and the routes of ``bench.raw_query``."""

from __future__ import annotations

from bench.one_query_settings import *  # noqa: F403

ROOT_URLCONF = "bench.raw_query"
