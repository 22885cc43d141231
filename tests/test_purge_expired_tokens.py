from __future__ import annotations

import io
import json
import re
import signal
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, make_user, origin
from tests.operations import answer, process, run
from tests.threads import together
from tokens import lifecycle, retention, usage
from tokens.lifecycle import Wish
from tokens.models import (
    AccessToken,
    DeviceGrant,
    MutedScope,
    Notice,
    Project,
    RateLimit,
    RotationTick,
    TokenActivity,
    TokenConsumer,
    TokenEvent,
    TokenProject,
    TokenUse,
)
from tokens.origin import Consumer

COMMAND = "purge_expired_tokens"
pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def revoked(owner: User, *, ago: timedelta, name: str = "old") -> AccessToken:
    """Return a token that was revoked so long ago."""
    at = NOON - ago
    token = issue(owner, name, at=at - DAY, expires_at=at + 100 * DAY).token
    assert lifecycle.revoke(token=token, origin=origin(owner, at=at))
    return token


def expired(owner: User, *, ago: timedelta, name: str = "old") -> AccessToken:
    at = NOON - ago
    return issue(owner, name, at=at - DAY, expires_at=at).token


def retired(owner: User, *, ago: timedelta, name: str = "old") -> AccessToken:
    at = NOON - ago
    token = issue(owner, name, at=at - DAY, expires_at=at + 100 * DAY).token
    AccessToken.objects.filter(pk=token.pk).update(retire_at=at)
    return token


def used(token: AccessToken, at: datetime = NOON) -> None:
    consumer = Consumer("192.0.2.0/24", "curl")
    usage.record(token_id=token.pk, scope="inference", consumer=consumer, address=None, at=at)


def purged_ids() -> list[str]:
    events = TokenEvent.objects.filter(kind="token.purged_batch").order_by("id")
    return [each for event in events for each in event.data["tokens"]]


@pytest.mark.parametrize("end", [revoked, expired, retired])
def test_a_token_goes_ninety_days_after_its_end_and_not_before(
    clock: Clock, alice: User, end: Any
) -> None:
    gone = end(alice, ago=90 * DAY, name="gone")
    kept = end(alice, ago=90 * DAY - timedelta(seconds=1), name="kept")
    live = issue(alice, "live").token
    counts = answer(COMMAND)
    assert counts["tokens"] == 1
    assert set(AccessToken.objects.all()) == {kept, live}
    assert purged_ids() == [str(gone.public_id)]


def test_what_hangs_on_a_token_goes_with_it_and_its_events_stay(clock: Clock, alice: User) -> None:
    project = Project.objects.create(
        owner=alice, name="shop", name_key="shop", slug="shop", created_at=NOON
    )
    at = NOON - 120 * DAY
    token = issue(alice, at=at, expires_at=at + 10 * DAY, projects=[project]).token
    stays = issue(alice, "stays", projects=[project]).token
    for each in (token, stays):
        used(each)
        RotationTick.objects.create(token=each, consumer_key="c", at=NOON)
        MutedScope.objects.create(token=each, scope="inference", at=NOON)
    before = TokenEvent.objects.count()
    counts = answer(COMMAND)
    assert (counts["tokens"], counts["use_rows"], counts["mails"]) == (1, 4, 1)
    for table in (RotationTick, MutedScope, TokenUse, TokenConsumer, TokenActivity, TokenProject):
        assert [row.token_id for row in table.objects.all()] == [stays.pk], table
    assert [notice.token_id for notice in Notice.objects.all()] == [stays.pk]
    assert TokenEvent.objects.count() == before + 1
    assert Project.objects.exists()


def test_a_replacement_outlives_what_it_replaced(clock: Clock, alice: User) -> None:
    old = expired(alice, ago=100 * DAY)
    new = issue(alice, "new").token
    AccessToken.objects.filter(pk=new.pk).update(replaces=old, generation=2)
    run(COMMAND)
    new.refresh_from_db()
    assert (new.replaces_id, new.generation, new.rotation_closed_at) == (None, 2, NOON)
    assert new.liveness().revoked_at is None


def test_both_of_a_rotation_can_go_in_one_batch(clock: Clock, alice: User) -> None:
    old, new = expired(alice, ago=100 * DAY), expired(alice, ago=95 * DAY, name="new")
    AccessToken.objects.filter(pk=new.pk).update(replaces=old)
    assert answer(COMMAND)["tokens"] == 2


def test_old_use_goes_after_35_days_and_old_consumers_after_400(clock: Clock, alice: User) -> None:
    token = issue(alice, at=NOON - 500 * DAY, expires_at=None).token
    for ago in (0, 35, 36, 60):
        used(token, NOON - ago * DAY)
    consumer = TokenConsumer.objects.get()
    for key, ago in (("kept", 400), ("gone", 401)):
        TokenConsumer.objects.create(
            token=token, consumer_key=key, first_at=NOON - 500 * DAY, last_at=NOON - ago * DAY
        )
    counts = answer(COMMAND)
    assert (counts["use_rows"], counts["consumers"], counts["tokens"]) == (2, 1, 0)
    assert TokenUse.objects.count() == 2
    assert set(TokenConsumer.objects.values_list("consumer_key", flat=True)) == {
        "kept",
        consumer.consumer_key,
    }


def test_old_limits_and_old_mails_about_no_token_go(clock: Clock, alice: User) -> None:
    for key, ago in (("gone", 1), ("kept", -1)):
        RateLimit.objects.create(key=key, window=1, expires_at=NOON - ago * DAY)
    for subject, sent in (("gone", NOON - 91 * DAY), ("sent", NOON - DAY), ("owed", None)):
        Notice.objects.create(
            owner=alice,
            kind="password_changed",
            subject=subject,
            due_at=NOON - 91 * DAY,
            sent_at=sent,
        )
    counts = answer(COMMAND)
    assert (counts["limits"], counts["mails"]) == (1, 1)
    assert set(Notice.objects.values_list("subject", flat=True)) == {"sent", "owed"}


def test_spent_grants_go_with_the_tokens_they_made(clock: Clock, alice: User) -> None:
    token = expired(alice, ago=100 * DAY)
    for number, (made, ago) in enumerate([(token, 100), (None, 2), (None, 0)]):
        at = NOON - ago * DAY
        DeviceGrant.objects.create(
            device_digest=bytes([number]) * 32,
            user_digest=bytes([number]) * 32,
            pepper_id=1,
            scopes="inference",
            created_at=at - DAY / 24,
            expires_at=at,
            token=made,
            user=alice,
            approved_at=at,
        )
    counts = answer(COMMAND)
    assert (counts["grants"], counts["tokens"]) == (2, 1)
    assert DeviceGrant.objects.get().expires_at == NOON


def test_a_second_run_changes_nothing_and_writes_no_event(clock: Clock, alice: User) -> None:
    expired(alice, ago=100 * DAY)
    assert answer(COMMAND)["tokens"] == 1
    events = TokenEvent.objects.count()
    assert not any(answer(COMMAND).values())
    assert TokenEvent.objects.count() == events


def test_a_dry_run_counts_the_same_and_removes_nothing(clock: Clock, alice: User) -> None:
    tokens = [
        end(alice, ago=ago * DAY, name=f"t{ago}")
        for ago, end in ((100, revoked), (101, expired), (102, retired), (1, revoked))
    ]
    tokens.append(issue(alice, "living", at=NOON - 500 * DAY, expires_at=None).token)
    for token in tokens:
        for ago in (0, 40, 450):
            used(token, NOON - ago * DAY)
        for key, ago in (("seen", 390), ("old", 410)):
            TokenConsumer.objects.create(
                token=token, consumer_key=key, first_at=NOON - 500 * DAY, last_at=NOON - ago * DAY
            )
        MutedScope.objects.create(token=token, scope="inference", at=NOON)
    for subject, ago in (("gone", 91), ("kept", 1)):
        Notice.objects.create(
            owner=alice,
            kind="password_changed",
            subject=subject,
            due_at=NOON - ago * DAY,
            sent_at=NOON - ago * DAY,
        )
    events = TokenEvent.objects.count()
    counted = answer(COMMAND, "--dry-run")
    assert (AccessToken.objects.count(), TokenEvent.objects.count()) == (5, events)
    done = answer(COMMAND)
    assert (done["tokens"], done["use_rows"], done["consumers"]) == (3, 3 * 8 + 2 * 2, 2)
    assert (counted.pop("dry_run"), counted.pop("batches")) == (True, 0)
    assert counted == {name: done[name] for name in counted}


def test_the_table_says_the_same_as_the_json(clock: Clock, alice: User) -> None:
    expired(alice, ago=100 * DAY)
    printed = run(COMMAND)
    assert re.search(r"^Tokens +1$", printed, re.MULTILINE)
    assert re.search(r"^Dry run +no$", printed, re.MULTILINE)


def test_each_batch_leaves_one_event(clock: Clock, alice: User) -> None:
    tokens = [expired(alice, ago=(100 + n) * DAY, name=f"t{n}") for n in range(5)]
    counts = answer(COMMAND, "--batch-size=2")
    assert (counts["tokens"], counts["batches"]) == (5, 3)
    events = TokenEvent.objects.filter(kind="token.purged_batch").order_by("id")
    assert [event.data["count"] for event in events] == [2, 2, 1]
    assert sorted(purged_ids()) == sorted(str(token.public_id) for token in tokens)
    assert {event.door for event in events} == {"command"}


def test_the_statements_are_as_many_for_one_token_as_for_a_hundred(
    clock: Clock, alice: User
) -> None:
    counts = []
    for number in (1, 100):
        wish = Wish(name="old", scopes=["inference"], expires_at=NOON - 100 * DAY)
        lifecycle.issue_many(
            owners=[alice] * number,
            wishes=[wish] * number,
            origin=origin(alice, at=NOON - 110 * DAY),
        )
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert answer(COMMAND)["tokens"] == number
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--older-than=0"], "whole number from 2 to 3660"),
        (["--older-than=1"], "whole number from 2 to 3660"),
        (["--older-than=-1"], "whole number from 2 to 3660"),
        (["--older-than=3661"], "whole number from 2 to 3660"),
        (["--older-than=ninety"], "whole number from 2 to 3660"),
        (["--older-than=1.5"], "whole number from 2 to 3660"),
        (["--older-than=²"], "whole number from 2 to 3660"),
        (["--older-than=" + "9" * 5000], "whole number from 2 to 3660"),
        (["--older-than="], "whole number from 2 to 3660"),
        (["--batch-size=0"], "whole number from 1 to 10000"),
        (["--batch-size=10001"], "whole number from 1 to 10000"),
        (["--format=yaml"], "invalid choice"),
        (["now"], "unrecognized arguments"),
    ],
)
def test_what_cannot_be_read_is_said_and_removes_nothing(
    clock: Clock, alice: User, arguments: list[str], sentence: str
) -> None:
    expired(alice, ago=100 * DAY)
    with pytest.raises(CommandError, match=re.escape(sentence)):
        run(COMMAND, *arguments)
    assert AccessToken.objects.count() == 1


def test_a_bar_is_drawn_on_a_terminal_only(clock: Clock, alice: User) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for screen in (Terminal(), io.StringIO()):
        expired(alice, ago=100 * DAY)
        run(COMMAND, stderr=screen)
        assert ("100% 1 of 1" in screen.getvalue()) is screen.isatty()


# --- Two at once, and one that is killed ------------------------------------------------------------


def many(number: int) -> list[str]:
    """Make tokens that are past their time, with a line of use each; return their public ids."""
    owners = [make_user(f"p{n}@example.com") for n in range(5)]
    now = datetime.now(tz=NOON.tzinfo)
    wish = Wish(name="old", scopes=["inference"], expires_at=now - 100 * DAY)
    lifecycle.issue_many(
        owners=[owners[n % 5] for n in range(number)],
        wishes=[wish] * number,
        origin=origin(at=now - 110 * DAY),
    )
    TokenUse.objects.bulk_create(
        TokenUse(token_id=pk, day=now.date(), consumer_key="c", last_at=now)
        for pk in AccessToken.objects.values_list("pk", flat=True)
    )
    return [str(each) for each in AccessToken.objects.values_list("public_id", flat=True)]


@pytest.mark.django_db(transaction=True)
def test_two_purges_at_once_share_the_work() -> None:
    everything = many(300)
    both = together(*[lambda: answer(COMMAND, "--batch-size=20")] * 2)
    assert sum(each["tokens"] for each in both) == 300
    assert Counter(purged_ids()) == Counter(everything)
    assert not AccessToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_purge_that_is_killed_loses_nothing_and_the_next_one_finishes() -> None:
    everything = many(2000)
    for left in (1500, 900):
        killed = process(COMMAND, "--batch-size=7")
        deadline = time.monotonic() + 60
        while AccessToken.objects.count() > left:
            assert killed.poll() is None, killed.communicate()
            assert time.monotonic() < deadline
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        present = {str(each) for each in AccessToken.objects.values_list("public_id", flat=True)}
        assert 0 < len(present) <= left
        assert Counter(purged_ids()) == Counter(set(everything) - present)
        assert TokenUse.objects.count() == len(present)
    last = process(COMMAND, "--batch-size=500", "--format=json")
    printed, faults = last.communicate(timeout=60)
    assert (last.returncode, faults) == (0, "")
    assert json.loads(printed)["tokens"] == len(present)
    assert Counter(purged_ids()) == Counter(everything)
    assert not TokenUse.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_fails_is_undone_whole(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    many(10)

    def fail(*_: Any, **__: Any) -> None:
        raise LookupError

    monkeypatch.setattr(lifecycle, "purge", fail)
    with pytest.raises(LookupError):
        list(retention.purge(origin=origin(), older_than=90 * DAY, batch_size=100))
    assert (AccessToken.objects.count(), TokenUse.objects.count()) == (10, 10)
