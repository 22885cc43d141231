"""Finding one's way in a long list: filter, search, sort, page, and revoke several at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue, origin
from tests.journeys.test_accessibility import VIEWS, judge
from tests.journeys.test_main_job import sign_in
from tests.journeys.watch import Watch
from tokens import lifecycle, usage
from tokens.models import AccessToken
from tokens.origin import Consumer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"


def furnish(owner: User) -> None:
    """Give the person a token in use, one that ends soon, one never used, and ended ones."""
    now = timezone.now()
    busy = issue(owner, "gitlab-release", expires_at=now + timedelta(days=60)).token
    usage.record(
        token_id=busy.pk,
        scope="",
        consumer=Consumer("203.0.113.0/24", "curl"),
        address="203.0.113.40",
        at=now,
    )
    issue(owner, "github-actions-deploy", expires_at=now + timedelta(days=5, hours=1))
    issue(owner, "staging-smoke-tests", description="Runs every night")
    lifecycle.revoke(token=issue(owner, "old-thinkpad").token, origin=origin(owner))


def expect_names(page: Page, *names: str) -> None:
    """Wait until the list holds these tokens, in this order, and no others."""
    expect(page.locator("tbody .tt__name")).to_have_text(names)


def living() -> set[str]:
    return set(AccessToken.objects.filter(revoked_at=None).values_list("name", flat=True))


def revoke_what_is_not_in_use(page: Page) -> None:
    """Select one token in use and one that is not, and revoke only the latter."""
    bar = page.get_by_role("group", name="Selected tokens")
    expect(bar).to_be_hidden()
    expect(page.get_by_label("Select old-thinkpad")).to_have_count(0)
    page.get_by_label("Select gitlab-release").check()
    page.get_by_label("Select staging-smoke-tests").check()
    expect(bar).to_be_visible()
    page.get_by_role("button", name="Revoke…").click()
    expect(page.get_by_role("heading", name="Revoke 2 tokens?")).to_be_visible()
    expect(page.get_by_text("Breaks 203.0.113.0/24")).to_be_visible()
    page.get_by_role("button", name="Revoke 2 tokens").click()
    expect(page.get_by_text("Tick this to stop what is in use")).to_be_visible()
    expect(page.get_by_label("Stop 203.0.113.0/24 now.")).to_be_focused()
    page.get_by_role("button", name="Revoke only the 1 not in use").click()
    expect(page.locator(".toast").get_by_text("1 token revoked")).to_be_visible()
    assert living() == {"gitlab-release", "github-actions-deploy"}
    expect(page.get_by_role("link", name="Revoked 2")).to_be_visible()


@pytest.fixture(params=[True, False], ids=["scripting", "no scripting"])
def either(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=request.param, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_filter_search_sort_and_revoke_several(either: Page, live_server: Any, alice: User) -> None:
    page, here = either, f"{live_server.url}{LIST}"
    watch = Watch(page)
    furnish(alice)
    sign_in(page, live_server.url, alice)
    expect(page.get_by_role("heading", name="1 token needs a look")).to_be_visible()
    page.get_by_role("link", name="Expiring soon 1").click()
    expect(page).to_have_url(f"{here}?status=expiring")
    expect(page.get_by_role("link", name="Expiring soon 1")).to_have_attribute(
        "aria-current", "true"
    )
    expect_names(page, "github-actions-deploy")
    page.get_by_role("link", name="All 4").click()
    expect(page).to_have_url(here)
    page.get_by_role("link", name="Sort by Token").click()
    expect(page).to_have_url(f"{here}?sort=token")
    names = ["github-actions-deploy", "gitlab-release", "old-thinkpad", "staging-smoke-tests"]
    expect_names(page, *names)
    page.get_by_label("Search by name, description or token ID").fill("every NIGHT")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"[?&]q=every\+NIGHT"))
    # Whoever opens the address sees the same, and Back leads to where one was.
    page.reload()
    expect_names(page, "staging-smoke-tests")
    page.go_back()
    expect(page).to_have_url(f"{here}?sort=token")
    expect(page.locator("tbody tr")).to_have_count(4)

    revoke_what_is_not_in_use(page)
    assert watch.faults == []


def test_the_bar_counts_and_the_list_stays_as_it_was(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    furnish(alice)
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="Never used 2").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    every = page.get_by_label("Select all on this page")
    every.check()
    expect(page.get_by_text("2 selected").first).to_be_visible()
    page.get_by_label("Select staging-smoke-tests").uncheck()
    expect(page.get_by_text("1 selected").first).to_be_visible()
    assert every.evaluate("box => box.indeterminate")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("group", name="Selected tokens")).to_be_hidden()
    expect(page.get_by_label("Select github-actions-deploy")).to_be_focused()
    assert not every.evaluate("box => box.indeterminate || box.checked")
    every.check()
    opener = page.get_by_role("button", name="Revoke…")
    opener.click()
    heading = page.get_by_role("heading", name="Revoke 2 tokens?")
    expect(heading).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()
    opener.click()
    page.get_by_role("button", name="Revoke 2 tokens").click()
    expect(page.get_by_text("2 tokens revoked").first).to_be_visible()
    expect(page.get_by_role("heading", name="No token here")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?status=never$"))
    expect(page.get_by_role("heading", name="Access tokens")).to_be_focused()
    assert living() == {"gitlab-release"}
    assert watch.faults == []


def test_what_was_found_is_spoken_and_focus_stays(
    page: Page, live_server: Any, alice: User
) -> None:
    furnish(alice)
    sign_in(page, live_server.url, alice)
    spoken = page.locator("#announcer")
    chip = page.get_by_role("link", name="Never used 2")
    chip.focus()
    page.keyboard.press("Enter")
    expect(spoken).to_have_text("2 tokens")
    expect(chip).to_be_focused()
    field = page.get_by_label("Search by name, description or token ID")
    field.fill("teraform")
    field.press("Enter")
    expect(spoken).to_have_text("No token matches")
    expect(field).to_be_focused()
    page.get_by_role("link", name="Clear search").click()
    expect(spoken).to_have_text("2 tokens")


def test_a_pasted_token_never_becomes_part_of_an_address(
    page: Page, live_server: Any, alice: User
) -> None:
    furnish(alice)
    sign_in(page, live_server.url, alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    field = page.get_by_label("Search by name, description or token ID")
    field.fill("sk_pat_" + "ab12" * 16)
    field.press("Enter")
    expect(page.get_by_text("The search holds a token, or part of one.").first).to_be_visible()
    expect(field).to_have_value("")
    expect(field).to_be_focused()
    assert not [url for url in asked if "ab12" in url]


def test_the_menu_gives_the_focus_back(page: Page, live_server: Any, alice: User) -> None:
    issue(alice, "cli-macbook")
    sign_in(page, live_server.url, alice)
    more = page.locator("summary").filter(has_text="More actions for cli-macbook")
    more.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Revoke… cli-macbook").press("Enter")
    expect(page.get_by_role("heading", name="Revoke cli-macbook?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(more).to_be_focused()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def test_every_state_of_the_list_is_accessible(
    browser: Browser, live_server: Any, alice: User, view: tuple[str, int]
) -> None:
    scheme, width = view
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    )
    page = context.new_page()
    furnish(alice)
    sign_in(page, live_server.url, alice)
    judge(page, "list")
    page.get_by_label("Select gitlab-release").check()
    judge(page, "selected")
    page.get_by_role("button", name="Revoke…").click()
    page.get_by_role("dialog").wait_for()
    judge(page, "bulk in a dialog")
    page.get_by_role("button", name="Revoke 1 token").click()
    page.get_by_text("Tick this to stop").wait_for()
    judge(page, "bulk with an error")
    address = page.locator("tbody [name=id]").first.get_attribute("value")
    for path in (
        f"/revoke?id={address}",
        "?status=expiring&sort=used",
        "?q=teraform",
        "?refused=contains_token",
    ):
        page.goto(live_server.url + LIST + path)
        judge(page, path)
    page.goto(live_server.url + LIST)
    page.locator("summary").filter(has_text="More actions").first.click()
    judge(page, "menu")
    context.close()


@pytest.mark.parametrize("width", [1280, 861, 430, 390, 360, 320])
def test_the_bar_stands_between_the_boxes_and_the_menus(
    browser: Browser, live_server: Any, alice: User, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    furnish(alice)
    sign_in(page, live_server.url, alice)
    page.get_by_label("Select gitlab-release").check()
    sides = """selector => {
        const box = document.querySelector(selector).getBoundingClientRect();
        return [box.left, box.right];
    }"""
    bar, box, menu = (
        page.evaluate(sides, where) for where in (".bulk", "tbody .check__box", "tbody summary")
    )
    assert box[1] <= bar[0]
    assert bar[1] <= menu[0]
    for held in (".bulk__count", ".bulk__button", ".bulk__button--act"):
        left, right = page.evaluate(sides, held)
        assert bar[0] <= left, held
        assert right <= bar[1], held
    context.close()
