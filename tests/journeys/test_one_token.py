"""The page of one token, as people live with it: look, edit, narrow, look back, revoke."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue, origin
from tests.journeys.test_accessibility import judge, page as viewed  # noqa: F401 - a fixture
from tests.journeys.test_main_job import call, sign_in
from tests.journeys.watch import Watch
from tests.views.test_timeline import many_events
from tokens import lifecycle
from tokens.lifecycle import Issued

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def issued(alice: User) -> Issued:
    return issue(
        alice,
        "cli-macbook",
        description="The desk",
        scopes=["inference", "projects.read", "account.read"],
    )


@pytest.fixture
def here(live_server: Any, issued: Issued) -> str:
    return f"{live_server.url}/settings/tokens/{issued.token.public_id}"


def test_alice_edits_in_place(page: Page, live_server: Any, alice: User, here: str) -> None:
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="cli-macbook", exact=True).click()
    expect(page.get_by_role("heading", name="cli-macbook")).to_be_visible()
    page.wait_for_load_state()
    expect(page).to_have_url(here)

    page.get_by_role("link", name="Edit").click()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Give the token a name.")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("laptop")
    expect(page.get_by_role("link", name="Edit")).to_be_focused()
    expect(page.get_by_text("Renamed to laptop")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("laptop saved")
    expect(page).to_have_title("laptop · Skytells Console")
    expect(page).to_have_url(here)
    assert watch.faults == []


def test_alice_removes_scopes_in_place(
    page: Page, live_server: Any, alice: User, here: str
) -> None:
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    page.goto(here)
    page.get_by_role("link", name="Remove scopes").click()
    expect(page.get_by_role("heading", name="Remove scopes")).to_be_focused()
    page.get_by_label("inference").check()
    page.get_by_role("button", name="Remove scopes").click()
    expect(page.get_by_label("Remove the ticked scopes now")).to_be_focused()
    expect(page.get_by_label("inference")).to_be_checked()
    page.get_by_label("Remove the ticked scopes now").check()
    page.get_by_role("button", name="Remove scopes").click()
    expect(page.get_by_role("link", name="Remove scopes")).to_be_focused()
    expect(page.locator("#access")).not_to_contain_text("inference")
    expect(page.locator("#activity")).to_contain_text("Scopes narrowed")
    assert watch.faults == []


def test_alice_revokes_from_the_page_and_stays_on_it(
    page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    page.goto(here)
    assert call(f"{live_server.url}/api/v1/user", issued.plaintext.reveal())[0] == 200
    page.get_by_role("link", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Revoke cli-macbook?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Revoke…")).to_be_focused()
    page.get_by_role("link", name="Revoke…").click()
    dialog.get_by_label("Reason").fill("Sold")
    dialog.get_by_label("Stop 127.0.0.0/24 now.").check()
    dialog.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Revoked by you").first).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("cli-macbook revoked")
    expect(page).to_have_url(here)
    assert call(f"{live_server.url}/api/v1/user", issued.plaintext.reveal())[0] == 401
    expect(page.get_by_role("link", name="Create another with these settings")).to_be_visible()
    assert watch.faults == []


def test_the_same_works_with_scripting_off(
    browser: Browser, live_server: Any, alice: User, here: str
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="cli-macbook", exact=True).click()
    page.get_by_role("link", name="Edit").click()
    expect(page).to_have_url(f"{here}/edit")
    page.get_by_label("Name", exact=True).fill("n" * 65)
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Names can be up to 64 characters.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Save changes").click()
    expect(page).to_have_url(here)
    expect(page.get_by_text("laptop saved")).to_be_visible()

    page.get_by_role("link", name="Remove scopes").click()
    page.get_by_label("inference").check()
    page.get_by_label("Remove the ticked scopes now").check()
    page.get_by_role("button", name="Remove scopes").click()
    expect(page).to_have_url(here)
    expect(page.get_by_text("1 scope removed")).to_be_visible()

    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("link", name="Keep token").click()
    expect(page).to_have_url(here)
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("button", name="Revoke token").click()
    expect(page).to_have_url(here)
    expect(page.locator("#toasts")).to_contain_text("laptop revoked")
    context.close()


def press_until(page: Page, name: str, *, most: int = 40) -> None:
    """Go on with Tab until the control called ``name`` has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        words = page.evaluate("document.activeElement.innerText || document.activeElement.value")
        if (words or "").strip().startswith(name):
            return
    raise AssertionError(f"{name} cannot be reached with the keyboard.")


def test_the_keyboard_alone_does_everything(
    page: Page, live_server: Any, alice: User, here: str
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(here)
    press_until(page, "Edit")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("laptop")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("laptop")
    expect(page.get_by_role("link", name="Edit")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    press_until(page, "Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Edit")).to_be_focused()
    press_until(page, "Remove scopes")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Remove scopes")).to_be_focused()
    press_until(page, "Keep all scopes")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Remove scopes")).to_be_focused()
    press_until(page, "Revoke…")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Revoke laptop?")).to_be_focused()


def test_older_events_take_the_focus_and_the_address_with_them(
    page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    watch = Watch(page)
    many_events(issued.token, 45)
    sign_in(page, live_server.url, alice)
    page.goto(here)
    for expected in (20, 6):
        page.get_by_role("link", name="Older events").click()
        expect(page.locator(".tl__entry")).to_have_count(expected)
        expect(page.get_by_role("heading", name="Activity")).to_be_focused()
        assert "before=" in page.url
    page.reload()
    expect(page.locator(".tl__entry")).to_have_count(6)
    expect(page.get_by_text("That is everything since this token was created.")).to_be_visible()
    page.get_by_role("link", name="Newest events").click()
    expect(page.locator(".tl__entry")).to_have_count(20)
    page.go_back()
    expect(page.locator(".tl__entry")).to_have_count(6)
    assert watch.faults == []


def test_an_edit_on_a_page_of_its_own_leads_back(
    page: Page, live_server: Any, alice: User, here: str
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{here}/edit")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()
    expect(page).to_have_url(here)
    page.goto(f"{here}/edit")
    page.get_by_label("Description").fill("Another desk")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_text("Description changed")).to_be_visible()
    expect(page).to_have_url(here)


def test_every_state_is_accessible(
    viewed: Page,  # noqa: F811 - the fixture of that name
    live_server: Any,
    alice: User,
    issued: Issued,
    here: str,
) -> None:
    page, watch = viewed, Watch(viewed)
    many_events(issued.token, 25)
    lifecycle.narrow(token=issued.token, scopes=["inference", "account.read"], origin=origin(alice))
    sign_in(page, live_server.url, alice)
    state: Callable[[str], Any] = lambda where: judge(page, where)  # noqa: E731
    page.goto(here)
    state("detail")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("")
    page.get_by_role("button", name="Save changes").click()
    page.get_by_text("Give the token a name.").wait_for()
    state("edit with an error")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("link", name="Edit")).to_be_focused()
    page.get_by_role("link", name="Remove scopes").click()
    expect(page.get_by_role("heading", name="Remove scopes")).to_be_focused()
    page.get_by_role("button", name="Remove scopes").click()
    page.get_by_text("Choose at least one scope to remove.").wait_for()
    state("removing scopes with errors")
    page.goto(f"{here}/scopes")
    state("removing scopes on a page")
    page.goto(here)
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("dialog").wait_for()
    state("revoke over the detail")
    lifecycle.revoke(token=issued.token, origin=origin(alice), reason="Sold the laptop")
    page.goto(here)
    state("revoked")
    page.goto(f"{here}/scopes")
    state("scopes after the end")
    endless = issue(alice, "n" * 64, expires_at=None, description="d" * 200).token
    page.goto(f"{live_server.url}/settings/tokens/{endless.public_id}")
    state("long words, no end")
    assert watch.faults == []
