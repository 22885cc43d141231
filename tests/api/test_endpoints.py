from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import audit, health, projects
from tokens.lifecycle import Issued
from tokens.models import AccessToken, Project, RevokeKind, TokenEvent, TokenProject, TokenUse

Send = Callable[..., Any]
PROJECTS = "/api/v1/cli/projects"


def make_projects(owner: User, *names: str, **facts: Any) -> list[Project]:
    source = origin(owner)
    return [projects.create(owner_id=owner.pk, name=name, origin=source, **facts) for name in names]


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [project["name"] for project in answer.json()["data"]]


# --- Health -------------------------------------------------------------------------------------


def test_health_is_open_and_says_ok(db: None, api: Client) -> None:
    answer = api.get("/api/v1/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_health_says_503_with_what_is_wrong(api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "faults", lambda: ["The database does not answer.", "More."])
    answer = api.get("/api/v1/health")
    assert answer.status_code == 503
    told = answer.json()
    assert (told["code"], told["error"]) == ("not_ready", "The console is not ready.")
    assert told["details"] == "The database does not answer."


def test_health_does_not_look_at_tokens(full: Issued, send: Send) -> None:
    assert send("GET", "/api/v1/health", full).status_code == 200
    assert not TokenUse.objects.exists()
    garbage = {"Authorization": "Bearer garbage"}
    assert send("GET", "/api/v1/health", headers=garbage).status_code == 200


# --- The caller ---------------------------------------------------------------------------------


def test_user_tells_whose_token_it_is(full: Issued, send: Send, alice: User) -> None:
    answer = send("GET", "/api/v1/user", full)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(alice.public_id),
        "email": "alice@example.com",
        "name": "Alice Arden",
        "time_zone": "Europe/Berlin",
    }


# --- The presented token ------------------------------------------------------------------------


def test_token_tells_its_facts_and_not_its_value(clock: Clock, alice: User, send: Send) -> None:
    made = issue(alice, "cli-macbook", at=NOON + timedelta(microseconds=999_999))
    answer = send("GET", "/api/v1/token", made)
    value = made.plaintext.reveal()
    assert answer.json() == {
        "id": str(made.token.public_id),
        "name": "cli-macbook",
        "token": f"{value[:11]}…{value[-4:]}",
        "scopes": ["projects.read", "account.read"],
        "created_at": "2026-11-23T12:00:00Z",
        "expires_at": "2026-12-23T12:00:00Z",
        "projects_limited": False,
    }


def test_a_token_without_end_says_null(clock: Clock, alice: User, send: Send) -> None:
    answer = send("GET", "/api/v1/token", issue(alice, expires_at=None))
    assert answer.json()["expires_at"] is None


def test_a_token_asks_for_no_scope_to_tell_about_itself(
    clock: Clock, alice: User, send: Send
) -> None:
    assert send("GET", "/api/v1/token", issue(alice, scopes=["inference"])).status_code == 200
    assert TokenUse.objects.get().scope == ""


def test_a_token_revokes_itself_once(full: Issued, send: Send, clock: Clock, alice: User) -> None:
    answer = send("DELETE", "/api/v1/token", full)
    assert (answer.status_code, answer.content) == (204, b"")
    token = AccessToken.objects.get()
    assert (token.revoked_at, token.revoke_kind) == (clock.now, RevokeKind.SELF)
    assert token.revoked_by == alice
    clock.tick(minutes=1)
    again = send("DELETE", "/api/v1/token", full)
    assert (again.status_code, again.json()["code"]) == (401, "token_revoked")
    token.refresh_from_db()
    assert token.revoked_at == NOON
    event = TokenEvent.objects.get(kind=audit.Kind.REVOKED)
    assert (event.door, event.actor_id, event.token_public_id) == ("api", alice.pk, token.public_id)


def test_a_token_that_revokes_itself_leaves_the_others_alone(
    full: Issued, send: Send, alice: User
) -> None:
    other = issue(alice, "other")
    send("DELETE", "/api/v1/token", full)
    assert send("GET", "/api/v1/token", other).status_code == 200


# --- Listing projects ---------------------------------------------------------------------------


def test_projects_come_in_the_order_they_were_made_in_one_bare_envelope(
    full: Issued, send: Send, alice: User, clock: Clock
) -> None:
    [shop] = make_projects(alice, "Shop front", type="web")
    clock.tick(seconds=1)
    make_projects(alice, "api")
    answer = send("GET", PROJECTS, full)
    assert set(answer.json()) == {"data"}
    first, second = answer.json()["data"]
    assert first == {
        "id": str(shop.public_id),
        "name": "Shop front",
        "slug": "shop-front",
        "type": "web",
        "status": "active",
        "created_at": "2026-11-23T12:00:00Z",
    }
    assert (second["name"], second["type"]) == ("api", None)


def test_no_projects_are_an_empty_list(full: Issued, send: Send) -> None:
    assert send("GET", PROJECTS, full).json() == {"data": []}


def test_three_hundred_projects_come_in_one_answer(full: Issued, send: Send, alice: User) -> None:
    wanted = [f"project {number:03}" for number in range(300)]
    make_projects(alice, *wanted)
    assert names(send("GET", f"{PROJECTS}?page=2&limit=10", full)) == wanted


def test_bob_sees_nothing_of_alice(full: Issued, send: Send, alice: User, bob: User) -> None:
    make_projects(alice, "hers")
    make_projects(bob, "his")
    his = issue(bob, scopes=["projects.read", "projects.write"])
    assert names(send("GET", PROJECTS, his)) == ["his"]
    assert names(send("GET", PROJECTS, full)) == ["hers"]
    # The name is hers, and still free for him: a refusal would tell that she has it.
    assert send("POST", PROJECTS, his, b'{"name": "hers"}').status_code == 201


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["one", "two", "three"]),
        ("?type=", ["one", "two", "three"]),
        ("?type=web", ["one"]),
        ("?type=WEB", ["one"]),
        ("?type=%20web%20", ["one"]),
        ("?type=worker&type=web", ["one"]),
        ("?type=nothing", []),
        ("?other=web", ["one", "two", "three"]),
    ],
)
def test_projects_can_be_narrowed_to_a_type(
    full: Issued, send: Send, alice: User, query: str, found: list[str]
) -> None:
    make_projects(alice, "one", type="web")
    make_projects(alice, "two", type="worker")
    make_projects(alice, "three")
    assert names(send("GET", PROJECTS + query, full)) == found


def test_a_limited_token_sees_its_projects_and_none_when_the_last_is_gone(
    clock: Clock, alice: User, send: Send
) -> None:
    one, _two, three = make_projects(alice, "one", "two", "three")
    limited = issue(alice, scopes=["projects.read"], projects=[one, three])
    assert names(send("GET", PROJECTS, limited)) == ["one", "three"]
    assert names(send("GET", f"{PROJECTS}?type=web", limited)) == []
    TokenProject.objects.filter(project=one).delete()
    assert names(send("GET", PROJECTS, limited)) == ["three"]
    TokenProject.objects.all().delete()
    assert names(send("GET", PROJECTS, limited)) == []


def test_two_limited_tokens_do_not_see_each_other_s_projects(
    clock: Clock, alice: User, send: Send
) -> None:
    one, two = make_projects(alice, "one", "two")
    for project in (one, two):
        limited = issue(alice, f"for {project}", scopes=["projects.read"], projects=[project])
        assert names(send("GET", PROJECTS, limited)) == [project.name]


# --- Creating projects --------------------------------------------------------------------------


def test_a_project_is_made_and_listed_and_remembered(
    full: Issued, send: Send, alice: User, clock: Clock
) -> None:
    answer = send("POST", PROJECTS, full, b'{"name": "  Shop front ", "type": " Web "}')
    assert answer.status_code == 201
    made = answer.json()
    assert uuid.UUID(made.pop("id"))
    assert made == {
        "name": "Shop front",
        "slug": "shop-front",
        "type": "web",
        "status": "active",
        "created_at": "2026-11-23T12:00:00Z",
    }
    assert names(send("GET", PROJECTS, full)) == ["Shop front"]
    event = TokenEvent.objects.get(kind=audit.Kind.PROJECT_CREATED)
    assert (event.door, event.owner_id) == ("api", alice.pk)
    assert event.data["token_id"] == full.token.pk


def test_a_limited_token_cannot_make_a_project_and_that_is_refused_use(
    clock: Clock, alice: User, send: Send
) -> None:
    limited = issue(alice, scopes=["projects.write"], projects=make_projects(alice, "one"))
    refused = send("POST", PROJECTS, limited, b'{"name": "two"}')
    assert (refused.status_code, refused.json()["code"]) == (403, "project_not_allowed")
    assert Project.objects.count() == 1
    use = TokenUse.objects.get()
    assert (use.allowed, use.refused) == (0, 1)


@pytest.mark.parametrize("name", ["shop", "SHOP", " shop ", "\uff33\uff28\uff2f\uff30"])
def test_a_second_project_of_the_name_is_a_conflict(
    full: Issued, send: Send, alice: User, name: str
) -> None:
    make_projects(alice, "shop")
    refused = send("POST", PROJECTS, full, f'{{"name": "{name}"}}'.encode())
    assert (refused.status_code, refused.json()["code"]) == (409, "project_exists")
    assert refused.json()["error"].startswith("You already have a project called ")
    assert Project.objects.count() == 1


def test_names_that_read_alike_get_different_slugs(full: Issued, send: Send) -> None:
    made = [
        send("POST", PROJECTS, full, f'{{"name": "{name}"}}'.encode()).json()["slug"]
        for name in ("a b", "a-b", "A.B", "日本", "中国")
    ]
    assert made == ["a-b", "a-b-2", "a-b-3", "project", "project-2"]


def test_there_is_an_end_to_the_number_of_projects(
    full: Issued, send: Send, alice: User, settings: Any
) -> None:
    settings.PROJECTS_MAX = 2
    make_projects(alice, "one", "two")
    refused = send("POST", PROJECTS, full, b'{"name": "three"}')
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_projects")


def test_a_database_that_fails_makes_no_project_and_says_so(
    full: Issued, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_facts: Any) -> None:
        raise OperationalError("disk I/O error")

    monkeypatch.setattr(audit, "record", fail)
    AccessToken.objects.update(first_used_at=timezone.now())
    refused = send("POST", PROJECTS, full, b'{"name": "shop"}')
    assert (refused.status_code, refused.json()["code"]) == (500, "server_error")
    assert not Project.objects.exists()
