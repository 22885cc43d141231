from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import HTMX, LIST, text_of
from tokens import lifecycle, usage
from tokens.lifecycle import Wish
from tokens.origin import Consumer, network_of


def use(token: Any, at: Any, address: str = "203.0.113.7") -> None:
    usage.record(
        token_id=token.pk,
        scope="",
        consumer=Consumer(network_of(address), "curl"),
        address=address,
        at=at,
    )


def test_home_and_a_trailing_slash_lead_to_the_list(as_alice: Client) -> None:
    for path in ("/", "/settings/tokens/"):
        assert as_alice.get(path).headers["Location"] == LIST


def test_the_empty_list_teaches_and_offers_to_create(as_alice: Client) -> None:
    page = text_of(as_alice.get(LIST))
    assert "No tokens yet" in page
    assert "Approve a device" in page.partition("No tokens yet")[2]
    assert "Create token" in page
    assert "API key" in page


def test_bob_sees_nothing_of_alice(as_bob: Client, alice: User) -> None:
    issue(alice, "cli-macbook")
    assert "cli-macbook" not in text_of(as_bob.get(LIST))


def test_each_status_is_said_in_words(clock: Clock, as_alice: Client, alice: User) -> None:
    now = clock.now
    day = timedelta(days=1)
    active = issue(alice, "active", at=now - day).token
    use(active, now - timedelta(minutes=3))
    issue(alice, "never", at=now - 9 * day, expires_at=now + 21 * day)
    soon = issue(alice, "soon", at=now - day, expires_at=now + 5 * day).token
    use(soon, now)
    unused = issue(alice, "unused", at=now - 200 * day, expires_at=None).token
    use(unused, now - 118 * day)
    issue(alice, "expired", at=now - 40 * day, expires_at=now - 4 * day)
    gone = issue(alice, "gone", at=now - day).token
    lifecycle.revoke(token=gone, origin=origin(alice))
    rows = {row.name: row for row in as_alice.get(LIST).context["rows"]}
    assert {name: row.status.label for name, row in rows.items()} == {
        "active": "Active",
        "never": "Never used",
        "soon": "Expiring soon",
        "unused": "Unused for 90 days",
        "expired": "Expired",
        "gone": "Revoked",
    }
    assert rows["soon"].status.text == "5 days left, 28 Nov 2026"
    assert rows["unused"].status.text == "No expiration"
    assert rows["gone"].status.text == "By you, 23 Nov 2026"
    assert (rows["gone"].revoke_url, rows["expired"].revoke_url) == ("", "")
    page = text_of(as_alice.get(LIST))
    for words in ("3 minutes ago", "203.0.113.7", "No requests yet", "118 days ago"):
        assert words in page


def test_htmx_gets_the_list_alone(as_alice: Client, alice: User) -> None:
    issue(alice)
    answer = as_alice.get(LIST, headers=HTMX).content.decode().strip()
    assert answer.startswith("<div")
    assert 'id="_token_list"' in answer
    assert "<html" not in answer


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_the_list_can_only_be_read(as_alice: Client, method: str) -> None:
    assert getattr(as_alice, method)(LIST).status_code == 405


def many(owner: User, number: int, at: Any) -> None:
    wish = Wish(name="bulk", scopes=["account.read"], expires_at=at + timedelta(days=9))
    lifecycle.issue_many(
        owners=[owner] * number, wishes=[wish] * number, origin=origin(owner, at=at)
    )


def test_the_number_of_queries_does_not_grow(clock: Clock, as_alice: Client, alice: User) -> None:
    many(alice, 1, clock.now)
    with CaptureQueriesContext(connection) as few:
        as_alice.get(LIST)
    many(alice, 499, clock.now)
    with CaptureQueriesContext(connection) as lots:
        as_alice.get(LIST)
    assert len(lots) == len(few) <= 5


def test_a_row_that_asks_for_something_offers_it(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    day = timedelta(days=1)
    soon = issue(alice, "soon", expires_at=clock.now + 5 * day).token
    unused = issue(alice, "unused", at=clock.now - 200 * day, expires_at=None).token
    use(unused, clock.now - 118 * day)
    paused = issue(alice, "paused").token
    lifecycle.pause(token=paused, until=None, origin=origin(alice))
    issue(alice, "calm")
    gone = issue(alice, "gone").token
    lifecycle.revoke(token=gone, origin=origin(alice))
    answer = as_alice.get(LIST)
    offered = {row.name: (row.next_label, row.next_url) for row in answer.context["rows"]}
    assert offered == {
        "soon": ("Rotate", f"{LIST}/{soon.public_id}/rotate"),
        "unused": ("Review", f"{LIST}/{unused.public_id}"),
        "paused": ("Resume", f"{LIST}/{paused.public_id}/resume"),
        "calm": ("", ""),
        "gone": ("", ""),
    }
    page = answer.content.decode()
    edited = set(re.findall(rf'href="{LIST}/([0-9a-f-]+)/edit"', page))
    assert edited == {str(row.public_id) for row in answer.context["rows"] if row.name != "gone"}
