"""Which mails go out, once their owner said which are wanted."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core import mail
from django.core.management import call_command

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import lifecycle, notices
from tokens.lifecycle import RotationWish
from tokens.models import MailPreference, Notice, RevokeKind
from tokens.notices import Kind
from tokens.notices.preferences import CHOOSABLE, FIXED, choose, wanted_by

DAY = timedelta(days=1)


def send() -> list[str]:
    mail.outbox.clear()
    call_command("send_token_notices", stdout=StringIO())
    return [message.subject for message in mail.outbox]


def test_without_a_word_all_but_knocks_are_wanted(alice: User) -> None:
    assert wanted_by(alice.pk) == set(Kind) - {Kind.TOKEN_KNOCKED}


@pytest.mark.parametrize("kind", sorted(FIXED))
def test_a_fixed_kind_cannot_be_chosen_nor_silenced(alice: User, kind: Kind) -> None:
    with pytest.raises(ValueError, match="may be chosen"):
        choose(alice.pk, {kind, Kind.UNUSED})
    assert not MailPreference.objects.exists()
    MailPreference.objects.create(owner=alice, kind=kind, wanted=False)
    assert kind in wanted_by(alice.pk)


def test_a_left_rotation_is_not_recalled_to_who_does_not_want_it(clock: Clock, alice: User) -> None:
    old = issue(alice, "gitlab-release", expires_at=NOON + 60 * DAY).token
    wish = RotationWish(scopes=["account.read"], expires_at=NOON + 30 * DAY)
    lifecycle.rotate(token=old, wish=wish, origin=origin(alice))
    send()
    # It is owed already, and what was said since then counts.
    choose(alice.pk, CHOOSABLE - {Kind.ROTATION_UNFINISHED})
    clock.tick(hours=25)
    assert send() == []
    assert not Notice.objects.filter(sent_at=None).exists()
    # A change of mind brings later mails, and none that was let go.
    choose(alice.pk, CHOOSABLE)
    assert send() == []


def test_what_tells_of_others_goes_out_even_so(clock: Clock, alice: User, carol: User) -> None:
    choose(alice.pk, [])
    for kind in FIXED:
        MailPreference.objects.create(owner=alice, kind=kind, wanted=False)
    token = issue(alice, "cli-macbook").token
    lifecycle.revoke(token=token, kind=RevokeKind.ADMIN, origin=origin(carol))
    notices.password_changed(alice.pk, at=clock.now, address=None)
    assert send() == [
        "cli-macbook was created",
        "cli-macbook was revoked",
        "Your password was changed",
    ]


def test_an_end_is_recalled_only_as_wanted(clock: Clock, alice: User, bob: User) -> None:
    choose(alice.pk, CHOOSABLE - {Kind.EXPIRES_7})
    for owner in (alice, bob):
        issue(owner, f"{owner.email[:3]}-token")
    send()
    clock.tick(days=23)
    assert send() == ["bob-token expires in 7 days"]
    clock.tick(days=6)
    assert sorted(send()) == ["ali-token expires tomorrow", "bob-token expires tomorrow"]


def test_every_mail_links_to_the_choice(alice: User) -> None:
    issue(alice)
    send()
    (message,) = mail.outbox
    address = "http://127.0.0.1:8000/settings/notifications"
    assert f"Choose which mails you get: {address}" in message.body
    assert f'<a href="{address}"' in message.alternatives[0].content
