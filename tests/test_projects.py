from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError
from hypothesis import HealthCheck, given, settings as examples, strategies as st
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import Clock, origin
from tokens import projects, secret
from tokens.models import EventDetail, Project, TokenEvent
from tokens.policy import Refused

VALUE = secret.PREFIX + "0123456789abcdef" * 4


def create(owner: User, name: str, type: str = "") -> Project:  # noqa: A002 - as the function has it
    return projects.create(owner_id=owner.pk, name=name, type=type, origin=origin(owner))


def test_a_project_is_stored_and_remembered(clock: Clock, alice: User) -> None:
    project = create(alice, "  My Website ", " Next_js ")
    row = Project.objects.get()
    assert row == project
    assert (row.owner, row.name, row.name_key) == (alice, "My Website", "my website")
    assert (row.slug, row.type, row.status) == ("my-website", "next_js", "active")
    assert row.created_at == clock.now
    event = TokenEvent.objects.get()
    assert (event.kind, event.owner_id, event.at) == ("project.created", alice.pk, clock.now)
    assert event.data == {"project": str(project.public_id), "token_id": None}


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Website", "website"),
        ("  a -- b!  ", "a-b"),
        ("Über Café №5", "uber-cafe-no5"),
        ("Straße nach Ærø", "strasse-nach-aero"),
        ("GROẞ Łódź", "gross-lodz"),
        ("ß", "ss"),
        ("デプロイ", "project"),
        ("!!!", "project"),
        ("🚀", "project"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 64, "x" * 64),
        ("x" * 63 + " y", None),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_a_slug_can_be_typed(alice: User, name: str, slug: str | None) -> None:
    if slug is None:
        with pytest.raises(Refused):
            create(alice, name)
        return
    assert create(alice, name).slug == slug


def test_slugs_that_would_be_equal_are_counted(alice: User, bob: User) -> None:
    slugs = [create(alice, name).slug for name in ("a b", "a-b", "a_b", "a b 2", "a.b")]
    assert slugs == ["a-b", "a-b-2", "a-b-3", "a-b-2-2", "a-b-4"]
    assert create(bob, "a b").slug == "a-b"


@pytest.mark.parametrize("again", ["Website", "WEBSITE", " website ", "ｗebsite"])  # noqa: RUF001
def test_a_name_is_taken_whatever_its_spelling(alice: User, bob: User, again: str) -> None:
    create(alice, "Website")
    with pytest.raises(projects.NameTaken) as caught:
        create(alice, again)
    assert (caught.value.field, caught.value.code) == ("name", "project_exists")
    assert caught.value.sentence.startswith("You already have a project called ")
    assert Project.objects.count() == TokenEvent.objects.count() == 1
    create(bob, again)


@pytest.mark.parametrize(
    ("name", "type", "field", "code"),
    [
        ("", "", "name", "name_required"),
        (" \n", "", "name", "name_required"),
        ("x" * 65, "", "name", "name_too_long"),
        ("x" * 10_000, "", "name", "name_too_long"),
        ("a\x00", "", "name", "unprintable"),
        ("a\u202eb", "", "name", "unprintable"),
        ("a\ufffd", "", "name", "unreadable"),
        (VALUE[:20], "", "name", "contains_token"),
        ("fine", "two words", "type", "invalid_type"),
        ("fine", "-x", "type", "invalid_type"),
        ("fine", "x" * 33, "type", "invalid_type"),
        ("fine", "naïve", "type", "invalid_type"),
        ("fine", "x\ny", "type", "invalid_type"),
        ("fine", "x\x00", "type", "invalid_type"),
        ("fine", VALUE, "type", "invalid_type"),
    ],
    ids=[f"row {number}" for number in range(15)],
)
def test_a_project_that_cannot_be_read_is_refused(
    alice: User,
    name: str,
    type: str,  # noqa: A002 - as the function has it
    field: str,
    code: str,
) -> None:
    with pytest.raises(Refused) as caught:
        create(alice, name, type)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert not Project.objects.exists()
    assert not TokenEvent.objects.exists()


def test_the_sentence_about_a_missing_name_speaks_of_a_project(alice: User) -> None:
    with pytest.raises(Refused, match="Give the project a name"):
        create(alice, "")
    with pytest.raises(Refused, match="The project's name holds a character"):
        create(alice, "a\x00")


def test_a_person_has_at_most_so_many_projects(alice: User, bob: User, settings: Settings) -> None:
    settings.PROJECTS_MAX = 2
    for name in ("one", "two"):
        create(alice, name)
    with pytest.raises(Refused, match="You have reached 2 projects"):
        create(alice, "three")
    create(bob, "one")


def test_where_the_event_cannot_be_written_there_is_no_project(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise IntegrityError("the audit cannot be written")

    monkeypatch.setattr(EventDetail.objects, "create", fail)
    with pytest.raises(IntegrityError):
        create(alice, "Website")
    assert not Project.objects.exists()
    assert not TokenEvent.objects.exists()


def test_projects_are_narrowed_to_one_person(alice: User, bob: User) -> None:
    mine = create(alice, "Website")
    create(bob, "Website")
    assert list(Project.objects.owned_by(alice.pk)) == [mine]


@given(st.lists(st.text(min_size=1, max_size=12), max_size=5))
@examples(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_names_are_refused_or_stored_with_slugs_of_their_own(
    alice: User, names: list[str]
) -> None:
    made = []
    for name in names:
        try:
            made.append(create(alice, name))
        except Refused:
            continue
    slugs = [project.slug for project in made]
    assert len(set(slugs)) == len(slugs)
    assert all(slug and len(slug) <= 80 and slug.isascii() for slug in slugs)
