"""Messages at the foot of the page: how long they stay, what they offer, and what they never lose."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from skytells_console.models import User
from tests.cast import issue
from tests.journeys.test_main_job import fill_in, sign_in
from tests.journeys.test_rotation import open_with_a_standing_clock

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"
TOP = "toast => toast.getBoundingClientRect().top"
SAY = """text => document.dispatchEvent(new CustomEvent("toast", { detail: { value: text } }))"""


def test_a_message_goes_after_eight_seconds_and_waits_while_looked_at(
    page: Page, live_server: Any, alice: User
) -> None:
    sign_in(page, live_server.url, alice)
    open_with_a_standing_clock(page, live_server.url + LIST)
    toast = page.locator(".toast")
    page.evaluate(SAY, "cli-macbook revoked")
    page.clock.run_for(7_900)
    expect(toast).to_have_count(1)
    page.clock.run_for(200)
    expect(toast).to_have_count(0)

    page.evaluate(SAY, "cli-macbook revoked")
    close = toast.get_by_role("button", name="Dismiss")
    toast.hover()
    page.clock.run_for(30_000)
    close.focus()
    page.mouse.move(0, 0)
    # The pointer has left, and who came by keyboard is still there.
    page.clock.run_for(30_000)
    expect(toast).to_have_count(1)
    close.blur()
    page.clock.run_for(8_100)
    expect(toast).to_have_count(0)


def test_two_messages_stand_at_most_and_none_of_them_twice(
    page: Page, live_server: Any, alice: User
) -> None:
    sign_in(page, live_server.url, alice)
    toast = page.locator(".toast__text")
    for text in ("one", "two", "three", "two"):
        page.evaluate(SAY, text)
    assert toast.all_inner_texts() == ["three", "two"]


def test_what_only_reads_is_asked_again_where_no_answer_came(
    page: Page, live_server: Any, alice: User
) -> None:
    issue(alice, "cli-macbook")
    sign_in(page, live_server.url, alice)
    page.route("**/settings/tokens?status=active", lambda route: route.abort())
    chip = page.get_by_role("link", name="Active 1")
    chip.click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("No answer from the server. Nothing was changed.")
    again = toast.get_by_role("button", name="Try again")
    again.click()
    # It fails again and says so again, once.
    expect(toast).to_have_count(1)
    page.unroute("**/settings/tokens?status=active")
    again.click()
    expect(page).to_have_url(f"{live_server.url}{LIST}?status=active")
    expect(chip).to_have_attribute("aria-current", "true")
    expect(toast).to_have_count(0)


def test_a_search_is_tried_again_with_what_was_typed(
    page: Page, live_server: Any, alice: User
) -> None:
    for name in ("cli-macbook", "gitlab-ci"):
        issue(alice, name)
    sign_in(page, live_server.url, alice)
    page.route("**/settings/tokens?*q=git*", lambda route: route.abort())
    page.get_by_role("searchbox").fill("git")
    page.keyboard.press("Enter")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    page.unroute("**/settings/tokens?*q=git*")
    again.click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("git")


def test_a_change_without_an_answer_offers_no_second_try(
    page: Page, live_server: Any, alice: User
) -> None:
    """It may have been made: the list says so, and the form stands as it was filled in."""
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{LIST}/new")
    fill_in(page, "cli-macbook", "account.read")
    page.route("**/settings/tokens/new", lambda route: route.abort())
    page.get_by_role("button", name="Create token").last.click()
    toast = page.locator(".toast")
    expect(toast).to_contain_text("No answer from the server. Check the list before you try again.")
    expect(toast.get_by_role("button")).to_have_count(1)
    expect(page.get_by_label("Name", exact=True)).to_have_value("cli-macbook")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_message_covers_the_bar_of_a_selection(
    page: Page, live_server: Any, alice: User, width: int
) -> None:
    for number in range(9):
        issue(alice, f"cron-{number}")
    page.set_viewport_size({"width": width, "height": 700})
    sign_in(page, live_server.url, alice)
    page.get_by_label("Select cron-8").check()
    revoke = page.get_by_role("button", name="Revoke…")
    # The name of a token can be long, and its message then takes a second line.
    for text in ("cron-7 revoked", f"{'cron-' * 10} revoked"):
        page.evaluate(SAY, text)
        revoke.click(trial=True)
        bar = page.locator(".bulk").evaluate("bar => bar.getBoundingClientRect().bottom")
        assert bar + 8 <= page.locator(".toast").first.evaluate(TOP)
