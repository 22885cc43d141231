"""A terminal signs in: with a browser beside it, with the keyboard alone, and without scripts."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import PASSWORD
from tests.device import CLI, DEFAULT
from tests.journeys.test_main_job import TOKEN, call
from tests.journeys.watch import Watch, pieces
from tests.test_secret_nowhere import everything_stored
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"


class Terminal:
    """What runs on somebody's machine: it begins, shows a code, and asks for its token."""

    def __init__(self, url: str, scopes: list[str] | None = None) -> None:
        self._url = url
        self.flow = self._post(
            "/api/oauth/device", {"client_name": CLI, "scopes": scopes or DEFAULT}
        )[1]

    @property
    def code(self) -> str:
        return str(self.flow["user_code"])

    @property
    def page(self) -> str:
        # The address in the answer is the installation's, not the one this test happens to use.
        return f"{self._url}/device?user_code={self.code}"

    def poll(self) -> tuple[int, dict[str, Any]]:
        sent = {"device_code": self.flow["device_code"], "grant_type": GRANT_TYPE}
        return self._post("/api/oauth/token", sent)

    def _post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json", "User-Agent": "node"}
        request = urllib.request.Request(  # noqa: S310
            self._url + path, json.dumps(body).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def sign_in_there(page: Page, address: str, user: User) -> None:
    """Open an address as somebody who is not signed in yet, and go on to it."""
    page.goto(address)
    page.get_by_label("Email").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_alice_approves_fewer_scopes_and_the_terminal_works(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    terminal = Terminal(live_server.url)
    assert terminal.poll()[0] == 428
    sign_in_there(page, terminal.page, alice)
    expect(page.get_by_role("heading", name="Approve this sign-in?")).to_be_focused()
    expect(page.locator(".device__code")).to_have_text(terminal.code)
    expect(page.get_by_text("(not verified)")).to_be_visible()
    page.get_by_label("Run inference requests").uncheck()
    page.get_by_label("Access ends").select_option("7")
    page.get_by_role("button", name="Approve access").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_focused()
    status, answer = terminal.poll()
    token = answer["access_token"]
    assert status == 200
    assert TOKEN.fullmatch(token)
    assert answer["scope"] == "projects.read deployments.read account.read"
    assert call(f"{live_server.url}/api/v1/user", token)[1]["email"] == alice.email

    # The value went to the terminal and nowhere else.
    page.get_by_role("link", name="Back to tokens").first.click()
    row = page.get_by_role("row").filter(has_text=CLI)
    expect(row).to_contain_text("Created by device login")
    assert watch.times_received(token) == 0
    assert watch.stored_pieces(token) == []
    assert [piece for piece in pieces(token[7:]) if piece in everything_stored()] == []
    assert watch.faults == []


def test_the_keyboard_alone_types_a_code_and_denies(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    terminal = Terminal(live_server.url, ["projects.read", "keys.write"])
    sign_in_there(page, f"{live_server.url}/device", alice)
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type("bcdf ghjk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No request has that code.")
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type(terminal.code.replace("-", "").lower())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Approve this sign-in?")).to_be_focused()
    # Whoever presses Enter without reading does no harm: the first button of the form is Deny.
    page.get_by_label("Create and manage API keys").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Denied")).to_be_focused()
    assert terminal.poll()[0] == 403
    assert not AccessToken.objects.exists()
    assert watch.faults == []


def test_a_mistake_keeps_the_choices_and_moves_the_focus(
    page: Page, live_server: Any, alice: User
) -> None:
    watch = Watch(page)
    terminal = Terminal(live_server.url)
    sign_in_there(page, terminal.page, alice)
    page.get_by_label("Access ends").select_option("90")
    for box in page.locator("[name=scopes]").all():
        box.uncheck()
    page.get_by_role("button", name="Approve access").click()
    scopes = page.get_by_role("group", name="It asks for")
    expect(scopes).to_contain_text("Choose at least one scope, or deny.")
    expect(scopes).to_be_focused()
    expect(page.get_by_label("Access ends")).to_have_value("90")
    expect(page.locator("[name=scopes]:checked")).to_have_count(0)
    assert watch.faults == []


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A page without scripts."""
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_all_of_it_works_without_scripts(plain: Page, live_server: Any, alice: User) -> None:
    first, second, third = (Terminal(live_server.url) for _ in range(3))
    sign_in_there(plain, f"{live_server.url}/device", alice)
    plain.get_by_label("Code").fill("ZZZZ-ZZZZ")
    plain.get_by_role("button", name="Continue").click()
    expect(plain.get_by_role("alert")).to_contain_text("No request has that code.")
    plain.get_by_label("Code").fill(first.code)
    plain.get_by_role("button", name="Continue").click()
    plain.get_by_role("button", name="Approve access").click()
    expect(plain.get_by_role("heading", name="Approved")).to_be_visible()
    assert first.poll()[0] == 200
    # Loading the answer again asks nothing and sends nothing.
    plain.reload()
    expect(plain.get_by_text(f"listed as {CLI}")).to_be_visible()
    plain.goto(second.page)
    plain.get_by_label(f"{CLI} sk_pat_").check()
    plain.get_by_role("button", name="Approve access").click()
    expect(plain.get_by_role("heading", name="Approved")).to_be_visible()
    assert second.poll()[0] == 200
    assert sorted(AccessToken.objects.values_list("revoke_kind", flat=True)) == ["", "owner"]
    plain.goto(third.page)
    plain.get_by_role("button", name="Deny").click()
    expect(plain.get_by_role("heading", name="Denied")).to_be_visible()
    assert third.poll()[0] == 403
