"""What a page weighs on its way: fifty tokens, compressed as the application and WhiteNoise do."""

from __future__ import annotations

import gzip
import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import issue, origin
from tests.views.pages import CREATE, HTMX, LIST, levels, wish
from tokens import lifecycle, projects, usage
from tokens.models import AccessToken
from tokens.origin import Consumer
from tokens.scopes import SCOPES

KB = 1000
PAGE, FONTS, SWAP = 60 * KB, 90 * KB, 12 * KB
ALL_SCOPES = [scope.name for scope in SCOPES]


@pytest.fixture
def fifty(alice: User, settings: Settings) -> list[AccessToken]:
    """Give alice as many tokens as a page shows, each with every scope and a use."""
    settings.TOKENS_MAX_NEW_PER_DAY = 200
    now = timezone.now()
    held = []
    for number in range(50):
        name = f"{uuid.uuid4().hex[:12]}-deploys-{number}"
        end = now + timedelta(days=3 + number)
        token = issue(alice, name, scopes=ALL_SCOPES, expires_at=end, description=name[::-1]).token
        address = f"203.0.113.{number}"
        usage.record(
            token_id=token.pk,
            scope="",
            consumer=Consumer("203.0.113.0/24", "curl"),
            address=address,
            at=now,
        )
        held.append(token)
    for number in range(60):
        lifecycle.rename(
            token=held[0],
            name=f"deploys-{number}",
            description=uuid.uuid4().hex,
            origin=origin(alice),
        )
        held[0].refresh_from_db()
    for _ in range(40):
        projects.create(owner_id=alice.pk, name=f"{uuid.uuid4()}", origin=origin(alice))
    return held


def weight(client: Client, path: str, target: str, data: dict[str, Any] | None = None) -> int:
    """Return the bytes of a swap as they go over the line."""
    headers = {**HTMX, "HX-Target": target, "Accept-Encoding": "gzip"}
    sent = client.get(path, headers=headers) if data is None else None
    answer = sent or client.post(path, data or {}, headers=headers)
    assert answer.status_code in {200, 422}
    assert b"<html" not in answer.content
    return len(answer.content)


def test_the_first_load_of_the_list_is_light(as_alice: Client, fifty: list[AccessToken]) -> None:
    answer = as_alice.get(LIST, headers={"Accept-Encoding": "gzip"})
    page = gzip.decompress(answer.content).decode()
    loaded = set(re.findall(r'(?:href|src)="/static/([^"#]+)', page))
    fonts = {path for path in loaded if path.startswith("fonts/")}
    assert {path.rpartition(".")[2] for path in loaded - fonts} == {"css", "js", "svg"}
    found = {path: Path(str(finders.find(path))).read_bytes() for path in loaded}
    files = sum(len(gzip.compress(found[path], 9)) for path in loaded - fonts)
    assert len(answer.content) + files <= PAGE
    assert 0 < sum(len(found[path]) for path in fonts) <= FONTS


@pytest.mark.parametrize("query", ["", "?status=active", "?q=deploys", "?sort=used", "?sort=token"])
def test_a_swap_of_the_whole_list_is_light(
    as_alice: Client, fifty: list[AccessToken], query: str
) -> None:
    assert weight(as_alice, f"{LIST}{query}", "_token_list") <= SWAP


def test_the_swaps_of_one_token_are_light(as_alice: Client, fifty: list[AccessToken]) -> None:
    here = f"{LIST}/{fifty[0].public_id}"
    assert weight(as_alice, here, "_detail") <= SWAP
    assert weight(as_alice, f"{here}/revoke", "dialog-body") <= SWAP
    events = as_alice.get(here, headers={**HTMX, "HX-Target": "activity"})
    assert events.content.strip().startswith(b'<section class="sheet" id="activity"')
    older = re.search(r"before=[0-9]+", events.content.decode())
    assert older
    assert weight(as_alice, f"{here}?{older[0]}", "activity") <= SWAP // 3


def test_the_swap_that_revokes_fifty_is_light(as_alice: Client, fifty: list[AccessToken]) -> None:
    chosen = "&".join(f"id={token.public_id}" for token in fifty)
    assert weight(as_alice, f"{LIST}/revoke?{chosen}", "dialog-body") <= SWAP


def test_the_swaps_of_the_create_form_are_light(as_alice: Client, fifty: list[AccessToken]) -> None:
    sent = wish(**levels(*ALL_SCOPES))
    assert weight(as_alice, f"{CREATE}/draft", "_create_form", sent) <= SWAP
    assert weight(as_alice, f"{CREATE}/draft", "create-summary", sent) <= SWAP // 3
    assert weight(as_alice, CREATE, "_create_form", wish(name="")) <= SWAP
