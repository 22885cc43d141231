from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, sign_in
from tests.views.pages import CREATE, HTMX, create, text_of, tokens_in, wish
from tokens.models import AccessToken
from tokens.secret import mint


@pytest.fixture
def stale(clock: Clock, alice: User) -> Client:
    """Alice's browser, a quarter of an hour after she signed in."""
    client = sign_in(Client(), alice)
    clock.tick(minutes=15)
    return client


def hidden_fields(answer: object) -> list[tuple[str, str]]:
    page = answer.content.decode()  # type: ignore[attr-defined]
    return re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)


def test_a_sign_in_counts_for_a_quarter_of_an_hour(clock: Clock, as_alice: Client) -> None:
    clock.tick(minutes=14, seconds=59)
    assert create(as_alice).status_code == 200


def test_a_stale_form_asks_before_it_opens(stale: Client) -> None:
    page = text_of(stale.get(CREATE))
    assert "Confirm it’s you" in page
    assert "You signed in 15 minutes ago." in page
    assert "Access" not in page


def test_the_right_password_opens_the_form(stale: Client) -> None:
    answer = stale.post(CREATE, {"proof_password": PASSWORD, "proof_for": "GET"})
    assert (answer.status_code, answer.headers["Location"]) == (303, CREATE)
    assert "Create a token" in text_of(stale.get(CREATE))


def test_what_was_typed_comes_back_with_the_question_and_counts(stale: Client) -> None:
    asked = create(stale)
    assert asked.status_code == 422
    assert "Next: create cli-macbook, with 2 scopes, until 2" in text_of(asked)
    assert "<strong>create cli-macbook</strong>, with" in asked.content.decode()
    assert AccessToken.objects.count() == 0
    fields = [pair for pair in hidden_fields(asked) if pair[0] != "csrfmiddlewaretoken"]
    data: dict[str, list[str]] = {"proof_password": [PASSWORD]}
    for name, value in fields:
        data.setdefault(name, []).append(value)
    answer = stale.post(CREATE, data)
    assert len(tokens_in(answer)) == 1
    assert AccessToken.objects.get().scopes == "projects.read account.read"


def test_a_name_is_never_taken_for_details(stale: Client) -> None:
    asked = create(stale, name="laptop, with dock")
    assert "<strong>create laptop, with dock</strong>, with 2 scopes" in asked.content.decode()


def test_a_wrong_password_keeps_what_was_typed(stale: Client) -> None:
    answer = stale.post(CREATE, wish(proof_password="wrong", proof_for="POST"))
    assert answer.status_code == 422
    assert "That password is not right. Try again." in text_of(answer)
    assert ("name", "cli-macbook") in hidden_fields(answer)
    assert "wrong" not in [value for _, value in hidden_fields(answer)]
    assert AccessToken.objects.count() == 0


def test_htmx_is_asked_with_the_fragment(stale: Client) -> None:
    answer = create(stale, headers=HTMX)
    assert answer.status_code == 422
    assert answer.content.decode().strip().startswith('<section id="_confirm_identity"')


def test_the_sixth_try_is_refused_even_with_the_right_password(stale: Client) -> None:
    for _ in range(5):
        stale.post(CREATE, wish(proof_password="wrong"))
    answer = stale.post(CREATE, wish(proof_password=PASSWORD))
    assert "Too many tries. Wait 5 minutes." in text_of(answer)
    assert AccessToken.objects.count() == 0


def test_tries_are_forgiven_after_five_minutes(clock: Clock, stale: Client) -> None:
    for _ in range(6):
        stale.post(CREATE, wish(proof_password="wrong"))
    clock.tick(minutes=5)
    assert len(tokens_in(stale.post(CREATE, wish(proof_password=PASSWORD)))) == 1


def test_a_proof_lasts_as_long_as_a_sign_in(clock: Clock, stale: Client) -> None:
    stale.post(CREATE, wish(proof_password=PASSWORD))
    clock.tick(minutes=14)
    assert create(stale, name="another").status_code == 200
    clock.tick(minutes=1)
    assert create(stale, name="third").status_code == 422


def test_nothing_that_was_typed_is_kept_in_the_session(stale: Client) -> None:
    create(stale, name="very-telling-name")
    for session in Session.objects.all():
        assert "very-telling-name" not in str(session.get_decoded())


def test_a_pasted_token_is_not_carried_along(stale: Client) -> None:
    pasted = mint().reveal()
    assert pasted not in create(stale, name=pasted).content.decode()


def test_revoking_asks_too(stale: Client, alice: User) -> None:
    token = issue(alice).token
    path = f"/settings/tokens/{token.public_id}/revoke"
    assert "Confirm it’s you" in text_of(stale.get(path))
    assert "Confirm it’s you" in text_of(stale.post(path))
    token.refresh_from_db()
    assert token.revoked_at is None


def test_reading_the_list_asks_nothing(stale: Client) -> None:
    assert "Access tokens" in text_of(stale.get("/settings/tokens"))


@pytest.mark.parametrize("step", ["GET", "get", "POST", "x", ""])
def test_no_step_skips_the_proof(stale: Client, step: str) -> None:
    answer = stale.post(CREATE, wish(proof_for=step))
    assert tokens_in(answer) == []
    assert AccessToken.objects.count() == 0
