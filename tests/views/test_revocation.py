from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, issue
from tests.views.pages import HTMX, LIST, text_of
from tests.views.test_listing import use
from tokens.models import AccessToken, TokenEvent
from tokens.secret import mint


@pytest.fixture
def token(alice: User) -> AccessToken:
    return issue(alice, "cli-macbook").token


def address(token: AccessToken) -> str:
    return f"/settings/tokens/{token.public_id}/revoke"


def test_the_question_names_the_token_and_its_use(as_alice: Client, token: AccessToken) -> None:
    page = text_of(as_alice.get(address(token)))
    assert "Revoke cli-macbook?" in page
    assert "Breaks nobody: it has never been used. This cannot be undone." in page


def test_the_question_names_who_breaks(clock: Clock, as_alice: Client, token: AccessToken) -> None:
    use(token, clock.now - timedelta(minutes=3), "203.0.113.7")
    page = " ".join(text_of(as_alice.get(address(token))).split())
    for words in (
        "Breaks 203.0.113.0/24. Its next request gets 401, and the CLI says “Not authenticated”.",
        "203.0.113.0/24 curl 1 request, 3 minutes ago Breaks",
        "Stop 203.0.113.0/24 now. This cannot be undone.",
    ):
        assert words in page


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_who_would_break_is_stopped_on_purpose_only(
    clock: Clock, as_alice: Client, token: AccessToken, headers: dict[str, str]
) -> None:
    use(token, clock.now - timedelta(minutes=3))
    for sent in ({"reason": "kept"}, {"reason": "kept", "stop": ""}):
        answer = as_alice.post(address(token), sent, headers=headers)
        assert answer.status_code == 422
        assert "Tick this to stop what is in use, or keep the token." in text_of(answer)
        assert 'value="kept"' in answer.content.decode()
        token.refresh_from_db()
        assert token.revoked_at is None
    as_alice.post(address(token), {"stop": "on"}, headers=headers)
    token.refresh_from_db()
    assert token.revoked_at == clock.now


def test_what_nobody_uses_any_more_needs_no_tick(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    token = issue(alice, "old", at=clock.now - timedelta(days=200), expires_at=None).token
    use(token, clock.now - timedelta(days=118), "192.0.2.61")
    page = " ".join(text_of(as_alice.get(address(token))).split())
    assert "Breaks nobody we know of: last used 118 days ago. This cannot be undone." in page
    assert "192.0.2.0/24 curl 1 request, 118 days ago Not expected any more" in page
    assert "Stop " not in page
    assert as_alice.post(address(token)).status_code == 303


def test_repeating_the_answer_without_the_tick_does_no_harm(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    use(token, clock.now)
    as_alice.post(address(token), {"stop": "on", "reason": "first"})
    assert as_alice.post(address(token), {"reason": "second"}).status_code == 303
    token.refresh_from_db()
    assert token.reason == "first"


def test_many_places_need_no_more_questions_to_the_database(
    clock: Clock, as_alice: Client, token: AccessToken, django_assert_num_queries: Any
) -> None:
    for crowd in (1, 30):
        for number in range(crowd):
            use(token, clock.now, f"198.18.{number}.1")
        with django_assert_num_queries(6):
            as_alice.get(address(token))


def test_revoking_ends_the_token_at_once(as_alice: Client, alice: User, token: AccessToken) -> None:
    answer = as_alice.post(address(token), {"reason": "laptop sold"})
    assert (answer.status_code, answer.headers["Location"]) == (303, LIST)
    token.refresh_from_db()
    assert (token.revoke_kind, token.reason, token.revoked_by) == ("owner", "laptop sold", alice)
    assert "cli-macbook revoked" in text_of(as_alice.get(LIST))


def test_asking_changes_nothing(as_alice: Client, token: AccessToken) -> None:
    as_alice.get(address(token))
    as_alice.head(address(token))
    token.refresh_from_db()
    assert token.revoked_at is None


def test_revoking_twice_keeps_the_first_facts(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    as_alice.post(address(token), {"reason": "first"})
    clock.tick(minutes=1)
    assert as_alice.post(address(token), {"reason": "second"}).status_code == 303
    token.refresh_from_db()
    assert token.reason == "first"
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 1


def test_bob_cannot_revoke_what_alice_owns(as_bob: Client, token: AccessToken) -> None:
    missing = f"/settings/tokens/{uuid.uuid4()}/revoke"
    for path in (address(token), missing):
        assert as_bob.get(path).status_code == 404
        assert as_bob.post(path).status_code == 404
    token.refresh_from_db()
    assert token.revoked_at is None


@pytest.mark.parametrize("forged", ["1", "x", "../new", "00000000", "%00"])
def test_a_forged_id_is_nowhere(as_alice: Client, forged: str) -> None:
    assert as_alice.get(f"/settings/tokens/{forged}/revoke").status_code == 404


def test_the_dialog_closes_and_the_list_refreshes(as_alice: Client, token: AccessToken) -> None:
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{LIST}"}
    opened = as_alice.get(address(token), headers=headers)
    assert "dialog-open" in opened.headers["HX-Trigger-After-Swap"]
    assert "<html" not in opened.content.decode()
    done = as_alice.post(address(token), headers=headers)
    events = json.loads(done.headers["HX-Trigger"])
    assert done.status_code == 204
    assert {"toast", "dialog-close", "tokens-changed"} == set(events)
    assert events["toast"] == {"value": "cli-macbook revoked"}


def test_htmx_on_the_whole_page_goes_back_to_the_list(as_alice: Client, token: AccessToken) -> None:
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}"}
    assert as_alice.post(address(token), headers=headers).headers["HX-Redirect"] == LIST


def test_an_ended_token_says_that_nothing_is_left(as_alice: Client, token: AccessToken) -> None:
    as_alice.post(address(token))
    assert "Nothing is left to revoke" in text_of(as_alice.get(address(token)))


BAD_REASONS = [
    ("r" * 201, "Reasons can be up to 200 characters."),
    ("r" * 10_000, "Reasons can be up to 200 characters."),
    ("a" + "\u0301\u0327" * 20_000, "Reasons can be up to 200 characters."),
    ("a\u202eb", "cannot be seen (U+202E)"),
    ("a\u0000b", ""),
]


@pytest.mark.parametrize(("reason", "sentence"), BAD_REASONS, ids=range(len(BAD_REASONS)))
def test_a_reason_that_cannot_be_kept_is_refused(
    as_alice: Client,
    token: AccessToken,
    only_short_text_is_normalised: None,
    reason: str,
    sentence: str,
) -> None:
    answer = as_alice.post(address(token), {"reason": reason})
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    token.refresh_from_db()
    assert token.revoked_at is None


def test_a_pasted_token_is_no_reason(as_alice: Client, token: AccessToken) -> None:
    pasted = mint().reveal()
    answer = as_alice.post(address(token), {"reason": f"found {pasted} in a log"})
    assert answer.status_code == 422
    assert pasted not in answer.content.decode()


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(as_alice: Client, token: AccessToken, method: str) -> None:
    assert getattr(as_alice, method)(address(token)).status_code == 405


def test_a_missing_csrf_token_changes_nothing(
    as_alice: Client, token: AccessToken, settings: Any
) -> None:
    as_alice.handler.enforce_csrf_checks = True
    answer = as_alice.post(address(token), {"reason": "x"})
    assert answer.status_code == 403
    assert "This form is out of date" in text_of(answer)
    token.refresh_from_db()
    assert token.revoked_at is None
