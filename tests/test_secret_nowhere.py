"""The value of a token is in one answer; here it is looked for everywhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.views.debug import ExceptionReporter

from skytells_console.models import User
from tests.cast import sign_in
from tests.device import approve, start
from tests.journeys.watch import pieces
from tests.views.pages import CREATE, LIST, create, text_of, tokens_in, wish
from tokens import usage
from tokens.models import AccessToken


def everything_stored() -> str:
    """Return every row of every table, binary columns as they are and as hexadecimal."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')  # noqa: S608 - our own names
            for row in cursor.fetchall():
                for value in row:
                    raw = bytes(value) if isinstance(value, bytes | memoryview) else None
                    found.append(raw.hex() + repr(raw) if raw is not None else str(value))
    found += [str(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join(found)


def test_the_value_is_in_one_answer_and_nowhere_else(
    client: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answers = []
    keep = answers.append
    sign_in(client, alice)
    sent = wish()
    shown = client.post(CREATE, sent)
    value = tokens_in(shown)[0]
    bearer = {"Authorization": f"Bearer {value}"}
    keep(client.post(CREATE, sent))
    keep(client.get(LIST))
    for path in ("token", "user", "cli/projects", "nowhere"):
        keep(client.get(f"/api/v1/{path}", headers=bearer))
    keep(client.post("/api/v1/cli/projects", {"name": value}, "application/json", headers=bearer))
    keep(client.post(CREATE, wish(name=value)))
    usage.flush()
    token = AccessToken.objects.get()
    keep(client.get(f"/settings/tokens/{token.public_id}/revoke"))
    keep(client.delete("/api/v1/token", headers=bearer))
    keep(client.get("/api/v1/token", headers=bearer))
    keep(client.get(LIST))

    # The masked form shows eleven characters in a row, so twelve are already too many.
    assert text_of(shown).count(value) == 1
    assert shown.content.decode().count(value[7:19]) == 0
    elsewhere = {
        "answers": "\n".join(each.content.decode() + str(each.headers) for each in answers),
        "headers of the answer": str(shown.headers),
        "cookies": str(client.cookies),
        "database": everything_stored(),
        "log": caplog.text + str([record.__dict__ for record in caplog.records]),
    }
    for place, text in elsewhere.items():
        assert [piece for piece in pieces(value) if piece in text] == [], place


def test_the_search_would_find_a_value_that_was_stored(alice: User) -> None:
    alice.name = "abcdef0123456789"
    alice.save()
    assert [piece for piece in pieces("abcdef0123456789") if piece in everything_stored()]


@pytest.mark.sqlite
@pytest.mark.django_db(transaction=True)
def test_the_database_file_does_not_hold_the_value(tmp_path: Path, alice: User) -> None:
    client = sign_in(Client(), alice)
    value = tokens_in(create(client))[0]
    client.get("/api/v1/token", headers={"Authorization": f"Bearer {value}"})
    copy = tmp_path / "copy.sqlite3"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(copy)])
    content = copy.read_bytes()
    assert b"cli-macbook" in content
    assert [piece for piece in pieces(value) if piece.encode() in content] == []


def test_an_error_report_does_not_hold_the_value(
    as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    seen: list[str] = []

    def break_down(request: Any, template: str, context: dict[str, Any], **kwargs: Any) -> None:
        if "plaintext" in context:
            seen.append(context["plaintext"].reveal())
            try:
                raise RuntimeError("the template is broken")
            except RuntimeError:
                reporter = ExceptionReporter(request, *sys.exc_info())
                reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())
                raise

    monkeypatch.setattr("tokens.views.creation.render", break_down)
    as_alice.raise_request_exception = False
    answer = as_alice.post(CREATE, wish())
    assert answer.status_code == 500
    text = reports[0] + answer.content.decode()
    assert [piece for piece in pieces(seen[0]) if piece in text] == []


# --- A token that a terminal collects ------------------------------------------------------------


def collect(client: Client, started: Any) -> Any:
    sent = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": started.device_code,
    }
    return client.post("/api/oauth/token", sent, "application/json")


def test_a_collected_value_is_in_one_answer_and_nowhere_else(
    client: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    started = start()
    approve(started, alice)
    collected = collect(client, started)
    value = collected.json()["access_token"]
    assert collected.content.decode().count(value) == 1
    elsewhere = {
        "a second answer": collect(client, started).content.decode(),
        "headers": str(collected.headers) + str(client.cookies),
        "database": everything_stored(),
        "log": caplog.text + str([record.__dict__ for record in caplog.records]),
    }
    for place, text in elsewhere.items():
        for secret in (value, started.device_code):
            assert [piece for piece in pieces(secret) if piece in text] == [], place
        assert started.user_code not in text, place


def test_an_error_report_does_not_hold_a_collected_value(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    seen: list[str] = []

    def break_down(payload: dict[str, Any], *, status: int = 200) -> None:
        seen.append(payload["access_token"])
        try:
            raise RuntimeError("the answer is broken")
        except RuntimeError:
            reporter = ExceptionReporter(None, *sys.exc_info())
            reports.append(reporter.get_traceback_html() + reporter.get_traceback_text())
            raise

    started = start()
    approve(started, alice)
    monkeypatch.setattr("tokens.api.device.answer", break_down)
    client.raise_request_exception = False
    answer = collect(client, started)
    assert answer.status_code == 500
    text = reports[0] + answer.content.decode()
    assert [piece for piece in pieces(seen[0]) if piece in text] == []
