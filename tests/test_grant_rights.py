from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management.base import CommandError
from django.test import Client

from skytells_console.models import User
from tests.cast import make_user, sign_in
from tests.operations import answer, run
from tests.threads import together
from tokens.models import TokenEvent
from tokens.models.rights import BY_NAME

BOB = "bob@example.com"
SOME = "--rights=view_tokens,revoke_tokens"


def rights(email: str = BOB) -> set[str]:
    # Read anew, because an account remembers its rights for as long as it is held.
    return User.objects.get(email=email).get_all_permissions()


def events() -> list[dict[str, Any]]:
    return [each.data for each in TokenEvent.objects.filter(kind="account.rights_changed")]


def test_a_person_gets_what_was_named_and_becomes_staff(bob: User) -> None:
    given = answer("grant_rights", " BOB@example.com ", SOME)
    assert given == {
        "dry_run": False,
        "account": BOB,
        "changed": True,
        "staff": True,
        "rights": "view_tokens, revoke_tokens",
        "granted": "view_tokens, revoke_tokens",
        "taken": "none",
    }
    assert rights() == {"tokens.view_accesstoken", "tokens.revoke_accesstoken"}
    (event,) = TokenEvent.objects.filter(kind="account.rights_changed")
    assert (event.owner_id, event.actor_id, event.door) == (bob.pk, None, "command")
    assert event.data == {
        "rights": ["view_tokens", "revoke_tokens"],
        "before": [],
        "staff": True,
    }


@pytest.mark.parametrize("name", BY_NAME)
def test_each_right_is_one_that_the_admin_asks_for(bob: User, name: str) -> None:
    run("grant_rights", BOB, f"--rights={name}")
    assert rights() == {BY_NAME[name]}


def test_what_was_not_named_is_taken(bob: User) -> None:
    run("grant_rights", BOB, SOME)
    given = answer("grant_rights", BOB, "--rights=view_events,view_tokens")
    assert (given["granted"], given["taken"]) == ("view_events", "revoke_tokens")
    assert rights() == {"tokens.view_accesstoken", "tokens.view_tokenevent"}


def test_none_takes_all_of_it(bob: User) -> None:
    run("grant_rights", BOB, SOME)
    given = answer("grant_rights", BOB, "--none")
    assert (given["staff"], given["taken"]) == (False, "view_tokens, revoke_tokens")
    assert rights() == set()
    assert not User.objects.get(email=BOB).is_staff


def test_staff_without_a_right_are_no_staff_afterwards(carol: User) -> None:
    assert answer("grant_rights", carol.email, "--none")["changed"]
    assert not User.objects.get(email=carol.email).is_staff


def test_the_door_opens_and_closes_with_the_next_request(bob: User) -> None:
    browser = sign_in(Client(), bob)
    assert browser.get("/admin/tokens/accesstoken/").status_code != 200
    run("grant_rights", BOB, "--rights=view_tokens")
    assert browser.get("/admin/tokens/accesstoken/").status_code == 200
    run("grant_rights", BOB, "--none")
    assert browser.get("/admin/tokens/accesstoken/").status_code != 200


def test_repeating_it_changes_and_remembers_nothing(bob: User) -> None:
    run("grant_rights", BOB, SOME)
    given = answer("grant_rights", BOB, "--rights=revoke_tokens,view_tokens,view_tokens")
    assert (given["changed"], given["granted"], given["taken"]) == (False, "none", "none")
    assert len(events()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_one_change(bob: User) -> None:
    outcomes = together(*[lambda: answer("grant_rights", BOB, SOME)["changed"]] * 2)
    assert sorted(outcomes) == [False, True]
    assert len(events()) == 1


def test_a_dry_run_says_what_would_change_and_changes_nothing(bob: User) -> None:
    given = answer("grant_rights", BOB, SOME, "--dry-run")
    assert (given["dry_run"], given["changed"]) == (True, True)
    assert given["granted"] == "view_tokens, revoke_tokens"
    assert rights() == set()
    assert events() == []


def test_the_table_says_the_same(bob: User) -> None:
    printed = run("grant_rights", BOB, SOME)
    assert "Rights   view_tokens, revoke_tokens" in printed
    assert "Staff    yes" in printed


def test_other_rights_of_django_stay(bob: User) -> None:
    other = Permission.objects.get(codename="view_session")
    bob.user_permissions.add(other)
    run("grant_rights", BOB, SOME)
    run("grant_rights", BOB, "--none")
    assert rights() == {"sessions.view_session"}


REFUSED = [
    (["nobody@example.com", SOME], "There is no account for nobody@example.com"),
    ([BOB, "--rights=view_everything"], "must be one or more of view_tokens"),
    ([BOB, "--rights="], "must be one or more of view_tokens"),
    ([BOB], "one of the arguments --rights --none is required"),
    ([BOB, SOME, "--none"], "not allowed with argument"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_said_and_changes_nothing(
    bob: User, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("grant_rights", *arguments)
    assert rights() == set()
    assert events() == []


@pytest.mark.parametrize("wish", [SOME, "--none"])
def test_a_superuser_is_left_as_is(db: None, wish: str) -> None:
    make_user("root@example.com", is_staff=True, is_superuser=True)
    with pytest.raises(CommandError, match="has every right whatever is granted or taken"):
        run("grant_rights", "root@example.com", wish)
    assert User.objects.get(email="root@example.com").is_staff
    assert events() == []


def test_who_is_deactivated_loses_rights_and_gets_none(bob: User) -> None:
    run("grant_rights", BOB, SOME)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    with pytest.raises(CommandError, match="gets no rights"):
        run("grant_rights", BOB, "--rights=view_events")
    assert answer("grant_rights", BOB, "--none")["changed"]
