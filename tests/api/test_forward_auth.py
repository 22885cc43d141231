from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import OperationalError, connection

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tokens import lifecycle, projects
from tokens.models import AccessToken, Policy, Project, TokenProject, TokenUse
from tokens.scopes import BY_NAME

Send = Callable[..., Any]
CountQueries = Callable[[int], AbstractContextManager[Any]]
VERIFY = "/api/v1/auth/verify"
READ = f"{VERIFY}?scope=projects.read"


@pytest.fixture
def shop(clock: Clock, alice: User) -> Project:
    return projects.create(owner_id=alice.pk, name="shop", origin=origin(alice))


def for_project(project: Project | str) -> str:
    return f"{READ}&project={getattr(project, 'public_id', project)}"


def code_of(refused: Any) -> tuple[int, str]:
    return refused.status_code, refused.json()["code"]


# --- Yes ----------------------------------------------------------------------------------------


def test_a_yes_is_204_and_tells_whose_token_it_is_which_and_its_scopes(
    clock: Clock, alice: User, send: Send
) -> None:
    made = issue(alice)
    answer = send("GET", READ, made)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Skytells-User-Id"] == str(alice.public_id)
    assert answer.headers["Skytells-Token-Id"] == str(made.token.public_id)
    assert answer.headers["Skytells-Scopes"] == "projects.read account.read"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "alice" not in str(answer.headers).lower()


@pytest.mark.parametrize("scope", BY_NAME)
def test_each_scope_says_yes_to_itself_and_to_nothing_else(
    clock: Clock, alice: User, send: Send, scope: str
) -> None:
    only, rest = issue(alice, "only", scopes=[scope]), issue(alice, scopes=BY_NAME.keys() - {scope})
    assert send("GET", f"{VERIFY}?scope={scope}", only).status_code == 204
    refused = send("GET", f"{VERIFY}?scope={scope}", rest)
    assert code_of(refused) == (403, "insufficient_scope")
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]


def test_a_yes_counts_as_use_of_the_scope_and_a_no_as_refused_use(
    clock: Clock, alice: User, send: Send
) -> None:
    made = issue(alice)
    send("GET", READ, made, HTTP_USER_AGENT="curl/8", REMOTE_ADDR="203.0.113.9")
    send("GET", f"{VERIFY}?scope=keys.read", made, REMOTE_ADDR="203.0.113.9")
    uses = TokenUse.objects.order_by("scope").values_list("scope", "network", "allowed", "refused")
    assert list(uses) == [
        ("keys.read", "203.0.113.0/24", 0, 1),
        ("projects.read", "203.0.113.0/24", 1, 0),
    ]


@pytest.mark.parametrize(("query", "queries"), [("", 1), ("&project=SHOP", 2)])
def test_a_warm_verdict_reads_and_does_not_write(
    clock: Clock,
    alice: User,
    shop: Project,
    send: Send,
    query: str,
    queries: int,
    django_assert_num_queries: CountQueries,
) -> None:
    path, made = READ + query.replace("SHOP", str(shop.public_id)), issue(alice)
    send("GET", path, made)
    with django_assert_num_queries(queries) as asked:
        assert send("GET", path, made).status_code == 204
    assert all(query["sql"].lstrip().startswith("SELECT") for query in asked.captured_queries)


def test_what_a_proxy_passes_on_changes_nothing(clock: Clock, alice: User, send: Send) -> None:
    made = issue(alice, scopes=["inference"])
    headers = {
        "X-Original-URI": "/?scope=inference",
        "X-Original-Method": "DELETE",
        "X-Forwarded-Uri": "/?scope=inference",
        "X-HTTP-Method-Override": "POST",
        "Scope": "inference",
        "Skytells-User-Id": "root",
        "Skytells-Scopes": "projects.read",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    refused = send("GET", READ, made, b"scope=inference", headers=headers)
    assert code_of(refused) == (403, "insufficient_scope")
    assert "Skytells-User-Id" not in refused.headers


# --- Projects -----------------------------------------------------------------------------------


def test_a_limited_token_passes_for_its_project_and_only_where_one_is_named(
    clock: Clock, alice: User, shop: Project, send: Send
) -> None:
    other = projects.create(owner_id=alice.pk, name="other", origin=origin(alice))
    limited = issue(alice, projects=[shop])
    assert send("GET", for_project(shop), limited).status_code == 204
    assert code_of(send("GET", for_project(other), limited)) == (403, "project_not_allowed")
    assert code_of(send("GET", READ, limited)) == (403, "project_not_allowed")
    TokenProject.objects.all().delete()
    assert code_of(send("GET", for_project(shop), limited)) == (403, "project_not_allowed")


def test_an_unlimited_token_passes_for_its_owner_s_projects_alone(
    alice: User, bob: User, shop: Project, send: Send
) -> None:
    assert send("GET", for_project(shop), issue(alice)).status_code == 204
    assert code_of(send("GET", for_project(shop), issue(bob))) == (403, "project_not_allowed")


@pytest.mark.parametrize(
    "name", ["shop", "SHOP", "0", "*", "%00", "null", "not-an-id", str(uuid.UUID(int=7)), "é" * 99]
)
def test_what_names_no_project_is_refused(
    alice: User, shop: Project, send: Send, name: str
) -> None:
    refused = send("GET", for_project(name), issue(alice))
    assert code_of(refused) == (403, "project_not_allowed")


def test_a_missing_scope_is_told_after_the_project(
    alice: User, bob: User, shop: Project, send: Send
) -> None:
    without = issue(bob, scopes=["inference"])
    assert code_of(send("GET", for_project(shop), without)) == (403, "project_not_allowed")
    hers = issue(alice, scopes=["inference"])
    assert code_of(send("GET", for_project(shop), hers)) == (403, "insufficient_scope")


# --- No -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?scope",
        "?scope=",
        "?scope=%20",
        "?scope=*",
        "?scope=PROJECTS.READ",
        "?scope=projects.read%20",
        "?scope=projects.read%00",
        "?scope=projects.read%20account.read",
        "?scope=projects.read,account.read",
        "?scope=projects.read;project=x",
        "?scope=projects.read&scope=projects.read",
        "?scope=projects.read&scope=keys.write",
        "?scope[]=projects.read",
        "?Scope=projects.read",
        "?SCOPE=projects.read",
        "?scopes=projects.read",
        "?project=x",
        "?scope=projects.read&project",
        "?scope=projects.read&project=",
        "?scope=projects.read&project=a&project=b",
        "?" + "a=1&" * 6_000 + "scope=projects.read",
        "?scope=" + "a" * 3000,
        "?scope=\xff",
    ],
)
def test_a_question_that_is_none_is_refused_without_a_query_and_counts_nowhere(
    alice: User, send: Send, query: str, django_assert_num_queries: CountQueries
) -> None:
    made = issue(alice, scopes=list(BY_NAME))
    for token in (made, None):
        with django_assert_num_queries(0):
            refused = send("GET", VERIFY, token, QUERY_STRING=query[1:])
        assert code_of(refused) == (403, "forward_auth_misconfigured")
        assert "WWW-Authenticate" not in refused.headers
    assert AccessToken.objects.get().first_used_at is None


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"revoked_at": True, "revoke_kind": "owner"}, 401, "token_revoked"),
        ({"retire_at": True}, 401, "token_revoked"),
        ({"expires_at": True}, 401, "token_expired"),
        ({"paused_at": True}, 403, "token_paused"),
    ],
)
def test_what_is_not_accepted_is_refused_on_the_next_request(
    clock: Clock, alice: User, send: Send, change: dict[str, Any], status: int, code: str
) -> None:
    made = issue(alice)
    clock.tick(hours=1)
    assert send("GET", READ, made).status_code == 204
    AccessToken.objects.update(
        **{name: clock.now if value is True else value for name, value in change.items()}
    )
    assert code_of(send("GET", READ, made)) == (status, code)


def test_a_disabled_owner_and_a_policy_are_felt_at_once(
    clock: Clock, alice: User, send: Send
) -> None:
    made = issue(alice)
    assert send("GET", READ, made).status_code == 204
    policy = Policy.objects.create(created_at=clock.now, allowed_networks="192.0.2.0/24")
    assert code_of(send("GET", READ, made)) == (403, "policy_blocked")
    Policy.objects.filter(pk=policy.pk).delete()
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert code_of(send("GET", READ, made)) == (401, "invalid_token")


def test_a_revoked_token_is_refused_by_the_next_verdict(alice: User, send: Send) -> None:
    made = issue(alice)
    assert send("GET", READ, made).status_code == 204
    lifecycle.revoke(token=made.token, origin=origin(alice))
    assert code_of(send("GET", READ, made)) == (401, "token_revoked")


def test_a_database_that_fails_opens_nothing(alice: User, send: Send) -> None:
    made = issue(alice)

    def fail(*_statement: Any) -> None:
        raise OperationalError("disk I/O error")

    with connection.execute_wrapper(fail):
        refused = send("GET", READ, made)
    assert code_of(refused) == (500, "server_error")
    assert "Skytells-User-Id" not in refused.headers
