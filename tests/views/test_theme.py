from __future__ import annotations

import pytest
from django.test import Client

from skytells_console.models import User

THEME, PROFILE = "/settings/theme", "/settings/profile"


def html_of(client: Client, path: str = PROFILE) -> str:
    """Return the first element of a page, which is the one that says its theme."""
    return client.get(path).content.decode().split("<html", 1)[1].split(">", 1)[0]


def test_without_a_choice_the_system_decides(as_alice: Client) -> None:
    assert html_of(as_alice) == ' lang="en"'
    assert 'value="system" checked' in as_alice.get(PROFILE).content.decode()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_choice_is_in_the_first_bytes_of_every_page(as_alice: Client, theme: str) -> None:
    answer = as_alice.post(THEME, {"theme": theme})
    assert (answer.status_code, answer.headers["Location"]) == (303, PROFILE)
    cookie = answer.cookies["theme"]
    assert (cookie.value, cookie["httponly"], cookie["samesite"]) == (theme, True, "Lax")
    for path in (PROFILE, "/settings/tokens", "/nowhere"):
        assert f'data-theme="{theme}"' in html_of(as_alice, path)
    assert f'value="{theme}" checked' in as_alice.get(PROFILE).content.decode()


def test_the_choice_outlives_the_session(as_alice: Client) -> None:
    as_alice.post(THEME, {"theme": "dark"})
    as_alice.post("/account/sign-out")
    assert 'data-theme="dark"' in html_of(as_alice, "/account/sign-in")


@pytest.mark.parametrize("theme", ["system", "", "blue", "dark light", '"><script>', "d" * 9999])
def test_anything_else_is_the_systems(as_alice: Client, theme: str) -> None:
    as_alice.post(THEME, {"theme": "dark"})
    assert as_alice.post(THEME, {"theme": theme}).status_code == 303
    assert html_of(as_alice) == ' lang="en"'


@pytest.mark.parametrize("value", ["blue", "<script>", "dark light", ""])
def test_a_forged_cookie_is_not_repeated(as_alice: Client, value: str) -> None:
    as_alice.cookies["theme"] = value
    assert html_of(as_alice) == ' lang="en"'


def test_only_a_form_changes_it(as_alice: Client, alice: User) -> None:
    assert as_alice.get(THEME, {"theme": "dark"}).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(THEME, {"theme": "dark"}).status_code == 403
    assert Client().post(THEME, {"theme": "dark"}).status_code == 302
