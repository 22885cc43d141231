from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from tokens import scopes

NAMES = [scope.name for scope in scopes.SCOPES]
names = st.sampled_from(NAMES)


def test_the_catalogue_is_the_eight_scopes_of_the_public_cli() -> None:
    assert NAMES == [
        "inference",
        "projects.read",
        "projects.write",
        "deployments.read",
        "deployments.write",
        "keys.read",
        "keys.write",
        "account.read",
    ]


def test_no_scope_is_part_of_another_so_that_sql_may_search_in_the_stored_form() -> None:
    for one, other in itertools.permutations(NAMES, 2):
        assert one not in other


def test_a_scope_writes_exactly_when_its_name_says_so() -> None:
    assert [scope.name for scope in scopes.SCOPES if scope.writes] == [
        name for name in NAMES if name.endswith(".write")
    ]


def test_every_scope_belongs_to_a_resource_and_every_resource_has_a_scope() -> None:
    resources = [resource.key for resource in scopes.RESOURCES]
    assert {scope.resource for scope in scopes.SCOPES} == set(resources)
    assert [key for key, _ in itertools.groupby(scopes.SCOPES, lambda s: s.resource)] == resources


def test_all_scopes_together_fit_into_their_column() -> None:
    assert len(scopes.canonical(NAMES)) <= 255


def test_presets_hold_only_scopes_that_exist() -> None:
    for preset in scopes.PRESETS:
        assert preset.scopes <= set(NAMES)
        assert preset.scopes


@given(st.lists(names))
def test_the_stored_form_knows_neither_order_nor_repetition(chosen: list[str]) -> None:
    stored = scopes.canonical(chosen)
    assert stored == scopes.canonical(reversed(chosen + chosen))
    assert set(scopes.split(stored)) == set(chosen)
    assert scopes.canonical(scopes.split(stored)) == stored


def test_the_stored_form_is_in_catalogue_order() -> None:
    assert scopes.canonical(["account.read", "inference", "keys.read"]) == (
        "inference keys.read account.read"
    )


@pytest.mark.parametrize(
    "name", ["", "*", "admin", "Projects.read", "projects", "projects.read ", "projects.*", "\0"]
)
def test_a_scope_that_does_not_exist_is_named_and_never_stored(name: str) -> None:
    assert scopes.unknown(["projects.read", name, "inference"]) == [name]
    with pytest.raises(KeyError):
        scopes.canonical([name])


@pytest.mark.parametrize(
    ("held", "title"),
    [
        (["account.read", "inference", "projects.read", "deployments.read"], "CLI default"),
        (["deployments.write", "projects.read", "deployments.read"], "CI deploy"),
        (["projects.read", "deployments.read", "account.read"], "Read-only"),
        (["inference"], "Inference only"),
        (["keys.read", "keys.write"], "API keys only"),
        (["projects.write"], "Projects only"),
        (["inference", "keys.read"], "Custom"),
        (NAMES, "Custom"),
        (["gone.read"], "Custom"),
        ([], "Custom"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_set_of_scopes_has_a_title(held: list[str], title: str) -> None:
    assert scopes.bundle_title(held) == title
