"""The ends that the create form offers are the ends that are stored."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, origin
from tests.views.pages import CREATE, HTMX, create, text_of, wish
from tokens import projects
from tokens.models import AccessToken, Policy

DRAFT = f"{CREATE}/draft"
WRITES = ["projects.read", "projects.write"]


def shown_ends(answer: Any) -> dict[str, str]:
    """Return the hidden instants that stand beside the presets."""
    found = re.findall(r'name="(shown-\d+)" value="([^"]+)"', answer.content.decode())
    return {name: html.unescape(value) for name, value in found}


@pytest.fixture
def short_writes(alice: User, clock: Clock) -> Policy:
    """Let tokens with a write scope live for ten days only."""
    return Policy.objects.create(
        created_at=clock.now, max_lifetime_days=100, max_write_lifetime_days=10
    )


def test_the_cards_send_along_what_they_show(clock: Clock, as_alice: Client) -> None:
    page = as_alice.get(CREATE)
    ends = shown_ends(page)
    assert list(ends) == ["shown-7", "shown-30", "shown-60", "shown-90"]
    assert datetime.fromisoformat(ends["shown-30"]) == datetime(2026, 12, 24, 9, tzinfo=UTC)
    assert "24 Dec 2026, 10:00 CET" in text_of(page)


def test_what_was_shown_is_what_is_stored(clock: Clock, as_alice: Client) -> None:
    ends = shown_ends(as_alice.get(CREATE))
    clock.tick(minutes=10)
    assert create(as_alice, **ends).status_code == 200
    assert AccessToken.objects.get().expires_at == datetime.fromisoformat(ends["shown-30"])


def test_a_write_scope_shortens_the_cards_at_once(short_writes: Policy, as_alice: Client) -> None:
    headers = {**HTMX, "HX-Target": "create-summary"}
    before = as_alice.post(DRAFT, wish(), headers=headers)
    after = as_alice.post(DRAFT, wish(scopes=WRITES, **shown_ends(before)), headers=headers)
    assert "24 Dec 2026, 10:00 CET" in text_of(before)
    assert "24 Dec 2026" not in text_of(after)
    assert after.content.count(b'hx-swap-oob="true"') == 6
    assert {"Up to 3 Dec 2026"} <= set(re.findall(r"Up to [^<]*", after.content.decode()))
    made = create(as_alice, scopes=WRITES, **shown_ends(after))
    assert made.status_code == 200
    end = datetime.fromisoformat(shown_ends(after)["shown-30"])
    assert end == datetime(2026, 12, 3, 9, tzinfo=UTC)
    assert AccessToken.objects.get().expires_at == end


def test_without_a_script_ends_that_are_too_late_come_back_to_be_read(
    short_writes: Policy, as_alice: Client
) -> None:
    ends = shown_ends(as_alice.get(CREATE))
    refused = create(as_alice, scopes=WRITES, **ends)
    assert refused.status_code == 422
    sentence = "This token can last until 3 Dec 2026, 13:00 CET at most"
    assert sentence in text_of(refused)
    assert not AccessToken.objects.exists()
    assert create(as_alice, scopes=WRITES, **shown_ends(refused)).status_code == 200
    assert AccessToken.objects.get().expires_at == datetime(2026, 12, 3, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "sent",
    ["", "soon", "9" * 400, "2026-12-23", "2026-12-23T09:00:00", "9999-12-31T23:59:59-23:59"],
)
def test_an_end_that_the_form_never_wrote_is_no_end(
    clock: Clock, as_alice: Client, sent: str
) -> None:
    assert create(as_alice, **{"shown-30": sent}).status_code == 200
    assert AccessToken.objects.get().expires_at == datetime(2026, 12, 24, 9, tzinfo=UTC)


@pytest.mark.parametrize("sent", ["2026-11-23T12:30:00+00:00", "2031-01-01T09:00:00+00:00"])
def test_an_end_beyond_the_policy_is_refused(clock: Clock, as_alice: Client, sent: str) -> None:
    refused = create(as_alice, **{"shown-30": sent})
    assert refused.status_code == 422
    assert "so the offered ends have changed" in text_of(refused)
    assert not AccessToken.objects.exists()


def test_hundreds_of_projects_can_be_chosen(as_alice: Client, alice: User) -> None:
    own = [
        projects.create(owner_id=alice.pk, name=f"shop {number}", origin=origin(alice))
        for number in range(250)
    ]
    chosen = [str(each.public_id) for each in own]
    answer = create(as_alice, projects_choice="chosen", projects=chosen)
    assert answer.status_code == 200
    assert AccessToken.objects.get().projects.count() == 250
