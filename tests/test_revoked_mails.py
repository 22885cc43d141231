"""Several tokens revoked at one stroke: one mail a person, however many they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from skytells_console.models import User
from tests.admin.conftest import REVOKE, VIEW, Signer, as_carol  # noqa: F401 - a fixture
from tests.cast import Clock, issue, origin
from tests.test_mailer import BrokenBackend, parts
from tokens import lifecycle, mailer, notices
from tokens.mailer import revoked
from tokens.models import AccessToken, Notice, RevokeKind
from tokens.origin import Door, Origin


@pytest.fixture
def four(alice: User, bob: User, clock: Clock) -> list[AccessToken]:
    """Three of alice's and one of bob's, of which nothing is owed any more."""
    made = [issue(alice, name).token for name in ("ci", "laptop", "backup")]
    made.append(issue(bob, "bobs").token)
    Notice.objects.all().delete()
    return made


def stroke(*tokens: AccessToken, kind: RevokeKind = RevokeKind.ADMIN, **facts: Any) -> None:
    """Revoke these as one action of somebody else, with one time."""
    act = Origin(at=facts.pop("at", timezone.now()), door=facts.pop("door", Door.COMMAND))
    for token in tokens:
        lifecycle.revoke(token=token, origin=act, kind=kind, **facts)


def sent() -> list[tuple[list[str], str]]:
    return [(message.to, message.subject) for message in mail.outbox]


def test_one_mail_a_person_names_each_token(four: list[AccessToken]) -> None:
    stroke(*four, reason="Left the company")
    assert mailer.deliver_due() == (2, 0)
    assert sent() == [
        (["alice@example.com"], "3 of your tokens were revoked"),
        (["bob@example.com"], "bobs was revoked"),
    ]
    for said in parts(mail.outbox[0]):  # type: ignore[arg-type]
        assert "An administrator revoked them on 23 November 2026, 12:00 UTC." in said
        assert said.count("Left the company") == 1
        assert [said.count(token.masked) for token in four] == [1, 1, 1, 0]
        assert said.index("backup") < said.index("laptop")
        assert f"/settings/tokens/{four[0].public_id}" in said
        assert "the tokens belonged to alice@example.com" in said
    assert "Reason: Left the company\n\nbackup\n" in str(mail.outbox[0].body)
    assert not Notice.objects.filter(sent_at__isnull=True).exists()
    assert mailer.deliver_due() == (0, 0)


@pytest.mark.parametrize("kind", [RevokeKind.ADMIN, RevokeKind.LEAKED, RevokeKind.UNUSED])
def test_each_kind_has_its_words_for_several(four: list[AccessToken], kind: RevokeKind) -> None:
    stroke(*four[:2], kind=kind)
    mailer.deliver_due()
    text = parts(mail.outbox[0])[0]  # type: ignore[arg-type]
    assert "them" in text or "their" in text
    assert "Somebody else" not in text
    assert "{" not in text
    assert "Reason" not in text


def test_an_absent_server_leaves_one_mail_a_person(
    four: list[AccessToken], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer, "get_connection", BrokenBackend)
    monkeypatch.setattr(BrokenBackend, "mood", "is away")
    stroke(*four)
    assert mailer.deliver_all() == (0, 2)


def test_two_strokes_are_two_mails(four: list[AccessToken], clock: Clock) -> None:
    stroke(four[0])
    stroke(four[1], four[2], at=clock.now + timedelta(microseconds=1))
    clock.tick(seconds=1)
    mailer.deliver_due()
    assert [subject for _, subject in sent()] == [
        "ci was revoked",
        "2 of your tokens were revoked",
    ]


def test_what_two_doors_did_at_one_moment_is_two_mails(four: list[AccessToken]) -> None:
    stroke(four[0])
    stroke(four[1], door=Door.ADMIN)
    mailer.deliver_due()
    assert [subject for _, subject in sent()] == ["ci was revoked", "laptop was revoked"]


def test_a_long_list_says_how_many_more_there_are(
    four: list[AccessToken], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revoked, "MOST_ITEMS", 2)
    stroke(*four[:3])
    mailer.deliver_due()
    text = parts(mail.outbox[0])[0]  # type: ignore[arg-type]
    assert "The list has 1 more." in text
    assert four[1].masked not in text


def test_a_try_again_is_the_same_mail(
    four: list[AccessToken], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    class Refusing(BrokenBackend):
        def send_messages(self, messages: Any) -> int:
            tried.extend(message.extra_headers["Message-ID"] for message in messages)
            return super().send_messages(messages)

    monkeypatch.setattr(mailer, "get_connection", Refusing)
    stroke(*four[:3])
    assert mailer.deliver_due() == (0, 1)
    monkeypatch.setattr(BrokenBackend, "mood", "is well again")
    clock.tick(minutes=1)
    assert mailer.deliver_due() == (1, 0)
    assert len(tried) == 2
    assert len(set(tried)) == 1


def test_what_is_owed_while_a_mail_is_on_its_way_follows_in_another(
    four: list[AccessToken], clock: Clock
) -> None:
    act = Origin(at=clock.now, door=Door.COMMAND)
    lifecycle.revoke(token=four[0], origin=act, kind=RevokeKind.ADMIN)
    first = Notice.objects.get()
    assert notices.reminding.claim_mail(first.pk, clock.now) == [first]
    lifecycle.revoke(token=four[1], origin=act, kind=RevokeKind.ADMIN)
    late = Notice.objects.latest("pk")
    # Who holds the first holds the mail; nobody else begins another beside it.
    assert notices.reminding.claim_mail(late.pk, clock.now) == []
    notices.mark_sent([first.pk], clock.now)
    clock.tick(minutes=1)
    assert notices.reminding.claim_mail(late.pk, clock.now) == [late]


@pytest.mark.parametrize("refused", [True, False], ids=["put back", "still on its way"])
def test_what_is_owed_late_holds_nobody_up(
    four: list[AccessToken], clock: Clock, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    act = Origin(at=clock.now, door=Door.COMMAND)
    lifecycle.revoke(token=four[0], origin=act, kind=RevokeKind.ADMIN)
    taken = notices.reminding.claim_mail(Notice.objects.get().pk, clock.now)
    if refused:
        notices.put_back(taken, clock.now)
    for token in four[1:]:
        lifecycle.revoke(token=token, origin=act, kind=RevokeKind.ADMIN)
    monkeypatch.setattr(mailer, "BATCH", 2)
    rounds: list[int] = []

    def due(now: datetime, limit: int) -> list[int]:
        rounds.append(limit)
        assert len(rounds) < 10
        return found(now, limit)

    found = notices.due
    monkeypatch.setattr(notices, "due", due)
    assert mailer.deliver_all() == (1, 0)
    assert [to for to, _ in sent()] == [["bob@example.com"]]
    clock.tick(minutes=11)
    assert mailer.deliver_all() == (1, 0)
    assert sent()[1:] == [(["alice@example.com"], "3 of your tokens were revoked")]


@pytest.mark.django_db(transaction=True)
def test_who_is_interrupted_leaves_the_mails_to_the_sender(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issue(alice, "ci").token
    mail.outbox.clear()

    def interrupted() -> None:
        with mailer.later():
            stroke(token)
            assert mail.outbox == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [subject for _, subject in sent()] == ["ci was revoked"]


@pytest.mark.django_db(transaction=True)
def test_the_command_sends_one_mail_a_person(alice: User, bob: User) -> None:
    for name in ("ci", "laptop", "backup"):
        issue(alice, name, scopes=["keys.write"])
    issue(bob, "bobs", scopes=["keys.write"])
    mail.outbox.clear()
    call_command("revoke_tokens", "--scope=keys.write")
    assert [subject for _, subject in sent()] == [
        "3 of your tokens were revoked",
        "bobs was revoked",
    ]


def test_staff_who_revoke_several_send_one_mail_a_person(
    four: list[AccessToken],
    as_carol: Signer,  # noqa: F811 - the fixture
    django_capture_on_commit_callbacks: Any,
) -> None:
    client: Client = as_carol(VIEW, REVOKE)
    asked = {"id": [str(token.public_id) for token in four], "kind": "admin", "reason": ""}
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/admin/revoke/", asked)
    assert answer.status_code == 303
    assert [subject for _, subject in sent()] == [
        "3 of your tokens were revoked",
        "bobs was revoked",
    ]


def test_a_persons_own_strokes_are_no_news(four: list[AccessToken], alice: User) -> None:
    for token in four[:3]:
        lifecycle.revoke(token=token, origin=origin(alice))
    assert not Notice.objects.exists()
