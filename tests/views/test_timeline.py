"""What is said of a token's past, whatever the events hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import HTMX, text_of
from tokens import audit, lifecycle
from tokens.models import AccessToken, RevokeKind, TokenEvent
from tokens.views import event_words, timeline


@pytest.fixture
def token(alice: User) -> AccessToken:
    return issue(alice, "cli-macbook").token


def address(token: AccessToken) -> str:
    return f"/settings/tokens/{token.public_id}"


def many_events(token: AccessToken, number: int) -> None:
    for _ in range(number):
        audit.record(
            audit.Kind.FIRST_USED,
            origin=origin(token.owner, address="203.0.113.7", client="curl"),
            owner_id=token.owner_id,
            token_public_id=token.public_id,
        )


def titles(token: AccessToken) -> list[str]:
    page = timeline.read(token.public_id, viewer_id=token.owner_id, now=timezone.now())
    return [entry.words.title for day in page.days for entry in day.entries]


def test_the_life_of_a_token_is_told_newest_first(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    token = issue(alice, "cli-macbook").token
    clock.tick(days=1)
    lifecycle.note_first_use(
        token_id=token.pk, origin=origin(address="203.0.113.7", client="curl", door="api")
    )
    lifecycle.rename(token=token, name="laptop", description="", origin=origin(alice))
    lifecycle.rename(token=token, name="laptop", description="The desk", origin=origin(alice))
    lifecycle.narrow(token=token, scopes=["account.read"], origin=origin(alice))
    clock.tick(days=1)
    lifecycle.revoke(token=token, origin=origin(alice))
    assert titles(token) == [
        "Revoked by you",
        "Scopes narrowed",
        "Description changed",
        "Renamed to laptop",
        "First used",
        "Created in the console",
    ]
    page = " ".join(text_of(as_alice.get(address(token))).split())
    for words in (
        "Today, 25 November",
        "Yesterday",
        "23 November",
        "Scopes narrowed from projects.read, account.read to account.read",
        "203.0.113.7, curl, through the API",
        "That is everything since this token was created.",
    ):
        assert words in page


def test_days_are_those_of_the_persons_zone(clock: Clock, as_alice: Client, alice: User) -> None:
    # 23:30 in UTC on the 22nd is already the 23rd in Berlin, where alice lives.
    token = issue(alice, at=clock.now - timedelta(hours=12, minutes=30)).token
    page = text_of(as_alice.get(address(token)))
    assert "Today, 23 November" in page
    assert "00:30" in page


def test_somebody_elses_doing_is_not_called_yours(alice: User, carol: User) -> None:
    token = issue(alice).token
    lifecycle.revoke(token=token, origin=origin(carol), kind=RevokeKind.ADMIN)
    assert titles(token)[0] == "Revoked by an administrator"
    other = issue(alice, "other").token
    lifecycle.revoke(token=other, origin=origin(carol))
    assert titles(other)[0] == "Revoked by its owner"


STRANGE: list[tuple[str, Any]] = [
    ("token.paused", {}),
    ("token.moved_to_the_moon", {"where": ["moon"]}),
    ("", {}),
    (".", None),
    ("_", []),
    ("token.", "text"),
    ("<script>alert(1)</script>", {"name": "<b>"}),
    ("token.issued", None),
    ("token.issued", {"via": ["console"], "scopes": 7}),
    ("token.issued", {"via": "teleport", "scopes": ""}),
    ("token.renamed", {"changed": "name"}),
    ("token.renamed", {"changed": [["name"], None]}),
    ("token.narrowed", {}),
    ("token.narrowed", {"before": None, "after": {"a": 1}}),
    ("token.first_used", 3),
    ("token.redigested", {"pepper_id": None}),
    ("token.revoked", {"kind": {"owner": 1}}),
    ("token.revoked", {"kind": "by the moon"}),
    ("token.retirement_set", {"at": "soon", "before": 3}),
    ("token.retirement_set", {"at": ["now"]}),
]


@pytest.mark.parametrize(("kind", "data"), STRANGE, ids=range(len(STRANGE)))
def test_words_never_break(kind: str, data: Any) -> None:
    said = event_words.words(TokenEvent(kind=kind, data=data, door="sideways"), viewer_id=1)
    assert said.title
    assert "None" not in said.title


def test_every_known_kind_of_a_token_has_words_of_its_own() -> None:
    others = {audit.Kind.ISSUED_BATCH, audit.Kind.PROJECT_CREATED, audit.Kind.PURGED_BATCH}
    others |= {audit.Kind.SERVICE_CREATED, audit.Kind.SERVICE_REVOKED}
    others |= {audit.Kind.DEVICE_APPROVED, audit.Kind.DEVICE_DENIED}
    others |= {audit.Kind.POLICY_CHANGED, audit.Kind.ACCOUNT_DEACTIVATED}
    others |= {audit.Kind.RIGHTS_CHANGED}
    others |= {kind for kind in audit.Kind if kind.startswith("calendar.")}
    assert set(audit.Kind) - others <= set(event_words._WORDS)


def test_a_strange_event_is_shown_and_escaped(as_alice: Client, token: AccessToken) -> None:
    TokenEvent.objects.create(
        at=timezone.now(),
        kind="<script>alert(1)",
        door="moon",
        token_public_id=token.public_id,
        data=["?"],
    )
    page = as_alice.get(address(token)).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_an_erased_side_row_leaves_the_event(as_alice: Client, token: AccessToken) -> None:
    TokenEvent.objects.create(
        at=timezone.now(), kind="token.renamed", door="browser", token_public_id=token.public_id
    )
    assert "Renamed" in text_of(as_alice.get(address(token)))


def seen_in(answer: Any) -> list[Any]:
    return [entry for day in answer.context["days"] for entry in day.entries]


def test_older_pages_stay_right_while_events_come(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    for _ in range(53):
        clock.tick(hours=1)
        many_events(token, 1)
    url, times = address(token), []
    while url:
        answer = as_alice.get(url)
        times += [entry.at for entry in seen_in(answer)]
        url = answer.context["older_url"]
        many_events(token, 1)
    assert len(times) == len(set(times)) == 54
    assert times == sorted(times, reverse=True)
    assert answer.context["newest_url"]


def test_htmx_gets_the_content_with_the_page_of_events(
    as_alice: Client, token: AccessToken
) -> None:
    many_events(token, 30)
    older = as_alice.get(address(token)).context["older_url"]
    answer = as_alice.get(older, headers={**HTMX, "HX-Trigger": "events--20"})
    page = answer.content.decode()
    assert "<html" not in page
    assert 'id="activity-title" tabindex="-1" autofocus' in page
    assert len(seen_in(answer)) == 11


BAD_CURSORS = ["", "x", "-1", "1.5", "1e9", "9" * 19, "9" * 9999, "%00", "١٢", " 5", "0 or 1=1"]


@pytest.mark.parametrize("cursor", BAD_CURSORS, ids=range(len(BAD_CURSORS)))
def test_a_cursor_that_is_none_is_the_beginning(
    as_alice: Client, token: AccessToken, cursor: str
) -> None:
    answer = as_alice.get(address(token), {"before": cursor})
    assert answer.status_code == 200
    assert len(seen_in(answer)) == 1


@pytest.mark.parametrize("cursor", ["0", "1", "9" * 18])
def test_any_number_is_a_place_in_ones_own_past_only(
    as_alice: Client, token: AccessToken, bob: User, cursor: str
) -> None:
    many_events(issue(bob, "secret-of-bob").token, 3)
    answer = as_alice.get(address(token), {"before": cursor})
    assert answer.status_code == 200
    assert len(seen_in(answer)) <= 1
    assert "secret-of-bob" not in text_of(answer)


def test_reading_is_one_query_and_bounded(token: AccessToken) -> None:
    many_events(token, 499)
    with CaptureQueriesContext(connection) as queries:
        page = timeline.read(token.public_id, viewer_id=1, now=timezone.now())
    assert len(queries) == 1
    assert sum(len(day.entries) for day in page.days) == timeline.PAGE_SIZE


def test_a_token_without_events_says_so(as_alice: Client, alice: User, clock: Clock) -> None:
    wish = lifecycle.Wish(name="bulk", scopes=["account.read"], expires_at=None)
    lifecycle.issue_many(owners=[alice], wishes=[wish], origin=origin(alice))
    token = AccessToken.objects.get(name="bulk")
    assert "No earlier events are kept" in text_of(as_alice.get(address(token)))
