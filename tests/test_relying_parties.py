from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, OperationalError, connection

from tests.cast import Clock, origin
from tokens import audit, policy, relying_parties, secret
from tokens.models import EventDetail, Service, TokenEvent
from tokens.relying_parties import Registered

pytestmark = pytest.mark.django_db
CountQueries = Callable[[int], AbstractContextManager[Any]]


def register(name: str = "billing", *scopes: str) -> Registered:
    return relying_parties.create(
        name=name, scopes=scopes or ["projects.read", "keys.read"], origin=origin()
    )


def proves(made: Registered, *, client_id: str | None = None, value: str | None = None) -> bool:
    """Say whether a service proves itself, with its own credentials where none are given."""
    mine = client_id if client_id is not None else made.service.client_id
    theirs = value if value is not None else made.secret.reveal()
    return relying_parties.authenticate(mine, theirs) is not None


# --- Registering --------------------------------------------------------------------------------


def test_a_service_is_stored_with_a_digest_and_remembered_with_its_scopes(clock: Clock) -> None:
    made = register()
    value = made.secret.reveal()
    assert re.fullmatch(r"sk_svc_[0-9a-f]{64}", value)
    assert re.fullmatch(r"svc_[0-9a-f]{16}", made.service.client_id)
    row = Service.objects.get()
    assert (row.name, row.scopes, row.created_at) == (
        "billing",
        "projects.read keys.read",
        clock.now,
    )
    assert bytes(row.secret_digest) == secret.digest(value)[1]
    event = TokenEvent.objects.get(kind=audit.Kind.SERVICE_CREATED)
    assert event.data["client_id"] == row.client_id
    stored = f"{list(Service.objects.values())}{event.data}{list(EventDetail.objects.values())}"
    assert not [start for start in range(60) if value[start : start + 12] in stored]


def test_a_secret_prints_itself_masked() -> None:
    made = register()
    value = made.secret.reveal()
    assert str(made.secret) == f"{value[:11]}…{value[-4:]}"
    assert value[11:-4] not in repr(made)


def test_a_secret_of_a_service_is_redacted_and_refused_as_text_and_is_no_token() -> None:
    value = register().secret.reveal()
    assert secret.redact(f"got {value}!") == "got sk_svc_[redacted]!"
    assert secret.contains_token(value)
    assert not secret.is_well_formed(value)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name_required"),
        (" \t", "name_required"),
        ("billing", "service_exists"),
        ("BILLING", "service_exists"),
        (" billing ", "service_exists"),
        ("\uff42illing", "service_exists"),
        ("x" * 65, "name_too_long"),
        ("x" * 5000, "name_too_long"),
        ("a\0b", "unprintable"),
        ("a\nb", "unprintable"),
        ("exe\u202egnp", "unprintable"),
        ("sk_pat_0a1b2c3d4e", "contains_token"),
        ("sk_svc_0a1b2c3d4e", "contains_token"),
    ],
)
def test_a_name_that_cannot_be_used_registers_nothing(name: str, code: str) -> None:
    register()
    with pytest.raises(policy.Refused) as refused:
        register(name)
    assert refused.value.code == code
    assert refused.value.sentence.endswith(".")
    assert Service.objects.count() == 1


@pytest.mark.parametrize(
    "scopes", [[], ["all"], ["projects.read", "nope"], ["PROJECTS.READ"], [""]]
)
def test_scopes_that_do_not_exist_register_nothing(scopes: list[str]) -> None:
    with pytest.raises(policy.Refused) as refused:
        relying_parties.create(name="billing", scopes=scopes, origin=origin())
    assert refused.value.code == "unknown_scope"
    assert "account.read" in refused.value.sentence
    assert not Service.objects.exists()


def test_a_name_that_was_taken_meanwhile_is_refused_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taken(**_values: Any) -> None:
        raise IntegrityError("UNIQUE constraint failed")

    monkeypatch.setattr(Service.objects, "create", taken)
    with pytest.raises(policy.Refused) as refused:
        register()
    assert refused.value.code == "service_exists"


# --- Proving ------------------------------------------------------------------------------------


def test_a_service_proves_itself_and_tells_its_scopes() -> None:
    made = register()
    found = relying_parties.authenticate(made.service.client_id, made.secret.reveal())
    assert found is not None
    assert (found.id, found.name) == (made.service.pk, "billing")
    assert found.scopes == {"projects.read", "keys.read"}


@pytest.mark.parametrize(
    "wrong", ["", "svc_0000000000000000", "billing", "é", "\ud800", "x" * 9999]
)
def test_a_wrong_id_proves_nothing(wrong: str) -> None:
    assert not proves(register(), client_id=wrong)


def test_one_service_s_id_and_another_s_secret_prove_nothing() -> None:
    one, two = register(), register("search")
    assert not proves(one, value=two.secret.reveal())
    assert not proves(two, value=one.secret.reveal())


MALFORMED: dict[str, Callable[[str], str]] = {
    "empty": lambda value: "",
    "short": lambda value: value[:-1],
    "long": lambda value: value + "0",
    "newline after": lambda value: value + "\n",
    "space before": lambda value: " " + value,
    "upper case": lambda value: value.upper(),
    "a token's prefix": lambda value: value.replace("sk_svc_", "sk_pat_"),
    "its digest": lambda value: secret.digest(value)[1].hex(),
    "not ASCII": lambda value: value[:-1] + "é",
    "NUL": lambda value: value[:-1] + "\0",
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_secret_proves_nothing_and_costs_no_query(
    make: Callable[[str], str], django_assert_num_queries: CountQueries
) -> None:
    made = register()
    wrong = make(made.secret.reveal())
    with django_assert_num_queries(0):
        assert not proves(made, value=wrong)


def test_a_wrong_id_and_an_unknown_secret_cost_the_one_query_of_a_right_answer(
    django_assert_num_queries: CountQueries,
) -> None:
    made = register()
    stranger = secret.mint_for_service().reveal()
    for number in range(20):
        register(f"service {number}")
    for change in ({}, {"client_id": "svc_0"}, {"value": stranger}):
        with django_assert_num_queries(1) as asked:
            proves(made, **change)
        assert made.service.client_id not in str(asked.captured_queries)


def test_a_secret_survives_a_change_of_peppers_and_is_stored_under_the_new_one(
    settings: Any, django_assert_num_queries: CountQueries
) -> None:
    settings.TOKEN_PEPPERS = "1:" + "old-pepper-" * 4
    made = register()
    settings.TOKEN_PEPPERS += ",2:" + "new-pepper-" * 4
    assert proves(made)
    assert Service.objects.get().pepper_id == 2
    with django_assert_num_queries(1):
        assert proves(made)
    settings.TOKEN_PEPPERS = "2:" + "new-pepper-" * 4
    assert proves(made)


def test_a_busy_database_never_refuses_a_service(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = register()
    settings.TOKEN_PEPPERS += ",2:" + "new-pepper-" * 4

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise OperationalError("database is locked")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail), caplog.at_level(logging.ERROR):
        assert proves(made)
    assert "could not be renewed" in caplog.text


# --- Revoking -----------------------------------------------------------------------------------


def test_a_revoked_service_proves_nothing_from_the_next_question_on(clock: Clock) -> None:
    made, other = register(), register("search")
    assert relying_parties.revoke(service=made.service, origin=origin())
    assert not proves(made)
    assert proves(other)
    first = clock.now
    clock.tick(hours=1)
    assert not relying_parties.revoke(service=made.service, origin=origin())
    made.service.refresh_from_db()
    assert made.service.revoked_at == first
    assert TokenEvent.objects.filter(kind=audit.Kind.SERVICE_REVOKED).count() == 1


def test_the_name_of_a_revoked_service_is_not_given_again() -> None:
    relying_parties.revoke(service=register().service, origin=origin())
    with pytest.raises(policy.Refused, match=r"There is or was a service called billing"):
        register()


# --- Commands -----------------------------------------------------------------------------------


def run(command: str, *arguments: str) -> tuple[str, str]:
    printed, told = StringIO(), StringIO()
    call_command(command, *arguments, stdout=printed, stderr=told)
    return printed.getvalue(), told.getvalue()


def test_create_service_prints_what_works_once() -> None:
    printed, told = run("create_service", "billing", "--scopes", "keys.read, projects.read,")
    found = dict(line.split(": ") for line in printed.splitlines())
    assert found["Scopes"] == "projects.read keys.read"
    assert relying_parties.authenticate(found["Client id"], found["Client secret"]) is not None
    assert told == "Store the secret now: it cannot be shown again.\n"


def test_create_service_prints_json_for_programs() -> None:
    printed, _ = run("create_service", "billing", "--scopes=keys.read", "--format=json")
    found = json.loads(printed)
    assert found.keys() == {"service", "scopes", "client_id", "client_secret"}
    assert relying_parties.authenticate(found["client_id"], found["client_secret"]) is not None


def test_a_dry_run_checks_a_service_and_registers_none() -> None:
    assert run("create_service", "billing", "--scopes=keys.read", "--dry-run") == (
        "",
        "Such a service can be registered.\n",
    )
    assert not Service.objects.exists()
    assert not TokenEvent.objects.exists()
    register()
    with pytest.raises(CommandError, match=r"There is or was a service called billing"):
        run("create_service", "billing", "--scopes=keys.read", "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["", "--scopes", "keys.read"], "Give the service a name."),
        (["x" * 65, "--scopes", "keys.read"], "Names can be up to 64 characters."),
        (["billing", "--scopes", ""], "Name the scopes it may ask about, out of: inference,"),
        (["billing", "--scopes", ","], "Name the scopes it may ask about, out of: inference,"),
        (["billing", "--scopes", "keys"], "Name the scopes it may ask about, out of: inference,"),
        (["billing"], "the following arguments are required: --scopes"),
        ([], "the following arguments are required: name"),
    ],
)
def test_create_service_says_in_a_sentence_what_is_wrong(
    arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)):
        run("create_service", *arguments)
    assert not Service.objects.exists()


@pytest.mark.parametrize("named", ["name", "client_id"])
def test_revoke_service_takes_either_name(clock: Clock, named: str) -> None:
    made = register()
    printed, _ = run("revoke_service", getattr(made.service, named))
    assert printed == "Revoked: billing. Its next question is refused.\n"
    assert not proves(made)
    clock.tick(days=1)
    printed, _ = run("revoke_service", getattr(made.service, named))
    assert printed == "billing was revoked on 2026-11-23 12:00 UTC already.\n"


def test_a_dry_run_says_which_service_would_be_revoked() -> None:
    made = register()
    printed, _ = run("revoke_service", "billing", "--dry-run")
    assert printed == "billing would be revoked.\n"
    assert proves(made)
    said = [
        json.loads(run("revoke_service", "billing", "--format=json", *more)[0])
        for more in (["--dry-run"], [], [])
    ]
    assert [(each["dry_run"], each["revoked"]) for each in said] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert [each["revoked_at"] is None for each in said] == [True, False, False]


def test_revoke_service_names_those_that_there_are() -> None:
    with pytest.raises(CommandError, match=r"There is no such service, nor any other\."):
        run("revoke_service", "nope")
    register("search")
    register()
    with pytest.raises(CommandError, match=r"The services are: billing, search\."):
        run("revoke_service", "nope")
