"""The components look as they were specified: colours, sizes, radii and type, as computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from playwright.sync_api import Browser, Page

from skytells_console.models import User
from tests.cast import PASSWORD, issue, origin
from tests.journeys.figures import (
    AT_THE_GATE,
    COLOURS,
    CREATE_ON_A_PHONE,
    IN_THE_REVOKE_DIALOG,
    IN_THE_SECRET_DIALOG,
    LIGHT_SHADOWS,
    ON_A_PHONE,
    ON_CREATE,
    ON_THE_DETAIL_PAGE,
    ON_THE_LIST,
    SCRIM,
    Figures,
)
from tests.journeys.test_list import furnish
from tests.journeys.test_main_job import fill_in, sign_in
from tokens import lifecycle
from tokens.models import AccessToken

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/settings/tokens"
NEW = f"{LIST}/new"

READ = """([selector, names]) => {
    const element = document.querySelector(selector);
    if (!element) return null;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const measured = { height: box.height, width: box.width };
    const pixels = (name) => `${+measured[name].toFixed(2)}px`;
    const one = (name) => (name in measured ? pixels(name) : style.getPropertyValue(name));
    return Object.fromEntries(names.map((name) => [name, one(name)]));
}"""


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Browser, scheme: str) -> Iterator[Page]:
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def rgb(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


def differences(page: Page, figures: Figures, scheme: str) -> list[str]:
    """Return every figure that the browser computes otherwise, in words."""
    found = []
    for selector, wanted in figures.items():
        computed = page.evaluate(READ, [selector, list(wanted)])
        assert computed is not None, f"{selector} is not on the page."
        for name, value in wanted.items():
            right = rgb(COLOURS[value][scheme == "dark"]) if value.startswith("--") else value
            seen = computed[name]
            if name == "font-family":
                seen = seen.split(",")[0].strip('"')
            if seen != right:
                found.append(f"{selector} {name}: {seen}, not {right} ({value})")
    return found


def test_the_colours_are_the_specified_ones(
    page: Page, scheme: str, live_server: Any, alice: User
) -> None:
    page.goto(f"{live_server.url}/account/sign-in")
    resolve = """([name, theme]) => {
        if (theme) document.documentElement.dataset.theme = theme;
        document.body.style.color = `var(${name})`;
        return getComputedStyle(document.body).color;
    }"""
    for name, both in COLOURS.items():
        assert page.evaluate(resolve, [name, ""]) == rgb(both[scheme == "dark"]), name
    for name, both in COLOURS.items():
        for theme, colour in zip(("light", "dark"), both, strict=True):
            assert page.evaluate(resolve, [name, theme]) == rgb(colour), (name, theme)


def test_every_component_has_the_specified_figures(
    page: Page, scheme: str, live_server: Any, alice: User
) -> None:
    page.goto(f"{live_server.url}/account/sign-in")
    assert differences(page, AT_THE_GATE, scheme) == []
    sign_in(page, live_server.url, alice)
    furnish(alice)
    page.goto(f"{live_server.url}{LIST}")
    assert differences(page, ON_THE_LIST, scheme) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert differences(page, ON_A_PHONE, scheme) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    token = AccessToken.objects.get(name="gitlab-release")
    page.goto(f"{live_server.url}{LIST}/{token.public_id}")
    assert differences(page, ON_THE_DETAIL_PAGE, scheme) == []
    page.locator("#revoke-token").click()
    page.get_by_role("dialog").wait_for()
    assert differences(page, IN_THE_REVOKE_DIALOG, scheme) == []
    scrim = "getComputedStyle(document.querySelector('.dialog'), '::backdrop').backgroundColor"
    assert page.evaluate(scrim) == SCRIM[scheme]


def test_the_create_page_and_the_secret_have_the_specified_figures(
    page: Page, scheme: str, live_server: Any, alice: User
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{NEW}")
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("2 things to fix").wait_for()
    wrong = {key: ON_CREATE[key] for key in (".matrix", ".errsum", ".err", "#id_name")}
    assert differences(page, wrong, scheme) == []
    page.get_by_role("button", name="CI deploy").click()
    page.get_by_role("button", name="CI deploy", pressed=True).wait_for()
    page.get_by_label("No expiration").check()
    calm = {key: each for key, each in ON_CREATE.items() if key not in wrong}
    assert differences(page, calm, scheme) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert differences(page, CREATE_ON_A_PHONE, scheme) == []
    page.set_viewport_size({"width": 1280, "height": 900})
    fill_in(page, "cli-macbook", "account.read")
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("dialog", name="Copy your token now").wait_for()
    assert differences(page, IN_THE_SECRET_DIALOG, scheme) == []


def test_filters_that_overlap_stay_in_one_line(page: Page, live_server: Any, alice: User) -> None:
    """Nine filters and the search fit no line of a laptop: none of them is left over alone."""
    furnish(alice)
    lifecycle.pause(token=issue(alice, "paused").token, until=None, origin=origin(alice))
    old = issue(alice, "rotating").token
    wish = lifecycle.RotationWish(scopes=old.scope_names, expires_at=old.expires_at)
    lifecycle.rotate(token=old, wish=wish, origin=origin(alice))
    sign_in(page, live_server.url, alice)
    lines = """() => [...document.querySelectorAll('.chips__group')].map((group) =>
        new Set([...group.children].map((chip) => chip.getBoundingClientRect().top)).size)"""
    assert page.locator(".list .chip").count() == 9
    assert page.evaluate(lines) == [1, 1]


def test_who_is_asked_to_confirm_stands_alone(page: Page, live_server: Any, alice: User) -> None:
    """Also where the question takes the place of a form, the navigation is gone until the answer."""
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}{NEW}")
    fill_in(page, "cli-macbook", "account.read")
    forget_the_proof()
    page.get_by_role("button", name="Create token").click()
    page.get_by_text("Next: create cli-macbook, with 1 scope, until").wait_for()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.get_by_role("link").all_inner_texts() == [
            "Skip to content",
            "Skytells Console",
            "Cancel",
        ]
        assert page.locator(".gate").evaluate("gate => gate.offsetWidth") == min(400, width - 32)
    page.get_by_label("Password for").fill(PASSWORD)
    page.get_by_role("button", name="Confirm and create token").click()
    page.get_by_role("heading", name="Copy your token now").wait_for()


def forget_the_proof() -> None:
    (session,) = Session.objects.all()
    store = SessionStore(session.session_key)
    store["account_authentication_methods"] = []
    store.save()


def test_focus_is_a_ring_of_two_pixels(
    page: Page, scheme: str, live_server: Any, alice: User
) -> None:
    issue(alice)
    sign_in(page, live_server.url, alice)
    ring = {"outline-style": "solid", "outline-width": "2px", "outline-color": "--focus"}
    for selector, offset in (
        (".page__actions .btn--primary", "2px"),
        (".chip", "2px"),
        ("#id_q", "-1px"),
    ):
        page.keyboard.press("Tab")
        page.locator(selector).first.focus()
        figures = {f"{selector}:focus-visible": {**ring, "outline-offset": offset}}
        assert differences(page, figures, scheme) == []


def test_shadows_and_motion_are_the_specified_ones(
    browser: Browser, live_server: Any, alice: User
) -> None:
    issue(alice)
    context = browser.new_context(color_scheme="light", reduced_motion="no-preference")
    page = context.new_page()
    page.goto(f"{live_server.url}/account/sign-in")
    assert_shadow(page, ".gate", 2)
    sign_in(page, live_server.url, alice)
    assert_shadow(page, ".list", 1)
    button = page.evaluate(
        READ, [".btn--primary", ["transition-duration", "transition-timing-function"]]
    )
    assert set(button["transition-duration"].split(", ")) == {"0.12s"}
    assert "cubic-bezier(0.2, 0.7, 0.2, 1)" in button["transition-timing-function"]
    page.locator("tbody summary").click()
    page.locator(".menu__item--danger").click()
    page.get_by_role("dialog").wait_for()
    assert_shadow(page, ".dialog", 3)
    dialog = page.evaluate(READ, [".dialog", ["animation-duration"]])
    assert dialog == {"animation-duration": "0.18s"}
    context.close()


def assert_shadow(page: Page, selector: str, level: int) -> None:
    drawn = page.evaluate(READ, [selector, ["box-shadow"]])["box-shadow"]
    assert all(f"rgba(7, 24, 36, {each}" in drawn for each in LIGHT_SHADOWS[level]), drawn
