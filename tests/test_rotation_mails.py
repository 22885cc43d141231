"""The two mails of a rotation: when they go out, what they say, and when they are not sent."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.test_mailer import parts
from tokens import lifecycle, usage
from tokens.lifecycle import RotationWish
from tokens.models import AccessToken, Notice
from tokens.origin import Consumer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def old(clock: Clock, alice: User) -> AccessToken:
    return issue(alice, "gitlab-release", expires_at=NOON + 60 * DAY).token


@pytest.fixture
def new(old: AccessToken, alice: User) -> AccessToken:
    wish = RotationWish(scopes=["account.read"], expires_at=NOON + 30 * DAY)
    made = lifecycle.rotate(token=old, wish=wish, origin=origin(alice)).token
    Notice.objects.filter(kind="token_created").delete()
    return made


def send() -> list[Any]:
    mail.outbox.clear()
    call_command("send_token_notices", stdout=StringIO())
    return list(mail.outbox)


def use(token: AccessToken, clock: Clock) -> None:
    where = Consumer(network="203.0.113.0/24", client="curl")
    usage.record(token_id=token.pk, scope="", consumer=where, address="203.0.113.7", at=clock.now)
    usage.flush()


def test_a_rotation_that_was_left_is_recalled_after_a_day(
    clock: Clock, old: AccessToken, new: AccessToken
) -> None:
    clock.tick(hours=24, seconds=-1)
    assert send() == []
    clock.tick(seconds=1)
    (message,) = send()
    assert message.subject == "The rotation of gitlab-release is not finished"
    text, html = parts(message)
    for words in (
        "You began it on 23 November 2026, 12:00 UTC.",
        old.masked,
        new.masked,
        "Not yet",
        "Step 2 of 5: Copy the replacement, or begin again",
        f"http://127.0.0.1:8000/settings/tokens/{old.public_id}/rotate",
        f"http://127.0.0.1:8000/settings/tokens/{old.public_id}/rotate/cancel",
    ):
        assert words in text
        assert words in html
    assert send() == []


@pytest.mark.parametrize("how", ["finished", "cancelled", "planned", "old expired"])
def test_a_rotation_that_needs_nobody_is_not_recalled(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User, how: str
) -> None:
    if how == "finished":
        lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    elif how == "cancelled":
        lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    elif how == "planned":
        lifecycle.retire(replacement=new, at=NOON + 50 * DAY, origin=origin(alice))
    else:
        AccessToken.objects.filter(pk=old.pk).update(expires_at=NOON + HOUR)
    clock.tick(days=1)
    assert send() == []
    assert not Notice.objects.filter(kind="rotation_unfinished", sent_at=None).exists()


def test_a_planned_end_is_told_an_hour_before_while_the_old_token_is_used(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=NOON + 24 * HOUR, origin=origin(alice))
    clock.tick(hours=22, minutes=59)
    use(old, clock)
    assert send() == []
    clock.tick(minutes=1)
    (message,) = send()
    assert message.subject == "The old gitlab-release ends within an hour and is still used"
    text, _ = parts(message)
    for words in (
        "You planned its end for 24 November 2026, 12:00 UTC.",
        "Its end: Breaks 203.0.113.0/24",
        f"http://127.0.0.1:8000/settings/tokens/{old.public_id}/rotate/revoke",
    ):
        assert words in text


def test_a_quiet_token_ends_without_a_word(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=NOON + 24 * HOUR, origin=origin(alice))
    clock.tick(hours=23)
    assert send() == []
    assert not Notice.objects.filter(kind="retirement_near", sent_at=None).exists()


def test_an_end_that_was_moved_is_told_before_the_new_time_only(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=NOON + 24 * HOUR, origin=origin(alice))
    lifecycle.retire(replacement=new, at=NOON + 48 * HOUR, origin=origin(alice))
    clock.tick(hours=23)
    use(old, clock)
    assert send() == []
    clock.tick(hours=24)
    use(old, clock)
    assert len(send()) == 1


def test_an_end_within_the_hour_needs_no_mail(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=NOON + HOUR, origin=origin(alice))
    use(old, clock)
    assert send() == []
    assert not Notice.objects.filter(kind="retirement_near", sent_at=None).exists()


def test_a_used_replacement_is_not_offered_for_cancelling(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.note_first_use(token_id=new.pk, origin=origin(alice))
    clock.tick(hours=24)
    (message,) = send()
    for text in parts(message):
        assert "Step 5 of 5: Revoke the old token" in text
        assert "ancel" not in text


def test_a_paused_old_token_is_not_said_to_work(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.pause(token=old, until=None, origin=origin(alice))
    clock.tick(hours=24)
    (message,) = send()
    for text in parts(message):
        assert "The old token is paused and not revoked." in text
        assert "Both tokens work" not in text
