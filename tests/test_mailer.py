from __future__ import annotations

import json
import re
import smtplib
import threading
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import Clock, issue, make_user, origin
from tests.journeys.watch import pieces
from tests.threads import together
from tests.views.pages import create, tokens_in
from tokens import lifecycle, mailer, notices
from tokens.models import AccessToken, Notice, RevokeKind


@pytest.fixture
def delivered(django_capture_on_commit_callbacks: Any) -> Any:
    """Run what waits for the commit, as outside of a test's transaction."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


class BrokenBackend(LocmemBackend):
    """A mail server in one of its moods."""

    mood = "refuses everybody"

    def open(self) -> bool:
        if self.mood == "is away":
            raise ConnectionRefusedError("nobody at smtp.internal.example")
        return False

    def send_messages(self, messages: Any) -> int:
        sent = list(messages)
        alice = self.mood == "refuses alice" and "alice@example.com" in sent[0].to
        if alice or self.mood == "refuses everybody":
            raise smtplib.SMTPRecipientsRefused({"alice@example.com": (550, b"no such user")})
        return super().send_messages(sent)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    def be(mood: str) -> None:
        monkeypatch.setattr(BrokenBackend, "mood", mood)

    monkeypatch.setattr(mailer, "get_connection", BrokenBackend)
    return be


def parts(message: EmailMultiAlternatives) -> tuple[str, str]:
    """Return the text, and the HTML's text content."""
    html = message.alternatives[0].content
    return str(message.body), str(html)


def send_one(notice: Notice | None = None) -> tuple[str, str, EmailMultiAlternatives]:
    message = mailer.message(notice or Notice.objects.select_related("owner", "token").get())
    return (*parts(message), message)


# --- What is said --------------------------------------------------------------------------------


def test_a_new_token_is_told_to_its_owner(clock: Clock, alice: User, delivered: Any) -> None:
    with delivered():
        token = issue(alice, "github-actions-deploy").token
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    assert message.subject == "github-actions-deploy was created"
    text, html = parts(message)
    for words in (
        "This token was created on 23 November 2026, 12:00 UTC.",
        token.masked,
        "Read project information, read account information",
        "23 December 2026, 12:00 UTC",
        f"http://127.0.0.1:8000/settings/tokens/{token.public_id}/revoke",
        "http://127.0.0.1:8000/settings/password",
        "You get this because the token belongs to alice@example.com.",
        "Skytells never asks for a token by email.",
    ):
        assert words in text
        assert words in html
    assert "<" not in text


def test_a_token_without_an_end_says_so(alice: User) -> None:
    issue(alice, expires_at=None)
    assert "Expires: No expiration" in send_one()[0]


def test_the_place_is_told(alice: User) -> None:
    wish = lifecycle.Wish(name="n", scopes=["inference"], expires_at=None)
    come_from = origin(alice, address="198.51.100.24", client="Firefox")
    lifecycle.issue(owner=alice, wish=wish, origin=come_from)
    assert "Created: In the console, from 198.51.100.24, Firefox" in send_one()[0]


def test_an_end_by_the_token_itself_is_told(as_alice: Client, delivered: Any) -> None:
    value = tokens_in(create(as_alice, name="cli-workshop"))[0]
    Notice.objects.all().delete()
    with delivered():
        as_alice.delete("/api/v1/token", headers={"Authorization": f"Bearer {value}"})
    (message,) = mail.outbox
    assert message.subject == "cli-workshop was revoked"
    text, html = parts(message)
    assert "Whoever holds its value revoked it, with the token itself, on" in text
    assert "http://127.0.0.1:8000/settings/tokens" in html
    assert [piece for piece in pieces(value) if piece in text + html] == []


@pytest.mark.parametrize("kind", list(RevokeKind))
def test_every_end_by_somebody_else_has_its_words(alice: User, kind: RevokeKind) -> None:
    token = issue(alice).token
    Notice.objects.all().delete()
    lifecycle.revoke(token=token, origin=origin(None), kind=kind, reason="Left the company")
    text = send_one()[0]
    assert "revoked" in text
    assert "Reason: Left the company" in text
    assert "{" not in text


def test_a_new_password_is_told_and_offers_to_revoke_everything(clock: Clock, alice: User) -> None:
    notices.password_changed(alice.pk, at=clock.now, address="203.0.113.7")
    text, html, message = send_one()
    assert message.subject == "Your password was changed"
    for words in (
        "It was changed on 23 November 2026, 12:00 UTC.",
        "From 203.0.113.7",
        "http://127.0.0.1:8000/settings/tokens/revoke-all",
        "http://127.0.0.1:8000/account/password/reset",
    ):
        assert words in text
        assert words in html


def test_links_lead_to_the_public_address_only(alice: User, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://console.example.com"
    issue(alice)
    text, html, message = send_one()
    links = re.findall(r"https?://[^\s\"<]+", text + html)
    assert len(links) > 5
    assert all(link.startswith("https://console.example.com") for link in links)
    assert message.extra_headers["Message-ID"].endswith("@console.example.com>")


NAMES = ["<b>bold</b>", "a & b", '"><img src=x>', "{{ 7|add:7 }}", "Łukasz’s token", "x" * 64]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_and_never_as_markup(alice: User, name: str) -> None:
    issue(alice, name)
    text, html, message = send_one()
    assert message.subject == f"{name} was created"
    assert name in text
    assert "<b>" not in html
    assert "<img" not in html
    assert message.message()["Subject"]


def test_a_mail_keeps_its_message_id(alice: User) -> None:
    issue(alice, "one")
    issue(alice, "two")
    ids = [
        send_one(notice)[2].extra_headers["Message-ID"]
        for notice in [*Notice.objects.all(), *Notice.objects.all()]
    ]
    assert ids[:2] == ids[2:]
    assert ids[0] != ids[1]
    assert re.fullmatch(r"<[0-9a-f-]{36}@127\.0\.0\.1>", ids[0])


def test_no_mail_holds_the_value(as_alice: Client, delivered: Any) -> None:
    with delivered():
        value = tokens_in(create(as_alice))[0]
    (message,) = mail.outbox
    raw = message.message().as_string() + "".join(parts(message))
    # The masked form shows the first and the last four digits; that is not a leak.
    assert [piece for piece in pieces(value[7:]) if piece in raw] == []


# --- When it is sent -----------------------------------------------------------------------------


def test_nothing_goes_out_before_the_commit(alice: User, delivered: Any) -> None:
    with delivered():
        issue(alice)
        assert mail.outbox == []
    assert len(mail.outbox) == 1
    assert Notice.objects.get().sent_at is not None


def test_what_went_out_goes_out_once(alice: User, delivered: Any) -> None:
    with delivered():
        issue(alice)
    for _ in range(2):
        assert mailer.deliver_due() == (0, 0)
        call_command("send_token_notices", stdout=StringIO())
    assert len(mail.outbox) == 1


@pytest.mark.parametrize("mood", ["is away", "refuses everybody"])
def test_a_broken_mail_server_stops_nothing(
    as_alice: Client,
    broken: Any,
    delivered: Any,
    caplog: pytest.LogCaptureFixture,
    mood: str,
) -> None:
    broken(mood)
    with delivered():
        answer = create(as_alice)
    (value,) = tokens_in(answer)
    assert (answer.status_code, AccessToken.objects.count()) == (200, 1)
    notice = Notice.objects.get()
    assert notice.sent_at is None
    assert notice.data["at"]
    assert "mail" in caplog.text.lower()
    for told in ("alice", "smtp.internal", "no such user", value[7:19]):
        assert told not in caplog.text


def test_what_could_not_be_sent_is_sent_later(
    clock: Clock, alice: User, broken: Any, delivered: Any
) -> None:
    broken("refuses everybody")
    with delivered():
        issue(alice)
    broken("is well again")
    assert mailer.deliver_due() == (0, 0)
    clock.tick(minutes=1)
    assert mailer.deliver_due() == (1, 0)
    assert len(mail.outbox) == 1


def test_one_refused_address_does_not_hold_up_the_others(
    alice: User, bob: User, broken: Any
) -> None:
    broken("refuses alice")
    issue(alice)
    issue(bob)
    assert mailer.deliver_due() == (1, 1)
    assert [message.to for message in mail.outbox] == [["bob@example.com"]]


def test_the_command_says_what_it_did_and_fails_when_something_is_left(
    alice: User, broken: Any
) -> None:
    issue(alice)
    issue(make_user("dora@example.com"))
    broken("refuses alice")
    printed = StringIO()
    with pytest.raises(CommandError, match="kept for later: 1"):
        call_command("send_token_notices", "--format=json", stdout=printed)
    counts = {"dry_run": False, "reminders": 0, "sent": 1, "kept_for_later": 1}
    assert json.loads(printed.getvalue()) == counts
    broken("is away")
    issue(alice, "another")
    with pytest.raises(CommandError, match="kept for later: 1"):
        call_command("send_token_notices", stdout=StringIO())


def test_more_than_a_batch_goes_out_in_one_run(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer, "BATCH", 2)
    for number in range(5):
        issue(alice, f"t{number}")
    call_command("send_token_notices", stdout=StringIO())
    assert len(mail.outbox) == 5


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_send_one_mail(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices._Wiring, "tell", None)
    issue(alice)
    # Two processes do not share the lock of one, so here nobody does.
    monkeypatch.setattr(mailer._sender, "lock", NoLock())
    outcomes = together(*[mailer.deliver_due] * 4)
    assert sum(outcome.sent for outcome in outcomes) == 1
    assert len(mail.outbox) == 1


class NoLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.django_db(transaction=True)
def test_the_thread_of_a_server_sends_without_being_waited_for(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.USE_FLUSH_SECONDS = 60
    fresh, sent = mailer._new_sender(), threading.Event()
    monkeypatch.setattr(mailer, "_sender", fresh)
    monkeypatch.setattr(mailer.atexit, "register", lambda call: None)
    mark = notices.mark_sent
    monkeypatch.setattr(notices, "mark_sent", lambda *args: (mark(*args), sent.set()))
    issue(alice)
    assert sent.wait(10)
    assert fresh.thread is not None
    assert fresh.thread.daemon
    assert len(mail.outbox) == 1
