"""A person gives a calendar an address, and takes it back, with scripting and without."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser

from skytells_console.models import User
from tests.cast import issue
from tests.journeys.test_main_job import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def fetch(url: str) -> tuple[int, str]:
    """Read an address as a calendar would."""
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - the live server's own address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


@pytest.mark.parametrize("scripting", [True, False], ids=["with scripting", "without"])
def test_an_address_is_made_read_replaced_and_revoked(
    browser: Browser, live_server: Any, alice: User, scripting: bool
) -> None:
    issue(alice, "cli-macbook", expires_at=timezone.now() + timedelta(days=4))
    context = browser.new_context(java_script_enabled=scripting)
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    here = f"{live_server.url}/settings/notifications"

    def shown() -> str:
        page.get_by_text("Copy the address now.").wait_for()
        path = re.search(r"/calendar/\S+\.ics", page.locator(".feed__address").inner_text())
        assert path
        return f"{live_server.url}{path[0]}"

    page.goto(here)
    page.get_by_label("Show token names in it").check()
    page.get_by_role("button", name="Make an address").click()
    first = shown()
    assert "SUMMARY:cli-macbook expires" in fetch(first)[1]
    page.goto(here)
    page.get_by_text("Last read just now").wait_for()
    page.get_by_role("button", name="Leave names out").click()
    page.get_by_text("sees dates and no names").wait_for()
    assert "SUMMARY:An access token expires" in fetch(first)[1]
    page.get_by_role("link", name="Replace address…").click()
    page.get_by_role("button", name="Replace address").click()
    second = shown()
    assert fetch(first)[0] == 404
    assert fetch(second)[0] == 200
    page.goto(here)
    page.get_by_role("button", name="Hide for a day").click()
    page.get_by_text("1 token expires within 7 days").wait_for(state="detached")
    page.get_by_role("link", name="Revoke address…").click()
    page.get_by_role("button", name="Revoke address").click()
    page.get_by_text("Calendar address revoked").wait_for()
    page.get_by_role("button", name="Make an address").wait_for()
    assert fetch(second)[0] == 404
    context.close()
