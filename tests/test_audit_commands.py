"""``audit seal``, ``audit verify``, ``audit head``, ``export_events`` and ``replay_revocations``."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection, transaction

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.conftest import set_triggers
from tests.operations import answer, run
from tests.threads import held_elsewhere, together
from tokens import audit, lifecycle
from tokens.audit import seals
from tokens.models import AccessToken, AuditSeal, EventDetail, Notice, TokenEvent

pytestmark = pytest.mark.django_db


def record(number: int = 1) -> list[TokenEvent]:
    return [
        audit.record(audit.Kind.RENAMED, origin=origin(at=NOON), data={"n": each, "a": None})
        for each in range(number)
    ]


@pytest.fixture
def by_hand(db: None) -> Callable[[], AbstractContextManager[None]]:
    """Lift the triggers, as whoever owns the database could."""

    class Lifted:
        def __enter__(self) -> None:
            if connection.vendor == "postgresql":
                set_triggers("DISABLE")

        def __exit__(self, *_: object) -> None:
            if connection.vendor == "postgresql":
                set_triggers("ENABLE")

    return Lifted


# --- Seals ------------------------------------------------------------------------------------------


def test_what_is_new_is_sealed_once(clock: Clock) -> None:
    record(3)
    assert answer("audit", "seal", "--dry-run")["events"] == 3
    assert not AuditSeal.objects.exists()
    assert answer("audit", "seal")["seals"] == 1
    assert answer("audit", "seal")["seals"] == 0
    record(2)
    assert answer("audit", "verify")["unsealed"] == 2
    sealed = answer("audit", "seal")
    assert (sealed["seals"], sealed["unsealed"]) == (1, 0)
    found = answer("audit", "verify")
    assert (found["seals"], found["touched"]) == (2, False)


def test_long_stretches_are_sealed_in_parts(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "STRETCH", 3)
    record(8)
    assert answer("audit", "seal")["seals"] == 3
    spans = AuditSeal.objects.order_by("id").values_list("first_id", "last_id")
    assert all(first <= last for first, last in spans)
    assert answer("audit", "verify")["seals"] == 3


TOUCHES = {
    "an event changed": {"kind": "token.issued"},
    "its data changed": {"data": {"n": 5, "a": None}},
    "its time changed": {"at": NOON + timedelta(microseconds=1)},
    "its actor changed": {"actor_id": 7},
    "an event taken away": {},
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_the_first_stretch_that_was_touched_is_named(
    clock: Clock, by_hand: Any, touch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "STRETCH", 3)
    events = record(9)
    run("audit", "seal")
    rows = TokenEvent.objects.filter(pk=events[4].pk)
    with by_hand():
        _ = rows.update(**TOUCHES[touch]) if TOUCHES[touch] else rows.delete()
    named = f"Events {events[3].pk} to {events[5].pk} were touched"
    with pytest.raises(CommandError, match=named) as fault:
        run("audit", "verify")
    assert fault.value.returncode == 1


def test_an_event_slipped_in_is_found(clock: Clock, by_hand: Any) -> None:
    events = record(3)
    with by_hand():
        TokenEvent.objects.filter(pk=events[1].pk).delete()
    run("audit", "seal")
    TokenEvent.objects.create(
        pk=events[1].pk, at=NOON, kind="token.renamed", door="browser", data={}
    )
    with pytest.raises(CommandError, match="were touched"):
        run("audit", "verify")


def test_a_seal_taken_away_or_made_anew_is_found(
    clock: Clock, by_hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "STRETCH", 3)
    events = record(9)
    run("audit", "seal")
    second = AuditSeal.objects.order_by("last_id")[1]
    with by_hand():
        AuditSeal.objects.filter(pk=second.pk).update(hash=b"x" * 32)
    with pytest.raises(CommandError, match=f"Events {events[3].pk} to {events[5].pk}"):
        run("audit", "verify")
    with by_hand():
        AuditSeal.objects.filter(pk=second.pk).delete()
    with pytest.raises(
        CommandError, match=f"Events {events[3].pk} to {events[5].pk} .*a seal is missing"
    ):
        run("audit", "verify")


def test_a_head_that_was_kept_elsewhere_shows_that_all_seals_were_made_anew(
    clock: Clock, by_hand: Any
) -> None:
    record(3)
    run("audit", "seal")
    kept = run("audit", "head").strip()
    record(2)
    run("audit", "seal")
    assert answer("audit", "verify", f"--head={kept}")["seals"] == 2
    with by_hand():
        TokenEvent.objects.filter(pk=TokenEvent.objects.order_by("pk")[0].pk).update(actor_id=7)
        AuditSeal.objects.all().delete()
    run("audit", "seal")
    assert not answer("audit", "verify")["touched"]
    with pytest.raises(CommandError, match="is not among them"):
        run("audit", "verify", f"--head={kept}")


def test_erasing_details_touches_no_seal(clock: Clock) -> None:
    record(3)
    run("audit", "seal")
    EventDetail.objects.all().delete()
    assert not answer("audit", "verify")["touched"]


def test_without_events_there_is_nothing_to_seal_and_no_head(db: None) -> None:
    assert answer("audit", "seal") == {"seals": 0, "unsealed": 0, "head": None}
    assert answer("audit", "verify")["seals"] == 0
    with pytest.raises(CommandError, match="Nothing was sealed yet"):
        run("audit", "head")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sign"],
        ["seal", "now"],
        ["verify", "--head=x"],
        ["verify", "--head=1:" + "g" * 64],
        ["head", "--format=xml"],
        ["head", "--dry-run"],
    ],
)
def test_what_audit_cannot_do_is_said(db: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("audit", *arguments)
    assert not AuditSeal.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_that_seal_at_once_make_one_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "STRETCH", 4)
    record(20)
    outcomes = together(*[lambda: answer("audit", "seal")] * 3)
    assert all(isinstance(each, dict) for each in outcomes), outcomes
    assert answer("audit", "seal")["unsealed"] == 0
    assert answer("audit", "verify")["seals"] == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_event_that_commits_late_is_waited_for(alice: User) -> None:
    class Writing:
        """A transaction that has written an event and has not committed yet."""

        def __enter__(self) -> None:
            self.transaction = transaction.atomic()
            self.transaction.__enter__()
            record()

        def __exit__(self, *error: Any) -> None:
            self.transaction.__exit__(None, None, None)

    with held_elsewhere(Writing):
        record(2)
        with pytest.raises(CommandError, match="The database did not take part"):
            run("audit", "seal")
        assert not AuditSeal.objects.exists()
    run("audit", "seal")
    first = AuditSeal.objects.get()
    assert first.first_id <= TokenEvent.objects.order_by("pk")[0].pk
    assert answer("audit", "verify")["unsealed"] == 0


# --- Export -----------------------------------------------------------------------------------------


def exported(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("export_events", *arguments).splitlines()]


def test_events_are_exported_with_their_facts_and_without_personal_ones(
    clock: Clock, alice: User
) -> None:
    token = issue(alice, "secret-project").token
    (event,) = exported()
    assert (event["kind"], event["token_public_id"]) == ("token.issued", str(token.public_id))
    assert event["at"] == "2026-11-23T12:00:00+00:00"
    assert "secret-project" not in str(event)
    (detailed,) = exported("--details")
    assert detailed["token_name"] == "secret-project"


def test_an_export_goes_on_where_the_last_one_ended(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokens.audit.exporting._READ", 2)
    events = record(5)
    assert [each["id"] for each in exported()] == [event.pk for event in events]
    said = io.StringIO()
    run("export_events", f"--after-id={events[1].pk}", stderr=said)
    assert said.getvalue() == f"Events: 3. The last id: {events[-1].pk}.\n"
    assert exported(f"--after-id={events[-1].pk}") == []


def test_an_export_can_be_narrowed(clock: Clock, alice: User) -> None:
    token = issue(alice).token
    clock.tick(days=1)
    lifecycle.revoke(token=token, origin=origin(alice))
    assert [each["kind"] for each in exported("--kind=token.revoked")] == ["token.revoked"]
    assert [each["kind"] for each in exported("--since=2026-11-24")] == ["token.revoked"]
    assert [each["kind"] for each in exported("--until=2026-11-24")] == ["token.issued"]


def test_no_cell_of_the_table_is_a_formula(clock: Clock, alice: User) -> None:
    names = ["=1+1", "+1", "-1", "@x", 'a,b"c', '=HYPERLINK("http://x")', "\uff1d2+2", "\uff20y"]
    for name in names:
        issue(alice, name)
    rows = list(csv.DictReader(io.StringIO(run("export_events", "--format=csv", "--details"))))
    assert [row["token_name"] for row in rows] == [
        f"'{name}" if name[0] in "=+-@\uff1d\uff20" else name for name in names
    ]
    assert json.loads(rows[0]["data"])["via"] == "console"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--format=table"], "invalid choice"),
        (["--kind=everything"], "invalid choice"),
        (["--since=then"], "must be a date or a time"),
        (["--until=24-11-2026"], "must be a date or a time"),
        (["--after-id=-1"], "whole number from 0"),
        (["--after-id=x"], "whole number from 0"),
    ],
)
def test_an_export_that_cannot_be_made_is_said(
    db: None, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        run("export_events", *arguments)


# --- After a restore --------------------------------------------------------------------------------


@pytest.fixture
def restored(clock: Clock, alice: User, tmp_path: Path) -> Path:
    """Revoke and narrow, export, then bring the rows back to what a backup from before holds."""
    tokens = {name: issue(alice, name, scopes=["keys.read", "keys.write"]).token for name in "abcd"}
    before = list(AccessToken.objects.values())
    clock.tick(hours=1)
    lifecycle.revoke(token=tokens["a"], origin=origin(alice), reason="Found in a public repository")
    lifecycle.revoke(token=tokens["b"], origin=origin(None), kind="leaked")
    lifecycle.narrow(token=tokens["c"], scopes=["keys.read"], origin=origin(alice))
    lifecycle.revoke(token=issue(alice, "later").token, origin=origin(alice))
    events = tmp_path / "events.jsonl"
    events.write_text(run("export_events"))
    Notice.objects.all().delete()
    AccessToken.objects.all().delete()
    AccessToken.objects.bulk_create(AccessToken(**row) for row in before)
    clock.tick(hours=1)
    return events


def scopes() -> dict[str, str]:
    return dict(AccessToken.objects.filter(revoked_at=None).values_list("name", "scopes"))


def test_what_was_revoked_before_a_restore_is_revoked_again(clock: Clock, restored: Path) -> None:
    counted = answer("replay_revocations", str(restored), "--dry-run")
    assert len(scopes()) == 4
    counts = answer("replay_revocations", str(restored))
    assert scopes() == {"c": "keys.read", "d": "keys.read keys.write"}
    assert (counts["revoked"], counts["narrowed"], counts["unknown"]) == (2, 1, 1)
    assert counts == {**counted, "dry_run": False}
    assert AccessToken.objects.get(name="b").revoke_kind == "leaked"
    assert AccessToken.objects.get(name="a").revoked_at == clock.now
    assert not Notice.objects.exists()


def test_a_second_replay_changes_nothing(restored: Path) -> None:
    run("replay_revocations", str(restored))
    events = TokenEvent.objects.count()
    again = answer("replay_revocations", str(restored))
    assert (again["revoked"], again["narrowed"], again["already_so"]) == (0, 0, 3)
    assert TokenEvent.objects.count() == events


def test_events_can_come_from_standard_input(
    restored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(restored.read_text() + "\n\n"))
    assert answer("replay_revocations")["revoked"] == 2


def test_ends_and_pauses_ahead_are_told_and_ends_that_passed_are_kept(
    clock: Clock, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = {name: issue(alice, name).token for name in ("past", "ahead", "paused", "resumed")}
    past, ahead = (NOON - timedelta(hours=1)).isoformat(), (NOON + timedelta(hours=1)).isoformat()
    lines = [
        ("past", "token.retirement_set", {"at": ahead}),
        ("past", "token.retirement_set", {"at": past}),
        ("ahead", "token.retirement_set", {"at": ahead}),
        ("paused", "token.paused", {}),
        ("resumed", "token.paused", {}),
        ("resumed", "token.resumed", {}),
    ]
    text = "\n".join(
        json.dumps({"kind": kind, "data": data, "token_public_id": str(tokens[name].public_id)})
        for name, kind, data in lines
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    counts = answer("replay_revocations")
    assert (counts["revoked"], counts["retire_by_hand"], counts["pause_by_hand"]) == (1, 1, 1)
    assert AccessToken.objects.get(name="past").revoke_kind == "rotated"


def test_an_end_whose_rotation_was_cancelled_is_no_end(
    clock: Clock, alice: User, tmp_path: Path
) -> None:
    old = issue(alice, "release").token
    wish = lifecycle.RotationWish(scopes=["account.read"], expires_at=NOON + timedelta(days=9))
    replacement = lifecycle.rotate(token=old, wish=wish, origin=origin(alice)).token
    lifecycle.retire(replacement=replacement, at=NOON + timedelta(hours=1), origin=origin(alice))
    lifecycle.cancel_rotation(replacement=replacement, origin=origin(alice))
    events = tmp_path / "events.jsonl"
    events.write_text(run("export_events"))
    clock.tick(hours=2)
    counts = answer("replay_revocations", str(events))
    assert (counts["revoked"], counts["retire_by_hand"]) == (0, 0)
    assert AccessToken.objects.live(clock.now).get() == old


GOOD = '{"kind": "token.revoked", "data": {}, "token_public_id": null}\n'


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "7",
        "null",
        "{}",
        '{"kind": "token.revoked", "data": {}, "token_public_id": "x"}',
        '{"kind": "token.revoked", "data": {}, "token_public_id": 7}',
        '{"kind": "token.revoked", "data": [], "token_public_id": "ID"}',
        '{"kind": [], "data": {}, "token_public_id": "ID"}',
        '{"kind": "token.narrowed", "data": {}, "token_public_id": "ID"}',
        '{"kind": "token.retirement_set", "data": {"at": "soon"}, "token_public_id": "ID"',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_event_is_named_and_changes_nothing(
    alice: User, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = issue(alice).token
    good = GOOD.replace("null", f'"{token.public_id}"')
    bad = text.replace("ID", str(token.public_id))
    monkeypatch.setattr(sys, "stdin", io.StringIO(good + bad))
    with pytest.raises(CommandError, match=re.escape("Line 2 is no event")):
        run("replay_revocations")
    assert AccessToken.objects.get().revoked_at is None


def test_a_file_that_cannot_be_read_is_said(db: None, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\xfd")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(CommandError, match="The events cannot be read"):
            run("replay_revocations", str(path))
