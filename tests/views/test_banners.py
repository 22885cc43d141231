from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.test_rotation import rotate
from tests.views.pages import HTMX, LIST, text_of
from tests.views.test_listing import many
from tokens import lifecycle, policy_change
from tokens.models import AccessToken, Policy

LATER = "/settings/tokens/later"
PAGES = ["/settings/profile", "/settings/password", "/settings/notifications", "/api/docs"]
Announce = Callable[..., None]


def said(client: Client, path: str = "/settings/profile") -> list[str]:
    """Return the lines of the banner on a page."""
    page = client.get(path).content.decode()
    found = re.search(r'<section class="banner look".*?</section>', page, re.DOTALL)
    if found is None:
        return []
    lines = re.findall(r"<li.*?</li>", found[0], re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]*>", "", line)).split()) for line in lines]


def sent(client: Client, path: str = "/settings/profile") -> dict[str, str]:
    """Return what the banner's form sends."""
    page = client.get(path).content.decode()
    fields = re.findall(r'name="(keys|here)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in fields}


def soon(owner: User, clock: Clock, *days: int) -> None:
    for number in days:
        issue(owner, f"in-{number}", expires_at=clock.now + timedelta(days=number))


@pytest.fixture
def announce(clock: Clock, carol: User) -> Announce:
    """Save rules that allow thirty days, and block what is longer from a number of days on."""

    def save(days: float | None) -> None:
        at = None if days is None else clock.now + timedelta(days=days)
        draft = policy_change.Draft(max_lifetime_days=30, blocks_from=at)
        after = Policy.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        policy_change.save(draft, after=after, origin=origin(carol))

    return save


def test_nothing_is_said_while_nothing_needs_a_look(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    issue(alice, "fine")
    for path in [*PAGES, LIST]:
        assert said(as_alice, path) == []


@pytest.mark.parametrize("path", PAGES)
def test_tokens_that_expire_soon_are_told_of_where_the_list_is_not(
    clock: Clock, as_alice: Client, alice: User, path: str
) -> None:
    soon(alice, clock, 2, 5, 8)
    (line,) = said(as_alice, path)
    assert line == (
        "2 tokens expire within 7 days. The first on 25 Nov 2026, 13:00 CET. Show what expires"
    )
    assert said(as_alice, LIST) == []


def test_one_token_is_told_of_as_one(clock: Clock, as_alice: Client, alice: User) -> None:
    soon(alice, clock, 1)
    (line,) = said(as_alice)
    assert line.startswith(
        "1 token expires within 7 days. On 24 Nov 2026, 13:00 CET. Show what expires"
    )


def test_a_rotation_is_told_of_once_it_was_left_for_a_day(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    rotate(issue(alice, "ci", expires_at=clock.now + timedelta(days=60)).token, alice)
    assert said(as_alice) == []
    clock.tick(hours=24)
    (line,) = said(as_alice)
    assert line.startswith(
        "1 rotation is left open. The old token still works. Show what is rotating"
    )


@pytest.mark.parametrize("path", [*PAGES, LIST])
def test_announced_rules_are_told_of_on_every_page(
    clock: Clock, as_alice: Client, alice: User, announce: Announce, path: str
) -> None:
    for name, days in (("long", 60), ("longer", 90), ("short", 30)):
        issue(alice, name, expires_at=clock.now + timedelta(days=days))
    issue(alice, "endless", expires_at=None)
    announce(7)
    (line,) = said(as_alice, path)
    assert line.startswith(
        "2 tokens stop working on 30 Nov 2026, 13:00 CET. Your administrator allows less"
    )
    shown = text_of(as_alice.get(f"{LIST}?status=outside"))
    assert "longer" in shown
    assert "short" not in shown
    clock.tick(days=8)
    (line,) = said(as_alice, LIST)
    assert line.startswith("2 tokens are refused since 30 Nov 2026, 13:00 CET.")


def test_tokens_that_end_before_rules_begin_are_not_threatened_by_them_twice(
    clock: Clock, as_alice: Client, alice: User, announce: Announce
) -> None:
    token = issue(alice, "long", expires_at=clock.now + timedelta(days=60)).token
    announce(7)
    lifecycle.revoke(token=token, origin=origin(alice))
    assert said(as_alice, LIST) == []
    assert said(as_alice) == []


def test_rules_without_a_date_stop_nothing_and_say_nothing(
    clock: Clock, as_alice: Client, alice: User, announce: Announce
) -> None:
    issue(alice, "long", expires_at=clock.now + timedelta(days=60))
    announce(None)
    assert said(as_alice, LIST) == []
    assert said(as_alice) == []
    assert "Out of policy" not in text_of(as_alice.get(LIST))


def test_bob_hears_nothing_of_what_is_alices(
    clock: Clock, as_bob: Client, alice: User, announce: Announce
) -> None:
    soon(alice, clock, 2)
    issue(alice, "long", expires_at=clock.now + timedelta(days=60))
    announce(7)
    assert said(as_bob) == []
    assert said(as_bob, LIST) == []


def test_a_banner_is_hidden_for_a_day_and_comes_back(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    soon(alice, clock, 5)
    answer = as_alice.post(LATER, sent(as_alice, "/settings/password"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/password")
    cookie = answer.cookies["later"]
    assert (cookie["max-age"], cookie["httponly"], cookie["samesite"]) == (86400, True, "Lax")
    assert said(as_alice) == []
    del as_alice.cookies["later"]
    assert len(said(as_alice)) == 1


def test_something_new_is_told_of_although_the_rest_is_hidden(
    clock: Clock, as_alice: Client, alice: User, announce: Announce
) -> None:
    soon(alice, clock, 5)
    as_alice.post(LATER, sent(as_alice))
    assert said(as_alice) == []
    issue(alice, "long", expires_at=clock.now + timedelta(days=60))
    announce(7)
    (line,) = said(as_alice)
    assert line.startswith("1 token stops working")
    as_alice.post(LATER, sent(as_alice))
    assert said(as_alice) == []
    soon(alice, clock, 4)
    (line,) = said(as_alice)
    assert line.startswith("2 tokens expire")


def test_nothing_is_stored_when_it_is_hidden(clock: Clock, as_alice: Client, alice: User) -> None:
    soon(alice, clock, 5)
    fields = sent(as_alice)
    with CaptureQueriesContext(connection) as asked:
        as_alice.post(LATER, fields)
    assert not [each["sql"] for each in asked if re.match("INSERT|UPDATE|DELETE", each["sql"])]


def test_an_answer_to_a_form_is_not_talked_over(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    soon(alice, clock, 5)
    answer = as_alice.post("/settings/notifications/address")
    assert "Copy the address now." in text_of(answer)
    assert "What needs a look" not in answer.content.decode()


def test_htmx_gets_a_word_in_its_place(clock: Clock, as_alice: Client, alice: User) -> None:
    soon(alice, clock, 5)
    answer = as_alice.post(LATER, sent(as_alice), headers=HTMX)
    assert answer.status_code == 200
    assert 'id="site-banner"' in answer.content.decode()
    assert "autofocus" in answer.content.decode()


STRANGE: list[dict[str, Any]] = [
    {},
    {"keys": "", "here": ""},
    {"keys": "policy-00000000." * 4000},
    {"keys": "\x00", "here": "\x00"},
    {"keys": "<script>", "here": "https://evil.example/"},
    {"keys": "a; Path=/", "here": "//evil.example"},
    {"keys": "a", "here": "/\\evil.example"},
    {"keys": "a", "here": "javascript:alert(1)"},
    {"keys": "a", "here": "/a\r\nX-Evil: 1"},
]


@pytest.mark.parametrize("fields", STRANGE, ids=range(len(STRANGE)))
def test_a_forged_form_hides_nothing_and_leads_nowhere_else(
    clock: Clock, as_alice: Client, alice: User, fields: dict[str, Any]
) -> None:
    soon(alice, clock, 5)
    answer = as_alice.post(LATER, fields)
    assert answer.status_code == 303
    assert answer.headers["Location"] == LIST
    assert re.fullmatch(r"[a-z0-9.-]{0,200}", answer.cookies["later"].value)
    assert len(said(as_alice)) == 1


@pytest.mark.parametrize("value", ["", "x" * 5000, "....", "policy-zzzzzzzz", "é"])
def test_a_forged_cookie_hides_nothing(
    clock: Clock, as_alice: Client, alice: User, value: str
) -> None:
    soon(alice, clock, 5)
    as_alice.cookies["later"] = value
    assert len(said(as_alice)) == 1


def test_who_is_not_signed_in_hides_nothing(db: None, client: Client) -> None:
    assert client.post(LATER).status_code == 302
    assert client.get(LATER).status_code == 302


@pytest.mark.parametrize("path", ["/settings/profile", LIST, f"{LIST}?status=outside"])
def test_the_number_of_queries_does_not_grow_with_tokens_nor_with_rules(
    clock: Clock, as_alice: Client, alice: User, announce: Announce, path: str
) -> None:
    def counted() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert as_alice.get(path).status_code == 200
        return len(asked)

    many(alice, 1, clock.now)
    few = counted()
    issue(alice, "long", expires_at=clock.now + timedelta(days=60))
    announce(7)
    many(alice, 300, clock.now)
    assert AccessToken.objects.count() > 300
    assert counted() == few <= 5
