from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import vobject
from pytest_django import DjangoAssertNumQueries

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.test_rotation import rotate
from tests.threads import together
from tokens import lifecycle, secret
from tokens.models import CalendarFeed, TokenEvent
from tokens.notices import calendar
from tokens.notices.calendar import MOST, PlannedEnd
from tokens.views.calendar_file import calendar_file

BERLIN = ZoneInfo("Europe/Berlin")


def address(owner: User, *, with_names: bool = False, at: datetime | None = None) -> str:
    made = calendar.create(owner_id=owner.pk, with_names=with_names, origin=origin(owner, at=at))
    assert made is not None
    return made.reveal()


def kinds() -> list[str]:
    return [
        each.kind for each in TokenEvent.objects.filter(kind__startswith="calendar").order_by("pk")
    ]


def ends(owner: User, clock: Clock) -> list[tuple[str, bool]]:
    return [
        (each.token.name, each.by_rotation) for each in calendar.planned_ends(owner.pk, clock.now)
    ]


def read(written: bytes) -> Any:
    """Return the calendar as a parser reads it that shares no line with the writer."""
    text = written.decode()
    assert not re.search(r"(?<!\r)\n", text)
    assert all(len(line) <= 75 for line in written.split(b"\r\n"))
    parsed = vobject.readOne(text)
    assert parsed.name == "VCALENDAR"
    parsed.validate(raiseException=True)
    return parsed


def entries(owner: User, clock: Clock, *, with_names: bool = True, zone: Any = BERLIN) -> list[Any]:
    written = calendar_file(
        calendar.planned_ends(owner.pk, clock.now), zone=zone, with_names=with_names
    )
    return list(getattr(read(written), "vevent_list", []))


# --- The address ----------------------------------------------------------------------------------


def test_only_a_digest_of_the_address_is_stored(clock: Clock, alice: User) -> None:
    value = address(alice)
    feed = CalendarFeed.objects.get()
    assert (feed.owner, feed.last4, feed.created_at) == (alice, value[-4:], clock.now)
    assert bytes(feed.digest) == secret.digest(value)[1]
    (event,) = TokenEvent.objects.filter(kind="calendar.created")
    assert (event.owner_id, event.actor_id, event.data) == (
        alice.pk,
        alice.pk,
        {"with_names": False},
    )
    assert value[7:15] not in str(event.data)


def test_a_second_address_is_not_made(clock: Clock, alice: User) -> None:
    value = address(alice)
    assert calendar.create(owner_id=alice.pk, with_names=True, origin=origin(alice)) is None
    found = calendar.find(value)
    assert found is not None
    assert not found.with_names
    assert kinds() == ["calendar.created"]


def test_a_replaced_address_opens_nothing_and_a_repeat_replaces_nothing(
    clock: Clock, alice: User
) -> None:
    first = address(alice)
    made_at = clock.now
    clock.tick(minutes=1)
    new = calendar.replace(owner_id=alice.pk, made_at=made_at, origin=origin(alice))
    assert new is not None
    assert calendar.find(first) is None
    found = calendar.find(new.reveal())
    assert found is not None
    assert (found.owner, found.created_at) == (alice, clock.now)
    assert calendar.replace(owner_id=alice.pk, made_at=made_at, origin=origin(alice)) is None
    assert calendar.find(new.reveal()) is not None
    assert kinds() == ["calendar.created", "calendar.replaced"]


def test_a_revoked_address_opens_nothing_and_a_repeat_revokes_no_later_one(
    clock: Clock, alice: User
) -> None:
    first, made_at = address(alice), clock.now
    assert calendar.revoke(owner_id=alice.pk, made_at=made_at, origin=origin(alice))
    assert calendar.find(first) is None
    clock.tick(seconds=1)
    second = address(alice)
    assert not calendar.revoke(owner_id=alice.pk, made_at=made_at, origin=origin(alice))
    assert calendar.find(second) is not None
    assert kinds() == ["calendar.created", "calendar.revoked", "calendar.created"]


def test_what_bob_has_stays_his(clock: Clock, alice: User, bob: User) -> None:
    value, made_at = address(bob), clock.now
    assert calendar.replace(owner_id=alice.pk, made_at=made_at, origin=origin(alice)) is None
    assert not calendar.revoke(owner_id=alice.pk, made_at=made_at, origin=origin(alice))
    assert not calendar.choose_names(owner_id=alice.pk, with_names=True, origin=origin(alice))
    found = calendar.find(value)
    assert found is not None
    assert not found.with_names


def test_choosing_names_is_remembered_once(clock: Clock, alice: User) -> None:
    address(alice)
    assert calendar.choose_names(owner_id=alice.pk, with_names=True, origin=origin(alice))
    assert not calendar.choose_names(owner_id=alice.pk, with_names=True, origin=origin(alice))
    assert kinds() == ["calendar.created", "calendar.names_chosen"]


def test_nobody_who_was_switched_off_is_read(alice: User) -> None:
    value = address(alice)
    alice.is_active = False
    alice.save()
    assert calendar.find(value) is None


@pytest.mark.parametrize(
    "wrong", ["", "sk_cal_", "sk_cal_" + "0" * 63, "sk_pat_" + "0" * 64, "sk_cal_" + "\uff21" * 64]
)
def test_what_cannot_be_an_address_costs_no_query(
    db: None, wrong: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert calendar.find(wrong) is None


def test_an_address_moves_to_the_pepper_that_signs(alice: User, settings: Any) -> None:
    value = address(alice)
    old = settings.TOKEN_PEPPERS.split(",")[0]
    settings.TOKEN_PEPPERS = f"{old},7:{'7' * 64}"
    settings.TOKEN_PEPPER_ID = 7
    assert calendar.find(value) is not None
    assert CalendarFeed.objects.get().pepper_id == 7
    assert calendar.find(value) is not None


def test_reading_is_noted_now_and_then(
    clock: Clock, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    address(alice)
    calendar.note_read(CalendarFeed.objects.get(), reader="curl", at=clock.now)
    feed = CalendarFeed.objects.get()
    assert (feed.last_read_at, feed.last_reader) == (clock.now, "curl")
    clock.tick(minutes=9)
    with django_assert_num_queries(0):
        calendar.note_read(feed, reader="curl", at=clock.now)
    clock.tick(minutes=1)
    calendar.note_read(feed, reader="curl", at=clock.now)
    assert CalendarFeed.objects.get().last_read_at == clock.now


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_address(alice: User) -> None:
    made = together(
        *[lambda: calendar.create(owner_id=alice.pk, with_names=False, origin=origin(alice))] * 2
    )
    assert sorted(each is None for each in made) == [False, True]
    assert kinds() == ["calendar.created"]


# --- What stands in it ----------------------------------------------------------------------------


def test_planned_ends_come_in_order_and_revoked_ones_do_not(
    clock: Clock, alice: User, bob: User
) -> None:
    day = timedelta(days=1)
    issue(bob, "his")
    issue(alice, "later", expires_at=clock.now + 20 * day)
    issue(alice, "sooner", expires_at=clock.now + 3 * day)
    issue(alice, "never", expires_at=None)
    gone = issue(alice, "gone").token
    lifecycle.revoke(token=gone, origin=origin(alice))
    assert ends(alice, clock) == [("sooner", False), ("later", False)]
    clock.tick(days=4)
    assert ends(alice, clock) == [("later", False), ("sooner", False)]
    clock.tick(days=7)
    assert ends(alice, clock) == [("later", False)]


def test_a_rotations_planned_end_takes_the_place_of_the_expiry(clock: Clock, alice: User) -> None:
    old = issue(alice, "ci").token
    new = rotate(old, alice).token
    assert sorted(ends(alice, clock)) == [("ci", False), ("ci", False)]
    lifecycle.retire(replacement=new, at=clock.now + timedelta(hours=24), origin=origin(alice))
    assert ends(alice, clock) == [("ci", True), ("ci", False)]


def test_the_number_of_queries_and_of_entries_is_bounded(
    clock: Clock, alice: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    wish = lifecycle.Wish(
        name="bulk", scopes=["account.read"], expires_at=clock.now + timedelta(days=9)
    )
    number = MOST + 1
    lifecycle.issue_many(owners=[alice] * number, wishes=[wish] * number, origin=origin(alice))
    with django_assert_num_queries(1):
        found = calendar.planned_ends(alice.pk, clock.now)
    assert len(found) == MOST
    written = calendar_file(found, zone=BERLIN, with_names=True)
    assert len(read(written).vevent_list) == MOST


# --- The file -------------------------------------------------------------------------------------


def test_an_empty_calendar_can_be_read(clock: Clock, alice: User) -> None:
    assert entries(alice, clock) == []


def test_an_entry_is_all_day_with_an_alarm_the_day_before(clock: Clock, alice: User) -> None:
    # Half past eleven in London is the next day in Berlin.
    at = datetime(2026, 12, 1, 23, 30, tzinfo=ZoneInfo("Europe/London"))
    token = issue(alice, "cli-macbook", expires_at=at).token
    (entry,) = entries(alice, clock)
    assert entry.summary.value == "cli-macbook expires"
    assert str(entry.dtstart.value) == "2026-12-02"
    assert str(entry.dtend.value) == "2026-12-03"
    assert entry.dtstart.value_param == "DATE"
    assert "2 Dec 2026, 00:30 CET (1 Dec 2026, 23:30 UTC)" in entry.description.value
    assert entry.url.value.endswith(f"/settings/tokens/{token.public_id}")
    assert entry.transp.value == "TRANSPARENT"
    alarm = entry.valarm
    assert alarm.action.value == "DISPLAY"
    assert alarm.trigger.value == at - timedelta(days=1)
    (elsewhere,) = entries(alice, clock, zone=ZoneInfo("Europe/London"))
    assert str(elsewhere.dtstart.value) == "2026-12-01"


def test_a_rotations_end_rings_an_hour_before(clock: Clock, alice: User) -> None:
    old = issue(alice, "ci").token
    at = clock.now + timedelta(hours=24)
    new = rotate(old, alice).token
    lifecycle.retire(replacement=new, at=at, origin=origin(alice))
    first, second = entries(alice, clock)
    assert (first.summary.value, second.summary.value) == ("ci is rotated out", "ci expires")
    assert first.valarm.trigger.value == at - timedelta(hours=1)
    assert first.uid.value != second.uid.value


def test_names_are_left_out_unless_wished(clock: Clock, alice: User) -> None:
    token = issue(alice, "payroll-prod").token
    planned = calendar.planned_ends(alice.pk, clock.now)
    without = calendar_file(planned, zone=BERLIN, with_names=False).decode()
    assert "payroll" not in without
    assert token.last4 not in without.replace(str(token.public_id), "")
    assert "SUMMARY:An access token expires" in without


def test_a_name_is_escaped_and_long_lines_are_folded(clock: Clock, alice: User) -> None:
    name = "a,b;c\\d:" + "ä€😀" * 8
    issue(alice, name)
    (entry,) = entries(alice, clock)
    assert entry.summary.value == f"{name} expires"


def test_an_end_keeps_its_uid_and_says_when_it_last_changed(clock: Clock, alice: User) -> None:
    token = issue(alice, "before").token
    made = clock.now
    (first,) = entries(alice, clock)
    assert first.dtstamp.value == made
    clock.tick(hours=3)
    (same,) = entries(alice, clock)
    assert same.serialize() == first.serialize()
    lifecycle.rename(token=token, name="after", description="", origin=origin(alice))
    (renamed,) = entries(alice, clock)
    assert renamed.summary.value == "after expires"
    assert renamed.uid.value == first.uid.value
    assert renamed.dtstamp.value == clock.now


def test_no_two_ends_share_a_uid(clock: Clock, alice: User) -> None:
    tokens = [issue(alice, f"t{number}").token for number in range(5)]
    planned = [
        PlannedEnd(token, clock.now, by_rotation, clock.now)
        for token in tokens
        for by_rotation in (False, True)
    ]
    parsed = read(calendar_file(planned, zone=BERLIN, with_names=True))
    assert len({each.uid.value for each in parsed.vevent_list}) == 10
