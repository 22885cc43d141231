from __future__ import annotations

import html
import re
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import HTMX, LIST, text_of
from tests.views.test_timeline import many_events
from tokens import lifecycle, policy, projects, retention, scopes, usage
from tokens.management.commands import purge_expired_tokens
from tokens.models import AccessToken, RevokeKind
from tokens.origin import Consumer


@pytest.fixture
def token(alice: User) -> AccessToken:
    return issue(alice, "cli-macbook", description="The laptop on the desk").token


def address(token: AccessToken) -> str:
    return f"/settings/tokens/{token.public_id}"


def words_of(answer: Any) -> str:
    """Return an answer's words, one space between them, as a screen reader walks through them."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.content.decode())).split())


def use(token: AccessToken, at: Any) -> None:
    usage.record(
        token_id=token.pk,
        scope="",
        consumer=Consumer("203.0.113.0/24", "curl"),
        address="203.0.113.7",
        at=at,
    )


def test_the_page_holds_the_facts(clock: Clock, as_alice: Client, alice: User) -> None:
    token = issue(alice, description="The desk", scopes=["projects.write", "inference"]).token
    use(token, clock.now - timedelta(minutes=3))
    answer = as_alice.get(address(token))
    assert token.masked in text_of(answer)
    page = words_of(answer)
    for words in (
        "Settings Tokens cli-macbook",
        "The desk",
        "Active",
        "Today 30 days left",
        "Expires 23 Dec 2026",
        "Created 23 Nov 2026, 13:00 CET In the console",
        "23 Dec 2026, 13:00 CET 23 Dec 2026, 12:00 UTC",
        "Last used 3 minutes ago From 203.0.113.7 With curl",
        "Use shows here within a minute.",
        "projects.write Create and modify projects Never",
        "inference Run inference requests Never",
        "All of your projects",
        "Revoke this token.",
        "Times are in Europe/Berlin.",
    ):
        assert words in page, words


def test_a_token_that_was_never_used_says_so(as_alice: Client, token: AccessToken) -> None:
    page = words_of(as_alice.get(address(token)))
    assert "Never used" in page
    assert "Last used No requests yet" in page


def test_a_revoked_token_says_how_it_ended(clock: Clock, as_alice: Client, alice: User) -> None:
    token = issue(alice).token
    clock.tick(days=2)
    lifecycle.revoke(token=token, origin=origin(alice), reason="Sold the laptop")
    page = words_of(as_alice.get(address(token)))
    assert "Revoked by you, 25 Nov 2026" in page
    assert "Revoked 25 Nov 2026, 13:00 CET By you Reason Sold the laptop" in page
    assert "Would have expired 23 Dec 2026" in page
    assert "This record is kept until 23 Feb 2027 , 90 days after the end." in page
    for gone in ("Danger zone", "Edit", "Remove scopes"):
        assert gone not in page


def test_a_record_is_said_to_stay_as_long_as_the_purge_leaves_it(
    clock: Clock, as_alice: Client, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle.revoke(token=token, origin=origin())
    monkeypatch.setattr(retention, "ENDED_KEPT", timedelta(days=30))
    page = words_of(as_alice.get(address(token)))
    assert "This record is kept until 23 Dec 2026 , 30 days after the end." in page
    command = purge_expired_tokens.Command().create_parser("manage.py", "purge_expired_tokens")
    assert command.parse_args([]).older_than == 30


def test_an_administrators_revocation_is_not_called_yours(
    as_alice: Client, token: AccessToken, carol: User
) -> None:
    lifecycle.revoke(token=token, origin=origin(carol), kind=RevokeKind.ADMIN)
    page = words_of(as_alice.get(address(token)))
    assert "Revoked by an administrator" in page
    assert "Reason None was given" in page


def test_an_expired_token_and_one_without_an_end(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    token = issue(alice, "short", expires_at=clock.now + timedelta(days=2)).token
    endless = issue(alice, "endless", expires_at=None).token
    clock.tick(days=3)
    assert "Expired 25 Nov 2026, 13:00 CET" in words_of(as_alice.get(address(token)))
    page = words_of(as_alice.get(address(endless)))
    assert "Never: it has no expiration" in page
    assert "Today 26 Nov 2026" in page


def test_the_projects_are_named(as_alice: Client, alice: User) -> None:
    shop = projects.create(owner_id=alice.pk, name="Shop", origin=origin(alice))
    limited = issue(alice, "limited", projects=[shop]).token
    none = issue(alice, "none", projects=[]).token
    assert "Projects Shop" in words_of(as_alice.get(address(limited)))
    assert "None: the projects it was limited to are gone" in words_of(as_alice.get(address(none)))


def test_a_stranger_and_nobody_get_the_same_answer(as_bob: Client, token: AccessToken) -> None:
    foreign = as_bob.get(address(token))
    nobodys = uuid.uuid4()
    unknown = as_bob.get(f"/settings/tokens/{nobodys}")
    assert foreign.status_code == unknown.status_code == 404
    assert "There is nothing at this address" in words_of(foreign)
    asked = words_of(unknown).replace(str(nobodys), str(token.public_id))
    assert words_of(foreign) == asked


@pytest.mark.parametrize("part", ["", "/edit", "/scopes", "/revoke"])
def test_anonymous_people_are_sent_to_sign_in(
    client: Client, token: AccessToken, part: str
) -> None:
    answer = client.get(address(token) + part)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/sign-in")


@pytest.mark.parametrize("forged", ["1", "x", "00000000", "%00", "a" * 4000, "..%2fnew"])
def test_a_forged_id_is_nowhere(as_alice: Client, forged: str) -> None:
    assert as_alice.get(f"/settings/tokens/{forged}").status_code == 404


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_the_page_can_only_be_read(as_alice: Client, token: AccessToken, method: str) -> None:
    assert getattr(as_alice, method)(address(token)).status_code == 405


def test_htmx_gets_the_content_alone(as_alice: Client, token: AccessToken) -> None:
    answer = as_alice.get(address(token), headers=HTMX).content.decode().strip()
    assert answer.startswith("<div")
    assert 'id="_detail"' in answer
    assert "<html" not in answer


def test_the_number_of_queries_does_not_grow(
    clock: Clock, as_alice: Client, alice: User, carol: User
) -> None:
    every = list(scopes.BY_NAME)
    mine = [
        projects.create(owner_id=alice.pk, name=f"P{n}", origin=origin(alice)) for n in range(30)
    ]
    small = issue(alice, "small", scopes=["account.read"], projects=mine[:1]).token
    large = issue(alice, "large", scopes=every, projects=mine).token
    many_events(large, 499)
    use(large, clock.now)
    lifecycle.revoke(token=large, origin=origin(carol), kind=RevokeKind.ADMIN)
    with CaptureQueriesContext(connection) as few:
        as_alice.get(address(small))
    with CaptureQueriesContext(connection) as lots:
        as_alice.get(address(large))
    assert len(lots) == len(few) <= 8, [query["sql"] for query in lots]


def test_text_is_escaped(as_alice: Client, alice: User) -> None:
    token = issue(alice, "<b>bold</b>", description="<script>x</script>").token
    lifecycle.revoke(token=token, origin=origin(alice), reason="<img src=x>")
    page = as_alice.get(address(token)).content.decode()
    for raw in ("<b>bold", "<script>x", "<img src=x"):
        assert raw not in page


def test_a_scope_that_is_not_offered_any_more_is_shown(
    as_alice: Client, token: AccessToken
) -> None:
    AccessToken.objects.filter(pk=token.pk).update(scopes="account.read moon.read")
    assert "moon.read Not offered any more" in words_of(as_alice.get(address(token)))


def test_the_list_leads_to_the_page(as_alice: Client, token: AccessToken) -> None:
    assert f'href="{address(token)}"' in as_alice.get(LIST).content.decode()


# --- Another one like this -----------------------------------------------------------------------


def recreate_link(answer: Any) -> dict[str, list[str]]:
    split = urlsplit(answer.context["recreate_url"])
    assert split.path in {"/settings/tokens/new", ""}
    return parse_qs(split.query)


def test_an_ended_token_can_be_made_again(clock: Clock, as_alice: Client, alice: User) -> None:
    shop = projects.create(owner_id=alice.pk, name="Shop", origin=origin(alice))
    token = issue(
        alice,
        "läuft & mehr",
        description="A=b&c",
        scopes=["projects.write", "account.read"],
        projects=[shop],
        expires_at=clock.now + timedelta(days=60),
    ).token
    assert recreate_link(as_alice.get(address(token))) == {}
    lifecycle.revoke(token=token, origin=origin(alice))
    answer = as_alice.get(address(token))
    assert "Create another with these settings" in words_of(answer)
    assert recreate_link(answer) == {
        "name": ["läuft & mehr"],
        "description": ["A=b&c"],
        "scopes": ["projects.write", "account.read"],
        "projects": ["shop"],
        "expires_in": ["60"],
    }


def test_a_token_without_an_end_is_made_again_without_one(as_alice: Client, alice: User) -> None:
    token = issue(alice, expires_at=None).token
    lifecycle.revoke(token=token, origin=origin(alice))
    assert recreate_link(as_alice.get(address(token)))["expires_in"] == ["never"]


def test_a_preset_is_asked_for_as_the_preset(clock: Clock, as_alice: Client, alice: User) -> None:
    for days in policy.PRESET_DAYS:
        end = policy.preset_expiry(
            days, now=clock.now, zone=alice.zone, longest_allowed=timedelta(days=366)
        )
        token = issue(alice, f"for-{days}", expires_at=end).token
        lifecycle.revoke(token=token, origin=origin(alice))
        assert recreate_link(as_alice.get(address(token)))["expires_in"] == [str(days)]


def test_a_limit_to_nothing_is_never_offered_as_all(as_alice: Client, alice: User) -> None:
    token = issue(alice, projects=[]).token
    lifecycle.revoke(token=token, origin=origin(alice))
    answer = as_alice.get(address(token))
    assert recreate_link(answer) == {}
    assert "Create another" not in words_of(answer)


# --- Revoking from here --------------------------------------------------------------------------


def test_revoking_from_the_page_comes_back_to_it(as_alice: Client, token: AccessToken) -> None:
    here = address(token)
    link = as_alice.get(here).context["revoke_url"]
    assert link == f"{here}/revoke?from=detail"
    question = as_alice.get(link).content.decode()
    assert f'action="{link}"' in question
    assert f'href="{here}" data-dialog-close>Keep token' in question
    answer = as_alice.post(link, {"reason": "x"})
    assert (answer.status_code, answer.headers["Location"]) == (303, here)
    page = words_of(as_alice.get(here))
    assert "cli-macbook revoked" in page
    assert "Revoked by you" in page


def test_in_the_dialog_the_page_is_loaded_anew(as_alice: Client, token: AccessToken) -> None:
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}"}
    answer = as_alice.post(f"{address(token)}/revoke?from=detail", headers=headers)
    assert answer.headers["HX-Redirect"] == address(token)


@pytest.mark.parametrize("word", ["https://evil.example", "//evil.example", "list", "", "DETAIL"])
def test_nobody_is_sent_anywhere_else(as_alice: Client, token: AccessToken, word: str) -> None:
    answer = as_alice.post(f"{address(token)}/revoke?from={word}")
    assert answer.headers["Location"] == LIST
