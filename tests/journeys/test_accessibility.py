"""axe finds nothing, nothing scrolls sideways and no policy is violated, on every page and width."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue, origin
from tests.device import DEFAULT, approve, redeem, start
from tests.journeys.test_main_job import call, fill_in, sign_in
from tests.journeys.watch import Watch
from tokens import lifecycle, policy_change, projects
from tokens.models import AccessToken
from tokens.models.rotation import ALL_PLACES

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
    page.locator("summary").filter(has_text="More actions for cli-macbook").click()
    page.get_by_role("link", name="Revoke…").first.click()
    page.get_by_role("dialog").wait_for()
    judge(page, "revoke in a dialog")
    page.keyboard.press("Escape")
    page.locator("summary").filter(has_text="More actions for cli-macbook").click()
    page.goto(page.get_by_role("link", name="Revoke…").first.evaluate("link => link.href"))
    judge(page, "revoke on a page")
    page.goto(address("/api/docs"))
    judge(page, "reference")
    page.goto(address("/api/docs/introspect"))
    judge(page, "reference of one endpoint")
    page.goto(address("/api/docs?q=nothing"))
    judge(page, "reference without a match")
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


# --- The rotation ---------------------------------------------------------------------------------


def test_every_step_of_a_rotation_is_accessible(page: Page, live_server: Any, alice: User) -> None:
    watch = Watch(page)
    scopes = ["projects.read", "projects.write", "account.read"]
    old = issue(alice, "gitlab-release", scopes=scopes)
    sign_in(page, live_server.url, alice)

    def show(step: str) -> None:
        page.goto(f"{live_server.url}/settings/tokens/{old.token.public_id}/rotate{step}")

    call(f"{live_server.url}/api/v1/user", old.plaintext.reveal())
    show("/scopes")
    judge(page, "rotate: scopes")
    for resource in ("projects", "account"):
        page.locator(f"#id_level_{resource}_none").check()
    page.get_by_role("button", name="Create replacement").last.click()
    page.get_by_role("alert").first.wait_for()
    judge(page, "rotate: scopes with errors")
    wish = lifecycle.RotationWish(scopes=scopes, expires_at=old.token.expires_at)
    made = lifecycle.rotate(token=old.token, wish=wish, origin=origin(alice))
    new = made.token
    show("/copy")
    judge(page, "rotate: copy")
    show("/cancel")
    judge(page, "rotate: cancel")
    page.goto(f"{live_server.url}/settings/tokens/{new.public_id}/rotate/scopes")
    judge(page, "rotate: refused")
    lifecycle.confirm_stored(token=new, origin=origin(alice))
    show("/update")
    judge(page, "rotate: update")
    lifecycle.tick(replacement=new, ticked=[ALL_PLACES], origin=origin(alice))
    show("/confirm")
    judge(page, "rotate: waiting")
    call(f"{live_server.url}/api/v1/user", made.plaintext.reveal())
    page.get_by_role("heading", name="The replacement works").wait_for()
    judge(page, "rotate: seen")
    show("/revoke")
    judge(page, "rotate: revoke")
    lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    show("/finished")
    judge(page, "rotate: finished")
    page.goto(f"{live_server.url}/settings/tokens")
    judge(page, "list after a rotation")
    assert watch.faults == []


# --- Device login ---------------------------------------------------------------------------------


def test_every_page_of_a_device_login_is_accessible(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    earlier, started = start(), start([*DEFAULT, "keys.write"], name="x" * 64)
    approve(earlier, alice)
    redeem(earlier)
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/device")
    judge(page, "device code")
    page.get_by_label("Code").fill("ZZZZ-ZZZZ")
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("No request has that code.").wait_for()
    judge(page, "device code, wrong")
    page.goto(f"{live_server.url}/device?user_code={start().user_code}")
    page.get_by_text("End an earlier sign-in").wait_for()
    judge(page, "device request with an earlier sign-in")
    page.goto(f"{live_server.url}/device?user_code={started.user_code}")
    page.get_by_text("It can change things.").wait_for()
    judge(page, "device request from elsewhere")
    for box in page.locator("[name=scopes]").all():
        box.uncheck()
    page.get_by_role("button", name="Approve access").click()
    page.get_by_text("Choose at least one scope").wait_for()
    judge(page, "device request with an error")
    page.get_by_label("Read project information").check()
    page.get_by_role("button", name="Approve access").click()
    page.get_by_role("heading", name="Approved").wait_for()
    judge(page, "device approved")
    page.goto(f"{live_server.url}/device?user_code={start().user_code}")
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="Denied").wait_for()
    judge(page, "device denied")
    assert watch.faults == []


# --- The calendar's address, and what needs a look -------------------------------------------------


def test_the_calendar_address_and_the_banner_are_accessible(
    page: Page, live_server: Any, alice: User, carol: User
) -> None:
    watch = Watch(page)
    now = timezone.now()
    issue(alice, "cli-macbook", expires_at=now + timedelta(days=4))
    issue(alice, "ci-deploy", expires_at=now + timedelta(days=90))
    rules = policy_change.Draft(max_lifetime_days=30, blocks_from=now + timedelta(days=7))
    policy_change.save(rules, after=0, origin=origin(carol))
    sign_in(page, live_server.url, alice)
    page.get_by_text("1 token stops working on").wait_for()
    judge(page, "list with announced rules")
    page.goto(f"{live_server.url}/settings/notifications")
    page.get_by_text("1 token expires within 7 days").wait_for()
    judge(page, "notifications with a banner")
    page.get_by_role("button", name="Make an address").click()
    page.get_by_text("Copy the address now.").wait_for()
    judge(page, "calendar address, shown")
    page.goto(f"{live_server.url}/settings/notifications")
    page.get_by_role("button", name="Hide for a day").click()
    page.get_by_text("Hidden in this browser for a day.").wait_for()
    expect(page.locator("#site-banner")).to_be_focused()
    judge(page, "notifications without the banner")
    page.get_by_role("link", name="Revoke address…").click()
    page.get_by_role("dialog").get_by_role("heading").wait_for()
    judge(page, "revoke the address in a dialog")
    page.goto(f"{live_server.url}/settings/notifications/address/replace")
    judge(page, "replace the address on a page")
    assert watch.faults == []


# --- Tables that become cards ---------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_stays_one_for_those_who_listen(
    browser: Browser, live_server: Any, alice: User, width: int
) -> None:
    """The stylesheet changes how rows and cells are laid out, which must not cost their roles."""
    for name in ("cli-macbook", "gitlab-ci", "cron-server"):
        issue(alice, name)
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    listener = context.new_cdp_session(page)
    token = AccessToken.objects.get(name="gitlab-ci")
    # On a phone nobody sees the box that picks all rows, and its column has no head then.
    # Nor is the cell for what comes next there while nothing does.
    listed = ("", 4, 6, 18) if width > 860 else ("", 4, 5, 15)
    for path, rows, heads, cells in (listed, (f"/{token.public_id}", 3, 3, 4)):
        page.goto(f"{live_server.url}/settings/tokens{path}")
        nodes = listener.send("Accessibility.getFullAXTree")["nodes"]
        roles = [each["role"]["value"] for each in nodes if not each["ignored"]]
        assert roles.count("table") == 1
        assert roles.count("row") == rows
        assert roles.count("columnheader") == heads
        assert roles.count("rowheader") == rows - 1
        assert roles.count("cell") == cells
    context.close()
