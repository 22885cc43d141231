"""What time alone brings about: ``send_token_notices`` and ``revoke_unused_tokens``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail import get_connection
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, clear_url_caches

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, make_user, origin
from tests.operations import answer, run
from tests.test_mailer import BrokenBackend
from tests.threads import together
from tokens import lifecycle, mailer, notices, projects, reminders, usage
from tokens.mailer import pieces, reminding as words
from tokens.models import AccessToken, MailPreference, Notice, Policy, TokenEvent, TokenProject
from tokens.models.token import AccessTokenQuerySet
from tokens.origin import Consumer
from tokens.reminders import unused

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
VALUE = re.compile(r"sk_pat_[0-9a-f]{5,}")


def made(owner: User, name: str = "ci", *, lives: int = 90, left: timedelta) -> AccessToken:
    """Return a token that lives so many days and has so much left of it; its first mail is gone."""
    end = NOON + left
    token = issue(owner, name, at=end - lives * DAY, expires_at=end).token
    Notice.objects.filter(token=token).update(sent_at=NOON)
    return token


def use(token: AccessToken, at: datetime, address: str = "198.51.100.24") -> None:
    consumer = Consumer("198.51.100.0/24", "curl")
    usage.record(token_id=token.pk, scope="account.read", consumer=consumer, address=address, at=at)


def send() -> list[str]:
    """Run the command and return the subjects of what went out."""
    before = len(mail.outbox)
    run("send_token_notices")
    return [message.subject for message in mail.outbox[before:]]


@pytest.mark.parametrize("lives", [1, 2, 5, 14, 20, 59, 60, 366])
def test_what_is_foretold_of_an_end_is_what_falls_due(
    clock: Clock, alice: User, lives: int
) -> None:
    token = made(alice, lives=lives, left=lives * DAY)
    every = {at: kind for kind in notices.Kind for at in reminders.ahead_of(token, NOON, {kind})}
    assert list(every) == reminders.ahead_of(token, NOON, notices.Kind)
    told = []
    for at, kind in every.items():
        clock.tick(seconds=(at - clock.now).total_seconds())
        told += [(at, kind)] if kind in {each.kind for each in reminders.due(at)} else []
        reminders.owe_due(at)
    assert told == list(every.items())
    assert {notice.kind for notice in Notice.objects.filter(kind__startswith="expires")} == {
        str(kind) for kind in every.values()
    }
    assert reminders.ahead_of(token, NOON + lives * DAY, notices.Kind) == []


# --- When ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "subject"),
    [
        (30 * DAY + HOUR, None),
        (30 * DAY, "ci expires in 30 days"),
        (25 * DAY, "ci expires in 25 days"),
        # Later than a week it is not worth a mail; the next one comes.
        (23 * DAY, None),
        (7 * DAY + HOUR, None),
        (7 * DAY, "ci expires in 7 days"),
        (6 * DAY + 2 * HOUR, "ci expires in 7 days"),
        (DAY + HOUR, "ci expires in 2 days"),
        (DAY, "ci expires tomorrow"),
        # Midnight in Berlin is eleven hours from noon in UTC.
        (11 * HOUR, "ci expires tomorrow"),
        (11 * HOUR - timedelta(seconds=1), "ci expires today"),
        (HOUR, "ci expires today"),
        (-HOUR, "ci expired today"),
        (-DAY, None),
    ],
)
def test_an_end_is_told_thirty_seven_and_one_days_before_and_on_the_day(
    clock: Clock, alice: User, left: timedelta, subject: str | None
) -> None:
    use(made(alice, left=left), NOON - 2 * DAY)
    assert send() == ([subject] if subject else [])
    assert send() == []


def test_each_of_the_four_comes_once_as_time_goes_by(clock: Clock, alice: User) -> None:
    use(made(alice, left=31 * DAY), NOON)
    said = []
    for _ in range(33 * 8):
        said += send()
        clock.tick(hours=3)
    assert said == [
        "ci expires in 30 days",
        "ci expires in 7 days",
        "ci expires tomorrow",
        "ci expires today",
    ]


@pytest.mark.parametrize(("lives", "left"), [(30, 30), (7, 7), (13, 7), (1, 1)])
def test_who_made_a_token_for_a_week_knows_that_it_ends_in_a_week(
    clock: Clock, alice: User, lives: int, left: int
) -> None:
    made(alice, lives=lives, left=left * DAY)
    assert send() == []


def test_nothing_is_told_of_what_is_ended_rotated_or_without_an_end(
    clock: Clock, alice: User, bob: User
) -> None:
    lifecycle.revoke(token=made(alice, "revoked", left=7 * DAY), origin=origin(alice))
    AccessToken.objects.filter(pk=made(alice, "retiring", left=7 * DAY).pk).update(
        retire_at=NOON + DAY
    )
    rotated = made(alice, "rotated", left=7 * DAY)
    fresh = made(alice, "fresh", left=89 * DAY)
    AccessToken.objects.filter(pk=fresh.pk).update(replaces=rotated)
    issue(alice, "endless", expires_at=None)
    made(bob, left=7 * DAY)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    Notice.objects.update(sent_at=NOON)
    assert send() == []


def test_a_token_revoked_after_the_mail_was_owed_is_no_news(clock: Clock, alice: User) -> None:
    token = made(alice, left=7 * DAY)
    assert reminders.owe_due(NOON) == 1
    lifecycle.revoke(token=token, origin=origin(alice))
    assert send() == []
    assert not Notice.objects.filter(sent_at=None).exists()


def test_a_batch_without_news_does_not_hold_up_what_waits_behind_it(
    clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailer, "BATCH", 2)
    people = [make_user(f"person-{number}@example.com") for number in range(5)]
    tokens = [made(person, left=7 * DAY) for person in people]
    assert reminders.owe_due(NOON) == 5
    for token in tokens:
        lifecycle.revoke(token=token, origin=origin(token.owner))
    issue(alice, "newest", at=NOON)
    assert send() == ["newest was created"]
    assert not Notice.objects.filter(sent_at=None).exists()


def test_what_nothing_used_for_sixty_days_is_told_again_only_after_another_use(
    clock: Clock, alice: User
) -> None:
    token = made(alice, lives=360, left=200 * DAY)
    use(token, NOON - 59 * DAY)
    assert send() == []
    clock.tick(days=1)
    assert send() == ["ci has not been used for 60 days"]
    for _ in range(20):
        clock.tick(days=1)
        assert send() == []
    use(token, clock.now)
    clock.tick(days=60)
    assert send() == ["ci has not been used for 60 days"]


def test_a_paused_token_is_unused_on_purpose(clock: Clock, alice: User) -> None:
    token = made(alice, lives=360, left=200 * DAY)
    use(token, NOON - 61 * DAY)
    AccessToken.objects.update(paused_at=NOON - DAY)
    assert send() == []


def test_a_value_that_nobody_stored_or_used_is_told_after_a_week(clock: Clock, alice: User) -> None:
    end = NOON + 200 * DAY
    for name, days in (("six", 6), ("seven", 7), ("stored", 7), ("used", 7)):
        issue(alice, name, at=NOON - days * DAY, expires_at=end)
    stored, used = (AccessToken.objects.get(name=name) for name in ("stored", "used"))
    lifecycle.confirm_stored(token=stored, origin=origin(alice))
    use(used, NOON)
    Notice.objects.update(sent_at=NOON)
    assert send() == ["seven may never have been stored"]


# --- What is said -------------------------------------------------------------------------------------


def test_the_mail_before_an_end_says_what_the_design_says(clock: Clock, alice: User) -> None:
    token = made(alice, "github-actions-deploy", left=7 * DAY)
    use(token, NOON)
    assert send() == ["github-actions-deploy expires in 7 days"]
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    html = re.sub(r"\s+", " ", message.alternatives[0].content)
    text = str(message.body)
    for said in (
        "It was used today, so something still depends on it.",
        "7 of 90 days left",
        "Created 1 Sep",
        token.masked,
        "Today, 12:00 UTC, from 198.51.100.24",
        f"http://127.0.0.1:8000/settings/tokens/{token.public_id}/revoke",
        "More reminders follow 1 day before and on the day.",
        "Skytells never asks for a token by email.",
    ):
        assert said in html, said
        assert said in text, said
    assert '<strong style="color:#0b2130">30 November 2026, 12:00 UTC</strong>.' in html
    assert 'width="92%"' in html
    assert "Do nothing and it ends by itself, or revoke it now." in text
    assert "<" not in text
    assert not VALUE.search(text + html)


@pytest.mark.parametrize(
    ("ago", "sentence"),
    [
        (1, "It was used yesterday, so something still depends on it."),
        (3, "It was used 3 days ago, so something may still depend on it."),
        (40, "It has not been used for 40 days. You may not need it."),
        (None, "It was never used. You may not need it."),
    ],
)
def test_it_says_whether_something_depends_on_the_token(
    clock: Clock, alice: User, ago: int | None, sentence: str
) -> None:
    token = made(alice, left=7 * DAY)
    if ago is not None:
        use(token, NOON - ago * DAY)
    AccessToken.objects.update(stored_at=NOON)
    send()
    assert sentence in str(mail.outbox[0].body)


def test_the_button_opens_rotation_where_there_is_one(
    clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, page = made(alice, left=7 * DAY), words.page

    def with_rotation(name: str, **parts: Any) -> str:
        return (
            f"{page('tokens:detail', **parts)}/rotate"
            if name == "tokens:rotate"
            else page(name, **parts)
        )

    monkeypatch.setattr(words, "page", with_rotation)
    send()
    url = f"http://127.0.0.1:8000/settings/tokens/{token.public_id}/rotate"
    assert f"Rotate this token: {url}" in str(mail.outbox[0].body)


def test_without_rotation_it_opens_a_form_that_is_filled_in(
    clock: Clock, alice: User, as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(alice, "a & b", left=7 * DAY)
    page = pieces.page

    def without_rotation(name: str, **parts: Any) -> str:
        if name == "tokens:rotate":
            raise NoReverseMatch
        return page(name, **parts)

    monkeypatch.setattr(pieces, "page", without_rotation)
    send()
    (link,) = re.findall(r"Renew this token: (\S+)", str(mail.outbox[0].body))
    form = as_alice.get(link.removeprefix("http://127.0.0.1:8000"))
    assert form.status_code == 200
    assert 'value="a &amp; b"' in form.content.decode()
    assert AccessToken.objects.count() == 1
    clear_url_caches()


@pytest.mark.parametrize("number", [1, 0])
def test_a_renewal_asks_for_no_more_projects_than_the_token_had(
    clock: Clock, alice: User, number: int
) -> None:
    shop = projects.create(owner_id=alice.pk, name="Shop", origin=origin(alice))
    end = NOON - HOUR
    issue(alice, "ci", at=end - 90 * DAY, expires_at=end, projects=[shop])
    if not number:
        TokenProject.objects.all().delete()
    Notice.objects.update(sent_at=NOON)
    send()
    body = str(mail.outbox[0].body)
    assert ("projects=shop" in body) is bool(number)
    assert ("/settings/tokens/new" in body) is bool(number)


def test_what_has_expired_can_only_be_renewed(clock: Clock, alice: User) -> None:
    made(alice, left=-HOUR)
    send()
    body = str(mail.outbox[0].body)
    assert "It stopped working on 23 November 2026, 11:00 UTC." in body
    assert "Renew this token: http" in body
    assert "/revoke" not in body


def test_several_reminders_are_one_mail_and_one_person_hears_of_no_other(
    clock: Clock, alice: User, bob: User
) -> None:
    for name, left in (("in a month", 30), ("in a week", 7), ("tomorrow", 1)):
        use(made(alice, name, left=left * DAY), NOON)
    use(made(bob, "bobs", left=7 * DAY), NOON)
    counts = answer("send_token_notices")
    assert (counts["reminders"], counts["sent"]) == (4, 2)
    to_alice, to_bob = sorted(mail.outbox, key=lambda message: message.to)
    assert to_alice.subject == "3 of your tokens need a look"
    html, text = to_alice.alternatives[0].content, str(to_alice.body)
    assert text.index("tomorrow expires") < text.index("in a week") < text.index("in a month")
    assert html.count("<h2") == 3
    assert "bobs" not in text + html
    assert to_bob.subject == "bobs expires in 7 days"


NAMES = ["<b>bold</b>", "a & b", '"><img src=x>', "{{ 7|add:7 }}", "Łukasz’s token", "x" * 64]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_and_never_as_markup(
    clock: Clock, alice: User, name: str, number: int
) -> None:
    for each in range(number):
        made(alice, name[: 63 - each] + str(each) if each else name, left=7 * DAY)
    send()
    html = mail.outbox[0].alternatives[0].content
    assert name in str(mail.outbox[0].body)
    assert "<b>" not in html
    assert "<img" not in html


def test_more_than_fifty_tokens_are_told_in_one_mail_that_says_so(
    clock: Clock, alice: User
) -> None:
    made(alice, "first", left=7 * DAY)
    row = AccessToken.objects.get()
    AccessToken.objects.bulk_create(
        AccessToken(
            owner=alice,
            name=f"t{number}",
            digest=bytes([number]) * 32,
            pepper_id=1,
            scopes="inference",
            created_at=row.created_at,
            created_via="console",
            expires_at=row.expires_at,
        )
        for number in range(59)
    )
    assert send() == ["60 of your tokens need a look"]
    assert "The list has 10 more." in str(mail.outbox[0].body)


# --- Sending: once as a rule, at least once in any case ---------------------------------------------------


def test_a_person_who_does_not_want_a_kind_does_not_get_it(clock: Clock, alice: User) -> None:
    use(made(alice, left=7 * DAY), NOON)
    MailPreference.objects.create(owner=alice, kind="expires_7", wanted=False)
    assert send() == []
    assert answer("send_token_notices")["reminders"] == 0
    clock.tick(days=6)
    assert send() == ["ci expires tomorrow"]


def test_a_dry_run_owes_and_sends_nothing(clock: Clock, alice: User) -> None:
    for name in ("one", "two"):
        made(alice, name, left=7 * DAY)
    before = Notice.objects.count()
    counts = answer("send_token_notices", "--dry-run")
    assert (counts["reminders"], counts["people"]) == (2, 1)
    assert (Notice.objects.count(), mail.outbox) == (before, [])


def test_a_mail_server_that_fails_stops_nobody_and_the_id_stays(
    clock: Clock, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        made(alice, name, left=7 * DAY)
    made(bob, left=7 * DAY)
    ids = []
    message = mailer.message

    def watched(*about: Notice, **more: Any) -> Any:
        made_of = message(*about, **more)
        ids.append((made_of.to, made_of.extra_headers["Message-ID"]))
        return made_of

    monkeypatch.setattr(mailer, "message", watched)
    with monkeypatch.context() as patch:
        patch.setattr(BrokenBackend, "mood", "refuses alice")
        patch.setattr(mailer, "get_connection", BrokenBackend)
        with pytest.raises(CommandError, match="kept for later: 1"):
            run("send_token_notices")
    assert [message.to for message in mail.outbox] == [["bob@example.com"]]
    clock.tick(minutes=2)
    assert send() == ["2 of your tokens need a look"]
    of_alice = [each for to, each in ids if to == ["alice@example.com"]]
    assert len(of_alice) == 2
    assert len(set(of_alice)) == 1


def test_a_sender_that_dies_leaves_the_whole_mail_to_the_next(clock: Clock, alice: User) -> None:
    for name in ("one", "two"):
        made(alice, name, left=7 * DAY)
    reminders.owe_due(NOON)
    pk = notices.due(NOON, 10)[-1]
    assert len(notices.reminding.claim_mail(pk, NOON)) == 2
    assert notices.reminding.claim_mail(pk, NOON) == []
    assert notices.due(NOON, 10) == []
    clock.tick(minutes=11)
    assert send() == ["2 of your tokens need a look"]


def test_a_mail_about_many_costs_as_many_statements_as_one_about_few(
    clock: Clock, alice: User, bob: User
) -> None:
    costs = []
    for owner, number in ((alice, 2), (bob, 40)):
        for each in range(number):
            made(owner, f"t{each}", left=7 * DAY)
        reminders.owe_due(clock.now)
        with CaptureQueriesContext(connection) as queries:
            assert mailer.deliver_due().sent == 1
        costs.append(len(queries))
        assert notices.due(clock.now, 100) == []
    assert costs[0] == costs[1]


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_tell_each_thing_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices._Wiring, "tell", None)
    now = datetime.now(tz=UTC)
    for number in range(6):
        owner = make_user(f"p{number}@example.com")
        for name in ("one", "two"):
            at = now + 6 * DAY
            issue(owner, name, at=at - 90 * DAY, expires_at=at)
    Notice.objects.update(sent_at=now)

    class NoLock:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    # Two processes do not share the lock of one.
    monkeypatch.setattr(mailer._sender, "lock", NoLock())
    both = together(*[lambda: answer("send_token_notices")] * 2)
    assert sum(each["reminders"] for each in both) == 12
    assert sum(each["sent"] for each in both) == len(mail.outbox) == 6
    assert {message.subject for message in mail.outbox} == {"2 of your tokens need a look"}


def test_looking_for_what_is_due_costs_as_many_queries_for_one_as_for_forty(
    clock: Clock, alice: User
) -> None:
    counts = []
    for number in (1, 39):
        for each in range(number):
            made(alice, f"t{number}-{each}", left=7 * DAY)
        with CaptureQueriesContext(connection) as queries:
            answer("send_token_notices", "--dry-run")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("command", ["send_token_notices", "revoke_unused_tokens"])
@pytest.mark.parametrize("arguments", [["--format=xml"], ["now"], ["--warn-days=0"]])
def test_what_cannot_be_read_is_said(
    clock: Clock, alice: User, command: str, arguments: list[str]
) -> None:
    made(alice, left=7 * DAY)
    with pytest.raises(CommandError):
        run(command, *arguments)
    assert mail.outbox == []


# --- The policy's end for what nothing uses -----------------------------------------------------------------


@pytest.fixture
def ninety(clock: Clock) -> None:
    """Let the policy end what nothing uses for ninety days."""
    Policy.objects.create(created_at=NOON, revoke_unused_after_days=90)


def unused_for(owner: User, days: int, name: str = "ci") -> AccessToken:
    token = issue(owner, name, at=NOON - 300 * DAY, expires_at=None).token
    use(token, NOON - days * DAY)
    Notice.objects.update(sent_at=NOON)
    return token


def live() -> bool:
    return AccessToken.objects.filter(revoked_at=None).exists()


def test_without_such_a_policy_nothing_ends(clock: Clock, alice: User) -> None:
    unused_for(alice, 200)
    Policy.objects.create(created_at=NOON)
    assert answer("revoke_unused_tokens") == {"dry_run": False, "warned": 0, "revoked": 0}
    assert live()


def test_the_mail_comes_first_and_the_end_days_later(
    clock: Clock, alice: User, ninety: None
) -> None:
    unused_for(alice, 82)
    assert answer("revoke_unused_tokens")["warned"] == 0
    clock.tick(days=1)
    assert answer("revoke_unused_tokens") == {"dry_run": False, "warned": 1, "revoked": 0}
    (message,) = mail.outbox
    assert message.subject == "ci will be revoked on 1 December 2026"
    assert "It ends on 1 December 2026, 12:00 UTC, unless something uses it" in str(message.body)
    for _ in range(6):
        clock.tick(days=1)
        assert answer("revoke_unused_tokens") == {"dry_run": False, "warned": 0, "revoked": 0}
    clock.tick(days=1)
    assert answer("revoke_unused_tokens", "--dry-run")["revoked"] == 1
    assert live()
    assert answer("revoke_unused_tokens")["revoked"] == 1
    assert AccessToken.objects.get().revoke_kind == "unused"
    assert mail.outbox[-1].subject == "ci was revoked"
    assert answer("revoke_unused_tokens")["revoked"] == 0
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 1


def test_a_use_cancels_the_end_and_the_next_one_is_warned_of_again(
    clock: Clock, alice: User, ninety: None
) -> None:
    token = unused_for(alice, 89)
    run("revoke_unused_tokens")
    clock.tick(days=6)
    use(token, clock.now)
    clock.tick(days=30)
    assert answer("revoke_unused_tokens") == {"dry_run": False, "warned": 0, "revoked": 0}
    clock.tick(days=60)
    assert answer("revoke_unused_tokens") == {"dry_run": False, "warned": 1, "revoked": 0}
    assert live()


def test_a_token_used_at_the_last_moment_stays(
    clock: Clock, alice: User, ninety: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = unused_for(alice, 89)
    run("revoke_unused_tokens")
    clock.tick(days=8)
    rows = AccessTokenQuerySet
    exists = rows.exists

    def used_before_it_is_asked(found: Any) -> bool:
        use(token, clock.now)
        return exists(found)

    monkeypatch.setattr(rows, "exists", used_before_it_is_asked)
    ends = unused.revoke(origin(), after=90 * DAY, warning=7 * DAY)
    assert list(ends) == [False]
    assert AccessToken.objects.get().revoked_at is None


def test_a_mail_that_cannot_be_sent_postpones_the_end(
    clock: Clock, alice: User, ninety: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused_for(alice, 100)
    with monkeypatch.context() as patch:
        patch.setattr(BrokenBackend, "mood", "is away")
        patch.setattr(mailer, "get_connection", BrokenBackend)
        for _ in range(30):
            with pytest.raises(CommandError, match="Their tokens stay"):
                run("revoke_unused_tokens")
            clock.tick(days=1)
    assert live()
    run("revoke_unused_tokens")
    clock.tick(days=6)
    assert answer("revoke_unused_tokens")["revoked"] == 0
    clock.tick(days=1)
    assert answer("revoke_unused_tokens")["revoked"] == 1


def test_all_mails_are_counted_that_a_server_which_is_away_leaves_owed(
    clock: Clock, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((alice, "a"), (alice, "b"), (bob, "c")):
        made(owner, name, left=7 * DAY)
    issue(bob, "new")
    monkeypatch.setattr(mailer, "BATCH", 1)
    with monkeypatch.context() as patch:
        patch.setattr(BrokenBackend, "mood", "is away")
        patch.setattr(mailer, "get_connection", BrokenBackend)
        with pytest.raises(CommandError, match="kept for later: 3"):
            run("send_token_notices")
    assert answer("send_token_notices")["sent"] == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "command", [["revoke_unused_tokens"], ["revoke_tokens", "--scope=account.read"]]
)
def test_the_mails_about_ends_go_out_after_the_last_end(
    clock: Clock, ninety: None, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        unused_for(make_user(f"p{number}@example.com"), 89)
    run("revoke_unused_tokens")
    mail.outbox.clear()
    clock.tick(days=8)
    left = []

    def connect() -> Any:
        left.append(AccessToken.objects.filter(revoked_at=None).count())
        return get_connection()

    monkeypatch.setattr(mailer, "get_connection", connect)
    assert answer(*command)["revoked"] == 3
    assert left == [0]
    assert [message.subject for message in mail.outbox] == ["ci was revoked"] * 3


def test_what_was_never_used_counts_from_its_beginning(
    clock: Clock, alice: User, ninety: None
) -> None:
    issue(alice, at=NOON - 85 * DAY, expires_at=None)
    assert answer("revoke_unused_tokens")["warned"] == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_revoke_once(alice: User) -> None:
    now = datetime.now(tz=UTC)
    Policy.objects.create(created_at=now, revoke_unused_after_days=90)
    for number in range(5):
        token = issue(alice, f"t{number}", at=now - 200 * DAY, expires_at=None).token
        Notice.objects.create(
            owner=alice,
            token=token,
            kind="revoked_soon",
            subject=f"s{number}",
            due_at=now,
            sent_at=now - 8 * DAY,
        )
    both = together(*[lambda: answer("revoke_unused_tokens")] * 2)
    assert sum(each["revoked"] for each in both) == 5
