"""Other ways to look and to type: forced colours, reduced motion, narrow windows, the Enter key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue
from tests.journeys.test_accessibility import judge
from tests.journeys.test_list import furnish
from tests.journeys.test_main_job import sign_in
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"
NEW = f"{LIST}/new"
COMPUTED = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
SYSTEM_COLOUR = """(name) => {
    document.body.style.backgroundColor = name;
    return getComputedStyle(document.body).backgroundColor;
}"""
# Every word whose letters stand on more than one line.
BROKEN_WORDS = """() => {
    const broken = [];
    const walker = document.createTreeWalker(document.querySelector("#main"), NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!parent.checkVisibility() || parent.closest(".visually-hidden, thead, code, .tid")) continue;
        for (const match of node.data.matchAll(/[\\p{L}\\d]+/gu)) {
            const range = document.createRange();
            range.setStart(node, match.index);
            range.setEnd(node, match.index + match[0].length);
            const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            if (lines.size > 1) broken.push(match[0]);
        }
    }
    return broken;
}"""


# --- Forced colours and reduced motion ------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_chosen_shows_in_forced_colours(
    browser: Browser, live_server: Any, alice: User, scheme: str
) -> None:
    context = browser.new_context(
        forced_colors="active", color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    look: Callable[[str, str], str] = lambda *what: page.evaluate(COMPUTED, list(what))  # noqa: E731
    sign_in(page, live_server.url, alice)
    furnish(alice)
    page.goto(f"{live_server.url}{LIST}")
    assert look(".chip[aria-current]", "outlineWidth") == "2px"
    assert look(".chip:not([aria-current])", "outlineStyle") == "none"
    assert look("tbody .check__box", "appearance") == "auto"
    assert look(".badge", "borderTopWidth") == "1px"
    page.set_viewport_size({"width": 390, "height": 844})
    edges = [look(f".tabs__link{each}", "borderBottomColor") for each in ("", ":last-child")]
    page.set_viewport_size({"width": 1280, "height": 800})
    ground = page.evaluate(SYSTEM_COLOUR, "Canvas")
    letters = page.evaluate(SYSTEM_COLOUR, "CanvasText")
    assert edges[1] == ground != edges[0]
    assert look(".draw-elapsed", "stroke") == letters
    assert look(".draw-sun", "stroke") == ground
    page.locator("tbody summary").first.click()
    page.locator(".menu__item--danger").first.click()
    page.get_by_role("dialog").wait_for()
    assert look(".btn--danger", "borderTopWidth") == "1px"
    assert look(".dialog", "borderTopWidth") == "1px"
    page.goto(f"{live_server.url}{NEW}")
    page.get_by_role("button", name="CI deploy").click()
    page.get_by_role("button", name="CI deploy", pressed=True).wait_for()
    for chosen in (".preset[aria-pressed=true]", ".opt:has(:checked)", ".seg__level:has(:checked)"):
        assert look(chosen, "outlineWidth") == "2px", chosen
    assert look(".opt:not(:has(:checked))", "outlineStyle") == "none"
    context.close()


def test_nothing_moves_where_less_motion_is_asked_for(
    browser: Browser, live_server: Any, alice: User
) -> None:
    issue(alice)
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    page.locator("tbody summary").click()
    page.locator(".menu__item--danger").click()
    page.get_by_role("dialog").wait_for()
    page.get_by_role("button", name="Revoke token").hover()
    assert page.evaluate("document.getAnimations().length") == 0
    moving = """[...document.querySelectorAll("*")].filter((each) =>
        [null, "::before", "::after"].some((part) => {
            const style = getComputedStyle(each, part);
            return style.animationName !== "none" || !/^(none|all)$/.test(style.transitionProperty)
                || style.transitionDuration !== "0s";
        })).map((each) => each.className)"""
    assert page.evaluate(moving) == []
    context.close()


# --- Narrow windows -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 390, 820, 861, 900, 980, 1000, 1100, 1120, 1280])
def test_no_word_is_broken_and_nothing_scrolls_sideways(
    browser: Browser, live_server: Any, alice: User, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    furnish(alice)
    token = AccessToken.objects.get(name="gitlab-release")
    for path in (LIST, NEW, f"{LIST}/{token.public_id}", "/settings/profile"):
        page.goto(f"{live_server.url}{path}")
        assert page.evaluate(BROKEN_WORDS) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
    page.goto(f"{live_server.url}{LIST}")
    lines = "[...document.querySelectorAll('.badge')].map((each) => each.offsetHeight)"
    assert set(page.evaluate(lines)) == {22}
    context.close()


# --- Where the keyboard begins, and where it stops ------------------------------------------------


@pytest.mark.parametrize("scripting", [True, False], ids=["scripting", "no scripting"])
def test_enter_in_the_reason_revokes_nothing(
    browser: Browser, live_server: Any, alice: User, scripting: bool
) -> None:
    token = issue(alice).token
    context = browser.new_context(java_script_enabled=scripting, reduced_motion="reduce")
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    for path in (f"{LIST}/{token.public_id}/revoke", f"{LIST}/revoke?id={token.public_id}"):
        page.goto(f"{live_server.url}{path}")
        page.get_by_label("Reason").fill("Left on a train")
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert page.url == f"{live_server.url}{path}"
        token.refresh_from_db()
        assert token.revoked_at is None
    page.get_by_role("button", name="Revoke 1 token", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="Left on a train")).to_be_visible()
    token.refresh_from_db()
    assert token.reason == "Left on a train"
    judge(page, "a reason in the list") if scripting else None
    context.close()


def test_a_page_with_one_purpose_begins_in_its_first_field(
    page: Page, live_server: Any, alice: User
) -> None:
    page.goto(f"{live_server.url}/account/sign-in")
    expect(page.get_by_label("Email")).to_be_focused()
    page.get_by_label("Email").fill(alice.email)
    page.get_by_label("Password", exact=True).fill("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{NEW}")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    # What a link filled in is read before the first field is typed in.
    page.goto(f"{live_server.url}{NEW}?name=ci")
    expect(page.get_by_label("Name", exact=True)).not_to_be_focused()
