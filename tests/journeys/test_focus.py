"""The focus moves once after a change of the page, and then stays where the person takes it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from skytells_console.models import User
from tests.cast import issue, origin
from tests.journeys.test_main_job import sign_in
from tokens import lifecycle

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"
# Somebody who is faster than the page: the task right after a swap takes the focus elsewhere.
# All moves of the focus are kept.
LEAVE_AT_ONCE = """(next) => {
  window.moves = [];
  document.addEventListener("focusin", (event) => {
    window.moves.push(event.target.id || event.target.className);
  });
  document.addEventListener("htmx:afterSwap", () => {
    setTimeout(() => document.querySelector(next)?.focus());
  }, { once: true });
  document.addEventListener("htmx:afterSettle", () => { document.body.dataset.settled = ""; });
}"""


def assert_left_once(page: Page, first: str, target: str) -> None:
    """Wait until the swap has settled and assert that nobody took the focus back."""
    expect(page.locator("body[data-settled]")).to_be_attached()
    expect(page.locator(target)).to_be_focused()
    moves = page.evaluate("window.moves")
    assert moves[moves.index(first) :] == [first, target.removeprefix("#")]


def test_a_dialog_does_not_take_the_focus_back(page: Page, live_server: Any, alice: User) -> None:
    token = issue(alice, "ops-runner").token
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{LIST}/{token.public_id}")
    page.evaluate(LEAVE_AT_ONCE, "#id_length_60")
    page.get_by_role("link", name="Pause…").click()
    assert_left_once(page, "panel-title", "#id_length_60")


def test_a_summary_of_errors_does_not_take_the_focus_back(
    page: Page, live_server: Any, alice: User
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{LIST}/new")
    page.evaluate(LEAVE_AT_ONCE, "#id_name")
    page.get_by_role("button", name="Create token").click()
    assert_left_once(page, "errsum", "#id_name")


def test_what_the_page_asks_by_itself_moves_no_focus(
    page: Page, live_server: Any, alice: User
) -> None:
    """Who reads further down and has the focus nowhere is not thrown back to the heading."""
    token = issue(alice, "ops-runner").token
    lifecycle.pause(token=token, until=None, origin=origin(alice))
    page.clock.install()
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{LIST}/{token.public_id}")
    expect(page.get_by_text("Nobody knocked so far.")).to_be_visible()
    page.evaluate(LEAVE_AT_ONCE, ".nothing")
    page.clock.run_for(31_000)
    expect(page.locator("body[data-settled]")).to_be_attached()
    assert page.evaluate("window.moves") == []
    assert page.evaluate("document.activeElement === document.body")
    # Where the part that had the focus is gone, the heading has it.
    page.get_by_role("button", name="Resume now").focus()
    lifecycle.resume(token=token, origin=origin(alice))
    page.clock.run_for(31_000)
    expect(page.get_by_role("heading", name="ops-runner", level=1)).to_be_focused()
