"""The whole main job, as a newcomer lives it: sign in, create, see once, use, see the use, revoke."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from skytells_console.models import User
from tests.cast import PASSWORD
from tests.journeys.watch import Watch
from tests.views.pages import levels

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
TOKEN = re.compile(r"sk_pat_[0-9a-f]{64}")


def call(url: str, token: str) -> tuple[int, dict[str, object]]:
    """Call the API as a program does."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def sign_in(page: Page, address: str, user: User) -> None:
    page.goto(address)
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Access tokens")).to_be_visible()
    # The heading is drawn before the scripts run, and what is pressed until then is a plain link.
    page.wait_for_load_state()


def fill_in(page: Page, name: str, *scopes: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    for field, level in levels(*scopes).items():
        page.locator(f"input[name={field}][value={level}]").check()


def done(page: Page) -> None:
    page.get_by_label("I have stored this token").check()
    page.get_by_role("button", name="Done").click()


def test_alice_creates_uses_and_revokes_a_token(page: Page, live_server, alice: User) -> None:
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    expect(page).to_have_url(f"{live_server.url}/settings/tokens")
    page.get_by_role("link", name="Create token").first.click()
    fill_in(page, "cli-macbook", "projects.read", "account.read")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("heading", name="Copy your token now")).to_be_visible()
    page.get_by_role("button", name="Show").click()
    token = page.locator(".plate__value").inner_text().replace("\n", "")
    assert TOKEN.fullmatch(token)

    status, facts = call(f"{live_server.url}/api/v1/token", token)
    assert (status, facts["name"]) == (200, "cli-macbook")

    done(page)
    row = page.get_by_role("row").filter(has_text="cli-macbook")
    expect(row).to_contain_text("just now")
    expect(row).to_contain_text("Active")
    row.locator("summary").filter(has_text="More actions").click()
    row.get_by_role("link", name="Revoke…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Revoke cli-macbook?")).to_be_focused()
    expect(dialog.get_by_text("Breaks 127.0.0.0/24.")).to_be_visible()
    dialog.get_by_role("button", name="Revoke token").click()
    expect(dialog.get_by_label("Stop 127.0.0.0/24 now.")).to_be_focused()
    page.keyboard.press("Space")
    dialog.get_by_role("button", name="Revoke token").click()
    expect(row).to_contain_text("Revoked")
    expect(dialog).to_be_hidden()

    status, refusal = call(f"{live_server.url}/api/v1/token", token)
    assert (status, refusal["code"]) == (401, "token_revoked")
    assert watch.times_received(token) == 1
    assert watch.faults == []
    assert watch.stored_pieces(token) == []


def test_the_main_job_works_with_scripting_off(browser, live_server, alice: User) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="Create token").first.click()
    fill_in(page, "cron-server")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("alert").first).to_contain_text("Choose at least one scope")
    expect(page.get_by_label("Name", exact=True)).to_have_value("cron-server")
    fill_in(page, "cron-server", "account.read")
    page.get_by_role("button", name="Create token").click()
    token = page.locator(".plate__value").inner_text().replace("\n", "")
    assert TOKEN.fullmatch(token)
    assert call(f"{live_server.url}/api/v1/user", token)[0] == 200

    done(page)
    page.locator("summary").filter(has_text="More actions").click()
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_label("Stop 127.0.0.0/24 now.").check()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("cron-server revoked")).to_be_visible()
    assert call(f"{live_server.url}/api/v1/user", token)[0] == 401
    assert watch.times_received(token) == 1
    assert watch.faults == []
    context.close()


def test_reload_back_and_forward_never_show_a_value_again(
    page: Page, live_server, alice: User
) -> None:
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="Create token").first.click()
    fill_in(page, "cli-macbook", "account.read")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="Show").click()
    token = page.locator(".plate__value").inner_text().replace("\n", "")
    for leave in (page.reload, page.go_back, page.go_forward):
        leave()
        page.wait_for_load_state()
        assert token not in page.content()
        assert token[7:19] not in page.locator("body").inner_text()
    page.goto(f"{live_server.url}/settings/tokens")
    expect(page.get_by_role("row").filter(has_text="cli-macbook")).to_have_count(1)


def test_selecting_the_plate_gives_exactly_the_token(page: Page, live_server, alice: User) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/settings/tokens/new")
    fill_in(page, "cli-macbook", "account.read")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="Show").click()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.plate__value'))")
    selected = page.evaluate("getSelection().toString()")
    assert TOKEN.fullmatch(selected)


def test_copy_puts_the_whole_value_on_the_clipboard(page: Page, live_server, alice: User) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/settings/tokens/new")
    fill_in(page, "cli-macbook", "account.read")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="Copy token").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    token = page.evaluate("navigator.clipboard.readText()")
    assert call(f"{live_server.url}/api/v1/token", token)[0] == 200
