from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import projects
from tokens.lifecycle import Issued
from tokens.models import AccessToken, Policy, TokenActivity, TokenEvent, TokenUse
from tokens.scopes import BY_NAME

Send = Callable[..., Any]
CountQueries = Callable[[int], AbstractContextManager[Any]]
CHECK, VERIFY = "/api/v1/token/check", "/api/v1/auth/verify"


@pytest.fixture
def made(clock: Clock, alice: User) -> Issued:
    """A token for projects.read and account.read that ends in 30 days."""
    return issue(alice)


def ask(send: Send, token: Issued, **body: Any) -> Any:
    return send("POST", CHECK, token, json.dumps(body).encode())


# --- Yes and no ---------------------------------------------------------------------------------


def test_a_request_that_would_pass_is_told_so(send: Send, made: Issued) -> None:
    answer = ask(send, made, scopes=["projects.read", "account.read"])
    assert answer.status_code == 200
    assert answer.json() == {"allowed": True, "at": "2026-11-23T12:00:00Z", "missing_scopes": []}


def test_nothing_asked_is_about_the_token_alone(send: Send, made: Issued) -> None:
    assert ask(send, made).json()["allowed"] is True
    assert send("POST", CHECK, made).json()["allowed"] is True
    AccessToken.objects.update(projects_limited=True)
    assert ask(send, made, scopes=[], project=None, at=None).json()["allowed"] is True


def test_every_missing_scope_is_named_once(send: Send, made: Issued) -> None:
    told = ask(send, made, scopes=["keys.write", "projects.read", "inference", "keys.write"]).json()
    assert told == {
        "allowed": False,
        "at": "2026-11-23T12:00:00Z",
        "missing_scopes": ["keys.write", "inference"],
        "code": "insufficient_scope",
        "reason": "This token is missing the keys.write scope.",
    }


def test_asking_has_no_effect_and_is_not_counted(
    send: Send, made: Issued, django_assert_num_queries: CountQueries
) -> None:
    events = TokenEvent.objects.count()
    with django_assert_num_queries(1) as asked:
        ask(send, made, scopes=["projects.read"])
    assert asked.captured_queries[0]["sql"].lstrip().startswith("SELECT")
    ask(send, made, scopes=["keys.read"])
    ask(send, made, scopes=["nope"])
    made.token.refresh_from_db()
    assert made.token.first_used_at is None
    assert TokenEvent.objects.count() == events
    assert not TokenUse.objects.exists()
    assert not TokenActivity.objects.exists()


@pytest.mark.parametrize(
    ("at", "allowed", "code"),
    [
        ("2026-11-23T12:00:00Z", True, None),
        ("2026-11-23T11:56:00Z", True, None),
        ("2026-12-23T11:59:59Z", True, None),
        ("2026-12-23T12:00:00Z", False, "token_expired"),
        ("2026-12-23T13:00:00+01:00", False, "token_expired"),
        ("2026-12-23T11:00:00-01:00", False, "token_expired"),
        ("2026-12-23t11:59:59.999999z", True, None),
        ("9999-12-31T23:59:59Z", False, "token_expired"),
    ],
)
def test_a_time_to_come_is_judged_as_it_will_be(
    send: Send, made: Issued, at: str, allowed: bool, code: str | None
) -> None:
    told = ask(send, made, at=at).json()
    assert (told["allowed"], told.get("code")) == (allowed, code)


def test_a_pause_is_told_and_so_is_its_end(send: Send, made: Issued, clock: Clock) -> None:
    AccessToken.objects.update(paused_at=NOON, paused_until=NOON + timedelta(hours=2))
    told = ask(send, made).json()
    assert (told["allowed"], told["code"]) == (False, "token_paused")
    assert told["reason"] == "This token is paused until 14:00 UTC."
    assert ask(send, made, at="2026-11-23T14:00:00Z").json()["allowed"] is True


def test_a_rotation_and_a_policy_that_will_end_it_are_foreseen(
    send: Send, made: Issued, clock: Clock
) -> None:
    AccessToken.objects.update(retire_at=NOON + timedelta(days=1))
    tomorrow = ask(send, made, at="2026-11-24T12:00:00Z").json()
    assert (tomorrow["allowed"], tomorrow["code"]) == (False, "token_revoked")
    Policy.objects.create(created_at=NOON, max_lifetime_days=1, blocks_from=NOON)
    told = ask(send, made).json()
    assert (told["allowed"], told["code"]) == (False, "policy_blocked")


def test_projects_are_judged_as_at_forward_authentication(
    send: Send, alice: User, bob: User, clock: Clock
) -> None:
    shop, other = (
        projects.create(owner_id=alice.pk, name=name, origin=origin(alice)) for name in "so"
    )
    tokens = {"limited": issue(alice, "limited", projects=[shop]), "bob's": issue(bob)}
    tokens["free"] = issue(alice, "free")
    for name, token in tokens.items():
        for project in (None, str(shop.public_id), str(other.public_id), "shop", ""):
            told = ask(send, token, scopes=["projects.read"], project=project).json()
            query = "" if project is None else f"&project={project}"
            verdict = send("GET", f"{VERIFY}?scope=projects.read{query}", token)
            assert told["allowed"] is (verdict.status_code == 204), (name, project)


# --- Who may ask --------------------------------------------------------------------------------


def test_an_ended_or_unknown_token_is_refused_as_everywhere(
    send: Send, made: Issued, alice: User, clock: Clock
) -> None:
    clock.tick(days=30)
    refused = ask(send, made)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")
    User.objects.filter(pk=alice.pk).update(is_active=False)
    refused = ask(send, made)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


def test_what_the_body_holds_is_judged_after_the_token(send: Send, made: Issued) -> None:
    assert send("POST", CHECK, None, b"{").status_code == 401
    assert send("POST", CHECK, made, b"{").status_code == 400


# --- Bad input ----------------------------------------------------------------------------------

QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "scopes as text": ({"scopes": "projects.read"}, "not_text"),
    "scopes as an object": ({"scopes": {"projects.read": True}}, "not_text"),
    "scopes as a number": ({"scopes": 5}, "not_text"),
    "scopes as false": ({"scopes": False}, "not_text"),
    "a number among scopes": ({"scopes": ["projects.read", 5]}, "not_text"),
    "null among scopes": ({"scopes": [None]}, "not_text"),
    "an unknown scope": ({"scopes": ["projects.read", "all"]}, "unknown_scope"),
    "an empty scope": ({"scopes": [""]}, "unknown_scope"),
    "a scope in capitals": ({"scopes": ["PROJECTS.READ"]}, "unknown_scope"),
    "two scopes in one": ({"scopes": ["projects.read account.read"]}, "unknown_scope"),
    "a lone surrogate": ({"scopes": ["\ud800"]}, "unknown_scope"),
    "many scopes": ({"scopes": ["x"] * 9000}, "unknown_scope"),
    "project as a number": ({"project": 5}, "not_text"),
    "project as a list": ({"project": []}, "not_text"),
    "time as a number": ({"at": 1_800_000_000}, "invalid_time"),
    "no time": ({"at": ""}, "invalid_time"),
    "a day": ({"at": "2026-12-01"}, "invalid_time"),
    "no zone": ({"at": "2026-12-01T00:00:00"}, "invalid_time"),
    "a space": ({"at": "2026-12-01 00:00:00Z"}, "invalid_time"),
    "no such day": ({"at": "2026-02-30T00:00:00Z"}, "invalid_time"),
    "no such hour": ({"at": "2026-12-01T25:00:00Z"}, "invalid_time"),
    "no such zone": ({"at": "2026-12-01T00:00:00+99:00"}, "invalid_time"),
    "beyond all years": ({"at": "9999-12-31T23:59:59-23:59"}, "invalid_time"),
    "before all years": ({"at": "0001-01-01T00:00:00+23:59"}, "invalid_time"),
    "a newline after": ({"at": "2026-12-01T00:00:00Z\n"}, "invalid_time"),
    "other digits": ({"at": "\uff12\uff10\uff12\uff16-12-01T00:00:00Z"}, "invalid_time"),
    "text": ({"at": "tomorrow"}, "invalid_time"),
    "long": ({"at": "9" * 9000}, "invalid_time"),
    "passed": ({"at": "2026-11-23T11:54:59Z"}, "time_passed"),
    "long passed": ({"at": "1970-01-01T00:00:00Z"}, "time_passed"),
}


@pytest.mark.parametrize(("body", "code"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_that_is_none_is_refused_with_a_sentence(
    send: Send, made: Issued, body: dict[str, Any], code: str
) -> None:
    refused = ask(send, made, **body)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["error"].endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
QUESTION = st.fixed_dictionaries(
    {},
    optional={
        "scopes": json_values | st.lists(st.sampled_from(sorted(BY_NAME)), max_size=9),
        "project": json_values | st.uuids().map(str),
        "at": json_values | st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
    },
)


@hypothesis_settings(
    max_examples=200,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=QUESTION | json_values)
def test_no_question_breaks_the_check(send: Send, made: Issued, body: Any) -> None:
    answer = send("POST", CHECK, made, json.dumps(body).encode())
    assert answer.status_code in {200, 400, 422}
    assert ("allowed" in answer.json()) is (answer.status_code == 200)
