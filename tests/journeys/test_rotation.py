"""A rotation as its owner lives it, while programs go on calling with the old and the new value."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Response, expect

from skytells_console.models import User
from tests.cast import issue, origin
from tests.journeys.test_main_job import TOKEN, call, sign_in
from tests.journeys.watch import Watch
from tokens import lifecycle
from tokens.models import AccessToken
from tokens.models.rotation import ALL_PLACES

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SCOPES = ["projects.read", "account.read"]
# Every change of the live region's text from now on, in order.
LISTEN = """() => {
  window.heard = [];
  const region = document.querySelector('#watch-says');
  new MutationObserver(() => window.heard.push(region.textContent))
    .observe(region, { childList: true, characterData: true, subtree: true });
}"""


class Program(threading.Thread):
    """A program that calls without a pause, with whatever value it was given last."""

    def __init__(self, address: str, name: str, value: str) -> None:
        super().__init__(daemon=True)
        self.value, self.statuses = value, list[tuple[str, int]]()
        self._address, self._called, self._over = f"{address}/api/v1/cli/projects", name, False
        self.first_with: dict[str, float] = {}

    def run(self) -> None:
        while not self._over:
            value = self.value
            status = self._call(value)
            self.statuses.append((value, status))
            self.first_with.setdefault(value, time.time())
            time.sleep(0.05)

    def _call(self, value: str) -> int:
        headers = {"Authorization": f"Bearer {value}", "X-Skytells-Consumer": self._called}
        request = urllib.request.Request(self._address, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def stop(self) -> None:
        self._over = True
        self.join(10)

    def has_called_with(self, value: str) -> float:
        """Wait for the first call with a value, and return when it was answered (Unix time)."""
        for _ in range(1200):
            if value in self.first_with:
                return self.first_with[value]
            time.sleep(0.025)
        raise AssertionError("The program never called.")


@contextmanager
def programs(address: str, value: str, *names: str) -> Iterator[list[Program]]:
    running = [Program(address, name, value) for name in names]
    for program in running:
        program.start()
        program.has_called_with(value)
    try:
        yield running
    finally:
        for program in running:
            program.stop()


def press(target: Locator, key: str = "Enter") -> None:
    """Use a control as somebody without a mouse does."""
    target.focus()
    expect(target).to_be_focused()
    target.press(key)


def path(token: AccessToken, step: str = "") -> str:
    return f"/settings/tokens/{token.public_id}/rotate{step}"


def begin(alice: User, *, updated: bool = True) -> tuple[AccessToken, lifecycle.Issued]:
    """Bring a rotation to the step at which it is watched."""
    old = issue(alice, "gitlab-release", scopes=SCOPES).token
    wish = lifecycle.RotationWish(scopes=SCOPES, expires_at=old.expires_at)
    made = lifecycle.rotate(token=old, wish=wish, origin=origin(alice))
    if updated:
        lifecycle.confirm_stored(token=made.token, origin=origin(alice))
        lifecycle.tick(replacement=made.token, ticked=[ALL_PLACES], origin=origin(alice))
    return old, made


def looks(page: Page) -> list[Response]:
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer) if watching(answer) else None)
    return answers


def assert_turned_at_the_next_look(answers: list[Response], called_at: float) -> None:
    """Assert that no look begun after the call came back with nothing before the page turned.

    The looks are two seconds apart, as another test holds exactly: so the page turns two seconds
    and one request after the call, however slow the machine is.
    """
    in_vain = takewhile(lambda answer: answer.status == 204, answers)
    assert not [each for each in in_vain if each.request.timing["startTime"] > called_at * 1000]
    assert any(each.status == 200 for each in answers)


def test_a_rotation_loses_no_request_and_its_page_turns_by_itself(  # noqa: PLR0915 - one story
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    issued = issue(alice, "gitlab-release", scopes=SCOPES)
    value = issued.plaintext.reveal()
    with programs(live_server.url, value, "runner-a", "runner-b") as (first, second):
        sign_in(page, live_server.url, alice)
        row = page.get_by_role("row").filter(has_text="gitlab-release")
        press(row.locator("summary").filter(has_text="More actions"))
        press(row.get_by_role("link", name="Rotate gitlab-release"))
        press(page.get_by_role("button", name="Create replacement").last)
        expect(page.get_by_role("heading", name="Copy the replacement now")).to_be_focused()
        press(page.get_by_role("button", name="Show"))
        replacement = page.locator(".plate__value").inner_text().replace("\n", "")
        assert TOKEN.fullmatch(replacement)
        press(page.get_by_label("I have stored this token"), "Space")
        press(page.get_by_role("button", name="Done"))

        expect(page.get_by_role("heading", name="Places that use the old token")).to_be_visible()
        places = page.get_by_role("checkbox")
        expect(places).to_have_count(2)
        with page.expect_response(lambda answer: answer.request.method == "POST") as kept:
            press(places.first, "Space")
        assert kept.value.status == 204
        press(page.get_by_role("button", name="Continue"))

        expect(page.get_by_role("heading", name="Waiting for first request…")).to_be_visible()
        page.evaluate(LISTEN)
        asked = looks(page)
        first.value = replacement
        expect(page.get_by_role("heading", name="The replacement works")).to_be_visible()
        assert_turned_at_the_next_look(asked, first.has_called_with(replacement))
        notes = page.locator(".callout")
        expect(notes.filter(has_text="has only used the old token.")).to_be_visible()
        second.value = replacement
        expect(notes.filter(has_text="Everything has moved over.")).to_be_visible()
        heard = page.evaluate("window.heard")
        assert len(heard) == len(set(heard)) == 2, heard
        assert heard[0].startswith("The replacement works.")
        assert "Everything has moved over." in heard[1]

        press(page.get_by_role("link", name="Continue to revoke"))
        expect(page.get_by_role("heading", name="The old token is quiet")).to_be_visible()
        press(page.get_by_role("button", name="Revoke old token"))
        expect(page.get_by_role("heading", name="Rotation finished")).to_be_visible()
        time.sleep(0.3)
    calls = first.statuses + second.statuses
    assert {status for _, status in calls} == {200}
    assert len({used for used, _ in calls}) == 2
    assert call(f"{live_server.url}/api/v1/token", value)[0] == 401
    assert call(f"{live_server.url}/api/v1/token", replacement)[0] == 200
    assert watch.times_received(replacement) == 1
    assert watch.stored_pieces(replacement) == []
    assert watch.faults == []


def test_a_rotation_works_with_scripting_off(browser: Any, live_server: Any, alice: User) -> None:
    value = issue(alice, "cron-server", scopes=SCOPES).plaintext.reveal()
    assert call(f"{live_server.url}/api/v1/cli/projects", value)[0] == 200
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    page.locator("summary").filter(has_text="More actions").click()
    page.get_by_role("link", name="Rotate cron-server").click()
    page.locator("input[name=level-account][value=none]").check()
    page.get_by_role("button", name="Update this comparison").click()
    expect(page.get_by_text("account.read is left out.")).to_be_visible()
    page.get_by_role("button", name="Create replacement").last.click()
    replacement = page.locator(".plate__value").inner_text().replace("\n", "")
    page.get_by_label("I have stored this token").check()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("checkbox").check()
    page.get_by_role("link", name="Skytells CLI").click()
    expect(page.get_by_text("skytells login --token")).to_be_visible()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Waiting for first request…")).to_be_visible()
    assert call(f"{live_server.url}/api/v1/user", replacement)[0] == 403
    page.get_by_role("link", name="Check again").click()
    expect(page.get_by_role("heading", name="it needs account.read")).to_be_visible()
    assert call(f"{live_server.url}/api/v1/cli/projects", replacement)[0] == 200
    page.get_by_role("link", name="Check again").click()
    expect(page.get_by_role("heading", name="The replacement works")).to_be_visible()
    page.get_by_role("link", name="Continue to revoke").click()
    page.get_by_label("In some hours").check()
    page.get_by_role("button", name="Schedule revocation").click()
    expect(page.get_by_text("Until then both work.")).to_be_visible()
    page.get_by_label("Now", exact=False).first.check()
    page.get_by_role("button", name="Revoke old token").click()
    expect(page.get_by_role("heading", name="Rotation finished")).to_be_visible()
    assert call(f"{live_server.url}/api/v1/cli/projects", value)[0] == 401
    assert watch.times_received(replacement) == 1
    assert watch.faults == []
    context.close()


def test_a_lost_answer_is_cancelled_and_begun_again(
    page: Page, live_server: Any, alice: User
) -> None:
    old, _ = begin(alice, updated=False)
    sign_in(page, live_server.url, alice)
    page.get_by_role("link", name="Continue gitlab-release").click()
    page.get_by_role("link", name="I did not see it").click()
    page.get_by_role("button", name="Revoke it and begin again").click()
    expect(page.get_by_text("was cancelled")).to_be_visible()
    page.get_by_role("button", name="Create replacement").last.click()
    expect(page.get_by_role("heading", name="Copy the replacement now")).to_be_visible()
    kinds = AccessToken.objects.filter(replaces=old).values_list("revoke_kind", flat=True)
    assert sorted(kinds) == ["", "cancelled"]
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Close anyway").click()
    expect(page.get_by_role("heading", name="The replacement has been shown")).to_be_visible()


def watching(request: Request | Response) -> bool:
    return "/watch" in request.url


def polls(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if watching(request) else None)
    return asked


def open_with_a_standing_clock(page: Page, address: str) -> None:
    """Open a page whose timers wait until the test lets time pass."""
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
    page.goto(address)


def test_a_page_that_is_not_looked_at_asks_nothing(
    page: Page, live_server: Any, alice: User
) -> None:
    old, _ = begin(alice)
    sign_in(page, live_server.url, alice)
    open_with_a_standing_clock(page, live_server.url + path(old, "/confirm"))
    asked = polls(page)
    page.clock.run_for(1_999)
    assert asked == []
    with page.expect_response(watching):
        page.clock.run_for(1)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, writable: true })")
    page.clock.run_for(4_500)
    assert len(asked) == 1
    with page.expect_response(watching):
        page.evaluate(
            "document.hidden = false; document.dispatchEvent(new Event('visibilitychange'))"
        )
    assert len(asked) == 2


def test_a_page_stops_after_half_an_hour_and_says_so(
    page: Page, live_server: Any, alice: User
) -> None:
    old, _ = begin(alice)
    sign_in(page, live_server.url, alice)
    open_with_a_standing_clock(page, live_server.url + path(old, "/confirm"))
    page.clock.fast_forward("30:05")
    note = page.locator("[data-watch-note]")
    expect(note).to_contain_text("Paused after half an hour.")
    expect(page.locator("#watch-says")).to_contain_text("Paused after half an hour.")
    asked = polls(page)
    page.clock.run_for(10_000)
    assert asked == []
    page.get_by_role("link", name="Check again").click()
    expect(note).to_be_hidden()
    with page.expect_response(watching):
        page.clock.run_for(2_500)
    assert len(asked) == 2


def test_a_lost_connection_stops_the_page_once(page: Page, live_server: Any, alice: User) -> None:
    old, _ = begin(alice)
    sign_in(page, live_server.url, alice)
    page.goto(live_server.url + path(old, "/confirm"))
    page.route("**/watch**", lambda route: route.abort())
    expect(page.locator("[data-watch-note]")).to_contain_text("Connection lost.")
    toast = page.locator(".toast")
    expect(toast).to_have_count(1)
    expect(toast).to_contain_text("Connection lost. This page stopped watching.")
    # The page's own region has said it, and nothing is said twice.
    expect(page.locator("#announcer")).to_be_empty()
    page.unroute("**/watch**")
    with page.expect_response(watching):
        toast.get_by_role("button", name="Reconnect").click()
    expect(toast).to_have_count(0)
    expect(page.locator("[data-watch-note]")).to_be_hidden()


def test_two_tabs_of_one_rotation_end_in_the_same_place(
    page: Page, live_server: Any, alice: User
) -> None:
    old, made = begin(alice)
    assert call(f"{live_server.url}/api/v1/user", made.plaintext.reveal())[0] == 200
    sign_in(page, live_server.url, alice)
    other = page.context.new_page()
    # It lies behind the first and asks nothing; otherwise its next look would turn it by itself.
    other.add_init_script("Object.defineProperty(document, 'hidden', { value: true })")
    for tab in (page, other):
        tab.goto(live_server.url + path(old, "/revoke"))
    page.get_by_role("button", name="Revoke old token").click()
    expect(page.get_by_role("heading", name="Rotation finished")).to_be_visible()
    other.get_by_role("button", name="Revoke old token").click()
    expect(other.get_by_role("heading", name="Rotation finished")).to_be_visible()
    assert AccessToken.objects.filter(revoked_at=None).count() == 1
