from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import issue
from tests.views.pages import CREATE, HTMX, LIST, create, text_of, tokens_in
from tokens.models import AccessToken, TokenEvent


def address(token: AccessToken) -> str:
    return f"/settings/tokens/{token.public_id}/stored"


def stored_events() -> int:
    return TokenEvent.objects.filter(kind="token.stored").count()


def test_the_page_offers_lines_without_the_value(as_alice: Client) -> None:
    answer = create(as_alice, name="gitlab-release")
    value = tokens_in(answer)[0]
    page = answer.content.decode()
    for line in ("gh secret set SKYTELLS_TOKEN", "skytells login --token", "glab variable set"):
        assert line in text_of(answer)
    assert 'value="gitlab" checked' in page
    assert text_of(answer).count(value) == 1


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("github-actions-deploy", "github"),
        ("GitLab runner", "gitlab"),
        ("cli-laptop", "cli"),
        ("cron-server", "shell"),
        ("something else", "github"),
    ],
)
def test_the_first_lines_fit_the_name(as_alice: Client, name: str, first: str) -> None:
    assert f'name="for" value="{first}" checked' in create(as_alice, name=name).content.decode()


@pytest.mark.parametrize("headers", [None, HTMX])
def test_saying_that_it_is_stored_leads_to_the_list(as_alice: Client, headers: Any) -> None:
    create(as_alice)
    token = AccessToken.objects.get()
    answer = as_alice.post(address(token), {"stored": "yes"}, headers=headers)
    assert LIST in (answer.headers.get("Location"), answer.headers.get("HX-Redirect"))
    token.refresh_from_db()
    assert token.stored_at is not None
    assert stored_events() == 1


def test_saying_it_twice_notes_it_once(as_alice: Client) -> None:
    create(as_alice)
    token = AccessToken.objects.get()
    as_alice.post(address(token), {"stored": "yes"})
    first = AccessToken.objects.get().stored_at
    assert as_alice.post(address(token), {"stored": "yes"}).status_code == 303
    assert as_alice.get(address(token)).status_code == 303
    assert AccessToken.objects.get().stored_at == first
    assert stored_events() == 1


@pytest.mark.parametrize("sent", [{}, {"stored": ""}, {"stored": "no"}, {"stored": "on" * 5000}])
def test_without_the_tick_it_is_asked_again_and_never_shown(
    as_alice: Client, sent: dict[str, str]
) -> None:
    value = tokens_in(create(as_alice))[0]
    token = AccessToken.objects.get()
    answer = as_alice.post(address(token), sent)
    assert answer.status_code == 422
    assert "Tick this once you have stored it." in text_of(answer)
    assert "This token has been shown." in text_of(answer)
    assert value[7:19] not in answer.content.decode()
    token.refresh_from_db()
    assert token.stored_at is None
    assert stored_events() == 0


def test_the_address_opened_later_asks_without_the_value(as_alice: Client) -> None:
    value = tokens_in(create(as_alice))[0]
    answer = as_alice.get(address(AccessToken.objects.get()))
    assert answer.status_code == 200
    assert value[7:19] not in answer.content.decode()


def test_bob_cannot_confirm_what_is_not_his(as_bob: Client, alice: User) -> None:
    token = issue(alice).token
    for answer in (as_bob.get(address(token)), as_bob.post(address(token), {"stored": "yes"})):
        assert answer.status_code == 404
    token.refresh_from_db()
    assert token.stored_at is None


def test_an_anonymous_person_is_sent_to_sign_in(client: Client, alice: User) -> None:
    answer = client.post(address(issue(alice).token), {"stored": "yes"})
    assert answer.headers["Location"].startswith("/account/sign-in")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options"])
def test_other_methods_are_refused(as_alice: Client, alice: User, method: str) -> None:
    assert getattr(as_alice, method)(address(issue(alice).token)).status_code == 405


def test_the_form_asks_for_its_tick_by_itself(as_alice: Client) -> None:
    page = create(as_alice).content.decode()
    assert 'name="stored" value="yes" required' in page
    assert "novalidate" not in page.split('id="_shown_once"')[1].split("</section>")[0]
    assert CREATE not in page.split('id="_shown_once"')[1].split("</section>")[0]
