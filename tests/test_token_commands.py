"""Commands that make, list and count: ``create_token``, ``list_tokens``, ``pepper status``."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.operations import process, run
from tests.threads import together
from tokens import authentication, lifecycle, projects, secret
from tokens.management.operation import Operation
from tokens.models import AccessToken, Notice, TokenEvent

pytestmark = pytest.mark.django_db
MAKE = ["create_token", "alice@example.com", "--name=ci", "--scopes=projects.read,account.read"]
VALUE = "sk_pat_" + "0" * 60


# --- create_token -----------------------------------------------------------------------------------


def test_the_value_is_all_that_standard_output_holds(clock: Clock, alice: User) -> None:
    facts = io.StringIO()
    printed = run(*MAKE, stderr=facts)
    value = printed.removesuffix("\n")
    assert secret.is_well_formed(value)
    token = AccessToken.objects.get()
    assert authentication.authenticate(
        authentication.Request(f"Bearer {value}", "192.0.2.1", "curl/8", "", clock.now, "")
    )
    assert (token.owner, token.name, token.created_via) == (alice, "ci", "command")
    assert token.scope_names == ("projects.read", "account.read")
    # Thirty days on is a Wednesday; 10:00 in Berlin.
    assert token.expires_at.isoformat() == "2026-12-24T09:00:00+00:00"
    assert str(token.public_id) in facts.getvalue()
    assert value[7:19] not in facts.getvalue()
    assert Notice.objects.get().owner == alice


@pytest.mark.django_db(transaction=True)
def test_a_shell_catches_the_value_alone_where_mails_are_printed(alice: User) -> None:
    made = process(*MAKE)
    printed, rest = made.communicate(timeout=60)
    assert made.returncode == 0
    assert secret.is_well_formed(printed.removesuffix("\n"))
    assert "Subject: ci was created" in rest


def test_the_value_in_json_stands_with_its_facts(clock: Clock, alice: User) -> None:
    made = json.loads(run(*MAKE, "--expires-in=never", "--format=json"))
    assert secret.is_well_formed(made["token"])
    assert (made["name"], made["expires_at"]) == ("ci", None)


def test_a_preset_and_projects_can_be_named(clock: Clock, alice: User) -> None:
    for name in ("Shop", "Blog"):
        projects.create(owner_id=alice.pk, name=name, type="web", origin=origin(alice))
    run("create_token", "alice@example.com", "--name=d", "--scopes=ci", "--project=shop")
    token = AccessToken.objects.get()
    assert token.scope_names == ("projects.read", "deployments.read", "deployments.write")
    assert [project.slug for project in token.projects.all()] == ["shop"]


def test_a_dry_run_checks_everything_and_makes_nothing(alice: User) -> None:
    assert run(*MAKE, "--dry-run") == ""
    assert not AccessToken.objects.exists()
    assert not TokenEvent.objects.exists()
    issue(alice, "ci")
    with pytest.raises(CommandError, match="You already have an active token called ci"):
        run(*MAKE, "--dry-run")


def test_a_repeated_request_makes_no_second_token(alice: User) -> None:
    request = f"--request-id={uuid.uuid4()}"
    run(*MAKE, request)
    with pytest.raises(CommandError, match="shown then and cannot be shown again"):
        run(*MAKE, request)
    assert AccessToken.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_token(alice: User) -> None:
    request = f"--request-id={uuid.uuid4()}"
    outcomes = together(*[lambda: run(*MAKE, request)] * 2)
    assert sorted(type(each).__name__ for each in outcomes) == ["CommandError", "str"]
    assert AccessToken.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"email": "nobody@example.com"}, "There is no account with this address."),
        ({"email": ""}, "There is no account with this address."),
        ({"--name": ""}, "Give the token a name."),
        ({"--name": "x" * 65}, "Names can be up to 64 characters"),
        ({"--name": f"for {VALUE}"}, "holds a token"),
        ({"--name": "taken"}, "You already have an active token called taken"),
        ({"--scopes": ""}, "--scopes must hold some of"),
        ({"--scopes": "everything"}, "--scopes must hold some of"),
        ({"--scopes": "*"}, "--scopes must hold some of"),
        ({"--expires-in": "0"}, "whole number of days, or never"),
        ({"--expires-in": "-1"}, "whole number of days, or never"),
        ({"--expires-in": "1.5"}, "whole number of days, or never"),
        ({"--expires-in": "soon"}, "whole number of days, or never"),
        ({"--expires-in": "99999"}, "whole number of days, or never"),
        ({"--expires-in": "367"}, "up to 366 days"),
        ({"--description": "d" * 201}, "up to 200 characters"),
        ({"--description": VALUE}, "holds a token"),
        ({"--project": "unknown"}, "slug of a project of this person"),
        ({"--request-id": "1"}, "must be a UUID"),
        ({"--format": "csv"}, "invalid choice"),
    ],
)
def test_what_cannot_be_made_is_said(
    alice: User, bob: User, change: dict[str, str], sentence: str
) -> None:
    issue(alice, "taken")
    given = {"email": "alice@example.com", "--name": "ci", "--scopes": "inference", **change}
    email = given.pop("email")
    with pytest.raises(CommandError, match=re.escape(sentence)) as fault:
        run("create_token", email, *(f"{name}={value}" for name, value in given.items()))
    assert AccessToken.objects.count() == 1
    assert VALUE[7:] not in str(fault.value)


def test_rules_and_people_who_are_switched_off_are_respected(alice: User, settings: Any) -> None:
    settings.TOKENS_ALLOW_NEW = False
    with pytest.raises(CommandError, match="New tokens are switched off"):
        run(*MAKE)
    settings.TOKENS_ALLOW_NEW = True
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="switched off"):
        run(*MAKE)


# --- list_tokens ------------------------------------------------------------------------------------


def listed(*arguments: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in run("list_tokens", *arguments, "--format=json").splitlines()
    ]


def test_it_lists_what_is_known_and_never_a_value(clock: Clock, alice: User, bob: User) -> None:
    made = issue(alice, "one")
    ended = issue(bob, "two").token
    lifecycle.revoke(token=ended, origin=origin(bob))
    (row,) = listed()
    assert row["public_id"] == str(made.token.public_id)
    assert (row["owner"], row["name"], row["status"]) == ("alice@example.com", "one", "never_used")
    assert row["value"] == made.token.masked
    assert [each["status"] for each in listed("--state=ended")] == ["revoked"]
    assert len(listed("--state=any")) == 2
    assert [each["name"] for each in listed("--state=any", "--user=bob@example.com")] == ["two"]
    table = run("list_tokens")
    assert "alice@example.com" in table
    assert made.plaintext.reveal()[7:19] not in table


def test_a_limit_says_that_there_is_more(clock: Clock, alice: User) -> None:
    for number in range(3):
        issue(alice, f"t{number}")
    for limit, more in ((2, True), (3, False)):
        said = io.StringIO()
        printed = run("list_tokens", f"--limit={limit}", stderr=said)
        assert len(printed.splitlines()) == limit + 1
        assert ("There are more" in said.getvalue()) is more


def test_a_table_of_any_length_is_printed_as_it_is_read() -> None:
    ahead: list[int] = []
    screen = io.StringIO()

    def rows() -> Iterator[tuple[str]]:
        for number in range(5000):
            ahead.append(number + 1 - screen.getvalue().count("\n"))
            yield (f"token {number}",)

    shown = Operation(stdout=screen).rows(["name"], rows(), {"format": "table"})
    assert shown == 5000
    assert screen.getvalue().split("\n")[:2] == ["Name", "token 0"]
    assert screen.getvalue().endswith("token 4999\n")
    assert max(ahead) <= 1001


def test_listing_costs_as_many_queries_for_one_as_for_fifty(clock: Clock, alice: User) -> None:
    counts = []
    for number in (1, 49):
        for each in range(number):
            issue(alice, f"t{number}-{each}")
        with CaptureQueriesContext(connection) as queries:
            run("list_tokens")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit=0"],
        ["--limit=all"],
        # More digits than its bound has, though the first of them would fit.
        [f"--limit={'1':0>12}{'9' * 20}"],
        [f"--limit={'9' * 5000}"],
        ["--state=none"],
        ["--scope=x"],
        ["--user=x"],
        # What bytes that are no UTF-8 become on their way from the command line.
        ["--user=\udcff@example.com"],
    ],
)
def test_a_list_that_cannot_be_made_is_a_sentence(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("list_tokens", *arguments)


# --- pepper status ----------------------------------------------------------------------------------


def peppers(*arguments: str) -> dict[int, dict[str, Any]]:
    lines = run("pepper", "status", "--format=json", *arguments).splitlines()
    return {row["pepper"]: row for row in map(json.loads, lines)}


def test_it_says_which_pepper_is_needed(clock: Clock, alice: User, settings: Any) -> None:
    old = settings.TOKEN_PEPPERS
    issue(alice, "one")
    lifecycle.revoke(token=issue(alice, "two").token, origin=origin(alice))
    settings.TOKEN_PEPPERS = f"{old},2:{'p' * 64},9:{'q' * 64}"
    settings.TOKEN_PEPPER_ID = 2
    status = peppers()
    assert (status[1]["live_tokens"], status[1]["tokens"]) == (1, 2)
    assert status[1]["advice"].startswith("keep it")
    assert status[2]["signs"]
    assert status[9]["advice"] == "can be taken away"
    assert "p" * 8 not in str(status)


def test_a_pepper_that_is_missed_is_a_fault(clock: Clock, alice: User, settings: Any) -> None:
    issue(alice)
    settings.TOKEN_PEPPERS = f"2:{'p' * 64}"
    with pytest.raises(CommandError, match="What rests on pepper 1 is refused"):
        run("pepper", "status")
    clock.tick(days=31)
    assert peppers()[1]["advice"] == "gone, and needed by nothing that lives"
    assert clock.now - NOON == timedelta(days=31)


@pytest.mark.parametrize("arguments", [[], ["stats"], ["status", "now"], ["status", "--format=x"]])
def test_a_question_about_peppers_that_cannot_be_read(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("pepper", *arguments)
