from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tokens import audit, authentication, lifecycle, usage
from tokens.authentication import Forbidden, Unauthenticated, authenticate
from tokens.lifecycle import Issued
from tokens.models import (
    AccessToken,
    Policy,
    TokenActivity,
    TokenConsumer,
    TokenEvent,
    TokenUse,
)
from tokens.origin import MAX_CONSUMER_NAME

CountQueries = Callable[[int], AbstractContextManager[Any]]
OLD = "1:" + "old-pepper-" * 4
NEW = "2:" + "new-pepper-" * 4


@pytest.fixture
def issued(clock: Clock, alice: User) -> Issued:
    """A token issued two hours ago, so that it can have expired meanwhile."""
    made = issue(alice)
    clock.tick(hours=2)
    return made


@pytest.fixture
def warm(issued: Issued) -> Issued:
    """A token whose first use was noted, and whose consumer was seen today."""
    ask(issued)
    return issued


def ask(presented: Issued | str, scope: str = "", **facts: Any) -> authentication.Principal:
    """Authenticate a request that presents a token, or a whole header."""
    if isinstance(presented, Issued):
        presented = f"Bearer {presented.plaintext.reveal()}"
    all_projects = facts.pop("all_projects", False)
    defaults = {"address": "203.0.113.7", "user_agent": "node", "consumer_header": ""}
    request = authentication.Request(
        authorization=presented,
        now=timezone.now(),
        request_id="0123456789abcdef",
        **{**defaults, **facts},
    )
    return authenticate(request, scope, all_projects=all_projects)


def change(issued: Issued, **values: Any) -> None:
    AccessToken.objects.filter(pk=issued.token.pk).update(**values)


def code_of(issued: Issued, scope: str = "", **facts: Any) -> str:
    """Return the code of the refusal, or "" for a yes."""
    try:
        ask(issued, scope, **facts)
    except (Unauthenticated, Forbidden) as refused:
        return refused.code
    return ""


@contextmanager
def failing(*verbs: str) -> Iterator[list[str]]:
    """Let every statement that begins with one of the verbs fail; yield those that did."""
    failed: list[str] = []

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip().upper().startswith(verbs):
            failed.append(sql)
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        yield failed


# --- A yes --------------------------------------------------------------------------------------


def test_an_accepted_token_tells_its_facts_and_its_owner(issued: Issued, alice: User) -> None:
    caller = ask(issued, "projects.read")
    assert caller.public_id == issued.token.public_id
    assert caller.owner_id == alice.pk
    assert caller.scopes == ("projects.read", "account.read")
    assert caller.masked == str(issued.plaintext)
    assert caller.expires_at == issued.token.expires_at
    assert caller.projects_limited is False


def test_a_warm_request_costs_one_query(
    warm: Issued, django_assert_num_queries: CountQueries
) -> None:
    with django_assert_num_queries(1):
        ask(warm)


def test_neither_more_tokens_nor_more_policies_nor_more_peppers_cost_another_query(
    warm: Issued, alice: User, settings: Any, django_assert_num_queries: CountQueries
) -> None:
    for number in range(20):
        issue(alice, f"token {number}")
        Policy.objects.create(created_at=timezone.now())
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = f"{settings.TOKEN_PEPPERS},{NEW}", 1
    with django_assert_num_queries(1):
        ask(warm)


def test_a_repeated_request_writes_nothing_within_a_minute(warm: Issued, clock: Clock) -> None:
    with failing("INSERT", "UPDATE", "DELETE", "SAVEPOINT", "SELECT 1") as written:
        for _ in range(59):
            clock.tick(seconds=1)
            ask(warm)
    assert written == []


def test_the_first_use_is_noted_once_with_one_event(issued: Issued, clock: Clock) -> None:
    first = clock.now
    ask(issued)
    clock.tick(minutes=5)
    ask(issued)
    assert AccessToken.objects.get().first_used_at == first
    events = TokenEvent.objects.filter(kind=audit.Kind.FIRST_USED)
    assert [(event.at, event.door) for event in events] == [(first, "api")]


# --- The order of refusals ----------------------------------------------------------------------


def disable_owner(issued: Issued) -> None:
    User.objects.filter(pk=issued.token.owner_id).update(is_active=False)


def revoke(issued: Issued) -> None:
    lifecycle.revoke(token=issued.token, origin=origin())


def retire(issued: Issued) -> None:
    change(issued, retire_at=timezone.now())


def expire(issued: Issued) -> None:
    change(issued, expires_at=timezone.now())


def pause(issued: Issued) -> None:
    change(issued, paused_at=timezone.now())


def forbid_by_policy(issued: Issued) -> None:
    now = timezone.now()
    Policy.objects.create(created_at=now, max_lifetime_days=1, blocks_from=now)


def limit_to_projects(issued: Issued) -> None:
    change(issued, projects_limited=True)


def take_the_scope(issued: Issued) -> None:
    change(issued, scopes="account.read")


IN_ORDER = [
    (disable_owner, "invalid_token"),
    (revoke, "token_revoked"),
    (expire, "token_expired"),
    (pause, "token_paused"),
    (forbid_by_policy, "policy_blocked"),
    (limit_to_projects, "project_not_allowed"),
    (take_the_scope, "insufficient_scope"),
]


def codes(cause: tuple[Callable[[Issued], None], str]) -> str:
    return cause[1]


@pytest.mark.parametrize(("cause", "code"), IN_ORDER)
def test_each_cause_alone_refuses_with_its_code(
    issued: Issued, cause: Callable[[Issued], None], code: str
) -> None:
    assert code_of(issued, "projects.read", all_projects=True) == ""
    cause(issued)
    assert code_of(issued, "projects.read", all_projects=True) == code


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(IN_ORDER, 2)), ids=codes)
def test_of_two_causes_the_earlier_one_is_told(
    issued: Issued,
    first: tuple[Callable[[Issued], None], str],
    second: tuple[Callable[[Issued], None], str],
) -> None:
    # A revocation asks for a live token, so the causes come into being in the order of the table.
    first[0](issued)
    second[0](issued)
    assert code_of(issued, "projects.read", all_projects=True) == first[1]


@pytest.mark.parametrize("later", [expire, pause, forbid_by_policy, take_the_scope])
def test_a_retired_token_counts_as_revoked(issued: Issued, later: Callable[[Issued], None]) -> None:
    retire(issued)
    later(issued)
    assert code_of(issued, "projects.read") == "token_revoked"


def test_a_disabled_owner_reads_like_an_unknown_token(issued: Issued, alice: User) -> None:
    unknown = issue(alice, "gone")
    disable_owner(issued)
    change(unknown, digest=b"x" * 32)
    with pytest.raises(Unauthenticated) as disabled:
        ask(issued)
    with pytest.raises(Unauthenticated) as absent:
        ask(unknown)
    assert vars(disabled.value) == vars(absent.value)


@pytest.mark.parametrize(
    ("pause_for", "ending"),
    [
        (None, "until its owner resumes it"),
        (timedelta(minutes=90), "until 15:30 UTC"),
        (timedelta(hours=10), "until 24 Nov 2026, 00:00 UTC"),
        (timedelta(days=3), "until 26 Nov 2026, 14:00 UTC"),
    ],
)
def test_a_paused_token_is_told_until_when(
    issued: Issued, clock: Clock, pause_for: timedelta | None, ending: str
) -> None:
    change(issued, paused_at=clock.now, paused_until=pause_for and clock.now + pause_for)
    with pytest.raises(Forbidden) as refused:
        ask(issued)
    assert refused.value.sentence == f"This token is paused {ending}."


def test_a_disabled_owners_token_counts_nothing(issued: Issued) -> None:
    disable_owner(issued)
    code_of(issued)
    usage.flush()
    assert not TokenUse.objects.exists()
    assert AccessToken.objects.get().first_used_at is None


@pytest.mark.parametrize("refuse", [revoke, retire, expire])
def test_an_ended_token_counts_a_knock_with_the_flush_and_no_use(
    issued: Issued, refuse: Callable[[Issued], None]
) -> None:
    refuse(issued)
    with failing("INSERT", "UPDATE", "DELETE", "SAVEPOINT") as written:
        code_of(issued, "projects.read")
    assert written == []
    usage.flush()
    use = TokenUse.objects.get()
    assert (use.scope, use.allowed, use.refused) == (usage.ENDED, 0, 1)
    assert AccessToken.objects.get().first_used_at is None
    assert not TokenActivity.objects.exists()
    assert not TokenConsumer.objects.exists()


def test_a_paused_token_counts_a_knock_of_that_pause_and_no_use(
    issued: Issued, clock: Clock
) -> None:
    pause(issued)
    code_of(issued, "projects.read")
    use = TokenUse.objects.get()
    assert (use.scope, use.allowed, use.refused) == (usage.mark_of_pause(clock.now), 0, 1)
    assert AccessToken.objects.get().first_used_at is None
    assert not TokenActivity.objects.exists()
    assert not TokenConsumer.objects.exists()


@pytest.mark.parametrize("refuse", [revoke, retire, expire, pause])
def test_a_refusal_costs_one_query_however_often_it_is_asked_for(
    issued: Issued, refuse: Callable[[Issued], None], django_assert_num_queries: CountQueries
) -> None:
    refuse(issued)
    code_of(issued)
    with django_assert_num_queries(50):
        for _ in range(50):
            code_of(issued)


@pytest.mark.parametrize("refuse", [forbid_by_policy, limit_to_projects, take_the_scope])
def test_a_403_counts_as_refused_use_and_not_as_the_first_one(
    issued: Issued, refuse: Callable[[Issued], None]
) -> None:
    refuse(issued)
    assert code_of(issued, "projects.read", all_projects=True)
    use = TokenUse.objects.get()
    assert (use.scope, use.allowed, use.refused) == ("projects.read", 0, 1)
    assert AccessToken.objects.get().first_used_at is None
    assert not TokenActivity.objects.exists()


# --- At the instant -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("planned", "code"),
    [
        ("expires_at", "token_expired"),
        ("retire_at", "token_revoked"),
        ("paused_at", "token_paused"),
    ],
)
def test_a_planned_end_holds_at_its_instant_and_not_before(
    warm: Issued, clock: Clock, planned: str, code: str
) -> None:
    change(warm, **{planned: clock.now + timedelta(seconds=1)})
    clock.tick(microseconds=999_999)
    assert code_of(warm) == ""
    clock.tick(microseconds=1)
    assert code_of(warm) == code


def test_a_revocation_holds_on_the_very_next_request(warm: Issued) -> None:
    revoke(warm)
    assert code_of(warm) == "token_revoked"


def test_a_pause_ends_at_its_instant_without_a_job(warm: Issued, clock: Clock) -> None:
    change(warm, paused_at=clock.now, paused_until=clock.now + timedelta(hours=1))
    clock.tick(hours=1, microseconds=-1)
    assert code_of(warm) == "token_paused"
    clock.tick(microseconds=1)
    assert code_of(warm) == ""


def test_a_disabled_owner_who_is_enabled_again_finds_the_token_alive(warm: Issued) -> None:
    disable_owner(warm)
    assert code_of(warm) == "invalid_token"
    User.objects.update(is_active=True)
    assert code_of(warm) == ""


# --- The policy ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ({"max_lifetime_days": 30}, ""),
        ({"max_lifetime_days": 29}, "policy_blocked"),
        ({"max_write_lifetime_days": 1}, ""),
        ({"allowed_scopes": "projects.read account.read"}, ""),
        ({"allowed_scopes": "projects.read"}, "policy_blocked"),
        ({"no_expiration_allowed": False}, ""),
        ({"new_tokens_allowed": False}, ""),
    ],
)
def test_the_policy_in_force_decides(
    warm: Issued, clock: Clock, rules: dict[str, Any], code: str
) -> None:
    Policy.objects.create(created_at=clock.now, blocks_from=clock.now, **rules)
    assert code_of(warm) == code


def test_a_token_without_end_is_blocked_where_the_policy_asks_for_one(
    warm: Issued, clock: Clock
) -> None:
    change(warm, expires_at=None)
    Policy.objects.create(created_at=clock.now, blocks_from=clock.now, no_expiration_allowed=False)
    assert code_of(warm) == "policy_blocked"


def test_a_policy_blocks_from_its_instant_and_the_newest_one_counts(
    warm: Issued, clock: Clock
) -> None:
    begins = clock.now + timedelta(minutes=1)
    Policy.objects.create(created_at=clock.now, blocks_from=begins, max_lifetime_days=1)
    assert code_of(warm) == ""
    clock.tick(minutes=1)
    assert code_of(warm) == "policy_blocked"
    Policy.objects.create(created_at=clock.now)
    assert code_of(warm) == ""


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("203.0.113.7", ""),
        ("203.0.114.7", "policy_blocked"),
        ("2001:db8:1::9", ""),
        ("2001:db9::9", "policy_blocked"),
        (None, "policy_blocked"),
        ("not an address", "policy_blocked"),
    ],
)
def test_a_policy_of_networks_holds_at_once_and_refuses_an_unknown_address(
    warm: Issued, clock: Clock, address: str | None, code: str
) -> None:
    Policy.objects.create(created_at=clock.now, allowed_networks="203.0.113.0/24\n2001:db8::/32")
    assert code_of(warm, address=address) == code


# --- Values -------------------------------------------------------------------------------------


def swapped(value: str, place: int) -> str:
    """Return the value with one character made into another digit."""
    return value[:place] + ("0" if value[place] != "0" else "1") + value[place + 1 :]


MALFORMED: dict[str, Callable[[str], str]] = {
    "empty": lambda value: "",
    "prefix only": lambda value: "sk_pat_",
    "one short": lambda value: value[:-1],
    "one long": lambda value: value + "0",
    "upper case": lambda value: value.upper(),
    "upper-case body": lambda value: value[:7] + value[7:].upper(),
    "no hexadecimal": lambda value: value[:7] + "g" * 64,
    "typo at the start": lambda value: swapped(value, 7),
    "typo in the middle": lambda value: swapped(value, 40),
    "typo in the checksum": lambda value: swapped(value, 70),
    "neighbours swapped": lambda value: value[:20] + value[20:40][::-1] + value[40:],
    "project key": lambda value: "sk_proj_" + value[7:],
    "project key, 71 long": lambda value: "sk_proj_" + value[8:],
    "another prefix": lambda value: "sk_pqt_" + value[7:],
    "full-width digit": lambda value: value[:-1] + "\uff10",
    "Arabic digit": lambda value: value[:-1] + "\u0660",
    "newline at the end": lambda value: value + "\n",
    "newline for the last": lambda value: value[:-1] + "\n",
    "NUL at the end": lambda value: value + "\0",
    "quoted": lambda value: f'"{value}"',
    "twice": lambda value: value + value,
    "lone surrogate": lambda value: value[:-1] + "\ud800",
}


@pytest.mark.parametrize("spoil", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_value_is_refused_without_a_query(
    warm: Issued, spoil: Callable[[str], str], django_assert_num_queries: CountQueries
) -> None:
    header = f"Bearer {spoil(warm.plaintext.reveal())}"
    with django_assert_num_queries(0), pytest.raises(Unauthenticated) as refused:
        ask(header)
    assert refused.value.code == "invalid_token"


def test_a_well_formed_stranger_is_refused_like_a_malformed_one(
    warm: Issued, django_assert_num_queries: CountQueries
) -> None:
    stranger = authentication.secret.mint().reveal()
    with django_assert_num_queries(1), pytest.raises(Unauthenticated) as unknown:
        ask(f"Bearer {stranger}")
    with pytest.raises(Unauthenticated) as malformed:
        ask("Bearer nonsense")
    assert vars(unknown.value) == vars(malformed.value)


# --- Peppers ------------------------------------------------------------------------------------


def test_a_token_under_an_old_pepper_verifies_and_is_digested_anew(
    clock: Clock, alice: User, settings: Any
) -> None:
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = OLD, 0
    made = issue(alice)
    settings.TOKEN_PEPPERS = f"{OLD},{NEW}"
    assert code_of(made) == ""
    token = AccessToken.objects.get()
    assert token.pepper_id == 2
    assert bytes(token.digest) != bytes(made.token.digest)
    assert TokenEvent.objects.filter(kind=audit.Kind.REDIGESTED).count() == 1
    settings.TOKEN_PEPPERS = NEW
    assert code_of(made) == ""


def test_a_pepper_that_does_not_sign_yet_changes_nothing(
    clock: Clock, alice: User, settings: Any
) -> None:
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = f"{OLD},{NEW}", 1
    made = issue(alice)
    assert code_of(made) == ""
    assert AccessToken.objects.get().pepper_id == 1
    assert not TokenEvent.objects.filter(kind=audit.Kind.REDIGESTED).exists()


def test_a_token_whose_pepper_was_taken_away_is_unknown(
    clock: Clock, alice: User, settings: Any
) -> None:
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = OLD, 0
    made = issue(alice)
    settings.TOKEN_PEPPERS = NEW
    assert code_of(made) == "invalid_token"


def test_a_digested_token_is_warm_again_at_one_query(
    warm: Issued, settings: Any, django_assert_num_queries: CountQueries
) -> None:
    settings.TOKEN_PEPPERS += f",{NEW}"
    ask(warm)
    with django_assert_num_queries(1):
        ask(warm)


@pytest.mark.parametrize("refuse", [revoke, pause, take_the_scope])
def test_a_refused_token_is_not_digested_anew(
    warm: Issued, settings: Any, refuse: Callable[[Issued], None]
) -> None:
    refuse(warm)
    settings.TOKEN_PEPPERS += f",{NEW}"
    assert code_of(warm, "projects.read")
    assert AccessToken.objects.get().pepper_id == 1


# --- When the database fails --------------------------------------------------------------------


def test_a_database_that_takes_no_writes_refuses_nobody(
    issued: Issued, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TOKEN_PEPPERS += f",{NEW}"
    with failing("INSERT", "UPDATE", "DELETE") as failed, caplog.at_level(logging.INFO):
        assert code_of(issued) == ""
    assert failed
    assert AccessToken.objects.get().first_used_at is None
    assert str(issued.token.public_id) in caplog.text
    assert issued.plaintext.reveal()[7:] not in caplog.text


def test_what_could_not_be_written_is_written_later(issued: Issued) -> None:
    with failing("INSERT", "UPDATE"):
        ask(issued, "projects.read")
        ask(issued, "projects.read")
    usage.flush()
    assert TokenUse.objects.get().allowed == 2
    ask(issued, "projects.read")
    assert AccessToken.objects.get().first_used_at is not None


def test_a_failing_verdict_is_neither_a_yes_nor_a_no(warm: Issued) -> None:
    with failing("SELECT", "\nSELECT") as failed, pytest.raises(OperationalError):
        ask(warm)
    assert len(failed) == 1


# --- Who used it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        ("", ""),
        ("nightly-backup", "nightly-backup"),
        ("  two  words ", "two  words"),
        ("a" * 500, "a" * MAX_CONSUMER_NAME),
        ("line\r\nbreak\x00\x1b[31m", "linebreak[31m"),
        ("caf\xe9 \u202eevil", "caf evil"),
        ("\xe9\xe9\xe9", ""),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("sk_pat_" + "0a" * 4, ""),
        ("sk_pat_" + "0A" * 32, ""),
        ("job sk_pat_" + "0a" * 32 + " end", ""),
        ("sk_\x00pat_" + "0a" * 32, ""),
        ("x" * 70 + "sk_pat_" + "0a" * 32, "x" * 70 + "sk_pat_" + "0a0"),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_consumer_header_is_cut_printable_and_never_a_token(
    issued: Issued, header: str, stored: str
) -> None:
    ask(issued, consumer_header=header)
    assert TokenUse.objects.get().consumer_name == stored


def test_a_consumer_header_adds_to_the_network_and_never_replaces_it(issued: Issued) -> None:
    ask(issued, consumer_header="build")
    ask(issued, consumer_header="build", address="198.51.100.7")
    seen = TokenUse.objects.order_by("network").values_list("network", "client", "consumer_name")
    assert list(seen) == [
        ("198.51.100.0/24", "Node.js client", "build"),
        ("203.0.113.0/24", "Node.js client", "build"),
    ]


def test_the_last_use_tells_time_address_and_client(issued: Issued, clock: Clock) -> None:
    ask(issued, user_agent="curl/8.5.0")
    used: tuple[datetime, str | None, str] = TokenActivity.objects.values_list(
        "last_used_at", "address", "client"
    ).get()
    assert used == (clock.now, "203.0.113.7", "curl")
