"""Use made visible: alice looks at who calls, leaves a scope out, mutes what she expects, and revokes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue
from tests.journeys.test_accessibility import judge, page as viewed  # noqa: F401 - a fixture
from tests.journeys.test_main_job import sign_in
from tests.journeys.watch import Watch
from tokens import usage
from tokens.models import AccessToken, MutedScope
from tokens.origin import Consumer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DAY = timedelta(days=1)
LAPTOP = Consumer("203.0.113.0/24", "Node.js client", "laptop/alice")
MONTHLY = Consumer("198.51.100.0/24", "curl")


@pytest.fixture
def token(alice: User) -> AccessToken:
    now = timezone.now()
    scopes = ["inference", "projects.read", "account.read"]
    made = issue(
        alice, "ops-runner", scopes=scopes, at=now - 133 * DAY, expires_at=now + 48 * DAY
    ).token
    uses = [
        *((DAY * each, LAPTOP, "projects.read", True) for each in range(29)),
        *((DAY * (19 + 29 * each), MONTHLY, "account.read", True) for each in range(4)),
        *((DAY * each, LAPTOP, "deployments.write", False) for each in range(5)),
    ]
    for ago, by, scope, allowed in sorted(uses, key=lambda each: each[0], reverse=True):
        usage.record(
            token_id=made.pk,
            scope=scope,
            consumer=by,
            address="203.0.113.7",
            at=now - ago,
            allowed=allowed,
        )
        usage.flush()
    return made


@pytest.fixture(params=[True, False], ids=["scripting", "no scripting"])
def either(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=request.param, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_alice_sees_who_uses_a_token_and_acts_on_it(
    either: Page, live_server: Any, alice: User, token: AccessToken
) -> None:
    page, watch = either, Watch(either)
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/settings/tokens/{token.public_id}")
    expect(page.get_by_text("30 requests on 29 of 30 days")).to_be_visible()
    page.get_by_text("Show as a table").click()
    expect(page.get_by_role("region", name="Requests, last 30 days")).to_be_visible()
    expect(page.get_by_text("Monthly job, last seen 19 days ago")).to_be_visible()

    page.get_by_role("button", name="Expected, mute").click()
    expect(page.locator("#toasts")).to_contain_text("Calls refused for deployments.write muted")
    expect(page.get_by_text("Muted: deployments.write, 5 calls, by you")).to_be_visible()
    assert MutedScope.objects.get().scope == "deployments.write"
    page.get_by_role("button", name="Unmute").click()
    expect(page.get_by_text("5 calls refused for deployments.write")).to_be_visible()

    page.get_by_role("link", name="Leave it out").click()
    expect(page.get_by_label("inference")).to_be_checked()
    expect(page.get_by_label("projects.read")).not_to_be_checked()
    page.get_by_label("Remove the ticked scopes now").check()
    page.get_by_role("button", name="Remove scopes").click()
    expect(page.locator("#toasts")).to_contain_text("1 scope removed")
    expect(page.get_by_role("link", name="Leave it out")).to_have_count(0)

    page.get_by_role("link", name="Start a replacement with it").click()
    expect(page.get_by_text("These values came from a link")).to_be_visible()
    expect(page.get_by_role("button", name="Create token")).to_be_visible()
    page.goto(f"{live_server.url}/settings/tokens/{token.public_id}")

    page.get_by_role("link", name="Revoke…").click()
    expect(page.get_by_text("Breaks 203.0.113.0/24 and 198.51.100.0/24.")).to_be_visible()
    expect(page.get_by_text("Easy to forget: 198.51.100.0/24")).to_be_visible()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Tick this to stop what is in use")).to_be_visible()
    assert AccessToken.objects.get().revoked_at is None
    page.get_by_label("Stop 203.0.113.0/24 and 198.51.100.0/24 now.").check()
    page.get_by_role("button", name="Revoke token").click()
    expect(page.get_by_text("Revoked by you").first).to_be_visible()
    assert watch.faults == []


def test_the_keyboard_stays_where_it_was(
    page: Page, live_server: Any, alice: User, token: AccessToken
) -> None:
    sign_in(page, live_server.url, alice)
    page.goto(f"{live_server.url}/settings/tokens/{token.public_id}")
    page.get_by_role("button", name="Expected, mute").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Refused calls")).to_be_focused()
    page.get_by_role("button", name="Unmute").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Refused calls")).to_be_focused()
    expect(page.get_by_role("button", name="Expected, mute")).to_be_visible()


def test_use_is_accessible_at_every_width(
    viewed: Page,  # noqa: F811 - the fixture
    live_server: Any,
    alice: User,
    token: AccessToken,
) -> None:
    page, watch = viewed, Watch(viewed)
    sign_in(page, live_server.url, alice)
    here = f"{live_server.url}/settings/tokens/{token.public_id}"
    page.goto(here)
    judge(page, "use")
    page.get_by_text("Show as a table").click()
    judge(page, "use as a table")
    page.get_by_role("button", name="Expected, mute").click()
    page.get_by_role("button", name="Unmute").wait_for()
    judge(page, "muted")
    page.get_by_role("link", name="Revoke…").click()
    page.get_by_role("dialog").wait_for()
    page.get_by_role("button", name="Revoke token").click()
    page.get_by_text("Tick this to stop what is in use").wait_for()
    judge(page, "who breaks, with an error")
    page.goto(f"{here}/scopes?remove=inference")
    judge(page, "leave it out")
    assert watch.faults == []
