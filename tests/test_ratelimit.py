from __future__ import annotations

import pytest
from django.utils import timezone

from skytells_console.models import User
from tests.cast import Clock
from tokens import ratelimit
from tokens.models import RateLimit
from tokens.ratelimit import Limit

THREE = Limit("three", 3, 60)
PLACE, ELSEWHERE = "203.0.113.9", "198.51.100.7"


def hits(number: int, subject: str = "alice", limit: Limit = THREE) -> list[bool]:
    return [ratelimit.hit(limit, subject, now=timezone.now()) for _ in range(number)]


def sign_in(clock: Clock, email: str = "alice@example.com", place: str = PLACE) -> bool:
    return ratelimit.sign_in(email, place, now=clock.now)


def test_so_many_tries_are_allowed_and_not_one_more(clock: Clock, db: None) -> None:
    assert hits(5) == [True, True, True, False, False]


def test_each_subject_and_each_limit_is_counted_by_itself(clock: Clock, db: None) -> None:
    hits(4)
    assert hits(1, "bob") == [True]
    assert hits(1, "alice", Limit("other", 3, 60)) == [True]


def test_a_new_window_begins_at_none(clock: Clock, db: None) -> None:
    hits(4)
    clock.tick(seconds=59)
    assert hits(1) == [False]
    clock.tick(seconds=1)
    assert hits(4) == [True, True, True, False]


def test_a_try_given_back_can_be_made_again(clock: Clock, db: None) -> None:
    hits(3)
    ratelimit.give_back(THREE, "alice", now=clock.now)
    assert hits(2) == [True, False]


def test_nothing_is_given_back_below_none(clock: Clock, db: None) -> None:
    ratelimit.give_back(THREE, "alice", now=clock.now)
    hits(1)
    for _ in range(5):
        ratelimit.give_back(THREE, "alice", now=clock.now)
    assert RateLimit.objects.get().count == 0
    assert hits(4) == [True, True, True, False]


def test_the_table_holds_no_address_in_the_clear_and_an_end_for_every_row(
    clock: Clock, db: None
) -> None:
    sign_in(clock)
    rows = list(RateLimit.objects.values())
    assert len(rows) == 3
    assert "alice" not in str(rows)
    assert PLACE not in str(rows)
    assert all(row["expires_at"] > clock.now for row in rows)


@pytest.mark.parametrize("subject", ["", "x" * 100_000, "a\x00b", "\ud800", "'; --", "ａ"])  # noqa: RUF001
def test_any_subject_can_be_counted(clock: Clock, db: None, subject: str) -> None:
    assert hits(4, subject) == [True, True, True, False]


def test_five_sign_ins_from_one_place_and_more_from_anywhere(clock: Clock, db: None) -> None:
    assert [sign_in(clock) for _ in range(6)] == [True] * 5 + [False]
    # A stranger who used up the tries of one place cannot lock the person out elsewhere.
    assert sign_in(clock, place=ELSEWHERE)
    clock.tick(minutes=5)
    assert sign_in(clock)


def test_one_place_cannot_use_up_the_tries_of_all_places(clock: Clock, db: None) -> None:
    for _ in range(49):
        sign_in(clock)
    assert sign_in(clock, place=ELSEWHERE)
    ratelimit.sign_in_succeeded("alice@example.com", ELSEWHERE, now=clock.now)
    # Five were counted, and one more came and was given back: 25 are left for other places.
    tries = [sign_in(clock, place=f"192.0.2.{number}") for number in range(26)]
    assert tries == [True] * 25 + [False]


def test_a_refused_try_is_counted_by_no_limit_after_the_one_that_refused(
    clock: Clock, db: None
) -> None:
    for _ in range(60):
        sign_in(clock)
    counts = {row["key"].split(":")[0]: row["count"] for row in RateLimit.objects.values()}
    assert counts == {"sign-in-address": 60, "sign-in-place": 50, "sign-in-anywhere": 5}


def test_all_addresses_of_one_ipv6_network_are_one_place(clock: Clock, db: None) -> None:
    tries = [sign_in(clock, place=f"2001:db8:1:2:{number}::1") for number in range(1, 7)]
    assert tries == [True] * 5 + [False]
    assert sign_in(clock, place="2001:db8:1:3::1")


@pytest.mark.parametrize("place", ["unknown", "", "not an address"])
def test_a_place_that_is_no_address_is_limited_all_the_same(
    clock: Clock, db: None, place: str
) -> None:
    assert [sign_in(clock, place=place) for _ in range(6)] == [True] * 5 + [False]


def test_thirty_sign_ins_for_one_address_from_anywhere(clock: Clock, db: None) -> None:
    tries = [sign_in(clock, place=f"203.0.113.{number}") for number in range(31)]
    assert tries == [True] * 30 + [False]


def test_fifty_sign_ins_from_one_place_for_anybody(clock: Clock, db: None) -> None:
    tries = [sign_in(clock, f"person{number}@example.com") for number in range(51)]
    assert tries == [True] * 50 + [False]


def test_a_success_gives_its_own_try_back_and_no_others(clock: Clock, db: None) -> None:
    for _ in range(4):
        sign_in(clock)
    for _ in range(10):
        assert sign_in(clock)
        ratelimit.sign_in_succeeded("alice@example.com", PLACE, now=clock.now)
    assert sign_in(clock)
    assert not sign_in(clock)


def test_rows_long_past_are_forgotten_the_oldest_first_and_not_all_at_once(
    clock: Clock, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Counting forgets now and then by itself; here it must not.
    monkeypatch.setattr("tokens.ratelimit.secrets.randbelow", lambda below: below - 1)
    for number in range(5):
        hits(1, f"old {number}")
        clock.tick(minutes=1)
    clock.tick(days=1)
    hits(1, "new")
    # The window of the fifth ended a day ago to the second, so that it may stay a moment longer.
    assert ratelimit.forget_expired(now=clock.now, at_most=3) == 3
    assert ratelimit.forget_expired(now=clock.now, at_most=3) == 1
    assert ratelimit.forget_expired(now=clock.now, at_most=3) == 0
    assert RateLimit.objects.count() == 2


def test_counting_forgets_now_and_then_by_itself(
    clock: Clock, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits(1, "old")
    clock.tick(days=2)
    monkeypatch.setattr("tokens.ratelimit.secrets.randbelow", lambda below: below - 1)
    hits(1, "new")
    assert RateLimit.objects.count() == 2
    monkeypatch.setattr("tokens.ratelimit.secrets.randbelow", lambda below: 0)
    hits(1, "new")
    assert RateLimit.objects.count() == 1


def test_five_proofs_a_person(clock: Clock, alice: User, bob: User) -> None:
    assert [ratelimit.proof(alice.pk, now=clock.now) for _ in range(6)] == [True] * 5 + [False]
    assert ratelimit.proof(bob.pk, now=clock.now)
    ratelimit.proof_succeeded(bob.pk, now=clock.now)
    assert [ratelimit.proof(bob.pk, now=clock.now) for _ in range(6)] == [True] * 5 + [False]


def test_three_reset_mails_an_hour(clock: Clock, db: None) -> None:
    def ask() -> bool:
        return ratelimit.password_reset_mail("alice@example.com", now=clock.now)

    assert [ask() for _ in range(4)] == [True, True, True, False]
    clock.tick(hours=1)
    assert ask()
