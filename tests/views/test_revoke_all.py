from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, origin, sign_in
from tests.device import approve, redeem, start
from tests.views.pages import HTMX, LIST, text_of
from tokens import lifecycle, usage
from tokens.device_flow import Reply
from tokens.models import AccessToken, Notice, TokenEvent
from tokens.origin import Consumer
from tokens.views.revoke_all import _stop

PAGE = "/settings/tokens/revoke-all"


def live(user: User, clock: Clock) -> list[str]:
    return list(AccessToken.objects.owned_by(user).live(clock.now).values_list("name", flat=True))


def use(token: AccessToken, clock: Clock, *, ago: timedelta, address: str = "203.0.113.7") -> None:
    usage.record(
        token_id=token.pk,
        scope="account.read",
        consumer=Consumer("203.0.113.0/24", "curl"),
        address=address,
        at=clock.now - ago,
    )


@pytest.fixture
def browser(clock: Clock, alice: User) -> Client:
    return sign_in(Client(), alice)


def test_the_question_names_every_token_and_what_breaks(
    browser: Client, alice: User, clock: Clock
) -> None:
    used, old, fresh = (issue(alice, name).token for name in ("used", "old", "fresh"))
    use(used, clock, ago=timedelta(minutes=3))
    use(old, clock, ago=timedelta(days=3))
    page = text_of(browser.get(PAGE))
    assert "Revoke all 3 tokens?" in page
    assert "1 of them is in use. Its next request gets 401" in page
    for words in (
        "Breaks 203.0.113.0/24",
        "Last used 3 minutes ago",
        "Breaks nobody we know of",
        "Last used 3 days ago",
        "It has never been used",
        "Stop 203.0.113.0/24 now. This cannot be undone.",
        fresh.masked,
    ):
        assert words in page
    assert page.index("used") < page.index("fresh")


def test_asking_changes_nothing(browser: Client, alice: User, clock: Clock) -> None:
    issue(alice)
    browser.get(PAGE)
    browser.head(PAGE)
    assert live(alice, clock) == ["cli-macbook"]


def test_the_answer_ends_all_of_them_with_an_event_each(
    browser: Client, alice: User, clock: Clock
) -> None:
    for name in ("one", "two", "three"):
        issue(alice, name)
    Notice.objects.all().delete()
    answer = browser.post(PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, LIST)
    assert live(alice, clock) == []
    assert TokenEvent.objects.filter(kind="token.revoked", actor_id=alice.pk).count() == 3
    assert "3 tokens revoked" in text_of(browser.get(LIST))
    # What the owner did is no news to the owner.
    assert Notice.objects.count() == 0


def test_a_repeat_is_harmless(browser: Client, alice: User, clock: Clock) -> None:
    issue(alice)
    browser.post(PAGE)
    first = AccessToken.objects.values().get()
    clock.tick(minutes=1)
    assert browser.post(PAGE).status_code == 303
    assert AccessToken.objects.values().get() == first
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 1
    assert "Nothing was left to revoke" in text_of(browser.get(LIST))
    assert "No token is left to revoke" in text_of(browser.get(PAGE))


def test_what_is_in_use_asks_for_a_tick(browser: Client, alice: User, clock: Clock) -> None:
    use(issue(alice).token, clock, ago=timedelta(hours=1))
    for data in ({}, {"other": "1"}):
        answer = browser.post(PAGE, data)
        assert answer.status_code == 422
        assert "Tick the box to say that this may stop what is in use." in text_of(answer)
    assert live(alice, clock) == ["cli-macbook"]
    assert browser.post(PAGE, {"sure": "yes"}).status_code == 303
    assert live(alice, clock) == []


def test_htmx_gets_the_fragment_and_is_led_away_at_the_end(
    browser: Client, alice: User, clock: Clock
) -> None:
    use(issue(alice).token, clock, ago=timedelta(hours=1))
    refused = browser.post(PAGE, headers=HTMX)
    assert refused.content.decode().strip().startswith('<section id="_revoke_all"')
    done = browser.post(PAGE, {"sure": "yes"}, headers=HTMX)
    assert done.headers["HX-Redirect"] == LIST


def test_only_living_tokens_are_touched(browser: Client, alice: User, clock: Clock) -> None:
    ended = issue(alice, "ended").token
    lifecycle.revoke(token=ended, origin=origin(alice), reason="first reason")
    issue(alice, "expired", expires_at=clock.now + timedelta(hours=2))
    issue(alice, "living")
    clock.tick(hours=3)
    browser = sign_in(Client(), alice)
    assert "Revoke your only token?" in text_of(browser.get(PAGE))
    browser.post(PAGE)
    assert AccessToken.objects.get(name="ended").reason == "first reason"
    assert AccessToken.objects.get(name="expired").revoked_at is None
    assert AccessToken.objects.get(name="living").revoked_at == clock.now


def test_nobody_elses_tokens_are_touched_or_named(
    browser: Client, alice: User, bob: User, clock: Clock
) -> None:
    issue(alice)
    issue(bob, "bobs-own")
    assert "bobs-own" not in text_of(browser.get(PAGE))
    browser.post(PAGE)
    assert live(bob, clock) == ["bobs-own"]


def test_a_stale_proof_is_asked_for_first(browser: Client, alice: User, clock: Clock) -> None:
    issue(alice)
    clock.tick(minutes=15)
    assert "Next: revoke all your tokens." in text_of(browser.get(PAGE))
    assert "Confirm it’s you" in text_of(browser.post(PAGE))
    assert live(alice, clock) == ["cli-macbook"]
    assert browser.post(PAGE, {"proof_password": PASSWORD}).status_code == 303
    assert live(alice, clock) == []


def test_a_stranger_is_asked_to_sign_in(client: Client, alice: User, clock: Clock) -> None:
    issue(alice)
    for answer in (client.get(PAGE), client.post(PAGE, {"sure": "yes"})):
        assert answer.headers["Location"].startswith("/account/sign-in")
    assert live(alice, clock) == ["cli-macbook"]


def test_the_question_costs_the_same_for_one_and_for_many(
    browser: Client, alice: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(50):
        issue(alice, f"t{number}")
    with django_assert_max_num_queries(6):
        assert "Revoke all 50 tokens?" in text_of(browser.get(PAGE))


PLACES = [
    ([], ""),
    (["a"], "Stop a now. This cannot be undone."),
    (["a", "b"], "Stop a and b now. This cannot be undone."),
    (["a", "b", "c"], "Stop a, b and c now. This cannot be undone."),
    (list("abcdefg"), "Stop a, b, c and 4 more now. This cannot be undone."),
]


@pytest.mark.parametrize(("places", "sentence"), PLACES)
def test_up_to_three_places_are_named(places: list[str], sentence: str) -> None:
    assert _stop(places) == sentence


def test_a_device_that_was_approved_and_has_not_asked_yet_gets_nothing_afterwards(
    browser: Client, alice: User, bob: User, clock: Clock
) -> None:
    issue(alice)
    promised, another = start(), start()
    approve(promised, alice)
    approve(another, bob)
    assert browser.post(PAGE).status_code == 303
    assert redeem(promised).reply is Reply.DENIED
    assert live(alice, clock) == []
    assert TokenEvent.objects.filter(kind="device.denied", owner_id=alice.pk).count() == 1
    assert redeem(another).reply is Reply.DELIVERED
    # What a terminal has fetched already is a token like any other.
    assert browser.post(PAGE).status_code == 303
    assert TokenEvent.objects.filter(kind="device.denied").count() == 1


def test_an_approval_that_no_terminal_used_yet_can_be_taken_back_without_any_token(
    browser: Client, alice: User, bob: User, clock: Clock
) -> None:
    assert "Take back" not in text_of(browser.get(PAGE))
    started = start()
    approve(started, alice)
    approve(start(), bob)
    page = text_of(browser.get(PAGE))
    assert "Take back 1 approved sign-in?" in page
    assert "but 1 approved sign-in would become one as soon as the terminal asks" in page
    assert browser.post(PAGE).status_code == 303
    assert "1 approved sign-in taken back" in text_of(browser.get(LIST))
    assert redeem(started).reply is Reply.DENIED
    assert "No token is left to revoke" in text_of(browser.get(PAGE))
