"""The account's pages, as people live them: with and without scripting, by eye and by screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import PASSWORD, issue
from tests.journeys.test_accessibility import VIEWS, judge
from tests.journeys.test_main_job import sign_in
from tests.journeys.watch import Watch
from tokens import ratelimit, usage
from tokens.models import AccessToken
from tokens.origin import Consumer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEW = "another horse battery"


@pytest.fixture(params=[True, False], ids=["with scripting", "without"])
def visitor(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=request.param, color_scheme="light")
    yield context.new_page()
    context.close()


def use(token: AccessToken) -> None:
    usage.record(
        token_id=token.pk,
        scope="account.read",
        consumer=Consumer("203.0.113.0/24", "curl"),
        address="203.0.113.7",
        at=token.created_at,
    )


def this_window_and_the_next(limit: ratelimit.Limit) -> list[datetime]:
    """Return a moment in each: a window may end between what a test counts and what a page asks."""
    now = timezone.now()
    return [now, now + timedelta(seconds=limit.seconds)]


def test_alice_changes_her_zone_and_her_theme(visitor: Page, live_server, alice: User) -> None:
    watch = Watch(visitor)
    sign_in(visitor, live_server.url, alice)
    visitor.get_by_role("link", name="Profile").first.click()
    visitor.get_by_label("Name").fill("Al\u202eice")
    visitor.get_by_role("button", name="Save profile").click()
    expect(visitor.get_by_role("alert")).to_contain_text("1 thing to fix")
    expect(visitor.get_by_label("Name")).to_have_value("Al\u202eice")
    visitor.get_by_label("Name").fill("Alice Ahlberg")
    visitor.get_by_label("Time zone").select_option(label="Tokyo")
    visitor.get_by_role("button", name="Save profile").click()
    expect(visitor.get_by_text("Profile saved")).to_be_visible()
    expect(visitor.get_by_text("Times are shown in Asia/Tokyo")).to_be_visible()

    visitor.get_by_role("radio", name="Dark").check()
    visitor.get_by_role("button", name="Save appearance").click()
    expect(visitor.locator("html")).to_have_attribute("data-theme", "dark")
    visitor.goto(f"{live_server.url}/settings/tokens")
    expect(visitor.locator("body")).to_have_css("background-color", "rgb(10, 19, 25)")
    assert watch.faults == []


def test_alice_chooses_her_mails(visitor: Page, live_server, alice: User) -> None:
    watch = Watch(visitor)
    sign_in(visitor, live_server.url, alice)
    visitor.get_by_role("link", name="Notifications").first.click()
    looks = visitor.get_by_role("group", name="When something needs a look")
    expect(looks.get_by_role("checkbox")).to_have_count(4)
    looks.get_by_label("Unused for 60 days").uncheck()
    looks.get_by_label("A revoked or expired token is still tried").check()
    fixed = visitor.get_by_label("Password changed")
    expect(fixed).to_be_disabled()
    expect(fixed).to_have_accessible_description("With the place it was done from Always sent")
    visitor.get_by_role("button", name="Save notifications").click()
    expect(visitor.get_by_text("Notifications saved")).to_be_visible()
    expect(visitor.get_by_label("Unused for 60 days")).not_to_be_checked()
    expect(visitor.get_by_label("A revoked or expired token is still tried")).to_be_checked()
    assert watch.faults == []


def test_alice_changes_her_password_and_revokes_everything(
    visitor: Page, live_server, alice: User
) -> None:
    for name in ("one", "two"):
        use(issue(alice, name).token)
    watch = Watch(visitor)
    sign_in(visitor, live_server.url, alice)
    visitor.get_by_role("link", name="Password").first.click()
    fields = [
        visitor.get_by_label(name, exact=True)
        for name in ("Current password", "New password", "New password again")
    ]
    for field, value in zip(fields, (PASSWORD, NEW, "another"), strict=True):
        field.fill(value)
    visitor.get_by_role("button", name="Change password").click()
    expect(visitor.get_by_role("alert")).to_be_focused()
    expect(fields[0]).to_have_value("")
    for field, value in zip(fields, (PASSWORD, NEW, NEW), strict=True):
        field.fill(value)
    visitor.get_by_role("button", name="Change password").click()
    expect(visitor.get_by_text("Every other browser is signed out.")).to_be_visible()

    visitor.get_by_role("link", name="Revoke all tokens").click()
    expect(visitor.get_by_role("heading", name="Revoke all 2 tokens?")).to_be_visible()
    visitor.get_by_role("button", name="Revoke 2 tokens").click()
    expect(visitor.get_by_text("Tick the box")).to_be_visible()
    visitor.get_by_label("Stop 203.0.113.0/24 now.").check()
    visitor.get_by_role("button", name="Revoke 2 tokens").click()
    expect(visitor.get_by_text("2 tokens revoked")).to_be_visible()
    assert not AccessToken.objects.filter(revoked_at=None).exists()
    assert watch.faults == []


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme, width = request.param
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


def test_every_page_of_the_account_is_accessible(page: Page, live_server, alice: User) -> None:
    use(issue(alice, "n" * 64).token)
    issue(alice, "short")
    watch = Watch(page)
    for path in ("sign-up", "inactive", "password/reset/key/1-abc", "password/reset/finished"):
        page.goto(f"{live_server.url}/account/{path}")
        judge(page, path)
    sign_in(page, live_server.url, alice)
    for path, button in (("profile", "Save profile"), ("password", "Change password")):
        page.goto(f"{live_server.url}/settings/{path}")
        judge(page, path)
        if path == "profile":
            page.get_by_label("Name").fill("sk_pat_12345678")
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("alert")).to_be_focused()
        judge(page, f"{path} with errors")
    page.goto(f"{live_server.url}/settings/notifications")
    judge(page, "notifications")
    page.get_by_label("Unused for 60 days").evaluate("box => box.value = 'token_created'")
    page.get_by_role("button", name="Save notifications").click()
    expect(page.get_by_role("alert")).to_be_focused()
    judge(page, "notifications with an error")
    page.goto(f"{live_server.url}/settings/tokens/revoke-all")
    judge(page, "revoke all")
    page.get_by_role("button", name="Revoke 2 tokens").click()
    expect(page.get_by_label("Stop 203.0.113.0/24 now.")).to_be_focused()
    judge(page, "revoke all with an error")
    page.goto(f"{live_server.url}/account/sign-out")
    judge(page, "sign out")
    assert watch.faults == []


def test_every_error_page_is_accessible(
    page: Page, live_server, alice: User, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "tests.views.test_error_pages"
    watch = Watch(page)
    sign_in(page, live_server.url, alice)
    for path in ("/forbidden", "/broken", f"/nowhere/{'n' * 200}"):
        page.goto(f"{live_server.url}{path}")
        judge(page, path)
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/account/password/reset")
    page.context.clear_cookies()
    page.get_by_label("Email").fill("alice@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="This form is out of date")).to_be_visible()
    judge(page, "csrf")
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    page.get_by_role("link", name="Reload the form").click()
    page.get_by_label("Email").fill("alice@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="This request makes no sense")).to_be_visible()
    judge(page, "bad request")
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
    for at in this_window_and_the_next(ratelimit.RESET_FROM_ONE_PLACE):
        for _ in range(20):
            ratelimit.password_reset_asked("127.0.0.1", now=at)
    page.goto(f"{live_server.url}/account/password/reset")
    page.get_by_label("Email").fill("alice@example.com")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("heading", name="Too many requests")).to_be_visible()
    judge(page, "too many")
    # The browser itself complains of every status that is not a success; nothing else may.
    assert [fault for fault in watch.faults if "the server responded with" not in fault] == []


def test_a_sixth_proof_is_refused_in_its_place(page: Page, live_server, alice: User) -> None:
    sign_in(page, live_server.url, alice)
    (session,) = Session.objects.all()
    store = SessionStore(session.session_key)
    store["account_authentication_methods"] = []
    store.save()
    for at in this_window_and_the_next(ratelimit.PROOF):
        for _ in range(5):
            ratelimit.proof(alice.pk, now=at)
    page.goto(f"{live_server.url}/settings/tokens/new")
    page.get_by_label("Password for").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text("Too many tries. Wait 5 minutes.")).to_be_visible()
    judge(page, "proof, too many tries")
