from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, origin
from tests.journeys.watch import pieces
from tests.views.pages import CREATE, text_of
from tokens import projects
from tokens.models import AccessToken, TokenEvent
from tokens.secret import mint


def follow(client: Client, **query: Any) -> Any:
    answer = client.get(f"{CREATE}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200
    assert (
        AccessToken.objects.count() == TokenEvent.objects.filter(kind="token.issued").count() == 0
    )
    return answer


def values(answer: Any) -> Any:
    return answer.context["form"].data


def test_a_link_fills_in_the_form_and_says_so(as_alice: Client) -> None:
    answer = follow(
        as_alice,
        name="ci-runner",
        description="From the docs",
        scopes="projects.read,account.read",
        expires_in="60",
    )
    assert "These values came from a link" in text_of(answer)
    page = answer.content.decode()
    for field, level in (("projects", "read"), ("account", "read"), ("keys", "none")):
        assert f'name="level-{field}" value="{level}" checked' in page
    filled = values(answer)
    assert (filled["name"], filled["description"]) == ("ci-runner", "From the docs")
    assert filled["expires"] == "60"


def test_without_values_nothing_is_said_of_a_link(as_alice: Client) -> None:
    for query in ({}, {"utm_source": "mail"}, {"name": ""}):
        assert "came from a link" not in text_of(follow(as_alice, **query))


@pytest.mark.parametrize("scopes", ["deployments.write", "projects.write deployments.write"])
def test_a_link_never_ticks_a_scope_that_writes(as_alice: Client, scopes: str) -> None:
    answer = follow(as_alice, scopes=f"deployments.read {scopes}")
    said = text_of(answer)
    assert "tick it yourself" in said
    for scope in scopes.split():
        assert scope in said
    assert 'value="readwrite" checked' not in answer.content.decode()
    assert 'value="write" checked' not in answer.content.decode()
    assert 'name="level-deployments" value="read" checked' in answer.content.decode()


LEFT_OUT = [
    ({"name": "n" * 65}, "Names can be up to 64 characters."),
    ({"name": "abc\u202edef"}, "cannot be seen (U+202E)"),
    ({"description": "d" * 201}, "Descriptions can be up to 200 characters."),
    ({"scopes": "admin"}, "There is no scope called “admin”."),
    (
        {"scopes": ["account.read", "a\u202eb"]},
        "There is no scope called that (it cannot be shown).",
    ),
    ({"scopes": "x" * 500}, "There is no scope called that (it cannot be shown)."),
    ({"projects": "blog"}, "You have no project called “blog”."),
    ({"expires_in": "0"}, "A link can ask for 1 to 366 days, or for never."),
    ({"expires_in": "367"}, "A link can ask for 1 to 366 days, or for never."),
    ({"expires_in": "-7"}, "A link can ask for"),
    ({"expires_in": "soon"}, "A link can ask for"),
    ({"expires_in": "9" * 400}, "A link can ask for"),
    ({"expires_in": "\u0663\u0660"}, "A link can ask for"),
]


@pytest.mark.parametrize(("query", "sentence"), LEFT_OUT, ids=range(len(LEFT_OUT)))
def test_what_cannot_be_used_is_told_and_left_out(
    as_alice: Client, query: dict[str, Any], sentence: str
) -> None:
    answer = follow(as_alice, **query)
    assert "Left out" in text_of(answer)
    assert sentence in text_of(answer)
    assert values(answer).get("name", "") == values(answer).get("description", "") == ""
    assert values(answer)["expires"] == "30"


@pytest.mark.parametrize("field", ["name", "description", "scopes", "projects", "expires_in"])
@pytest.mark.parametrize("length", [71, 15])
def test_a_token_in_a_link_is_refused_and_not_shown(
    as_alice: Client, field: str, length: int
) -> None:
    value = mint().reveal()[:length]
    page = follow(as_alice, **{field: value}).content.decode()
    assert "Left out" in page
    assert [piece for piece in pieces(value[7:], 8) if piece in page] == []


@pytest.mark.parametrize("sign", ["", "%73k%5Fpat%5F"])
def test_a_token_in_a_link_does_not_pass_the_question_who_it_is(
    clock: Clock, as_alice: Client, sign: str
) -> None:
    clock.tick(hours=1)
    value = mint().reveal()
    page = as_alice.get(f"{CREATE}?name={sign + value[7:] if sign else value}&expires_in=7")
    assert "Confirm it’s you" in text_of(page)
    assert "expires_in=7" in page.content.decode()
    assert value[7:19] not in page.content.decode()


def test_other_days_become_a_date_of_their_own(clock: Clock, as_alice: Client) -> None:
    filled = values(follow(as_alice, expires_in="45"))
    assert (filled["expires"], filled["expires_custom"]) == ("custom", "2027-01-07T13:00")


def test_no_expiration_can_be_asked_for_where_it_is_allowed(
    as_alice: Client, settings: Any
) -> None:
    assert values(follow(as_alice, expires_in="never"))["expires"] == "never"
    settings.TOKENS_ALLOW_NO_EXPIRATION = False
    answer = follow(as_alice, expires_in="never")
    assert values(answer)["expires"] == "30"
    assert "Left out" in text_of(answer)


def test_a_link_narrows_to_ones_own_projects(as_alice: Client, alice: User, bob: User) -> None:
    mine = projects.create(owner_id=alice.pk, name="Storefront", origin=origin(alice))
    projects.create(owner_id=bob.pk, name="Bobs", origin=origin(bob))
    filled = values(follow(as_alice, projects="storefront"))
    assert (filled["projects_choice"], filled["projects"]) == ("chosen", str(mine.public_id))
    # An unknown project leaves none chosen: a narrow wish never becomes a wide token.
    answer = follow(as_alice, projects="bobs")
    assert values(answer)["projects_choice"] == "chosen"
    assert values(answer).getlist("projects") == []
    assert "You have no project called “bobs”." in text_of(answer)


def test_markup_in_a_link_is_text(as_alice: Client) -> None:
    page = follow(as_alice, name="<b>x</b>", scopes="<script>alert(1)</script>").content.decode()
    assert "<b>x</b>" not in page
    assert "<script>alert" not in page


def test_a_link_with_hundreds_of_values_says_only_the_first_few(as_alice: Client) -> None:
    answer = follow(as_alice, scopes=",".join(f"scope{number}" for number in range(300)))
    assert text_of(answer).count("There is no scope called") == 8
