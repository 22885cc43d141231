from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from skytells_console.models import User
from tests.views.pages import text_of
from tokens.models import MailPreference
from tokens.notices import Kind
from tokens.notices.preferences import CHOOSABLE, FIXED, choose, wanted_by

NOTIFICATIONS = "/settings/notifications"
BOX = re.compile(r'<input class="check__box"(?![^>]* name="names")[^>]*>')


def boxes(answer: Any) -> dict[str, tuple[bool, bool]]:
    """Return for each kind of mail whether it is ticked, and whether that can be changed."""
    found = BOX.findall(answer.content.decode())
    named = {re.findall(r'\bid="id_(\w+)"', box)[0]: box for box in found}
    assert len(named) == len(found)
    return {kind: (" checked" in box, " disabled" not in box) for kind, box in named.items()}


def save(client: Client, *kinds: str) -> Any:
    return client.post(NOTIFICATIONS, {"kinds": list(kinds)})


def rows() -> set[tuple[int, str, bool]]:
    return set(MailPreference.objects.values_list("owner_id", "kind", "wanted"))


def test_every_mail_there_is_stands_on_the_page_as_it_is_sent_at_first(as_alice: Client) -> None:
    answer = as_alice.get(NOTIFICATIONS)
    assert answer.status_code == 200
    assert boxes(answer) == {
        str(kind): (kind != Kind.TOKEN_KNOCKED, kind in CHOOSABLE) for kind in Kind
    }
    text = text_of(answer)
    assert "Mails go to alice@example.com." in text
    assert text.count("Always sent") == len(FIXED)
    assert "cannot be turned off." in text


def test_a_fixed_mail_is_not_part_of_what_is_sent(as_alice: Client) -> None:
    page = as_alice.get(NOTIFICATIONS).content.decode()
    assert set(re.findall(r'name="kinds" value="(\w+)"', page)) == set(map(str, CHOOSABLE))


def test_saving_keeps_what_was_ticked_and_says_so(as_alice: Client, alice: User) -> None:
    answer = save(as_alice, "token_knocked", "expires_7")
    assert (answer.status_code, answer.headers["Location"]) == (303, NOTIFICATIONS)
    assert wanted_by(alice.pk) == FIXED | {Kind.TOKEN_KNOCKED, Kind.EXPIRES_7}
    page = as_alice.get(NOTIFICATIONS)
    assert "Notifications saved" in text_of(page)
    ticked = {kind for kind, (is_on, _) in boxes(page).items() if is_on}
    assert ticked == {*map(str, FIXED), "token_knocked", "expires_7"}


def test_no_tick_at_all_leaves_what_is_always_sent(as_alice: Client, alice: User) -> None:
    assert save(as_alice).status_code == 303
    assert wanted_by(alice.pk) == FIXED
    assert {kind for _, kind, _ in rows()} == set(map(str, CHOOSABLE))


def test_the_same_answer_again_changes_nothing(as_alice: Client) -> None:
    assert save(as_alice, "unused", "unused").status_code == 303
    before = set(MailPreference.objects.values_list("pk", "kind", "wanted"))
    assert save(as_alice, "unused").status_code == 303
    assert set(MailPreference.objects.values_list("pk", "kind", "wanted")) == before


def test_what_bob_wants_stays_his(as_alice: Client, as_bob: Client, bob: User) -> None:
    choose(bob.pk, {Kind.UNUSED})
    save(as_alice, "expires_1")
    assert wanted_by(bob.pk) == FIXED | {Kind.UNUSED}
    ticked = {kind for kind, (is_on, _) in boxes(as_bob.get(NOTIFICATIONS)).items() if is_on}
    assert ticked == {*map(str, FIXED), "unused"}


FORGED = ["token_created", "password_changed", "revoked_soon", "nothing", "", "\x00", "x" * 5000]


@pytest.mark.parametrize("kind", FORGED, ids=range(len(FORGED)))
def test_a_kind_that_is_not_offered_saves_nothing(as_alice: Client, kind: str) -> None:
    answer = save(as_alice, "unused", kind)
    assert answer.status_code == 422
    text = text_of(answer)
    assert "That mail cannot be chosen here. Nothing was saved; choose again and save." in text
    assert "1 thing to fix: Notifications" in text
    shown = boxes(answer)
    assert shown["unused"] == (True, True)
    assert shown["expires_7"] == (False, True)
    assert rows() == set()


def test_who_is_not_signed_in_signs_in_first(client: Client, alice: User) -> None:
    for answer in (client.get(NOTIFICATIONS), save(client, "unused")):
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/account/sign-in")
    assert rows() == set()


def test_another_method_or_a_forged_form_is_refused(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.put(NOTIFICATIONS).status_code in {403, 405}
    assert save(strict, "unused").status_code == 403
    assert rows() == set()


def test_the_page_is_in_the_navigation(as_alice: Client) -> None:
    page = as_alice.get(NOTIFICATIONS).content.decode()
    current = re.findall(r'<a class="(?:nav|tabs)__link" href="([^"]+)" aria-current="page">', page)
    assert current == [NOTIFICATIONS, NOTIFICATIONS]


def test_saving_is_one_statement(
    alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    choose(alice.pk, CHOOSABLE)
    with django_assert_num_queries(1):
        wanted_by(alice.pk)
    with django_assert_num_queries(1):
        choose(alice.pk, {Kind.UNUSED})
