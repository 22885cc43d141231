"""Making a token in a browser: with the keyboard alone, without scripts, and leaving too early."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import PASSWORD, origin
from tests.journeys.test_main_job import TOKEN, done, fill_in, sign_in
from tests.journeys.watch import Watch, pieces
from tokens import projects
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def open_form(page: Page, live_server: Any, alice: User, query: str = "") -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/settings/tokens/new{query}")


def send(page: Page) -> None:
    page.get_by_role("button", name="Create token").click()


def shown(page: Page) -> str:
    """Wait for the value and return it."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Copy your token now")).to_be_focused()
    dialog.get_by_role("button", name="Show").click()
    value = page.locator(".plate__value").inner_text().replace("\n", "")
    assert TOKEN.fullmatch(value)
    return value


def test_a_preset_a_change_and_the_summary(page: Page, live_server: Any, alice: User) -> None:
    watch = Watch(page)
    open_form(page, live_server, alice)
    page.get_by_role("button", name="cron-server").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("cron-server")
    preset = page.get_by_role("button", name="CI deploy")
    preset.click()
    expect(preset).to_have_attribute("aria-pressed", "true")
    expect(preset).to_be_focused()
    expect(page.get_by_label("Name", exact=True)).to_have_value("cron-server")
    summary = page.locator("#create-summary")
    expect(summary).to_contain_text("Trigger and manage deployments")
    page.get_by_role("group", name="API keys").get_by_label("Read and write").check()
    expect(preset).to_have_attribute("aria-pressed", "false")
    expect(summary).to_contain_text("make API keys that keep working after you revoke this token")
    page.get_by_label("No expiration").check()
    expect(summary).to_contain_text("It works until someone remembers to revoke it.")
    expect(page.get_by_text("A token without an end outlives")).to_be_visible()
    assert AccessToken.objects.count() == 0
    assert watch.faults == []


def test_the_keyboard_alone_makes_and_stores_a_token(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    open_form(page, live_server, alice)
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("cli-macbook")
    # Enter sends the form; it must not press the first preset.
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Choose at least one scope")
    page.locator("#id_level_account_none").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#id_level_account_read")).to_be_checked()
    expect(page.locator("#create-summary")).to_contain_text("Read account information")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.press("Enter")
    value = shown(page)
    for _ in range(2):
        page.keyboard.press("Escape")
    keep = page.get_by_role("button", name="Keep open")
    expect(keep).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Copy your token now")).to_be_focused()
    page.get_by_label("I have stored this token").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("cli-macbook is stored")).to_be_visible()
    expect(page).to_have_url(f"{live_server.url}/settings/tokens")
    assert AccessToken.objects.get().stored_at is not None
    assert watch.times_received(value) == 1
    assert watch.stored_pieces(value) == []
    assert watch.faults == []


def test_a_value_that_is_not_stored_is_not_left_by_accident(
    page: Page, live_server: Any, alice: User
) -> None:
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "account.read")
    send(page)
    value = shown(page)
    dialog = page.get_by_role("dialog")
    expect(page.locator("#_token_list")).to_be_attached()
    page.mouse.click(4, 4)
    expect(dialog).to_be_visible()
    page.get_by_role("button", name="Done").click()
    question = "You have not confirmed that it is stored. Close anyway? It cannot be shown again."
    expect(dialog.get_by_text(question)).to_be_visible()
    page.get_by_role("button", name="Keep open").click()
    expect(dialog.get_by_text(question)).to_be_hidden()
    for _ in range(4):
        page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    dialog.get_by_role("link", name="Close anyway").click()
    expect(page.get_by_role("heading", name="Access tokens")).to_be_visible()
    expect(dialog).to_be_hidden()
    assert AccessToken.objects.get().stored_at is None
    page.go_back()
    page.wait_for_load_state()
    assert [piece for piece in pieces(value[7:]) if piece in page.content()] == []


def test_the_browser_asks_before_it_leaves(page: Page, live_server: Any, alice: User) -> None:
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "account.read")
    send(page)
    shown(page)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]
    expect(page.get_by_role("heading", name="Create a token")).to_be_visible()


def test_the_env_file_holds_one_line(page: Page, live_server: Any, alice: User) -> None:
    watch = Watch(page)
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "account.read")
    send(page)
    value = shown(page)
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download .env").click()
    assert coming.value.suggested_filename == "skytells.env"
    assert Path(coming.value.path()).read_text() == f"SKYTELLS_TOKEN={value}\n"
    assert watch.times_received(value) == 1
    assert watch.faults == []
    done(page)
    expect(page.get_by_role("heading", name="Access tokens")).to_be_visible()


def test_a_press_counts_while_the_summary_is_on_its_way(
    page: Page, live_server: Any, alice: User
) -> None:
    """On a phone the summary stands above the button, and moves it when it grows."""
    watch = Watch(page)
    page.set_viewport_size({"width": 390, "height": 844})
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook")
    button, said = page.get_by_role("button", name="Create token"), page.locator("#create-summary")

    def press_and_choose(level: str) -> None:
        button.scroll_into_view_if_needed()
        button.hover()
        page.mouse.down()
        with page.expect_response("**/draft"):
            page.locator(f"#id_level_{level}").evaluate("radio => radio.click()")
        page.wait_for_timeout(100)

    press_and_choose("account_read")
    expect(said).not_to_contain_text("Read account information")
    page.mouse.move(2, 2)
    page.mouse.up()
    # Who lets go elsewhere has made nothing, and sees what was chosen.
    expect(said).to_contain_text("Read account information")
    press_and_choose("projects_read")
    page.mouse.up()
    shown(page)
    assert AccessToken.objects.get().scopes == "projects.read account.read"
    assert watch.faults == []


def test_the_lines_to_copy_do_not_hold_the_value(page: Page, live_server: Any, alice: User) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_form(page, live_server, alice)
    fill_in(page, "gitlab-ci", "account.read")
    send(page)
    value = shown(page)
    page.get_by_role("button", name="Copy the commands for GitLab CI").click()
    expect(page.locator("#announcer")).to_have_text("Copied")
    lines = page.evaluate("navigator.clipboard.readText()")
    assert lines.startswith("read -rs SKYTELLS_TOKEN\n")
    assert value[7:19] not in lines
    page.get_by_role("radio", name="Skytells CLI").check()
    expect(page.get_by_text("skytells login --token")).to_be_visible()
    expect(page.get_by_text("glab variable set")).to_be_hidden()


def test_the_value_is_gone_when_its_page_goes(page: Page, live_server: Any, alice: User) -> None:
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "account.read")
    send(page)
    value = shown(page)
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert [piece for piece in pieces(value[7:]) if piece in page.content()] == []
    expect(page.get_by_text("It cannot be shown again.").first).to_be_visible()


def test_a_link_is_reviewed_before_anything_is_made(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    projects.create(owner_id=alice.pk, name="Storefront", origin=origin(alice))
    query = "?name=ci&scopes=deployments.read,deployments.write&projects=storefront&expires_in=7"
    open_form(page, live_server, alice, query)
    region = page.get_by_role("region", name="These values came from a link")
    expect(region).to_contain_text("deployments.write")
    expect(page.locator("#id_level_deployments_read")).to_be_checked()
    expect(page.get_by_label("Storefront")).to_be_checked()
    send(page)
    shown(page)
    token = AccessToken.objects.get()
    assert token.scopes == "deployments.read"
    assert [each.slug for each in token.projects.all()] == ["storefront"]
    assert watch.faults == []


def test_a_stale_proof_keeps_what_was_typed_and_still_ends_in_the_dialog(
    page: Page, live_server: Any, alice: User, settings: Any
) -> None:
    watch = Watch(page)
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "keys.read", "keys.write")
    settings.FRESH_PROOF_AGE = timedelta(0)
    send(page)
    page.get_by_label("Password for").fill(PASSWORD)
    page.get_by_role("button", name="Confirm and create token").click()
    value = shown(page)
    assert AccessToken.objects.get().scopes == "keys.read keys.write"
    assert watch.times_received(value) == 1
    assert watch.faults == []


def test_the_value_is_shown_where_htmx_never_arrived(
    page: Page, live_server: Any, alice: User
) -> None:
    page.route("**/*htmx*.js", lambda route: route.abort())
    open_form(page, live_server, alice)
    fill_in(page, "cli-macbook", "account.read")
    send(page)
    shown(page)
    done(page)
    expect(page.get_by_text("cli-macbook is stored")).to_be_visible()


def test_presets_summary_and_storing_work_with_scripting_off(
    browser: Browser, live_server: Any, alice: User
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    projects.create(owner_id=alice.pk, name="Storefront", origin=origin(alice))
    watch = Watch(page)
    open_form(page, live_server, alice)
    page.get_by_label("Name", exact=True).fill("gitlab-ci")
    page.get_by_role("button", name="Read-only").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("gitlab-ci")
    expect(page.get_by_role("button", name="Read-only")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Only chosen projects").check()
    page.get_by_label("Storefront").check()
    page.get_by_label("Custom date").check()
    page.get_by_label("Stops working at").fill("2001-01-01T10:00")
    page.get_by_role("button", name="Update summary").click()
    expect(page.locator("#create-summary")).to_contain_text("No valid date")
    expect(page.locator("#create-summary")).to_contain_text("Only in the project you chose")
    page.get_by_label("7 days", exact=False).check()
    send(page)
    value = page.locator(".plate__value").inner_text().replace("\n", "")
    assert TOKEN.fullmatch(value)
    expect(page.get_by_role("button", name="Download .env")).to_be_hidden()
    # The browser itself asks for the tick, so that nobody loses the page by a slip.
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("heading", name="Copy your token now")).to_be_visible()
    done(page)
    expect(page.get_by_text("gitlab-ci is stored")).to_be_visible()
    token = AccessToken.objects.get()
    assert token.projects_limited
    assert token.stored_at is not None
    assert watch.times_received(value) == 1
    assert watch.faults == []
    context.close()
