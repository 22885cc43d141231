from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, sign_in
from tests.device import CLI, DEFAULT, TERMINAL, approve, redeem, row, start
from tests.views.pages import HTMX, LIST, text_of
from tokens.device_flow import Reply, Started
from tokens.models import AccessToken, DeviceGrant, Policy, TokenEvent

ENTER, APPROVE, DENY = "/device", "/device/approve", "/device/deny"


@pytest.fixture(autouse=True)
def noon(clock: Clock) -> Clock:
    """Let everybody sign in at noon, so that their proof is fresh."""
    return clock


@pytest.fixture
def started(clock: Clock, alice: User) -> Started:
    return start()


def wish(started: Started, **changes: Any) -> dict[str, Any]:
    """Return what a person sends who approves everything as it is offered."""
    code = started.user_code
    return {"user_code": code, "scopes": DEFAULT, "expires": "30"} | changes


def words(answer: Any) -> str:
    """Return an answer's text with single spaces."""
    return re.sub(r"\s+", " ", text_of(answer))


# --- The code ------------------------------------------------------------------------------------


def test_the_entry_page_warns_of_codes_that_somebody_sent(as_alice: Client) -> None:
    page = as_alice.get(ENTER)
    assert page.status_code == 200
    assert "Enter the code your terminal shows after skytells login" in words(page)
    assert "Did someone send you a code? Don’t enter it." in words(page)


@pytest.mark.parametrize("path", [ENTER, APPROVE, DENY, f"{ENTER}?user_code=BCDF-GHJK"])
def test_a_stranger_is_asked_to_sign_in_first(client: Client, db: None, path: str) -> None:
    for method in ("get", "post"):
        answer = getattr(client, method)(path)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/account/sign-in?next=/device")


def test_the_right_code_leads_to_its_request_in_any_writing(
    as_alice: Client, started: Started
) -> None:
    typed = f" {started.user_code[:4].lower()} {started.user_code[4:].lower()} "
    answer = as_alice.post(ENTER, {"user_code": typed}, follow=True)
    assert answer.redirect_chain[0][1] == 303
    assert f"{started.user_code[:4]}-{started.user_code[4:]}" in words(answer)
    assert "Approve this sign-in?" in words(answer)


def test_the_address_that_a_terminal_opens_leads_there_and_changes_nothing(
    as_alice: Client, started: Started
) -> None:
    before = list(DeviceGrant.objects.values())
    for _ in range(10):
        page = as_alice.get(f"{ENTER}?user_code={started.user_code}", follow=True)
        assert page.status_code == 200
        assert "Approve this sign-in?" in words(page)
    assert list(DeviceGrant.objects.values()) == before
    assert not TokenEvent.objects.filter(kind__startswith="device").exists()


WRONG: dict[str, tuple[str, str]] = {
    "unknown": ("BCDF-GHJK", "No request has that code. Check the terminal"),
    "digits": ("ABCD-1234", "A code is eight letters without vowels"),
    "short": ("BCDF", "A code is eight letters without vowels"),
    "long": ("BCDFGHJK" * 500, "A code is eight letters without vowels"),
    "HTML": ("<script>alert(1)</script>", "A code is eight letters without vowels"),
    "NUL": ("\0", "A code is eight letters without vowels"),
    "right to left": ("\u202eBCDF", "A code is eight letters without vowels"),
    "a token": (f"sk_pat_{'0' * 12}", "A code is eight letters without vowels"),
    "empty": ("", "Type the code that your terminal shows."),
    "blank": (" \t ", "Type the code that your terminal shows."),
}


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("typed", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_code_says_what_to_do_and_is_kept(
    as_alice: Client, started: Started, typed: str, sentence: str, htmx: bool
) -> None:
    answer = as_alice.post(ENTER, {"user_code": typed}, headers=HTMX if htmx else {})
    assert answer.status_code == 422
    assert sentence in words(answer)
    assert ("<html" in answer.content.decode()) is not htmx
    if typed == "BCDF":
        assert 'value="BCDF"' in answer.content.decode()
    assert f"sk_pat_{'0' * 12}" not in answer.content.decode()


def test_misses_by_link_count_as_tries_too(as_alice: Client, started: Started) -> None:
    assert as_alice.get(f"{APPROVE}?user_code=ZZZZ-ZZZZ").status_code == 422
    assert as_alice.post(ENTER, {"user_code": "ZZZZ-ZZZZ"}).status_code == 422
    assert as_alice.post(APPROVE, wish(started, user_code="ZZZZ-ZZZZ")).status_code == 422
    assert as_alice.post(DENY, {"user_code": "ZZZZ-ZZZZ"}).status_code == 422
    assert as_alice.get(f"{ENTER}?user_code=ZZZZ-ZZZZ", follow=True).status_code == 422
    for answer in (
        as_alice.post(ENTER, {"user_code": started.user_code}),
        as_alice.get(f"{APPROVE}?user_code={started.user_code}"),
        as_alice.post(APPROVE, wish(started)),
        as_alice.post(DENY, {"user_code": started.user_code}),
    ):
        assert answer.status_code == 429
        assert "Too many tries. Wait 15 minutes." in words(answer)
        assert answer.headers["Retry-After"] == "900"
    assert row(started).approved_at is row(started).denied_at is None


# --- The request ---------------------------------------------------------------------------------


def request_page(client: Client, started: Started, **more: Any) -> Any:
    return client.get(APPROVE, {"user_code": started.user_code}, **more)


def test_the_request_says_who_asks_for_what_from_where_and_until_when(
    as_alice: Client, started: Started, clock: Clock
) -> None:
    clock.tick(minutes=4)
    said = words(request_page(as_alice, started))
    code = f"{started.user_code[:4]}-{started.user_code[4:]}"
    for sentence in (
        f"Your terminal must show {code} If it shows another code, deny.",
        "It will act as alice@example.com",
        f"Calls itself {CLI} (not verified)",
        f"{TERMINAL}, another address than this browser’s",
        "Asked 4 minutes ago",
        "Code ends 13:15 CET",
        "View deployments and logs deployments.read",
        "In 30 days, 24 Dec 2026",
    ):
        assert sentence in said, said


def test_a_request_from_this_very_address_says_so(as_alice: Client, started: Started) -> None:
    page = request_page(as_alice, started, REMOTE_ADDR=TERMINAL)
    assert f"{TERMINAL}, the address you are on now" in words(page)


def test_what_the_client_calls_itself_is_never_in_the_title_nor_markup(
    as_alice: Client, clock: Clock, alice: User
) -> None:
    page = request_page(as_alice, start(name="<b>Skytells</b> asks"))
    body = page.content.decode()
    assert "<b>Skytells" not in body
    assert "<b>Skytells</b> asks (not verified)" in words(page)
    assert "Skytells</b>" not in html.unescape(re.findall(r"<title>(.*?)</title>", body)[0])
    nameless = words(request_page(as_alice, start(name="")))
    assert "Nothing: it gave no name" in nameless


def test_a_scope_that_writes_is_marked(as_alice: Client, clock: Clock, alice: User) -> None:
    page = words(request_page(as_alice, start(["projects.read", "keys.write"])))
    assert "Create and manage API keys It can change things. keys.write" in page
    assert page.count("It can change things.") == 1


def test_approving_needs_a_fresh_proof_and_denying_none(
    as_alice: Client, started: Started, clock: Clock
) -> None:
    clock.tick(minutes=20)
    later = start()
    for answer in (request_page(as_alice, later), as_alice.post(APPROVE, wish(later))):
        assert "Confirm it’s you" in words(answer)
        assert row(later).approved_at is None
    sent = wish(later, scopes=["projects.read"], proof_password=PASSWORD, proof_for="POST")
    approved = as_alice.post(APPROVE, sent, follow=True)
    assert "Go back to your terminal." in words(approved)
    assert row(later).granted_scopes == "projects.read"
    clock.tick(minutes=20)
    other = start()
    denied = as_alice.post(DENY, {"user_code": other.user_code}, headers=HTMX)
    assert "Nothing was shared." in words(denied)
    assert row(other).denied_at == clock.now


@pytest.mark.parametrize("htmx", [False, True])
def test_an_approval_as_offered_grants_what_was_asked_for_thirty_days(
    as_alice: Client, started: Started, alice: User, htmx: bool
) -> None:
    answer = as_alice.post(APPROVE, wish(started), headers=HTMX if htmx else {}, follow=True)
    assert answer.status_code == 200
    assert "Approved Go back to your terminal." in words(answer)
    grant = row(started)
    assert (grant.user, grant.granted_scopes.split()) == (alice, DEFAULT)
    assert f"{grant.token_expires_at:%Y-%m-%d %H:%M}" == "2026-12-24 09:00"
    issued = redeem(started).issued
    assert issued is not None
    after = as_alice.get(APPROVE, {"user_code": started.user_code})
    assert f"It has its token, listed as {CLI}." in words(after)


def test_opening_the_outcome_again_or_sending_again_changes_nothing(
    as_alice: Client, started: Started
) -> None:
    as_alice.post(APPROVE, wish(started))
    kept = list(DeviceGrant.objects.values())
    for answer in (
        as_alice.post(APPROVE, wish(started, scopes=["projects.read"]), headers=HTMX),
        as_alice.post(DENY, {"user_code": started.user_code}, headers=HTMX),
        request_page(as_alice, started),
    ):
        assert "Go back to your terminal." in words(answer)
    assert list(DeviceGrant.objects.values()) == kept
    assert TokenEvent.objects.filter(kind__startswith="device").count() == 1


def test_bob_cannot_see_what_alice_decided(as_bob: Client, started: Started, alice: User) -> None:
    approve(started, alice)
    for answer in (
        request_page(as_bob, started),
        as_bob.post(APPROVE, wish(started)),
        as_bob.post(DENY, {"user_code": started.user_code}),
    ):
        assert answer.status_code == 422
        assert "That code has ended." in words(answer)
    assert row(started).user == alice


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no scope": ({"scopes": []}, "Choose at least one scope, or deny."),
    "a scope that was not asked for": (
        {"scopes": ["projects.read", "keys.write"]},
        "The terminal did not ask for all of these scopes.",
    ),
    "an unknown scope": ({"scopes": ["admin"]}, "The terminal did not ask for all of these"),
    "NUL for a scope": ({"scopes": ["\0"]}, "The terminal did not ask for all of these"),
    "no end": ({"expires": ""}, "Choose when access ends."),
    "never": ({"expires": "never"}, "Choose when access ends."),
    "45 days": ({"expires": "45"}, "Choose when access ends."),
    "minus 30 days": ({"expires": "-30"}, "Choose when access ends."),
    "a fullwidth 30": ({"expires": "\uff13\uff10"}, "Choose when access ends."),
    "somebody else's sign-in": (
        {"end": ["00000000-0000-4000-8000-000000000000"]},
        "One of these sign-ins has ended meanwhile.",
    ),
    "no id at all": ({"end": ["x"]}, "One of these sign-ins has ended meanwhile."),
}


@pytest.mark.parametrize("htmx", [False, True])
@pytest.mark.parametrize(("changes", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_approval_is_422_and_leaves_the_request_waiting(
    as_alice: Client,
    started: Started,
    alice: User,
    changes: dict[str, Any],
    sentence: str,
    htmx: bool,
) -> None:
    earlier = start()
    approve(earlier, alice)
    redeem(earlier)
    sent = wish(started, expires="60", scopes=["account.read"]) | changes
    answer = as_alice.post(APPROVE, sent, headers=HTMX if htmx else {})
    assert answer.status_code == 422
    assert sentence in words(answer)
    body = answer.content.decode()
    assert len(re.findall(r" autofocus\b", body)) == 1
    if "scopes" not in changes:
        assert re.findall(r'name="scopes" value="([a-z.]+)" checked', body) == ["account.read"]
    if "expires" not in changes:
        assert '<option value="60" selected>' in body
    assert row(started).approved_at is None


def test_earlier_sign_ins_are_offered_and_end_only_when_ticked(
    as_alice: Client, started: Started, alice: User, clock: Clock
) -> None:
    assert "End an earlier sign-in" not in words(request_page(as_alice, started))
    made = []
    for _ in range(2):
        earlier = start()
        approve(earlier, alice)
        made.append(redeem(earlier).issued.token)  # type: ignore[union-attr]
    page = request_page(as_alice, started)
    assert "End an earlier sign-in of this client" in words(page)
    assert page.content.decode().count('name="end"') == 2
    assert 'name="end" value="' in page.content.decode()
    assert not re.search(r'name="end" value="[^"]+" checked', page.content.decode())
    as_alice.post(APPROVE, wish(started, end=[str(made[0].public_id)]))
    assert [AccessToken.objects.get(pk=token.pk).revoke_kind for token in made] == ["owner", ""]


def test_a_sign_in_of_somebody_else_is_neither_offered_nor_ended(
    as_bob: Client, started: Started, alice: User, bob: User
) -> None:
    approve(started, alice)
    token = redeem(started).issued.token  # type: ignore[union-attr]
    mine = start()
    assert "End an earlier" not in words(request_page(as_bob, mine))
    assert as_bob.post(APPROVE, wish(mine, end=[str(token.public_id)])).status_code == 422
    assert AccessToken.objects.get().revoked_at is None


def test_the_policy_shortens_what_is_offered(
    as_alice: Client, started: Started, clock: Clock
) -> None:
    Policy.objects.create(created_at=clock.now, max_lifetime_days=10)
    page = request_page(as_alice, started)
    options = re.findall(r'<option value="(\d+)"( selected)?>([^<]+)<', page.content.decode())
    assert options == [
        ("7", "", "In 7 days, 1 Dec 2026"),
        ("30", " selected", "The longest that is allowed, 3 Dec 2026"),
    ]
    as_alice.post(APPROVE, wish(started))
    assert redeem(started).reply is Reply.DELIVERED


def test_a_policy_s_refusal_stands_above_the_form(
    as_alice: Client, started: Started, alice: User, settings: Settings, clock: Clock
) -> None:
    settings.TOKENS_MAX_LIVE = 1
    issue(alice)
    full = as_alice.post(APPROVE, wish(started))
    assert full.status_code == 422
    assert "You have reached 1 active tokens. Revoke one first." in words(full)
    Policy.objects.create(created_at=clock.now, allowed_scopes="account.read")
    forbidden = as_alice.post(APPROVE, wish(started))
    assert "Your administrator does not allow deployments.read" in words(forbidden)


def test_the_query_count_stands_still(
    as_alice: Client, started: Started, alice: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(8):
        earlier = start()
        approve(earlier, alice)
        redeem(earlier)
    with django_assert_max_num_queries(12):
        assert request_page(as_alice, started).content.decode().count('name="end"') == 8


# --- What becomes of it --------------------------------------------------------------------------


def test_the_token_says_how_it_was_made(as_alice: Client, started: Started, alice: User) -> None:
    approve(started, alice)
    token = redeem(started).issued.token  # type: ignore[union-attr]
    assert "Created by device login" in words(as_alice.get(LIST))
    detail = words(as_alice.get(f"{LIST}/{token.public_id}"))
    assert "Created by device login" in detail
    redeem(started)
    assert "Lost on its way" in words(as_alice.get(LIST))
    assert "because its delivery was lost" in words(as_alice.get(f"{LIST}/{token.public_id}"))


def test_the_navigation_and_the_empty_list_speak_of_it(as_alice: Client) -> None:
    page = as_alice.get(LIST)
    # Beside the pages, in the tabs of a phone, and in the empty list itself.
    assert page.content.decode().count('href="/device"') == 3
    assert "On your own computer, skytells login makes one for you." in words(page)


def test_an_address_without_a_code_leads_to_the_entry(as_alice: Client) -> None:
    for address in (APPROVE, f"{APPROVE}?user_code=%20"):
        answer = as_alice.get(address)
        assert (answer.status_code, answer.headers["Location"]) == (302, ENTER)


def test_denying_by_address_alone_does_nothing(as_alice: Client, started: Started) -> None:
    answer = as_alice.get(f"{DENY}?user_code={started.user_code}")
    assert (answer.status_code, answer.headers["Location"]) == (302, ENTER)
    assert row(started).denied_at is None


def test_a_form_without_its_csrf_token_decides_nothing(started: Started, alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    for path in (APPROVE, DENY):
        assert client.post(path, wish(started)).status_code == 403
    assert row(started).approved_at is row(started).denied_at is None


def test_a_disabled_person_approves_nothing(started: Started, alice: User, client: Client) -> None:
    sign_in(client, alice)
    alice.is_active = False
    alice.save()
    assert client.post(APPROVE, wish(started)).status_code == 302
    assert row(started).approved_at is None
