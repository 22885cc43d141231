from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client

from skytells_console.models import User
from tests.cast import PASSWORD, sign_in
from tests.views.pages import LIST, text_of

SIGN_IN, RESET = "/account/sign-in", "/account/password/reset"
NEW_PASSWORD = "another horse battery"

LOGINS = [
    ("", "x"),
    ("alice", "x"),
    ("alice@example.com", ""),
    ("alice@example.com", "wrong"),
    ("nobody@example.com", "wrong"),
    ("alice@example.com\u0000", "wrong"),
    ("alice@exam\u202eple.com", "wrong"),
    ("a" * 10_000 + "@example.com", "wrong"),
    ("<script>alert(1)</script>@example.com", "wrong"),
    ("a" + "\u0301\u0327" * 20_000 + "@example.com", "wrong"),
    ("alice@example.com", "\u0301\u0327" * 20_000),
    ("alice@example.com", "p" * 10_000),
    ("alice@example.com", "nul\u0000inside"),
    ("alice@example.com", "\ud7ff\uffff"),
]


@pytest.mark.parametrize(("email", "password"), LOGINS, ids=range(len(LOGINS)))
def test_a_sign_in_that_fails_says_so_and_keeps_the_address(
    client: Client, alice: User, only_short_text_is_normalised: None, email: str, password: str
) -> None:
    answer = client.post(SIGN_IN, {"login": email, "password": password})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.content.decode()
    assert answer.context["form"].errors
    assert answer.context["form"]["login"].value() == email
    if len(password) > 5:
        assert password not in answer.content.decode()
    assert client.get(LIST).status_code == 302


def test_a_wrong_address_and_a_wrong_password_get_the_same_words(
    client: Client, alice: User
) -> None:
    texts = [
        text_of(client.post(SIGN_IN, {"login": email, "password": "wrong"}))
        for email in ("alice@example.com", "nobody@example.com")
    ]
    assert all("Email or password is not right." in text for text in texts)


def test_an_account_that_was_switched_off_cannot_sign_in(client: Client, alice: User) -> None:
    alice.is_active = False
    alice.save(update_fields=["is_active"])
    client.post(SIGN_IN, {"login": alice.email, "password": PASSWORD})
    assert client.get(LIST).status_code == 302


def test_a_session_ends_with_its_account(as_alice: Client, alice: User) -> None:
    alice.is_active = False
    alice.save(update_fields=["is_active"])
    assert as_alice.get(LIST).status_code == 302


def test_there_is_no_sign_up(client: Client, db: None) -> None:
    answer = client.post(
        "/account/sign-up", {"email": "new@example.com", "password1": NEW_PASSWORD}
    )
    assert answer.status_code == 200
    assert User.objects.count() == 0


def choose_password(client: Client, link: str, password: str = NEW_PASSWORD) -> Any:
    page = client.get(link, follow=True)
    path = page.redirect_chain[-1][0] if page.redirect_chain else link
    return client.post(path, {"password1": password, "password2": password}, follow=True)


def test_a_reset_link_by_mail_works_once(client: Client, alice: User) -> None:
    client.post(RESET, {"email": "Alice@Example.com"})
    assert len(mail.outbox) == 1
    link = re.search(r"https?://[^\s]+", mail.outbox[0].body)
    assert link
    choose_password(client, link[0])
    alice.refresh_from_db()
    assert alice.check_password(NEW_PASSWORD)
    choose_password(Client(), link[0], "yet another battery")
    alice.refresh_from_db()
    assert alice.check_password(NEW_PASSWORD)


def test_a_link_from_the_command_works_too(
    client: Client, alice: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("reset_link", "alice@example.com")
    choose_password(client, capsys.readouterr().out.strip())
    alice.refresh_from_db()
    assert alice.check_password(NEW_PASSWORD)


def test_a_new_password_signs_other_browsers_out(alice: User, client: Client) -> None:
    elsewhere = sign_in(Client(), alice)
    client.post(RESET, {"email": alice.email})
    link = re.search(r"https?://[^\s]+", mail.outbox[0].body)
    assert link
    choose_password(client, link[0])
    assert elsewhere.get(LIST).status_code == 302


@pytest.mark.parametrize(
    "password", ["", "short", "1234567890", "alice@example.com", "password123"]
)
def test_a_weak_password_is_refused_with_a_sentence(
    client: Client, alice: User, password: str
) -> None:
    client.post(RESET, {"email": alice.email})
    link = re.search(r"https?://[^\s]+", mail.outbox[0].body)
    assert link
    answer = choose_password(client, link[0], password)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.mark.parametrize(
    "email", ["", "x", "a@b\u0000.com", "a" * 9999 + "@example.com", "<b>@x.y"]
)
def test_a_reset_for_no_address_asks_for_one(client: Client, db: None, email: str) -> None:
    answer = client.post(RESET, {"email": email})
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert mail.outbox == []


def test_an_unknown_address_gets_the_same_page(client: Client, alice: User) -> None:
    known = client.post(RESET, {"email": alice.email}, follow=True)
    unknown = client.post(RESET, {"email": "nobody@example.com"}, follow=True)
    assert known.redirect_chain == unknown.redirect_chain


@pytest.mark.parametrize(
    "path", ["key/1-abc", "key/zzzz-9-9", "key/1-set-password", "key/%00-x", "key/é-ü"]
)
def test_a_forged_reset_link_says_what_to_do(client: Client, db: None, path: str) -> None:
    assert client.get(f"{RESET}/{path}", follow=True).status_code in {200, 404}


@pytest.mark.parametrize("path", [SIGN_IN, RESET, "/account/sign-out", "/account/inactive"])
@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_other_methods_never_break_a_page(client: Client, db: None, path: str, method: str) -> None:
    assert getattr(client, method)(path).status_code in {200, 302, 405}
