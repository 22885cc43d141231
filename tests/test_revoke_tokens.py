from __future__ import annotations

import io
import re
import sys
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.device import approve, redeem, start
from tests.operations import answer, run
from tests.test_mailer import BrokenBackend
from tests.threads import together
from tokens import lifecycle, mailer, secret, usage
from tokens.device_flow import Reply
from tokens.models import AccessToken, Notice, TokenEvent
from tokens.origin import Consumer

COMMAND = "revoke_tokens"
pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def live_names() -> set[str]:
    return set(AccessToken.objects.filter(revoked_at=None).values_list("name", flat=True))


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def give(text: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    return give


@pytest.fixture
def three(clock: Clock, alice: User, bob: User) -> dict[str, AccessToken]:
    """Alice's old and new token, and Bob's old one; the old ones may write, and one was used."""
    made = {
        "old": issue(alice, "old", at=NOON - 100 * DAY, expires_at=None, scopes=["keys.write"]),
        "new": issue(alice, "new"),
        "bobs": issue(bob, "bobs", at=NOON - 100 * DAY, expires_at=None, scopes=["keys.write"]),
    }
    tokens = {name: issued.token for name, issued in made.items()}
    usage.record(
        token_id=tokens["bobs"].pk,
        scope="keys.write",
        consumer=Consumer("192.0.2.0/24", "curl"),
        address=None,
        at=NOON - 10 * DAY,
    )
    return tokens


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--user=alice@example.com"], {"bobs"}),
        (["--user=ALICE@example.com", "--scope=keys.write"], {"new", "bobs"}),
        (["--scope=keys.write"], {"new"}),
        (["--scope=inference"], {"old", "new", "bobs"}),
        (["--created-before=2026-11-23"], {"new"}),
        (["--created-before=2026-08-15T12:00Z"], {"old", "new", "bobs"}),
        (["--created-before=2026-08-15T12:01+00:00"], {"new"}),
        (["--unused-for=10"], {"new"}),
        (["--unused-for=11"], {"new", "bobs"}),
        (["--unused-for=101"], {"old", "new", "bobs"}),
    ],
)
def test_it_revokes_what_fits_all_options(
    three: dict[str, AccessToken], arguments: list[str], left: set[str]
) -> None:
    counted = answer(COMMAND, *arguments, "--dry-run")
    assert live_names() == {"old", "new", "bobs"}
    done = answer(COMMAND, *arguments)
    assert live_names() == left
    assert done["revoked"] == 3 - len(left)
    assert (counted, done["dry_run"]) == ({**done, "dry_run": True}, False)


def test_it_revokes_by_public_id(three: dict[str, AccessToken]) -> None:
    answer(
        COMMAND,
        f"--public-id={three['old'].public_id}",
        f"--public-id={three['bobs'].public_id}",
        "--reason=Left the company",
    )
    assert live_names() == {"new"}
    ended = AccessToken.objects.get(name="old")
    assert (ended.revoke_kind, ended.reason, ended.revoked_at) == (
        "admin",
        "Left the company",
        NOON,
    )


def test_owners_are_told_and_the_command_is_remembered(three: dict[str, AccessToken]) -> None:
    run(COMMAND, "--scope=keys.write")
    told = Notice.objects.filter(kind="token_revoked").values_list("owner__email", flat=True)
    assert sorted(told) == ["alice@example.com", "bob@example.com"]
    events = TokenEvent.objects.filter(kind="token.revoked")
    assert [(event.door, event.actor_id) for event in events] == [("command", None)] * 2


@pytest.mark.parametrize(
    ("mood", "batch", "owed"), [("is away", 200, 2), ("is well again", 1, 1), ("", 200, 0)]
)
def test_mails_that_are_not_sent_at_once_are_said_and_owed(
    three: dict[str, AccessToken],
    monkeypatch: pytest.MonkeyPatch,
    mood: str,
    batch: int,
    owed: int,
) -> None:
    mailer.deliver_all()
    monkeypatch.setattr(mailer, "get_connection", BrokenBackend)
    monkeypatch.setattr(BrokenBackend, "mood", mood)
    monkeypatch.setattr(mailer, "BATCH", batch)
    said = io.StringIO()
    assert answer(COMMAND, "--scope=keys.write", stderr=said)["revoked"] == 2
    assert ("Some mails wait to be sent" in said.getvalue()) is bool(owed)
    assert Notice.objects.filter(kind="token_revoked", sent_at=None).count() == owed


def test_a_second_run_changes_nothing(three: dict[str, AccessToken]) -> None:
    public_id = f"--public-id={three['old'].public_id}"
    run(COMMAND, public_id)
    events = TokenEvent.objects.count()
    assert answer(COMMAND, public_id)["matched"] == 0
    assert TokenEvent.objects.count() == events


# --- Values that leaked -----------------------------------------------------------------------------


def test_any_text_that_holds_values_is_taken(
    clock: Clock, alice: User, bob: User, stdin: Any
) -> None:
    one, two, three = (issue(owner, name) for owner, name in ((alice, "1"), (bob, "2"), (bob, "3")))
    strange = secret.mint().reveal()
    value = three.plaintext.reveal()
    mistyped = value[:-1] + ("1" if value.endswith("0") else "0")
    text = (
        f"src/app.py:12:TOKEN = '{one.plaintext.reveal()}'\n"
        f"\x1b[35m.env\x1b[m:{one.plaintext.reveal()}x{two.plaintext.reveal()}\n"
        f"unknown {strange} and mistyped {mistyped}\n"
    )
    stdin(text.encode() + b"\xff\xfe\x00")
    printed = run(COMMAND, "--leaked", "--format=json")
    stdin(text.encode())
    counted = answer(COMMAND, "--leaked", "--dry-run")
    stdin(text.encode())
    again = answer(COMMAND, "--leaked")
    assert live_names() == {"3"}
    assert '"values": 3, "unknown": 1, "matched": 2, "revoked": 2' in printed
    assert (again["revoked"], again["already_ended"]) == (0, 2)
    assert counted == {**again, "dry_run": True}
    assert set(AccessToken.objects.values_list("revoke_kind", flat=True)) == {"leaked", ""}
    assert Notice.objects.filter(kind="token_revoked").count() == 2
    assert not secret.contains_token(printed)


def test_a_leak_that_is_only_looked_at_revokes_nothing(alice: User, stdin: Any) -> None:
    issued = issue(alice)
    stdin(issued.plaintext.reveal().encode())
    counted = answer(COMMAND, "--leaked", "--dry-run")
    assert (counted["matched"], counted["revoked"]) == (1, 1)
    assert live_names() == {"cli-macbook"}


def test_a_value_across_the_edge_of_what_is_read_at_once_is_found_once(
    alice: User, stdin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = issue(alice).plaintext.reveal().encode()
    for chunk in (1, 7, 70, 71, 72, 200):
        monkeypatch.setattr("tokens.management.leaks._CHUNK", chunk)
        stdin(b"." * 150 + value + b"." * 150)
        assert answer(COMMAND, "--leaked", "--dry-run")["values"] == 1, chunk


def test_text_without_values_is_no_fault(stdin: Any) -> None:
    stdin(b"")
    assert answer(COMMAND, "--leaked")["values"] == 0


def test_a_token_under_an_older_pepper_is_found(alice: User, stdin: Any, settings: Any) -> None:
    issued = issue(alice)
    settings.TOKEN_PEPPERS = f"{settings.TOKEN_PEPPERS},7:{'p' * 64}"
    stdin(issued.plaintext.reveal().encode())
    assert answer(COMMAND, "--leaked")["revoked"] == 1


# --- What cannot be read ------------------------------------------------------------------------------

VALUE = "sk_pat_" + "0" * 60


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say which tokens"),
        (["--reason=because"], "Say which tokens"),
        (["--leaked", "--user=alice@example.com"], "Say which tokens"),
        (["--user="], "Say which tokens"),
        (["--user=nobody@example.com"], "There is no account with this address."),
        (["--user=\x00"], "There is no account"),
        (["--scope=everything"], "must be one of inference"),
        (["--scope="], "must be one of inference"),
        (["--created-before=yesterday"], "must be a date or a time"),
        (["--created-before=2026-02-30"], "must be a date or a time"),
        (["--created-before=0001-01-01"], "must lie between"),
        (["--created-before=9999-12-31T23:59-12:00"], "must lie between"),
        (["--unused-for=0"], "whole number from 1 to 3660"),
        (["--unused-for=99999"], "whole number from 1 to 3660"),
        (["--public-id=12"], "must be the public id"),
        ([f"--public-id={VALUE}"], "must be the public id"),
        ([f"--public-id={uuid.UUID(int=7)}"], f"no token with the public id {uuid.UUID(int=7)}"),
        (["--scope=keys.write", f"--reason=it was {VALUE}"], "holds a token"),
        (["--scope=keys.write", "--reason=" + "x" * 201], "up to 200 characters"),
        (["--scope=keys.write", "--reason=a\u202eb"], "cannot be seen"),
        (["--scope=keys.write", "--format=xml"], "invalid choice"),
    ],
)
def test_what_cannot_be_read_is_said_and_revokes_nothing(
    three: dict[str, AccessToken], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)) as fault:
        run(COMMAND, *arguments)
    assert live_names() == {"old", "new", "bobs"}
    assert VALUE[7:] not in str(fault.value)


# --- Many, and at once ----------------------------------------------------------------------------------


def test_choosing_costs_as_many_queries_for_one_as_for_fifty(clock: Clock, alice: User) -> None:
    counts = []
    for number in (1, 49):
        for each in range(number):
            issue(alice, f"t{number}-{each}")
        with CaptureQueriesContext(connection) as queries:
            answer(COMMAND, "--user=alice@example.com", "--dry-run")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_revoke_each_token_once(alice: User) -> None:
    for number in range(10):
        issue(alice, f"t{number}")
    both = together(*[lambda: answer(COMMAND, "--user=alice@example.com")] * 2)
    assert sum(each["revoked"] for each in both) == 10
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 10


def test_a_token_that_ends_meanwhile_keeps_its_first_end(
    clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(alice)
    revoke = lifecycle.revoke

    def first_somebody_else(*, token: AccessToken, **facts: Any) -> bool:
        revoke(token=token, origin=origin(alice), reason="Mine")
        return revoke(token=token, **facts)

    monkeypatch.setattr(lifecycle, "revoke", first_somebody_else)
    counts = answer(COMMAND, "--user=alice@example.com")
    assert (counts["revoked"], counts["already_ended"]) == (0, 1)
    assert AccessToken.objects.get().reason == "Mine"


@pytest.mark.parametrize(
    ("arguments", "reply"),
    [
        (["--user=alice@example.com"], Reply.DENIED),
        (["--user=alice@example.com", "--dry-run"], Reply.DELIVERED),
        (["--user=alice@example.com", "--scope=keys.write"], Reply.DELIVERED),
        (["--user=bob@example.com"], Reply.DELIVERED),
    ],
)
def test_all_of_a_person_s_tokens_are_also_those_that_a_device_was_promised(
    three: dict[str, AccessToken], alice: User, arguments: list[str], reply: Reply
) -> None:
    promised = start()
    approve(promised, alice)
    answer(COMMAND, *arguments)
    assert redeem(promised).reply is reply
