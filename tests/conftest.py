"""The machinery of the tests: the browser, and what differs between the two databases.

The cast and the clock, which the tests are about, do not stand here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connections
from django.test import TransactionTestCase

import dev_programs
from tests.cast import (
    alice,
    as_alice,
    as_bob,
    bearer,
    bob,
    carol,
    clock,
    nothing_gathered,
    only_short_text_is_normalised,
)
from tests.writers import every_writer_is_watched
from tokens import secret
from tokens.policy import rules

__all__ = [
    "alice",
    "as_alice",
    "as_bob",
    "bearer",
    "bob",
    "carol",
    "clock",
    "every_writer_is_watched",
    "nothing_gathered",
    "only_short_text_is_normalised",
]

# Playwright keeps an event loop in the test's thread, which Django takes for asynchronous code.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# The tables whose triggers refuse every change of a row that was once written.
APPEND_ONLY = ("tokens_tokenevent", "tokens_auditseal")
BROWSER_FIXTURES = {"browser", "context", "page", "new_context"}
CHROMIUM = dev_programs.find_program(dev_programs.CHROMIUM, os.environ)
NGINX = dev_programs.find_program(dev_programs.NGINX, os.environ)
SYSTEMD = dev_programs.find_program(dev_programs.SYSTEMD, os.environ)
CHROMIUM_ARGUMENTS = [
    "--headless=new",
    # The sandbox cannot run as root, nor in most containers; only this project's pages are opened.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # Nothing but this machine can be reached, so that a test can never depend on another one.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


# --- The browser --------------------------------------------------------------------------------


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a program of the machine where there is none; with REQUIRE_… fail it."""
    if needs_browser(item) and not CHROMIUM:
        do_without("REQUIRE_BROWSER", "No Chromium was found: install it, or name one in CHROMIUM.")
    if item.get_closest_marker("nginx") and not NGINX:
        do_without("REQUIRE_NGINX", "No nginx was found: install it, or name one in NGINX.")
    if item.get_closest_marker("systemd") and not SYSTEMD:
        sentence = "No systemd-analyze was found: install it, or name one in SYSTEMD_ANALYZE."
        do_without("REQUIRE_SYSTEMD", sentence)


def do_without(requirement: str, sentence: str) -> None:
    """Skip the test with this sentence, or fail it where the machine is required to have all."""
    if os.environ.get(requirement) == "1":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def needs_browser(item: pytest.Item) -> bool:
    """Tell whether a test opens a browser, by mark or by fixture."""
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & BROWSER_FIXTURES) or item.get_closest_marker("browser") is not None


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Start Debian's Chromium instead of the one that Playwright would download."""
    chromium = {"executable_path": CHROMIUM, "args": CHROMIUM_ARGUMENTS}
    return {**browser_type_launch_args, **chromium}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Give every page one language, one zone and no animation, whatever the machine has."""
    person = {"locale": "en-GB", "timezone_id": "UTC", "reduced_motion": "reduce"}
    return {**browser_context_args, **person}


# --- Settings -----------------------------------------------------------------------------------


def forget_what_was_read_once(**_: Any) -> None:
    """Let a test's own peppers and rules count; a process of the product reads them once."""
    secret.peppers.cache_clear()
    rules._installed.cache_clear()


setting_changed.connect(forget_what_was_read_once)


# --- The databases ------------------------------------------------------------------------------

left_out_key = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what holds on the other database only: it runs in the other pass and is no skip."""
    stranger = "sqlite" if on_postgresql() else "postgresql"
    left_out = [item for item in items if item.get_closest_marker(stranger)]
    config.stash[left_out_key] = len(left_out)
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker(stranger)]
        config.hook.pytest_deselected(items=left_out)


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    """Say which database this run is about, and what it leaves to the run on the other one."""
    here, there = "SQLite", "PostgreSQL"
    if on_postgresql():
        here, there = there, here
    number = config.stash.get(left_out_key, 0)
    left_out = f"; {number} tests hold on {there} only and run in the pass on {there}"
    return f"database: {here}{left_out if number else ''}"


def on_postgresql() -> bool:
    """Tell which database this run uses; a run that was meant for PostgreSQL uses it or stops."""
    used = "postgresql" in settings.DATABASES["default"]["ENGINE"]
    if os.environ.get("DATABASE_URL", "").startswith("postgres") and not used:
        raise pytest.UsageError(
            "DATABASE_URL names PostgreSQL, but tests.settings does not use it."
        )
    return used


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_triggers() -> Iterator[None]:
    """Let the flush after a test with real transactions empty the append-only tables.

    On PostgreSQL, triggers refuse UPDATE, DELETE and TRUNCATE on the audit's tables, and that must
    hold during every test. Only afterwards, when Django empties all tables for the next test, are
    the triggers lifted; they are back before it begins, also when the flush fails. Lifting them
    here, and not dropping them once for the whole run, keeps the guarantee itself under test.
    """
    flush = TransactionTestCase._fixture_teardown

    def flush_with_triggers_lifted(case: TransactionTestCase) -> None:
        set_triggers("DISABLE")
        try:
            flush(case)
        finally:
            set_triggers("ENABLE")

    if on_postgresql():
        TransactionTestCase._fixture_teardown = flush_with_triggers_lifted
    yield
    TransactionTestCase._fixture_teardown = flush


def set_triggers(action: str) -> None:
    """Disable or enable all triggers of the append-only tables."""
    with connections["default"].cursor() as cursor:
        for table in APPEND_ONLY:
            cursor.execute(f"ALTER TABLE {table} {action} TRIGGER USER")
