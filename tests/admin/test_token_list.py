from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.admin.conftest import REVOKE, VIEW, Signer
from tests.cast import Clock, issue, make_user, origin
from tests.views.test_listing import many, use
from tokens import lifecycle, secret
from tokens.admin import paging
from tokens.models import AccessToken, TokenEvent

pytestmark = pytest.mark.usefixtures("clock")
LIST = "/admin/tokens/accesstoken/"


def names(client: Client, **query: str) -> set[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return {token.name for token in answer.context["cl"].result_list}


@pytest.fixture
def field(alice: User, bob: User, clock: Clock) -> dict[str, AccessToken]:
    """One token of each kind that the filters tell apart."""
    old = clock.now - timedelta(days=200)
    made = {
        "writer": issue(alice, "writer", scopes=["projects.read", "projects.write"]).token,
        "endless": issue(alice, "endless", at=old, expires_at=None).token,
        "soon": issue(bob, "soon", expires_at=clock.now + timedelta(days=3)).token,
        "gone": issue(bob, "gone").token,
        "paused": issue(bob, "paused").token,
    }
    use(made["writer"], clock.now - timedelta(hours=1), "203.0.113.40")
    use(made["endless"], clock.now - timedelta(days=120), "203.0.113.41")
    lifecycle.revoke(token=made["gone"], origin=origin(bob))
    lifecycle.pause(token=made["paused"], origin=origin(bob), until=None)
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"writer", "endless", "soon", "gone", "paused"}),
        ({"status": "active"}, {"writer"}),
        ({"status": "unused"}, {"endless"}),
        ({"status": "expiring_soon"}, {"soon"}),
        ({"status": "revoked"}, {"gone"}),
        ({"status": "paused"}, {"paused"}),
        ({"status": "never_used"}, set()),
        ({"scope": "writes"}, {"writer"}),
        ({"scope": "projects.write"}, {"writer"}),
        ({"expires": "7"}, {"soon"}),
        ({"expires": "never"}, {"endless"}),
        ({"used": "1"}, {"writer"}),
        ({"used": "idle"}, {"endless"}),
        ({"used": "never"}, {"soon", "paused"}),
        ({"via": "console"}, {"writer", "endless", "soon", "gone", "paused"}),
        ({"via": "device"}, set()),
        ({"q": "alice@example.com"}, {"writer", "endless"}),
        ({"q": "ALICE@"}, {"writer", "endless"}),
        ({"q": "alic"}, {"writer", "endless"}),
        ({"q": "alice a"}, {"writer", "endless"}),
        ({"q": "at@home"}, set()),
        ({"q": "wri"}, {"writer"}),
        ({"q": "riter"}, set()),
        ({"q": "nobody"}, set()),
        ({"q": "wri", "status": "paused"}, set()),
        # What nobody offers narrows nothing.
        ({"status": "x"}, {"writer", "endless", "soon", "gone", "paused"}),
        ({"scope": "%"}, {"writer", "endless", "soon", "gone", "paused"}),
    ],
    ids=str,
)
def test_the_list_is_narrowed(
    query: dict[str, str], found: set[str], field: dict[str, AccessToken], as_carol: Signer
) -> None:
    assert names(as_carol(VIEW), **query) == found


def test_a_name_that_looks_like_an_address_is_found(alice: User, as_carol: Signer) -> None:
    issue(alice, "root@build-7")
    assert names(as_carol(VIEW), q="root@bui") == {"root@build-7"}


def test_a_person_whose_address_begins_alike_hides_no_name(alice: User, as_carol: Signer) -> None:
    issue(alice, "root@build-7")
    issue(make_user("root@example.com"), "backup")
    client = as_carol(VIEW)
    assert names(client, q="root@") == {"root@build-7", "backup"}
    assert names(client, q="ROOT@build") == {"root@build-7"}
    assert names(client, q="Root@Example.com") == {"backup"}


def test_a_token_is_found_by_its_public_id_and_its_last_four(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(VIEW)
    assert names(client, q=str(field["soon"].public_id)) == {"soon"}
    assert "soon" in names(client, q=field["soon"].last4.upper())


@pytest.mark.parametrize("word", ["\0", "%00", "x" * 5000, "%", "_", "'; --", "\u202e", "e\u0301"])
def test_a_search_for_anything_is_answered(
    word: str, field: dict[str, AccessToken], as_carol: Signer
) -> None:
    assert as_carol(VIEW).get(LIST, {"q": word}).status_code == 200


@pytest.mark.parametrize("query", ["p=999", "p=x", "o=1.2", "e=1", "all=", "owner__password=x"])
def test_an_address_that_was_tampered_with_is_answered(
    query: str, field: dict[str, AccessToken], as_carol: Signer
) -> None:
    answer = as_carol(VIEW).get(f"{LIST}?{query}", follow=True)
    assert answer.status_code in {200, 400}


def test_a_value_in_the_search_goes_no_further(alice: User, as_carol: Signer) -> None:
    value = issue(alice).plaintext.reveal()
    answer = as_carol(VIEW).get(LIST, {"q": value}, follow=True)
    assert answer.redirect_chain == [("/admin/identify/", 302)]
    page = answer.content.decode()
    assert "must not stand in an address" in page
    assert value[11:-4] not in page


def test_no_page_shows_a_value_or_a_digest(alice: User, as_root: Client) -> None:
    issued = issue(alice)
    token, value = issued.token, issued.plaintext.reveal()
    for path in (LIST, f"{LIST}{token.pk}/change/", f"{LIST}export.csv"):
        answer = as_root.get(path)
        page = answer.getvalue().decode()
        assert token.masked in page.replace("<b>", "").replace("</b>", "")
        assert value[11:-4] not in page
        assert bytes(token.digest).hex() not in page


def test_the_number_of_queries_does_not_depend_on_the_number_of_tokens(
    alice: User, clock: Clock, as_carol: Signer
) -> None:
    client = as_carol(VIEW)
    use(issue(alice, "first").token, clock.now, "203.0.113.40")
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(LIST)
    for number in range(20):
        owner = make_user(f"p{number}@example.com")
        token = issue(owner, f"t{number}").token
        if number % 2:
            use(token, clock.now, "203.0.113.40")
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(few)


def test_counting_stops(
    field: dict[str, AccessToken], as_carol: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "MOST", 3)
    answer = as_carol(VIEW).get(LIST)
    assert answer.context["cl"].result_count == 3
    assert "3 or more match" in answer.content.decode()
    assert "5000 or more" not in answer.content.decode()


def test_each_page_holds_its_rows_in_order(
    alice: User, bob: User, as_carol: Signer, clock: Clock
) -> None:
    many(alice, 130, clock.now)
    issue(bob, "newest")
    newest = list(AccessToken.objects.newest_first())
    client = as_carol(VIEW)
    for page in (1, 2, 3):
        shown = client.get(LIST, {"p": page}).context["cl"]
        assert list(shown.result_list) == newest[50 * (page - 1) : 50 * page]
        assert shown.result_count == 131


def test_a_page_is_read_with_few_queries_wherever_it_is(
    alice: User, as_carol: Signer, clock: Clock
) -> None:
    many(alice, 130, clock.now)
    client = as_carol(VIEW)
    for query in ({}, {"p": "3"}, {"status": "never_used"}, {"status": "paused"}, {"q": "token"}):
        with CaptureQueriesContext(connection) as asked:
            assert client.get(LIST, query).status_code == 200
        # The session, the person, the keys, and the page's rows where there are any.
        asking = [each["sql"] for each in asked if "tokens_accesstoken" in each["sql"]]
        assert len(asking) <= 2, query
        assert len(asked) <= 6, query


def test_results_are_counted_beside_a_search_or_a_filter_only(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(VIEW)
    assert "Show all" not in client.get(LIST).content.decode()
    assert "1 result (" in client.get(LIST, {"q": "wri"}).content.decode()
    assert "2 results (" in client.get(LIST, {"used": "never"}).content.decode()


def test_the_owner_is_shown_by_name_and_address(alice: User, as_carol: Signer) -> None:
    issue(alice)
    page = as_carol(VIEW).get(LIST).content.decode()
    assert 'Alice Arden<span class="under">alice<wbr>@example.com</span>' in page


# --- What leaves ---------------------------------------------------------------------------------


def rows(answer: object) -> list[dict[str, str]]:
    text = answer.getvalue().decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str, alice: User, as_carol: Signer) -> None:
    issue(alice, f"{start}cmd|' /C calc'!A0")
    (row,) = rows(as_carol(VIEW).get(f"{LIST}export.csv"))
    assert row["name"] == f"'{start}cmd|' /C calc'!A0"
    assert row["owner"] == "alice@example.com"


def test_the_export_holds_what_the_filters_match(
    field: dict[str, AccessToken], as_carol: Signer
) -> None:
    client = as_carol(VIEW)
    page = client.get(LIST, {"status": "revoked"})
    assert page.context["export_url"] == f"{LIST}export.csv?status=revoked"
    answer = client.get(page.context["export_url"])
    assert answer["Content-Disposition"] == 'attachment; filename="tokens.csv"'
    assert [row["name"] for row in rows(answer)] == ["gone"]


def test_the_ticked_tokens_are_exported(field: dict[str, AccessToken], as_carol: Signer) -> None:
    ticked = [field["soon"].pk, field["gone"].pk]
    sent = {"action": "export_selected", "_selected_action": ticked}
    found = rows(as_carol(VIEW).post(LIST, sent))
    assert {row["name"]: row["status"] for row in found} == {
        "soon": "Expiring soon",
        "gone": "Revoked",
    }


# --- Stopping ------------------------------------------------------------------------------------


def test_only_who_may_revoke_is_offered_it(alice: User, as_carol: Signer) -> None:
    token = issue(alice).token
    sent = {"action": "revoke_selected", "_selected_action": [token.pk]}
    client = as_carol(VIEW)
    assert "revoke_selected" not in client.get(LIST).content.decode()
    assert "Revoke…" not in client.get(f"{LIST}{token.pk}/change/").content.decode()
    client.post(LIST, sent)
    client = as_carol(VIEW, REVOKE)
    assert "Revoke…" in client.get(f"{LIST}{token.pk}/change/").content.decode()
    answer = client.post(LIST, sent)
    assert answer["Location"] == f"/admin/revoke/?id={token.public_id}"
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 0


def test_nothing_but_the_two_actions_is_offered(alice: User, as_root: Client) -> None:
    issue(alice)
    offered = as_root.get(LIST).context["action_form"].fields["action"].choices
    assert [name for name, _ in offered if name] == ["revoke_selected", "export_selected"]


# --- One token -----------------------------------------------------------------------------------


def test_the_page_of_a_token_shows_facts_use_who_breaks_and_events(
    field: dict[str, AccessToken], as_root: Client
) -> None:
    page = as_root.get(f"{LIST}{field['writer'].pk}/change/").content.decode()
    for words in (
        "alice@example.com",
        str(field["writer"].public_id),
        "projects.read, projects.write",
        "Breaks 203.0.113.0/24",
        "Token issued",
    ):
        assert words in page


def test_events_on_it_need_their_own_right(field: dict[str, AccessToken], as_carol: Signer) -> None:
    page = as_carol(VIEW).get(f"{LIST}{field['writer'].pk}/change/").content.decode()
    assert "Token issued" not in page
    assert secret.PREFIX in page
