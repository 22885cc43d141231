"""The admin in a real browser: accessible in every state, by keyboard alone, and without scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from skytells_console.models import User
from tests.cast import issue, make_user, origin
from tests.journeys.test_accessibility import judge
from tests.journeys.test_main_job import sign_in
from tests.journeys.watch import Watch
from tests.views.test_listing import use
from tokens import lifecycle, policy_change, relying_parties
from tokens.models import AccessToken, Policy, TokenEvent

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Look = Callable[[Page, str], None]
VIEWS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
LIST = "/admin/tokens/accesstoken/"


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme, width = request.param
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def root(db: None) -> User:
    return make_user("root@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def field(alice: User, bob: User) -> dict[str, AccessToken]:
    """A token in use, one without an end, and one that has ended."""
    made = {
        "busy": issue(alice, "gitlab-release", scopes=["projects.read", "projects.write"]).token,
        "endless": issue(bob, "billing-export", expires_at=None).token,
        "ended": issue(bob, "old-thinkpad").token,
    }
    use(made["busy"], timezone.now() - timedelta(minutes=5), "203.0.113.40")
    lifecycle.revoke(token=made["ended"], origin=origin(bob))
    return made


def in_two_walks(page: Page, walk: Callable[[Look], None]) -> None:
    """Walk once by itself, which must violate no policy, and once more with axe.

    Where there are form fields axe sets styles of its own while it measures, and Chromium reports
    those; so the policy is judged before axe ever ran in the browser.
    """
    watch = Watch(page)
    walk(lambda page, where: None)
    assert watch.faults == []
    walk(judge)


def test_every_page_of_the_admin_is_accessible(
    page: Page, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    service = relying_parties.create(
        name="billing", scopes=["projects.read"], origin=origin()
    ).service
    sign_in(page, live_server.url, root)
    busy, event = field["busy"], TokenEvent.objects.latest("id")
    pages = {
        "front page": "/admin/",
        "tokens": LIST,
        "tokens by a filter": f"{LIST}?status=active&scope=writes",
        "tokens by a search": f"{LIST}?q=gitlab",
        "no tokens": f"{LIST}?q=nothing-like-this",
        "a token": f"{LIST}{busy.pk}/change/",
        "an ended token": f"{LIST}{field['ended'].pk}/change/",
        "revoke preview": f"/admin/revoke/?id={busy.public_id}&id={field['endless'].public_id}",
        "people": "/admin/skytells_console/user/",
        "a person": f"/admin/skytells_console/user/{busy.owner_id}/change/",
        "deactivate": f"/admin/people/{busy.owner_id}/deactivate/",
        "services": "/admin/tokens/service/",
        "a service": f"/admin/tokens/service/{service.pk}/change/",
        "revoke a service": f"/admin/services/{service.pk}/revoke/",
        "events": "/admin/tokens/tokenevent/",
        "events by a filter": "/admin/tokens/tokenevent/?kind=token.created&since=1",
        "an event": f"/admin/tokens/tokenevent/{event.pk}/change/",
        "identify": "/admin/identify/",
        "policy": "/admin/policy/",
    }

    def walk(look: Look) -> None:
        for where, path in pages.items():
            page.goto(live_server.url + path)
            expect(page.locator("#content h1")).to_be_visible()
            look(page, where)

    in_two_walks(page, walk)


def test_every_answer_of_the_admin_is_accessible(
    page: Page, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    sign_in(page, live_server.url, root)

    def walk(look: Look) -> None:
        page.goto(f"{live_server.url}/admin/revoke/?id={field['busy'].public_id}")
        page.get_by_role("button", name="Revoke 1 token").click()
        expect(page.get_by_text("Tick this to stop what is in use")).to_be_visible()
        look(page, "revoke, not ticked")
        page.goto(f"{live_server.url}/admin/identify/")
        page.get_by_role("textbox").fill("zz")
        page.get_by_role("button", name="Identify").click()
        expect(page.get_by_text("neither a whole value nor its last four")).to_be_visible()
        look(page, "identify, refused")
        page.get_by_role("textbox").fill(field["busy"].last4)
        page.get_by_role("button", name="Identify").click()
        expect(page.get_by_role("link", name="gitlab-release")).to_be_visible()
        look(page, "identify, found")
        page.goto(f"{live_server.url}/admin/policy/")
        page.get_by_label("Longest lifetime, in days").fill("0")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_text("Some rules need another look")).to_be_visible()
        look(page, "policy with errors")
        page.get_by_label("Longest lifetime, in days").fill("20")
        page.get_by_label("Allow “No expiration”").uncheck()
        page.get_by_label("Allowed networks").fill("192.0.2.0/24")
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("heading", name="Preview")).to_be_focused()
        expect(page.get_by_text("out of policy;")).to_be_visible()
        look(page, "policy preview")

    in_two_walks(page, walk)


def test_staff_without_a_right_get_a_readable_refusal(
    page: Page, live_server: Any, carol: User
) -> None:
    carol.user_permissions.add(Permission.objects.get(codename="view_accesstoken"))
    sign_in(page, live_server.url, carol)
    page.goto(f"{live_server.url}/admin/")
    expect(page.get_by_role("link", name="Tokens", exact=True)).to_be_visible()
    judge(page, "front page of carol")
    answer = page.goto(f"{live_server.url}/admin/policy/")
    assert answer is not None
    assert answer.status == 403
    judge(page, "403")


def press_until_focused(page: Page, name: str) -> None:
    """Move on with Tab until the button of that name has the focus."""
    button = page.get_by_role("button", name=name, exact=True)
    for _ in range(120):
        if button.evaluate("button => button === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{name} is not reached by Tab.")


def test_a_token_is_revoked_by_keyboard_alone(
    browser: Browser, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, live_server.url, root)
    page.goto(f"{live_server.url}/admin/revoke/?id={field['busy'].public_id}")
    press_until_focused(page, "Revoke 1 token")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Stop what is in use. This cannot be undone.")).to_be_focused()
    page.keyboard.press("Space")
    press_until_focused(page, "Revoke 1 token")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 token revoked. The owners are told by mail.")).to_be_visible()
    field["busy"].refresh_from_db()
    assert field["busy"].revoke_kind == "admin"
    context.close()


def test_a_policy_is_saved_by_keyboard_alone(
    browser: Browser, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, live_server.url, root)
    page.goto(f"{live_server.url}/admin/policy/")
    page.get_by_label("Longest lifetime, in days").focus()
    page.keyboard.type("20")
    press_until_focused(page, "Preview")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Preview")).to_be_focused()
    press_until_focused(page, "Save")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Policy saved.")).to_be_visible()
    assert Policy.objects.get().max_lifetime_days == 20
    context.close()


def test_the_admin_works_with_scripting_off(
    browser: Browser, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, root)
    page.goto(live_server.url + LIST)
    row = page.get_by_role("row").filter(has_text="billing-export")
    row.locator("input[name=_selected_action]").check()
    page.locator("select[name=action]").select_option("revoke_selected")
    page.locator("button[name=index]").click()
    expect(page.get_by_role("heading", name="Revoke 1 token?")).to_be_visible()
    page.get_by_role("button", name="Revoke 1 token").click()
    expect(page.get_by_text("1 token revoked.")).to_be_visible()
    page.goto(f"{live_server.url}/admin/policy/")
    page.get_by_label("Longest lifetime, in days").fill("20")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Policy saved.")).to_be_visible()
    context.close()


def test_a_long_count_tells_how_far_it_is_without_a_script(
    browser: Browser, live_server: Any, root: User, field: dict[str, AccessToken]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server.url, root)
    page.goto(f"{live_server.url}/admin/policy/")
    page.get_by_label("Longest lifetime, in days").fill("20")
    at_half, seen = threading.Event(), threading.Event()

    class HeldUp(policy_change.Counting):
        def __iter__(self) -> Iterator[float]:
            yield from (0.25, 0.5)
            at_half.set()
            assert seen.wait(30)
            yield from super().__iter__()

    with (
        mock.patch("tokens.policy_change.effect.STRETCH", 1),
        mock.patch("tokens.policy_change.Counting", HeldUp),
    ):
        page.get_by_role("button", name="Preview").click(no_wait_after=True)
        assert at_half.wait(30)
        expect(page.get_by_text("Counting what breaks these rules: 50 %")).to_be_visible()
        expect(page.get_by_text("Counting what breaks these rules: 25 %")).to_be_hidden()
        expect(page.get_by_role("heading", name="Preview")).to_have_count(0)
        seen.set()
        expect(page.get_by_role("heading", name="Preview")).to_be_focused()
    expect(page.get_by_text("Counting what breaks these rules: 100 %")).to_be_hidden()
    expect(page.get_by_label("Longest lifetime, in days")).to_have_value("20")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Policy saved.")).to_be_visible()
    context.close()
