from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.device import CLI, DEFAULT, TERMINAL, approve, deny, redeem, row, start
from tokens import device_flow, lifecycle
from tokens.device_flow import Miss, Reply, State, TooManyStarts, codes
from tokens.device_flow.forgetting import forget_spent
from tokens.models import AccessToken, DeviceGrant, Notice, Policy, TokenEvent
from tokens.policy import Refused

pytestmark = pytest.mark.django_db


def find(user: User, typed: str, clock: Clock) -> device_flow.Found:
    return device_flow.look_up(user_id=user.pk, typed=typed, now=clock.now)


def miss(user: User, typed: str, clock: Clock) -> str:
    with pytest.raises(Miss) as missed:
        find(user, typed, clock)
    return missed.value.code


# --- The codes -----------------------------------------------------------------------------------


def test_a_person_s_code_is_eight_of_twenty_consonants_and_uses_all_of_them() -> None:
    drawn = [codes.mint_user_code() for _ in range(500)]
    assert all(re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{8}", code) for code in drawn)
    assert set("".join(drawn)) == set(device_flow.ALPHABET)
    assert len(set(drawn)) == 500


@pytest.mark.parametrize(
    "typed",
    [
        "BCDF-GHJK",
        "bcdf-ghjk",
        "bcdfghjk",
        " BCDF GHJK ",
        "b.c-d_f\tghjk\n",
        "BCDF–GHJK",
        "(bcdf)ghjk",
    ],
)
def test_a_code_is_read_in_any_case_and_with_any_marks_between(typed: str) -> None:
    assert codes.read_user_code(typed) == "BCDFGHJK"


@pytest.mark.parametrize(
    "typed",
    ["", "BCDF", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-1234", "AEIO-UAEI", "BCDF-GHJ0", "bcdfghjé",
     "\u212abcdfgh", "\uff22\uff23\uff24\uff26\uff27\uff28\uff2a\uff2b", "BCDFGHJK" * 1000, "\0" * 8],
)  # fmt: skip
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert codes.read_user_code(typed) is None


def test_both_codes_are_stored_as_digests_only(clock: Clock) -> None:
    started = start()
    stored = str(DeviceGrant.objects.values().get())
    assert started.user_code not in stored
    assert started.device_code not in stored
    assert len(bytes(row(started).device_digest)) == len(bytes(row(started).user_digest)) == 32
    assert len(started.device_code) == 43


def test_a_code_is_found_under_a_pepper_that_no_longer_signs(
    clock: Clock, alice: User, settings: Settings
) -> None:
    settings.TOKEN_PEPPERS = "1:" + "a" * 64
    started = start()
    settings.TOKEN_PEPPERS += ",2:" + "b" * 64
    assert find(alice, started.user_code, clock).grant == started.grant
    approve(started, alice)
    assert redeem(started).reply is Reply.DELIVERED


# --- Starting ------------------------------------------------------------------------------------


def test_a_request_keeps_who_asks_for_what_and_from_where(clock: Clock) -> None:
    grant = row(start(client_id="cli", address="203.0.113.7"))
    assert (grant.client_id, grant.client_name, grant.address) == ("cli", CLI, "203.0.113.7")
    assert grant.network == "203.0.113.0/24"
    assert grant.scopes.split() == DEFAULT
    assert grant.expires_at - grant.created_at == timedelta(minutes=15)
    assert grant.interval == 5


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        (None, " ".join(DEFAULT)),
        (["account.read", "inference", "account.read"], "inference account.read"),
        (["projects.read", "", " "], "projects.read"),
    ],
    ids=["none named", "twice and out of order", "empty ones between"],
)
def test_scopes_are_stored_once_each_in_catalogue_order(
    clock: Clock, asked: list[str] | None, stored: str
) -> None:
    assert row(start(asked)).scopes == stored


REFUSED_STARTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown scope": ({"scopes": ["projects.read", "admin"]}, "unknown_scope"),
    "wrong case": ({"scopes": ["Projects.Read"]}, "unknown_scope"),
    "no scope": ({"scopes": []}, "scopes_required"),
    "empty scopes": ({"scopes": ["", " "]}, "scopes_required"),
    "a scope as long as a book": ({"scopes": ["x" * 60_000]}, "unknown_scope"),
    "a token as the name": ({"name": f"sk_pat_{'0' * 12}"}, "contains_token"),
    "a token as the id": ({"client_id": f"sk_pat_{'0' * 12}"}, "contains_token"),
    "a terminal's escape": ({"name": "\x1b[31mCLI"}, "unprintable"),
    "a name that reads backwards": ({"name": "CLI\u202eexe"}, "unprintable"),
    "NUL": ({"name": "a\0b"}, "unprintable"),
    "65 characters": ({"name": "x" * 65}, "name_too_long"),
    "letters that fold long": ({"name": "\ufdfa" * 14}, "name_too_long"),
    "nothing to see": ({"name": "\u0301"}, "unprintable"),
    "an id with a space": ({"client_id": "a b"}, "invalid_client_id"),
    "an id of 65 characters": ({"client_id": "x" * 65}, "invalid_client_id"),
    "an id that is not ASCII": ({"client_id": "caf\xe9"}, "invalid_client_id"),
}


@pytest.mark.parametrize(("asked", "code"), REFUSED_STARTS.values(), ids=REFUSED_STARTS)
def test_a_request_that_cannot_be_granted_is_not_stored(
    clock: Clock, asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        start(**asked)
    assert refused.value.code == code
    assert refused.value.sentence.endswith(".")
    assert not DeviceGrant.objects.exists()


def test_no_request_begins_while_new_tokens_are_switched_off(
    clock: Clock, settings: Settings
) -> None:
    settings.TOKENS_ALLOW_NEW = False
    with pytest.raises(Refused, match="switched off"):
        start()


def test_a_scope_that_the_policy_forbids_is_refused_and_left_out_of_the_default(
    clock: Clock,
) -> None:
    Policy.objects.create(created_at=clock.now, allowed_scopes="projects.read account.read")
    with pytest.raises(Refused, match="does not allow inference"):
        start(["inference"])
    assert row(start(None)).scopes == "projects.read account.read"


def test_ten_may_wait_a_network_and_others_still_begin(clock: Clock, alice: User) -> None:
    first = start()
    clock.tick(minutes=5)
    for number in range(9):
        start(address=f"203.0.113.{number}")
    with pytest.raises(TooManyStarts) as many:
        start(address="203.0.113.200")
    assert many.value.seconds == 601
    assert DeviceGrant.objects.count() == 10
    start(address="203.0.114.7")
    # Whoever is decided or has ended waits no longer.
    deny(first, alice)
    start()
    with pytest.raises(TooManyStarts):
        start()
    clock.tick(minutes=15)
    start()


def test_so_many_may_wait_anywhere(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokens.device_flow.starting.MAX_PENDING", 3)
    for number in range(3):
        start(address=f"10.0.{number}.1")
    with pytest.raises(TooManyStarts):
        start(address="10.0.9.1")


def test_a_code_that_somebody_has_is_drawn_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["BCDFGHJK", "BCDFGHJK", "LMNPQRST"])
    monkeypatch.setattr(codes, "mint_user_code", lambda: next(drawn))
    assert (start().user_code, start().user_code) == ("BCDFGHJK", "LMNPQRST")


# --- Looking up ----------------------------------------------------------------------------------


def test_looking_changes_nothing(clock: Clock, alice: User, bob: User) -> None:
    started = start()
    before = DeviceGrant.objects.values().get()
    for person in (alice, bob, alice):
        assert find(person, started.user_code, clock).state is State.PENDING
    assert DeviceGrant.objects.values().get() == before
    assert not TokenEvent.objects.exists()


def test_five_misses_and_then_even_the_right_code_waits(
    clock: Clock, alice: User, bob: User
) -> None:
    started = start()
    wrong = ["ZZZZ-ZZZZ", "nonsense", "ABCD-1234", "", "BCDF"]
    assert [miss(alice, typed, clock) for typed in wrong] == [
        "unknown_code",
        *["malformed_code"] * 4,
    ]
    assert miss(alice, started.user_code, clock) == "too_many_tries"
    assert find(bob, started.user_code, clock).grant == started.grant
    clock.tick(minutes=15)
    assert miss(alice, started.user_code, clock) == "code_ended"


def test_ten_thousand_guesses_find_nothing_and_change_nothing(clock: Clock, alice: User) -> None:
    started = start()
    stored = list(DeviceGrant.objects.values())
    guesses = [miss(alice, codes.mint_user_code(), clock) for _ in range(10_000)]
    assert guesses.count("unknown_code") == 5
    assert miss(alice, started.user_code, clock) == "too_many_tries"
    assert list(DeviceGrant.objects.values()) == stored
    assert not AccessToken.objects.exists()


def test_a_find_uses_up_no_try(clock: Clock, alice: User) -> None:
    started = start()
    for _ in range(20):
        find(alice, started.user_code, clock)


def test_a_code_that_ended_says_so_for_an_hour(clock: Clock, alice: User) -> None:
    started = start()
    clock.tick(minutes=14, seconds=59)
    assert find(alice, started.user_code, clock).state is State.PENDING
    clock.tick(seconds=1)
    assert miss(alice, started.user_code, clock) == "code_ended"
    clock.tick(minutes=60)
    assert miss(alice, started.user_code, clock) == "unknown_code"


def test_who_decided_sees_the_decision_and_nobody_else_does(
    clock: Clock, alice: User, bob: User
) -> None:
    yes, no = start(), start()
    approve(yes, alice)
    deny(no, alice)
    assert find(alice, yes.user_code, clock).state is State.APPROVED
    assert find(alice, no.user_code, clock).state is State.DENIED
    assert miss(bob, yes.user_code, clock) == miss(bob, no.user_code, clock) == "code_ended"


# --- Deciding ------------------------------------------------------------------------------------


def test_an_approval_is_remembered_with_its_event(clock: Clock, alice: User) -> None:
    started = start()
    assert approve(started, alice, scopes=["projects.read"])
    grant = row(started)
    assert (grant.user, grant.approved_at, grant.granted_scopes) == (
        alice,
        clock.now,
        "projects.read",
    )
    event = TokenEvent.objects.get()
    assert (event.kind, event.actor_id, event.owner_id) == ("device.approved", alice.pk, alice.pk)
    assert event.data["scopes"] == "projects.read"
    assert not AccessToken.objects.exists()


def test_a_second_decision_changes_nothing(clock: Clock, alice: User, bob: User) -> None:
    yes, no = start(), start()
    assert approve(yes, alice)
    assert deny(no, alice)
    kept = list(DeviceGrant.objects.values())
    assert not any(
        [approve(yes, bob), deny(yes, bob), approve(no, bob), deny(no, alice), approve(yes, alice)]
    )
    assert list(DeviceGrant.objects.values()) == kept
    assert TokenEvent.objects.count() == 2


def test_nothing_is_decided_once_the_code_has_ended(clock: Clock, alice: User) -> None:
    started = start()
    clock.tick(minutes=15)
    assert not approve(started, alice)
    assert not deny(started, alice)


REFUSED_APPROVALS: dict[str, tuple[dict[str, Any], str]] = {
    "more than was asked for": ({"scopes": ["projects.read", "keys.write"]}, "scopes_widened"),
    "an unknown scope": ({"scopes": ["admin"]}, "unknown_scope"),
    "no scope": ({"scopes": []}, "scopes_required"),
}


@pytest.mark.parametrize(("wanted", "code"), REFUSED_APPROVALS.values(), ids=REFUSED_APPROVALS)
def test_an_approval_that_cannot_be_leaves_the_request_waiting(
    clock: Clock, alice: User, wanted: dict[str, Any], code: str
) -> None:
    started = start()
    with pytest.raises(Refused) as refused:
        approve(started, alice, **wanted)
    assert refused.value.code == code
    assert find(alice, started.user_code, clock).state is State.PENDING


def test_a_lifetime_beyond_the_policy_is_refused(clock: Clock, alice: User) -> None:
    with pytest.raises(Refused, match="Choose a time between"):
        approve(start(), alice, expires_at=clock.now + timedelta(days=367))


def test_without_room_the_approval_says_so_and_undoes_all_of_itself(
    clock: Clock, alice: User, settings: Settings
) -> None:
    settings.TOKENS_MAX_LIVE = 1
    held = issue(alice).token
    started = start()
    with pytest.raises(Refused, match="reached 1 active tokens"):
        approve(started, alice)
    assert row(started).approved_at is None
    # Ending an earlier sign-in makes the room, in the same transaction.
    assert approve(started, alice, end=[held])
    assert redeem(started).reply is Reply.DELIVERED


def test_an_earlier_sign_in_ends_with_the_approval(clock: Clock, alice: User) -> None:
    first, second = start(), start()
    approve(first, alice)
    earlier = redeem(first).issued.token  # type: ignore[union-attr]
    approve(second, alice, end=[earlier])
    earlier.refresh_from_db()
    assert (earlier.revoke_kind, earlier.revoked_by) == ("owner", alice)
    assert redeem(second).issued.token.name == CLI  # type: ignore[union-attr]


def test_earlier_sign_ins_are_those_of_the_same_client_and_person(
    clock: Clock, alice: User, bob: User
) -> None:
    made = []
    for person, name in [(alice, CLI), (alice, CLI), (bob, CLI), (alice, f"{CLI} beta")]:
        started = start(name=name)
        approve(started, person)
        made.append(redeem(started).issued.token)  # type: ignore[union-attr]
    issue(alice, f"{CLI} (3)")
    lifecycle.revoke(token=made[1], origin=origin(alice))
    grant = start().grant
    earlier = device_flow.earlier_logins(user_id=alice.pk, grant=grant, now=clock.now)
    assert earlier == [made[0]]


# --- Redeeming -----------------------------------------------------------------------------------


def test_an_approved_request_gives_its_token_once(clock: Clock, alice: User) -> None:
    started = start()
    assert redeem(started).reply is Reply.PENDING
    clock.tick(seconds=5)
    end = clock.now + timedelta(days=30)
    approve(started, alice, scopes=["projects.read"], expires_at=end)
    clock.tick(seconds=5)
    issued = redeem(started).issued
    assert issued is not None
    token = AccessToken.objects.get()
    assert (token, token.owner, token.name) == (issued.token, alice, CLI)
    assert (token.scopes, token.expires_at, token.created_via) == ("projects.read", end, "device")
    assert row(started).token == token
    event = TokenEvent.objects.get(kind="token.issued")
    assert (event.door, event.actor_id, event.data["via"]) == ("device", alice.pk, "device")
    notice = Notice.objects.get()
    assert (notice.kind, notice.owner, notice.data["address"]) == (
        "token_created",
        alice,
        TERMINAL,
    )


def test_a_second_redemption_revokes_a_token_that_was_never_used(clock: Clock, alice: User) -> None:
    started = start()
    approve(started, alice)
    token = redeem(started).issued.token  # type: ignore[union-attr]
    assert redeem(started).reply is Reply.SPENT
    token.refresh_from_db()
    assert (token.revoke_kind, token.revoked_by) == ("lost", None)
    assert Notice.objects.filter(kind="token_revoked").count() == 1
    # And a third one changes nothing.
    clock.tick(seconds=5)
    assert redeem(started).reply is Reply.SPENT
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 1


def test_a_second_redemption_leaves_a_token_that_was_used(clock: Clock, alice: User) -> None:
    started = start()
    approve(started, alice)
    token = redeem(started).issued.token  # type: ignore[union-attr]
    lifecycle.note_first_use(token_id=token.pk, origin=origin())
    assert redeem(started).reply is Reply.SPENT
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_denied_request_stays_denied(clock: Clock, alice: User) -> None:
    started = start()
    deny(started, alice)
    assert redeem(started).reply is Reply.DENIED
    clock.tick(minutes=20)
    assert redeem(started).reply is Reply.DENIED


@pytest.mark.parametrize("approved", [False, True])
def test_after_fifteen_minutes_nothing_is_delivered(
    clock: Clock, alice: User, approved: bool
) -> None:
    started = start()
    if approved:
        approve(started, alice)
    clock.tick(minutes=15)
    assert redeem(started).reply is Reply.EXPIRED
    assert not AccessToken.objects.exists()


def test_a_code_is_good_only_for_its_own_client(clock: Clock, alice: User) -> None:
    named, unnamed = start(client_id="mine"), start()
    for started in (named, unnamed):
        approve(started, alice)
    assert redeem(named, client_id="").reply is Reply.UNKNOWN
    assert redeem(named, client_id="other").reply is Reply.UNKNOWN
    assert redeem(unnamed, client_id="mine").reply is Reply.UNKNOWN
    assert not AccessToken.objects.exists()
    assert redeem(named).reply is redeem(unnamed).reply is Reply.DELIVERED


def test_crossed_codes_open_nothing(clock: Clock, alice: User) -> None:
    one, other = start(), start()
    approve(one, alice)
    assert redeem(one, code=one.user_code).reply is Reply.UNKNOWN
    assert redeem(other).reply is Reply.PENDING
    assert miss(alice, one.device_code, clock) == "malformed_code"


def test_who_asks_too_fast_waits_longer_each_time(clock: Clock) -> None:
    started = start()
    replies = []
    for seconds in (0, 5, 1, 5, 10, 1):
        clock.tick(seconds=seconds)
        replies.append((redeem(started).reply, row(started).interval))
    fast, fine = Reply.TOO_FAST, Reply.PENDING
    assert replies == [
        (fine, 5), (fine, 5), (fast, 10), (fast, 15), (fast, 20), (fast, 25)
    ]  # fmt: skip
    clock.tick(seconds=25)
    assert redeem(started).reply is fine


def test_a_storm_of_polls_ends_in_one_read_a_poll(
    clock: Clock, alice: User, django_assert_num_queries: Any
) -> None:
    started = start()
    for _ in range(80):
        assert redeem(started).reply in {Reply.PENDING, Reply.TOO_FAST}
    assert row(started).interval == device_flow.MAX_INTERVAL
    with django_assert_num_queries(1):
        assert redeem(started).reply is Reply.TOO_FAST
    # Who is approved gets the token whatever came before: the wait is over.
    approve(started, alice)
    assert redeem(started).reply is Reply.DELIVERED


def test_what_is_forbidden_meanwhile_is_denied_with_the_reason(
    clock: Clock, alice: User, settings: Settings
) -> None:
    started = start()
    approve(started, alice)
    settings.TOKENS_ALLOW_NEW = False
    redemption = redeem(started)
    assert (redemption.reply, redemption.issued) == (Reply.DENIED, None)
    assert "switched off" in redemption.sentence
    assert row(started).redeemed_at is None
    settings.TOKENS_ALLOW_NEW = True
    assert redeem(started).reply is Reply.DELIVERED


def test_nothing_is_minted_for_somebody_who_was_disabled(clock: Clock, alice: User) -> None:
    started = start()
    approve(started, alice)
    alice.is_active = False
    alice.save()
    assert redeem(started).reply is Reply.DENIED
    assert not AccessToken.objects.exists()


def test_names_that_are_taken_get_a_number(clock: Clock, alice: User) -> None:
    issue(alice, CLI.upper())
    names = []
    for name, client_id in [
        (CLI, ""),
        (CLI, ""),
        ("", "my-app"),
        ("", ""),
        ("", ""),
        ("x" * 64, ""),
    ]:
        started = start(name=name, client_id=client_id)
        approve(started, alice)
        names.append(redeem(started).issued.token.name)  # type: ignore[union-attr]
    assert names == [
        f"{CLI} (2)",
        f"{CLI} (3)",
        "my-app",
        "Device login",
        "Device login (2)",
        "x" * 64,
    ]
    started = start(name="x" * 64)
    approve(started, alice)
    assert redeem(started).issued.token.name == "x" * 60 + " (2)"  # type: ignore[union-attr]
    earlier = device_flow.earlier_logins(user_id=alice.pk, grant=started.grant, now=clock.now)
    assert {token.name for token in earlier} == {"x" * 64, "x" * 60 + " (2)"}


# --- Forgetting ----------------------------------------------------------------------------------


def test_requests_that_ended_are_forgotten_in_batches_and_tokens_stay(
    clock: Clock, alice: User
) -> None:
    spent = start()
    approve(spent, alice)
    redeem(spent)
    for _ in range(3):
        start()
    clock.tick(days=1)
    fresh = start()
    before = clock.now - timedelta(hours=1)
    assert [forget_spent(before, at_most=3) for _ in range(3)] == [3, 1, 0]
    assert DeviceGrant.objects.get() == fresh.grant
    assert AccessToken.objects.count() == 1
    assert redeem(spent).reply is Reply.UNKNOWN
