"""axe finds nothing, nothing scrolls sideways and no policy is violated, on every page and width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from skytells_console.models import User
from tests.cast import issue, origin
from tests.journeys.test_main_job import fill_in, sign_in
from tests.journeys.watch import Watch
from tokens import lifecycle, projects
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
VIEWS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390, 320)]


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme, width = request.param
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def judge(page: Page, where: str) -> None:
    """Assert that the page as it stands is accessible and fits its width."""
    found = Axe().run(page, options=RULES).response["violations"]
    faults = [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary']}"
        for fault in found
        for node in fault["nodes"]
    ]
    assert faults == [], where
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{where} scrolls sideways by {wide} px."


def test_every_page_is_accessible(page: Page, live_server: Any, alice: User) -> None:
    watch = Watch(page)
    address: Callable[[str], str] = lambda path: live_server.url + path  # noqa: E731
    page.goto(address("/account/sign-in"))
    judge(page, "sign in")
    page.goto(address("/account/password/reset"))
    judge(page, "reset")
    sign_in(page, live_server.url, alice)
    judge(page, "empty list")
    page.goto(address("/settings/tokens/new"))
    judge(page, "create")
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("2 things to fix").wait_for()
    judge(page, "create with errors")
    fill_in(page, "cli-macbook", "account.read")
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("Copy your token now").wait_for()
    judge(page, "shown once")
    page.get_by_role("button", name="Show").click()
    judge(page, "shown once, visible")
    lifecycle.revoke(token=issue(alice, "old-thinkpad").token, origin=origin(alice))
    page.goto(address("/settings/tokens"))
    judge(page, "list")
    page.locator("summary").filter(has_text="More actions").click()
    page.get_by_role("link", name="Revoke…").first.click()
    page.get_by_role("dialog").wait_for()
    judge(page, "revoke in a dialog")
    page.keyboard.press("Escape")
    page.locator("summary").filter(has_text="More actions").click()
    page.goto(page.get_by_role("link", name="Revoke…").first.evaluate("link => link.href"))
    judge(page, "revoke on a page")
    assert watch.faults == []
    page.goto(address("/nowhere"))
    judge(page, "not found")


# --- Create and shown once ------------------------------------------------------------------------


def test_every_state_of_making_a_token_is_accessible(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    for name in ("Storefront", "Blog"):
        projects.create(owner_id=alice.pk, name=name, origin=origin(alice))
    sign_in(page, live_server.url, alice)
    query = "?name=ci&scopes=projects.read,keys.write,nothing&projects=blog&expires_in=45"
    page.goto(f"{live_server.url}/settings/tokens/new{query}")
    judge(page, "create from a link")
    page.get_by_role("button", name="CI deploy").click()
    page.get_by_role("button", name="CI deploy", pressed=True).wait_for()
    page.get_by_label("No expiration").check()
    page.locator("#id_level_projects_none").check()
    page.get_by_text("Not for").wait_for()
    judge(page, "create, risky")
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("Copy your token now").wait_for()
    page.locator("#_token_list").wait_for(state="attached")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keep open").wait_for()
    judge(page, "leaving early")
    page.get_by_role("button", name="Keep open").click()
    page.get_by_label("I have stored this token").check()
    judge(page, "stored")
    assert watch.faults == []
    token = AccessToken.objects.get()
    page.get_by_role("link", name="Close anyway", include_hidden=True).evaluate(
        "link => link.click()"
    )
    page.get_by_role("heading", name="Access tokens").wait_for()
    page.goto(f"{live_server.url}/settings/tokens/{token.public_id}/stored")
    judge(page, "is it stored?")
