from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.management import call_command
from django.test import Client

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, sign_in
from tests.views.pages import LIST, text_of
from tokens.models import Notice

PAGE = "/settings/password"
NEW = "another horse battery"


def change(client: Client, **changes: str) -> Any:
    sent = {"current_password": PASSWORD, "new_password": NEW, "new_password_again": NEW}
    return client.post(PAGE, sent | changes)


def test_the_new_password_counts_and_the_old_one_does_not(as_alice: Client, alice: User) -> None:
    answer = change(as_alice)
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    alice.refresh_from_db()
    assert alice.check_password(NEW)
    assert not alice.check_password(PASSWORD)
    assert "Password changed. Every other browser is signed out." in text_of(as_alice.get(PAGE))


def test_this_browser_stays_and_every_other_goes(as_alice: Client, alice: User) -> None:
    elsewhere = sign_in(Client(), alice)
    before = as_alice.session.session_key
    change(as_alice)
    assert as_alice.get(LIST).status_code == 200
    assert as_alice.session.session_key != before
    assert elsewhere.get(LIST).status_code == 302


def test_tokens_keep_working(as_alice: Client, alice: User, bearer: Any) -> None:
    issued = issue(alice)
    change(as_alice)
    assert Client().get("/api/v1/token", headers=bearer(issued)).status_code == 200


def test_a_mail_tells_of_it_after_the_commit(
    as_alice: Client, alice: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        change(as_alice)
        assert mail.outbox == []
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["alice@example.com"], "Your password was changed")
    assert "From 127.0.0.1" in message.body
    assert NEW not in message.message().as_string()


def test_a_reset_by_mail_tells_of_it_too(client: Client, alice: User, capsys: Any) -> None:
    call_command("reset_link", alice.email)
    link = capsys.readouterr().out.strip()
    page = client.get(link, follow=True)
    client.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert Notice.objects.get().kind == "password_changed"


BAD: list[tuple[dict[str, str], str]] = [
    ({"current_password": ""}, "Type your current password."),
    ({"current_password": "wrong"}, "That password is not right. Try again."),
    ({"current_password": "x" * 1025}, "Passwords can be up to 1024 characters."),
    ({"current_password": "nul\x00inside"}, "Null characters are not allowed."),
    ({"new_password": ""}, "Type a new password."),
    ({"new_password_again": ""}, "Type the new password again."),
    ({"new_password_again": "something else"}, "The two new passwords differ."),
    ({"new_password_again": f"{NEW} "}, "The two new passwords differ."),
    ({"new_password": "short", "new_password_again": "short"}, "at least 10 characters"),
    ({"new_password": "password123", "new_password_again": "password123"}, "too common"),
    ({"new_password": "alice@example.com", "new_password_again": "alice@example.com"}, "similar"),
    ({"new_password": "x" * 1025, "new_password_again": "x" * 1025}, "up to 1024 characters"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_is_said_and_changes_nothing(
    as_alice: Client, alice: User, changes: dict[str, str], sentence: str
) -> None:
    answer = change(as_alice, **changes)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    assert Notice.objects.count() == 0
    # A password is the one thing that is never shown again, not even to who typed it.
    page = answer.content.decode().replace(f'value="{alice.email}" readonly', "")
    for typed in (PASSWORD, NEW, *filter(None, changes.values())):
        assert f'value="{typed}' not in page


def test_a_long_odd_password_is_a_password(as_alice: Client, alice: User) -> None:
    odd = " żółć 雪 \t battery 🐎 "
    assert change(as_alice, new_password=odd, new_password_again=odd).status_code == 303
    alice.refresh_from_db()
    assert alice.check_password(odd)


def test_the_sixth_try_waits_even_with_the_right_password(clock: Clock, alice: User) -> None:
    client = sign_in(Client(), alice)
    for _ in range(5):
        assert change(client, current_password="wrong").status_code == 422
    answer = change(client)
    assert answer.status_code == 429
    assert "Too many tries. Wait 5 minutes." in text_of(answer)
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)
    clock.tick(minutes=5)
    assert change(client).status_code == 303


def test_tries_here_and_at_the_proof_are_counted_together(clock: Clock, alice: User) -> None:
    client = sign_in(Client(), alice)
    for _ in range(5):
        client.post("/settings/tokens/new", {"proof_password": "wrong"})
    assert change(client).status_code == 429


def test_neither_password_is_kept_anywhere(
    as_alice: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    change(as_alice, current_password="quite-wrong-one")
    change(as_alice)
    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [caplog.text, str(list(Notice.objects.values()))]
    for secret in (PASSWORD, NEW, "quite-wrong-one"):
        assert secret not in "".join(kept)


def test_a_stranger_is_asked_to_sign_in(client: Client, alice: User) -> None:
    assert client.get(PAGE).status_code == 302
    assert change(client).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_the_way_to_revoke_everything_starts_here(as_alice: Client) -> None:
    assert 'href="/settings/tokens/revoke-all"' in as_alice.get(PAGE).content.decode()
