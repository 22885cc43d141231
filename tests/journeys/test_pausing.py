"""Pausing a token and watching who knocks, with and without scripting, with a real client outside."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import PASSWORD, issue, origin
from tests.journeys.test_accessibility import judge, page as viewed  # noqa: F401 - a fixture
from tests.journeys.test_main_job import call, sign_in
from tests.journeys.watch import Watch
from tokens import lifecycle, usage
from tokens.lifecycle import Issued
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def issued(alice: User) -> Issued:
    return issue(alice, "ops-runner", description="Nightly checks")


@pytest.fixture
def here(live_server: Any, issued: Issued) -> str:
    return f"{live_server.url}/settings/tokens/{issued.token.public_id}"


@pytest.fixture(params=[True, False], ids=["with a script", "without"])
def any_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=request.param, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def ask(live_server: Any, issued: Issued) -> tuple[int, dict[str, object]]:
    return call(f"{live_server.url}/api/v1/token", issued.plaintext.reveal())


def test_alice_pauses_watches_and_resumes(
    any_page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    page, watch = any_page, Watch(any_page)
    assert ask(live_server, issued)[0] == 200
    sign_in(page, live_server.url, alice)
    page.goto(here)
    page.get_by_role("link", name="Pause…").click()
    expect(page.get_by_role("heading", name="Pause ops-runner?")).to_be_visible()
    expect(page.get_by_text("Breaks 127.0.0.0/24")).to_be_visible()
    page.get_by_role("link", name="Leave it on").click()
    expect(page.get_by_role("heading", name="Pause ops-runner?")).to_be_hidden()
    expect(page).to_have_url(here)

    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("Until resumed").check()
    page.get_by_role("button", name="Pause token").click()
    expect(page.get_by_role("heading", name="Paused by you, until you resume it")).to_be_visible()
    expect(page.get_by_text("Nobody knocked so far.")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("ops-runner paused until you resume it")
    expect(page).to_have_url(here)

    status, body = ask(live_server, issued)
    assert (status, body["code"]) == (403, "token_paused")
    assert body["error"] == "This token is paused until its owner resumes it."
    usage.flush()
    page.goto(here)
    expect(page.get_by_text("1 place knocked meanwhile.")).to_be_visible()
    expect(page.locator(".knocks li")).to_contain_text("127.0.0.0/24")

    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("link", name="Pause…")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("ops-runner resumed. 1 place knocked meanwhile")
    expect(page).to_have_url(here)
    assert ask(live_server, issued)[0] == 200
    assert watch.faults == []


def test_the_row_menu_pauses_and_resumes(
    page: Page, live_server: Any, alice: User, issued: Issued
) -> None:
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    menu = page.locator("summary").filter(has_text="More actions")
    menu.click()
    page.get_by_role("link", name="Pause… ops-runner").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="Pause ops-runner?")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.click()
    page.get_by_role("link", name="Pause… ops-runner").click()
    dialog.get_by_role("button", name="Pause token").click()
    expect(page.locator("#toasts")).to_contain_text("ops-runner paused until")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("row").filter(has_text="ops-runner")).to_contain_text("Paused")
    assert ask(live_server, issued)[0] == 403
    menu.click()
    page.get_by_role("link", name="Resume… ops-runner").click()
    expect(dialog.get_by_role("heading", name="Resume ops-runner?")).to_be_focused()
    dialog.get_by_role("button", name="Resume token").click()
    expect(page.locator("#toasts")).to_contain_text("ops-runner resumed")
    expect(page.get_by_role("row").filter(has_text="ops-runner")).not_to_contain_text("Paused")
    assert ask(live_server, issued)[0] == 200
    assert watch.faults == []


def test_resuming_asks_for_the_password_when_the_last_proof_is_old(
    any_page: Page, live_server: Any, alice: User, issued: Issued, here: str, settings: Settings
) -> None:
    page = any_page
    lifecycle.pause(token=issued.token, until=None, origin=origin(alice))
    sign_in(page, live_server.url, alice)
    settings.FRESH_PROOF_AGE = timedelta(0)
    page.goto(here)
    page.get_by_role("button", name="Resume now").click()
    expect(page.get_by_role("heading", name="Confirm it’s you")).to_be_visible()
    assert AccessToken.objects.get().paused_at is not None
    page.get_by_label("Password for").fill(PASSWORD)
    page.get_by_role("button", name="Confirm and resume token").click()
    expect(page.get_by_role("link", name="Pause…")).to_be_visible()
    expect(page).to_have_url(here)
    assert AccessToken.objects.get().paused_at is None


def test_the_keyboard_alone_pauses(
    page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(here)
    page.get_by_role("link", name="Pause…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Pause ops-runner?")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("15 minutes")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("60 minutes")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Paused until")).to_be_visible()
    token = AccessToken.objects.get()
    assert token.paused_at is not None
    assert token.paused_until is not None
    assert timedelta(minutes=60) <= token.paused_until - token.paused_at < timedelta(minutes=61)


def test_an_open_page_tells_of_a_knock_and_of_the_end_by_itself(
    page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    watch = Watch(page)
    lifecycle.pause(token=issued.token, until=None, origin=origin(alice))
    page.clock.install()
    sign_in(page, live_server.url, alice)
    page.goto(here)
    expect(page.get_by_text("Nobody knocked so far.")).to_be_visible()
    page.get_by_role("button", name="Resume now").focus()
    ask(live_server, issued)
    page.clock.run_for(31_000)
    expect(page.get_by_text("1 place knocked meanwhile.")).to_be_visible()
    page.clock.run_for(100)
    expect(page.locator("#announcer")).to_have_text("1 place knocked meanwhile")
    expect(page.get_by_role("button", name="Resume now")).to_be_focused()
    lifecycle.resume(token=issued.token, origin=origin(alice))
    page.clock.run_for(31_000)
    expect(page.get_by_role("link", name="Pause…")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("ops-runner is not paused any more")
    expect(page.locator("#banner")).to_have_count(0)
    assert watch.faults == []


def test_what_was_expected_is_muted_in_place(
    any_page: Page, live_server: Any, alice: User, issued: Issued, here: str
) -> None:
    page, watch = any_page, Watch(any_page)
    lifecycle.revoke(token=issued.token, origin=origin(alice))
    assert ask(live_server, issued)[0] == 401
    usage.flush()
    sign_in(page, live_server.url, alice)
    page.goto(here)
    expect(page.get_by_role("heading", name="Still tried at least once")).to_be_visible()
    page.get_by_role("button", name="Expected, mute").click()
    expect(page.get_by_text("You said that you expect this")).to_be_visible()
    page.get_by_role("button", name="Unmute").click()
    expect(page.get_by_text("Something there still holds the old value")).to_be_visible()
    assert watch.faults == []


def test_every_state_is_accessible(
    viewed: Page,  # noqa: F811 - the fixture of that name
    live_server: Any,
    alice: User,
    issued: Issued,
    here: str,
) -> None:
    page, watch = viewed, Watch(viewed)
    ask(live_server, issued)
    sign_in(page, live_server.url, alice)
    page.goto(here)
    page.get_by_role("link", name="Pause…").click()
    page.get_by_role("dialog").wait_for()
    judge(page, "pause in a dialog")
    page.goto(f"{here}/pause")
    judge(page, "pause on a page")
    page.locator("input[name=length]").evaluate_all("all => all.forEach(one => one.value = '7')")
    page.get_by_role("button", name="Pause token").click()
    page.get_by_text("Choose 5, 15 or 60 minutes").wait_for()
    judge(page, "a forged length")
    lifecycle.pause(token=issued.token, until=None, origin=origin(alice))
    page.goto(here)
    judge(page, "paused, nobody knocked")
    ask(live_server, issued)
    usage.knock(
        token_id=issued.token.pk,
        mark=usage.mark_of_pause(AccessToken.objects.get().paused_at or origin().at),
        consumer=usage.OTHERS,
        at=origin().at,
    )
    usage.flush()
    page.goto(here)
    page.locator(".knocks li").nth(1).wait_for()
    judge(page, "paused, somebody knocked")
    page.goto(f"{here}/pause")
    judge(page, "changing a pause")
    page.goto(f"{here}/resume")
    judge(page, "resume on a page")
    page.goto(f"{live_server.url}/settings/tokens")
    page.locator("summary").filter(has_text="More actions").click()
    judge(page, "the menu of a paused row")
    lifecycle.revoke(token=issued.token, origin=origin(alice))
    ask(live_server, issued)
    usage.flush()
    page.goto(here)
    page.get_by_role("heading", name="Still tried").wait_for()
    judge(page, "still tried")
    page.get_by_role("button", name="Expected, mute").click()
    page.get_by_role("button", name="Unmute").wait_for()
    judge(page, "muted")
    page.goto(f"{here}/resume")
    assert watch.faults == []
