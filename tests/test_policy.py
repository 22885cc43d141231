from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings as examples, strategies as st
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import lifecycle, policy, scopes, secret
from tokens.models import AccessToken, Policy
from tokens.policy import DAY, MIN_LIFETIME, PolicyRow, Refused

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
READ, WRITE = ["projects.read"], ["projects.read", "projects.write"]
VALUE = secret.PREFIX + "0123456789abcdef" * 4
OPEN = policy.rules_of(PolicyRow())


@contextmanager
def refused(code: str, sentence: str = "") -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.code == code
    assert sentence in caught.value.sentence
    assert VALUE[7:19] not in caught.value.sentence


def save_policy(**fields: Any) -> None:
    Policy.objects.create(created_at=NOON, **fields)


# --- Names and other text -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("ci", "ci"),
        ("  ci deploy\n", "ci deploy"),
        ("x" * 64, "x" * 64),
        ("é" * 64, "é" * 64),
        ("e\u0301" * 64, "é" * 64),
        ("🚀 deploy", "🚀 deploy"),
        ("☁️", "☁️"),
        ("デプロイ", "デプロイ"),
        ("بناء", "بناء"),
        ("กี่วัน", "กี่วัน"),
        ("a" + "\u0323" * 4, "ạ" + "\u0323" * 3),
        ("0a1b2c3d" * 8, "0a1b2c3d" * 8),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("'; DROP TABLE tokens; --", "'; DROP TABLE tokens; --"),
        ("{{ secret }} ${x} %s", "{{ secret }} ${x} %s"),
        ("sk_pat_", "sk_pat_"),
    ],
    ids=lambda text: f"{ascii(text)[:30]} {len(text)}",
)
def test_a_name_that_can_be_read_is_kept_as_it_is(typed: str, stored: str) -> None:
    assert policy.check_name(typed) == stored


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("", "name_required", "Give the token a name."),
        (" \t\n\u3000", "name_required", "Give the token a name."),
        ("x" * 65, "name_too_long", "Names can be up to 64 characters."),
        ("x" * 10_000, "name_too_long", "Names can be up to 64 characters."),
        # One character that NFKC turns into eighteen would not fit the key's column.
        ("\ufdfa" * 64, "name_too_long", "Names can be up to 64 characters."),
        ("a\x00b", "unprintable", "(U+0000)"),
        ("a\nb", "unprintable", "(U+000A)"),
        ("a\u202egpj.exe", "unprintable", "(U+202E)"),
        ("a\u2066b\u2069", "unprintable", "(U+2066)"),
        ("a\u200fb", "unprintable", "(U+200F)"),
        ("a\u200bb", "unprintable", "(U+200B)"),
        ("\ufeffa", "unprintable", "(U+FEFF)"),
        ("a\u00a0b", "unprintable", "(U+00A0)"),
        ("a\ue000", "unprintable", "(U+E000)"),
        ("a\ud800", "unprintable", "(U+D800)"),
        ("a\U000e0041", "unprintable", "(U+E0041)"),
        ("a\u034fb", "unprintable", "(U+034F)"),
        ("a\u17b5b", "unprintable", "(U+17B5)"),
        ("a\u180bb", "unprintable", "(U+180B)"),
        ("a\u180fb", "unprintable", "(U+180F)"),
        ("a\U000e0100b", "unprintable", "(U+E0100)"),
        ("a\U000e01efb", "unprintable", "(U+E01EF)"),
        ("a\U0001d159b", "unprintable", "(U+1D159)"),
        ("\ufe0f", "unprintable", "The name needs a character that can be seen."),
        ("\u0301 \u0301", "unprintable", "The name needs a character that can be seen."),
        ("a" + "\u0323" * 6, "too_many_marks", "The name has more than 4 marks on one letter."),
        ("a" + "\u20dd" * 5, "too_many_marks", "Type it again with fewer."),
        ("caf\ufffd", "unreadable", "The name holds a character that could not be read."),
        (VALUE[:64], "contains_token", "The name holds a token, or part of one."),
        (VALUE[:15], "contains_token", "The name holds a token, or part of one."),
        (VALUE[:40].upper(), "contains_token", "The name holds a token, or part of one."),
        ("my " + VALUE[:30] + " key", "contains_token", "a token is never written down here."),
        (VALUE[:20].replace("_", "\uff3f"), "contains_token", "or part of one."),
    ],
    ids=lambda text: f"{ascii(text)[:30]} {len(text)}",
)
def test_a_name_nobody_should_have_to_read_is_refused(name: str, code: str, sentence: str) -> None:
    with refused(code, sentence):
        policy.check_name(name)


def test_a_text_longer_than_any_field_is_refused_before_unicode_looks_at_it(
    only_short_text_is_normalised: None,
) -> None:
    marks = "a" + "\u0301\u0327" * 60_000
    with refused("name_too_long", "Names can be up to 64 characters."):
        policy.check_name(marks)
    with refused("too_long", "The reason is longer than 1000 characters. Shorten it."):
        policy.check_text(marks, field="reason", what="The reason")


@given(st.text(max_size=80))
def test_whatever_is_typed_is_refused_in_a_sentence_or_fits_its_columns(name: str) -> None:
    stored = no = None
    try:
        stored = policy.check_name(name)
    except Refused as refusal:
        no = refusal
    if stored is None:
        assert no is not None
        assert (no.field, no.sentence[-1]) == ("name", ".")
        assert no.sentence.isprintable()
        return
    assert 0 < len(stored) <= AccessToken._meta.get_field("name").max_length
    assert len(policy.name_key(stored)) <= AccessToken._meta.get_field("name_key").max_length
    assert stored.isprintable()
    assert policy.check_name(stored) == stored


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CI", "ci"),
        ("Straße", "STRASSE"),
        ("ﬁle", "FILE"),
        ("ｃｉ", "ci"),  # noqa: RUF001 - look-alikes are the case under test
        ("№ 5", "no 5"),
        ("é", "e\u0301"),
        ("K", "\u212a"),
        ("☁", "☁\ufe0f"),
        ("ci", "c\ufe00i"),
    ],
)
def test_two_spellings_of_a_name_are_one_name(one: str, other: str) -> None:
    assert policy.name_key(one) == policy.name_key(other)


@given(st.text(max_size=20))
def test_the_key_of_a_name_is_its_own_key(name: str) -> None:
    key = policy.name_key(name)
    assert policy.name_key(key) == key


# --- Scopes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "code", "sentence"),
    [
        ([], "scopes_required", "Choose at least one scope."),
        ([""], "unknown_scope", "There is no such scope. The scopes are: account.read, "),
        (["projects.read", "admin"], "unknown_scope", "There is no such scope."),
        (["projects.read projects.write"], "unknown_scope", "There is no such scope."),
        (["x" * 100_000], "unknown_scope", "There is no such scope."),
        ([VALUE], "unknown_scope", "There is no such scope."),
    ],
    ids=["none", "empty", "one unknown", "two in one", "long", "a token"],
)
def test_scopes_that_cannot_be_granted_are_refused(
    chosen: list[str], code: str, sentence: str
) -> None:
    with refused(code, sentence):
        policy.check_scopes(chosen, OPEN)


def test_scopes_are_stored_once_each_in_catalogue_order() -> None:
    assert policy.check_scopes([*WRITE, "inference", *WRITE], OPEN) == (
        "inference projects.read projects.write"
    )


def test_a_scope_the_administrator_forbids_is_named() -> None:
    rules = policy.rules_of(PolicyRow(allowed_scopes="inference projects.read"))
    assert policy.check_scopes(["projects.read"], rules) == "projects.read"
    with refused("scope_not_allowed", "does not allow keys.read, projects.write. Leave it out."):
        policy.check_scopes(["projects.write", "keys.read", "keys.read"], rules)


# --- For how long -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lasting", "allowed"),
    [
        (timedelta(0), False),
        (-DAY, False),
        (HOUR - SECOND, False),
        (HOUR, True),
        (366 * DAY, True),
        (366 * DAY + SECOND, False),
        (datetime.max.replace(tzinfo=UTC) - NOON, False),
    ],
)
def test_a_token_lasts_from_an_hour_to_the_maximum(lasting: timedelta, allowed: bool) -> None:
    if allowed:
        policy.check_expiry(NOON + lasting, READ, now=NOON, rules=OPEN)
        return
    with refused("expiry_out_of_range", "between one hour from now and 24 Nov 2027, 12:00 UTC."):
        policy.check_expiry(NOON + lasting, READ, now=NOON, rules=OPEN)


def test_a_writing_token_may_have_a_shorter_maximum() -> None:
    rules = policy.rules_of(PolicyRow(max_lifetime_days=60, max_write_lifetime_days=7))
    policy.check_expiry(NOON + 60 * DAY, READ, now=NOON, rules=rules)
    policy.check_expiry(NOON + 7 * DAY, WRITE, now=NOON, rules=rules)
    with refused("expiry_out_of_range", "30 Nov 2026, 12:00 UTC."):
        policy.check_expiry(NOON + 7 * DAY + SECOND, WRITE, now=NOON, rules=rules)


def test_no_expiration_is_allowed_until_somebody_forbids_it(settings: Settings) -> None:
    policy.check_expiry(None, READ, now=NOON, rules=OPEN)
    forbidden = policy.rules_of(PolicyRow(no_expiration_allowed=False))
    with refused("expiration_required", "Your administrator asks for an expiration."):
        policy.check_expiry(None, READ, now=NOON, rules=forbidden)
    settings.TOKENS_ALLOW_NO_EXPIRATION = False
    with refused("expiration_required"):
        policy.check_expiry(None, READ, now=NOON, rules=policy.rules_of(PolicyRow()))


@pytest.mark.parametrize(
    ("now", "days", "zone", "local"),
    [
        # Noon on Monday: a week later it is past 10:00, so it is Tuesday's morning.
        (NOON, 7, "UTC", "Tue 2026-12-01 10:00 +0000"),
        (NOON.replace(hour=9), 7, "UTC", "Mon 2026-11-30 10:00 +0000"),
        (NOON.replace(hour=10), 7, "UTC", "Mon 2026-11-30 10:00 +0000"),
        # In Auckland it is already Tuesday.
        (NOON, 7, "Pacific/Auckland", "Tue 2026-12-01 10:00 +1300"),
        (NOON, 7, "America/Los_Angeles", "Mon 2026-11-30 10:00 -0800"),
        # A Saturday moves on to Monday.
        (datetime(2026, 11, 27, 12, tzinfo=UTC), 30, "Europe/Berlin", "Mon 2026-12-28 10:00 +0100"),
        (datetime(2026, 11, 28, 9, tzinfo=UTC), 7, "Asia/Kolkata", "Mon 2026-12-07 10:00 +0530"),
        # Across the change to summer time, 10:00 stays 10:00.
        (datetime(2027, 3, 24, 8, tzinfo=UTC), 7, "Europe/Berlin", "Wed 2027-03-31 10:00 +0200"),
        (datetime(2027, 3, 1, 12, tzinfo=UTC), 30, "Europe/Berlin", "Thu 2027-04-01 10:00 +0200"),
        (datetime(2026, 10, 20, 12, tzinfo=UTC), 30, "America/New_York", "Thu 2026-11-19 10:00 -0500"),
        (datetime(2027, 3, 1, 12, tzinfo=UTC), 60, "Australia/Lord_Howe", "Mon 2027-05-03 10:00 +1030"),
    ],
)  # fmt: skip
def test_a_preset_ends_on_a_working_morning_of_the_person(
    now: datetime, days: int, zone: str, local: str
) -> None:
    end = policy.preset_expiry(days, now=now, zone=ZoneInfo(zone), longest_allowed=366 * DAY)
    assert end.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M %z") == local
    assert end.tzinfo is UTC


@pytest.mark.parametrize(
    ("days", "longest", "end"),
    [
        # Tuesday's morning would be past the limit, so Monday's, the last one before it, is taken.
        (7, 7 * DAY, "2026-11-30 10:00"),
        (90, 7 * DAY, "2026-11-30 10:00"),
        # No morning lies between an hour from now and the limit, which is then the end itself.
        (30, DAY - 3 * HOUR, "2026-11-24 09:00"),
    ],
)
def test_a_preset_never_ends_beyond_the_policy(days: int, longest: timedelta, end: str) -> None:
    found = policy.preset_expiry(days, now=NOON, zone=ZoneInfo("UTC"), longest_allowed=longest)
    assert f"{found:%Y-%m-%d %H:%M}" == end


ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati"]
ZONES += ["America/Sao_Paulo", "Pacific/Pago_Pago", "Australia/Lord_Howe", "Pacific/Apia"]


@given(
    now=st.timedeltas(timedelta(0), 3000 * DAY).map(lambda off: NOON + off),
    days=st.sampled_from(policy.PRESET_DAYS),
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    longest=st.integers(1, 400).map(lambda days: days * DAY),
)
@examples(max_examples=400, deadline=None)
def test_every_preset_can_be_issued_and_ends_in_the_morning_where_the_policy_leaves_one(
    now: datetime, days: int, zone: ZoneInfo, longest: timedelta
) -> None:
    end = policy.preset_expiry(days, now=now, zone=zone, longest_allowed=longest)
    assert now + MIN_LIFETIME <= end <= now + longest
    local = end.astimezone(zone)
    if end != now + longest:
        assert (local.hour, local.minute, local.second) == (10, 0, 0)
        assert local.weekday() < 5
    if longest >= (days + 4) * DAY:
        assert timedelta(0) <= end - (now + days * DAY) < 4 * DAY


# --- How many -----------------------------------------------------------------------------------


def make(owner: User, number: int, **facts: Any) -> list[AccessToken]:
    return [issue(owner, f"t{uuid.uuid4()}", **facts).token for _ in range(number)]


def test_a_person_has_at_most_so_many_live_tokens(
    clock: Clock, alice: User, bob: User, settings: Settings
) -> None:
    settings.TOKENS_MAX_LIVE = 3
    first, *_ = make(alice, 3)
    with refused("too_many_tokens", "You have reached 3 active tokens. Revoke one first."):
        issue(alice, "fourth")
    assert AccessToken.objects.count() == 3
    make(bob, 1)
    lifecycle.revoke(token=first, origin=origin(alice))
    make(alice, 1)


def test_tokens_that_ended_by_time_leave_room(
    clock: Clock, alice: User, settings: Settings
) -> None:
    settings.TOKENS_MAX_LIVE = 2
    make(alice, 2, expires_at=clock.now + HOUR)
    clock.tick(hours=1, seconds=-1)
    with refused("too_many_tokens"):
        issue(alice, "third")
    clock.tick(seconds=1)
    make(alice, 2)


def test_the_fifty_first_live_token_is_refused_by_default(clock: Clock, alice: User) -> None:
    make(alice, 50)
    with refused("too_many_tokens", "You have reached 50 active tokens."):
        issue(alice)
    assert AccessToken.objects.owned_by(alice).live(clock.now).count() == 50


@pytest.mark.parametrize(
    ("old", "new", "counted"),
    [
        ({}, {}, 1),
        ({"retire_at": NOON + HOUR}, {}, 1),
        ({"retire_at": NOON}, {}, 1),
        ({"expires_at": NOON + SECOND}, {}, 1),
        ({"revoked_at": NOON, "revoke_kind": "rotated"}, {}, 1),
        ({}, {"rotation_closed_at": NOON}, 2),
        ({}, {"replaces": None}, 2),
    ],
    ids=["open", "timed", "retired", "old expires soon", "old revoked", "closed", "unrelated"],
)
def test_the_pair_of_an_open_rotation_counts_once(
    clock: Clock,
    alice: User,
    settings: Settings,
    old: dict[str, Any],
    new: dict[str, Any],
    counted: int,
) -> None:
    before, after = make(alice, 2, at=NOON - DAY)
    AccessToken.objects.filter(pk=before.pk).update(**old)
    AccessToken.objects.filter(pk=after.pk).update(**{"replaces": before, **new})
    settings.TOKENS_MAX_LIVE = counted
    with refused("too_many_tokens"):
        policy.check_room(alice.pk, policy.current_rules(), now=NOON)
    settings.TOKENS_MAX_LIVE = counted + 1
    policy.check_room(alice.pk, policy.current_rules(), now=NOON)


def test_a_person_makes_at_most_so_many_tokens_a_day(
    clock: Clock, alice: User, settings: Settings
) -> None:
    settings.TOKENS_MAX_NEW_PER_DAY = 3
    for token in make(alice, 3):
        lifecycle.revoke(token=token, origin=origin(alice))
    clock.tick(days=1, seconds=-1)
    with refused("too_many_new_tokens", "You have made 3 tokens in the last 24 hours."):
        issue(alice)
    clock.tick(seconds=1)
    issue(alice)


def test_the_hundred_and_first_token_of_a_day_is_refused_by_default(
    clock: Clock, alice: User
) -> None:
    for _ in range(100):
        lifecycle.revoke(token=issue(alice).token, origin=origin(alice))
    with refused("too_many_new_tokens", "You have made 100 tokens in the last 24 hours."):
        issue(alice)


def test_new_tokens_can_be_switched_off(clock: Clock, alice: User, settings: Settings) -> None:
    settings.TOKENS_ALLOW_NEW = False
    with refused("no_new_tokens", "New tokens are switched off for now."):
        issue(alice)
    settings.TOKENS_ALLOW_NEW = True
    save_policy(new_tokens_allowed=False)
    with refused("no_new_tokens"):
        issue(alice)
    save_policy()
    issue(alice)


# --- The saved policy ---------------------------------------------------------------------------


def test_the_newest_policy_is_in_force_and_is_read_with_one_query(
    db: None, django_assert_num_queries: Any
) -> None:
    save_policy(max_live_tokens=7)
    save_policy(max_live_tokens=5)
    with django_assert_num_queries(1):
        assert policy.current_rules().max_live_tokens == 5


def test_a_policy_without_values_leaves_the_settings_as_they_are(db: None) -> None:
    before = policy.current_rules()
    save_policy()
    assert policy.current_rules() == before == OPEN


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ({"max_live_tokens": 5}, "max_live_tokens", 5),
        ({"max_live_tokens": 5000}, "max_live_tokens", 50),
        ({"max_live_tokens": 0}, "max_live_tokens", 0),
        ({"max_lifetime_days": 30}, "max_lifetime", 30 * DAY),
        ({"max_lifetime_days": 5000}, "max_lifetime", 366 * DAY),
        ({"max_lifetime_days": 0}, "max_lifetime", 0 * DAY),
        ({"max_lifetime_days": 30}, "max_write_lifetime", 30 * DAY),
        ({"max_write_lifetime_days": 7}, "max_write_lifetime", 7 * DAY),
        ({"max_write_lifetime_days": 7}, "max_lifetime", 366 * DAY),
        ({"default_lifetime_days": 7}, "default_days", 7),
        ({"default_lifetime_days": 2**31 - 1}, "default_days", 3660),
        ({"max_lifetime_days": 2**31 - 1}, "max_lifetime", 366 * DAY),
        ({"max_write_lifetime_days": 2**63 - 1}, "max_write_lifetime", 366 * DAY),
        ({"max_lifetime_days": 366}, "max_lifetime", 366 * DAY),
        ({"max_lifetime_days": 365}, "max_lifetime", 365 * DAY),
        ({"new_tokens_allowed": True}, "new_tokens_allowed", True),
        ({"allowed_scopes": ""}, "allowed_scopes", frozenset(scopes.BY_NAME)),
    ],
    ids=str,
)
def test_a_saved_policy_tightens_and_never_loosens(
    row: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(policy.rules_of(PolicyRow(**row)), field) == value


@pytest.mark.parametrize("lines", ["nonsense", "203.0.113.0/33", "10.0.0.0/8/8 x", "1.2.3"])
def test_a_network_that_cannot_be_read_matches_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture, lines: str
) -> None:
    # The rules of a row are kept for the process, so each row of this test must be a new one.
    row = PolicyRow(allowed_networks=f"{lines} 192.0.2.0/24", max_live_tokens=len(lines))
    alone = PolicyRow(allowed_networks=lines, max_live_tokens=len(lines))
    for _ in range(3):
        assert policy.network_allowed("192.0.2.1", policy.rules_of(row))
        assert not policy.network_allowed("203.0.113.9", policy.rules_of(row))
        assert not policy.network_allowed("203.0.113.9", policy.rules_of(alone))
        assert not policy.network_allowed(None, policy.rules_of(alone))
    assert len(caplog.records) == 2 * len(lines.split())


def test_a_saved_policy_cannot_allow_what_the_installation_forbids(settings: Settings) -> None:
    settings.TOKENS_ALLOW_NEW = settings.TOKENS_ALLOW_NO_EXPIRATION = False
    rules = policy.rules_of(PolicyRow(new_tokens_allowed=True, no_expiration_allowed=True))
    assert not rules.new_tokens_allowed
    assert not rules.no_expiration_allowed


def test_a_policy_holds_at_issue(clock: Clock, alice: User) -> None:
    save_policy(max_lifetime_days=10, allowed_scopes="projects.read", max_live_tokens=1)
    with refused("scope_not_allowed"):
        issue(alice, scopes=WRITE)
    with refused("expiry_out_of_range"):
        issue(alice, scopes=READ, expires_at=clock.now + 11 * DAY)
    issue(alice, scopes=READ, expires_at=clock.now + 10 * DAY)
    with refused("too_many_tokens"):
        issue(alice, "second", scopes=READ, expires_at=clock.now + DAY)


# --- May this row act now? ----------------------------------------------------------------------


def test_a_policy_blocks_from_its_day_on_and_not_before() -> None:
    token = policy.TokenFacts(NOON - DAY, None, ("projects.read",))
    rules = policy.rules_of(PolicyRow(no_expiration_allowed=False, blocks_from=NOON))
    assert policy.within_policy(token, rules, NOON - SECOND)
    assert not policy.within_policy(token, rules, NOON)
    assert policy.within_policy(token, policy.rules_of(rules_row(blocks_from=None)), NOON)


def rules_row(**fields: Any) -> PolicyRow:
    return PolicyRow(no_expiration_allowed=False, **fields)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("203.0.113.9", True),
        ("203.0.114.9", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        (None, False),
        ("", False),
        ("not an address", False),
    ],
)
def test_only_requests_from_allowed_networks_may_use_a_token(
    address: str | None, allowed: bool
) -> None:
    rules = policy.rules_of(PolicyRow(allowed_networks="203.0.113.0/24\n2001:db8::/32\n"))
    assert policy.network_allowed(address, rules) is allowed
    assert policy.network_allowed(address, OPEN)


# --- Outside the rules, said and counted ----------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        PolicyRow(),
        PolicyRow(max_lifetime_days=30),
        PolicyRow(max_lifetime_days=60, max_write_lifetime_days=20),
        PolicyRow(no_expiration_allowed=False),
        PolicyRow(allowed_scopes="projects.read"),
        PolicyRow(allowed_scopes="projects.read", max_lifetime_days=7, no_expiration_allowed=False),
    ],
)
def test_a_token_has_a_reason_exactly_where_it_is_counted_as_outside(
    clock: Clock, alice: User, rules: PolicyRow
) -> None:
    for number, granted in enumerate((READ, WRITE)):
        for days in (1, 7, 20, 30, 31, 60, 90, None):
            end = None if days is None else clock.now + days * DAY
            issue(alice, f"{number} {days}", scopes=granted, expires_at=end)
    in_force = policy.rules_of(rules)
    rows = AccessToken.objects.annotate(fits=policy.fits(in_force, clock.now))
    said = {row.name: policy.misfit(facts(row), in_force) for row in rows}
    counted = {row.name for row in rows if not row.fits}  # type: ignore[attr-defined]
    assert {name for name, reason in said.items() if reason} == counted
    assert bool(counted) is (rules != PolicyRow())


def facts(token: AccessToken) -> policy.TokenFacts:
    return policy.TokenFacts(token.created_at, token.expires_at, token.scope_names)
