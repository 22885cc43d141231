from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.admin.conftest import EVENTS, Signer
from tests.cast import Clock, issue, make_user, origin
from tokens import audit, lifecycle
from tokens.models import AccessToken, TokenEvent

pytestmark = pytest.mark.usefixtures("clock")
LIST = "/admin/tokens/tokenevent/"


@pytest.fixture
def past(alice: User, bob: User, clock: Clock) -> AccessToken:
    """Alice's token of ten days ago, revoked now; bob's of now. Return bob's."""
    old = issue(alice, "old", at=clock.now - timedelta(days=10)).token
    lifecycle.revoke(token=old, origin=origin(alice))
    return issue(bob, "=new").token


def kinds(client: Client, **query: str) -> list[str]:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return [event.kind for event in answer.context["cl"].result_list]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["token.issued", "token.revoked", "token.issued"]),
        ({"kind": "token.revoked"}, ["token.revoked"]),
        ({"door": "browser"}, ["token.issued", "token.revoked", "token.issued"]),
        ({"door": "api"}, []),
        ({"since": "7"}, ["token.issued", "token.revoked"]),
        ({"q": "alice@"}, ["token.revoked", "token.issued"]),
        ({"q": "2026-11-13"}, ["token.issued"]),
        ({"q": "2026-11-14"}, []),
        ({"q": "2026-99-99"}, []),
        ({"q": "0001-01-01"}, []),
        ({"q": "\0"}, ["token.issued", "token.revoked", "token.issued"]),
        ({"q": "x" * 5000}, []),
        ({"kind": "x", "since": "-1"}, ["token.issued", "token.revoked", "token.issued"]),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_the_list_is_narrowed(
    query: dict[str, str], found: list[str], past: AccessToken, as_carol: Signer
) -> None:
    assert kinds(as_carol(EVENTS), **query) == found


def test_a_token_s_events_are_found_by_its_public_id(past: AccessToken, as_carol: Signer) -> None:
    assert kinds(as_carol(EVENTS), q=str(past.public_id)) == ["token.issued"]


def test_one_event_shows_all_that_is_kept(past: AccessToken, as_carol: Signer) -> None:
    event = TokenEvent.objects.get(token_public_id=past.public_id)
    page = as_carol(EVENTS).get(f"{LIST}{event.pk}/change/").content.decode()
    for words in ("bob@example.com", "token.issued", "=new", "browser", "account.read"):
        assert words in page


def test_people_are_read_together(past: AccessToken, as_carol: Signer) -> None:
    client = as_carol(EVENTS)
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for number in range(10):
        issue(make_user(f"p{number}@example.com"), "t")
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(few)


def test_the_exports_hold_what_the_filters_match(past: AccessToken, as_carol: Signer) -> None:
    client = as_carol(EVENTS)
    page = client.get(LIST, {"since": "7"})
    sheet = client.get(page.context["export_url"]).getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(sheet)))
    assert [(row["kind"], row["token_name"]) for row in rows] == [
        ("token.revoked", "old"),
        ("token.issued", "'=new"),
    ]
    text = client.get(page.context["lines_url"]).getvalue().decode()
    facts = [json.loads(line) for line in text.splitlines()]
    assert [fact["kind"] for fact in facts] == ["token.revoked", "token.issued"]
    assert facts[1]["token_name"] == "=new"


def test_every_kind_has_a_filter(past: AccessToken, as_carol: Signer) -> None:
    page = as_carol(EVENTS).get(LIST).content.decode()
    for kind in audit.Kind:
        assert f"kind={kind}" in page
