"""What stands side by side has room: names in one line, words apart, no page wider than its window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import Browser, Page

from skytells_console.models import User
from tests.cast import PASSWORD, issue, origin
from tests.journeys.test_main_job import sign_in
from tokens import lifecycle

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"

# The rectangles of the words, one for each line of a label, without the room around them.
WORDS = """() => [...document.querySelectorAll(".arcwords > div")].map((each) =>
    [...each.children].flatMap((words) => {
        const range = new Range();
        range.selectNodeContents(words);
        return [...range.getClientRects()].map((box) => [box.left, box.right, box.top, box.bottom]);
    }))"""

LINES = """(selector) => [...document.querySelectorAll(selector)].map((each) => {
    const range = new Range();
    range.selectNodeContents(each);
    const tops = [...range.getClientRects()].map((box) => Math.round(box.bottom));
    return [each.textContent.trim().replace(/\\s+/g, " "), new Set(tops).size];
}).filter(([, lines]) => lines !== 1)"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def closest(page: Page) -> float:
    """Return how near two labels under the arc come to each other in one line, in pixels."""
    labels = page.evaluate(WORDS)
    assert len(labels) == 3
    return min(
        (
            after[0] - before[1]
            for left, right in pairwise(labels)
            for before in left
            for after in right
            if before[2] < after[3] and after[2] < before[3] and before[0] < after[1]
        ),
        default=float("inf"),
    )


@pytest.mark.parametrize("lived", [2, 30, 45, 55, 68, 97])
def test_the_words_under_the_arc_keep_clear_of_one_another(
    page: Page, live_server: Any, alice: User, lived: int
) -> None:
    """The middle one leans towards the sun, wherever that stands, and touches neither neighbour."""
    now = timezone.now()
    ends = now + timedelta(days=100 - lived)
    token = issue(alice, at=now - timedelta(days=lived), expires_at=ends).token
    sign_in(page, live_server.url, alice)
    near = {}
    for state in ("live", "revoked"):
        page.goto(f"{live_server.url}{LIST}/{token.public_id}")
        for width in (1280, 600, 390, 375, 361, 326):
            page.set_viewport_size({"width": width, "height": 800})
            near[state, width] = closest(page)
        lifecycle.revoke(token=token, origin=origin(alice))
    assert {where: gap for where, gap in near.items() if gap < 8} == {}


def test_a_list_with_every_state_fits_its_window(page: Page, live_server: Any) -> None:
    call_command("create_sample")
    sample = User.objects.get()
    sample.set_password(PASSWORD)
    sample.save()
    sign_in(page, live_server.url, sample)
    wide = {}
    for width in (320, 390, 860, 861, 899, 900, 1120, 1121, 1169, 1170, 1229, 1230, 1259, 1260):
        page.set_viewport_size({"width": width, "height": 800})
        wide[width] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert {width: over for width, over in wide.items() if over > 0} == {}
    page.set_viewport_size({"width": 1280, "height": 800})
    for selector in (".tt__name", ".tt__none", ".tt__none + .tt__line", ".tt__access .tt__line"):
        assert page.locator(selector).count(), selector
        assert page.evaluate(LINES, selector) == [], selector


def test_no_row_is_wider_than_its_card(page: Page, live_server: Any) -> None:
    """Neither with the longest words in every column, nor with a button in the last one."""
    call_command("create_sample")
    sample = User.objects.get()
    sample.set_password(PASSWORD)
    sample.save()
    issue(sample, "never-used", at=timezone.now() - timedelta(minutes=44))
    sign_in(page, live_server.url, sample)
    page.get_by_text("Created 44 minutes ago").wait_for()
    over = {}
    for width in (*range(865, 1300, 15), 900, 910, 1121, 1170, 1230, 1280, 1400, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        over[width] = page.locator(".tt").evaluate(
            """table => table.getBoundingClientRect().right
                - table.parentElement.getBoundingClientRect().right"""
        )
    assert {width: pixels for width, pixels in over.items() if pixels > 0.5} == {}


def test_what_is_there_to_be_copied_or_read_has_room_on_a_phone(
    page: Page, live_server: Any, alice: User
) -> None:
    """No code is squeezed into a column of letters, and its button stands level with its first line."""
    sign_in(page, live_server.url, alice)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{live_server.url}/settings/notifications")
    page.get_by_role("button", name="Make an address").click()
    page.get_by_text("Copy the address now.").wait_for()
    code = page.locator(".feed__address")
    assert code.evaluate("code => code.getClientRects().length") <= 5
    assert level(page, ".code--line") < 1.5
    page.goto(f"{live_server.url}/api/docs")
    shown = page.locator(".ref__error pre")
    assert shown.evaluate("pre => pre.scrollWidth - pre.clientWidth") == 0


def level(page: Page, selector: str) -> float:
    """Return how far the middle of the button is from the middle of the first line beside it."""
    middles = """block => {
        const [line] = block.querySelector("code").getClientRects();
        const button = block.querySelector(".btn").getBoundingClientRect();
        return Math.abs(line.top + line.height / 2 - button.top - button.height / 2);
    }"""
    return float(page.locator(selector).first.evaluate(middles))
