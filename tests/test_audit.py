from __future__ import annotations

import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import audit, health
from tokens.models import AuditSeal, EventDetail, TokenEvent
from tokens.origin import Door, Origin

TABLES = ["tokens_tokenevent", "tokens_auditseal"]
ATTACKS = {
    "UPDATE": "UPDATE {} SET at = now()",
    "DELETE": "DELETE FROM {}",
    "TRUNCATE": "TRUNCATE {}",
    "TRUNCATE CASCADE": "TRUNCATE {} RESTART IDENTITY CASCADE",
    "UPDATE of nothing new": "UPDATE {} SET at = at",
}


@pytest.fixture
def an_event_and_a_seal(db: None) -> None:
    event = audit.record(audit.Kind.REVOKED, origin=origin(at=NOON))
    AuditSeal.objects.create(at=NOON, first_id=event.pk, last_id=event.pk, hash=b"\0" * 32)


def test_an_event_holds_plain_data_and_its_detail_what_can_identify(
    clock: Clock, alice: User
) -> None:
    public_id = uuid.uuid4()
    where = Origin(
        at=clock.now,
        door=Door.API,
        actor_id=alice.pk,
        address="2001:db8::7",
        client="curl",
        request_id="r" * 32,
    )
    event = audit.record(
        audit.Kind.RENAMED,
        origin=where,
        owner_id=7,
        token_public_id=public_id,
        token_name="n" * 64,
        data={"scopes": "inference"},
    )
    row = TokenEvent.objects.get()
    assert row == event
    assert (row.kind, row.at, row.door) == ("token.renamed", clock.now, "api")
    assert (row.actor_id, row.owner_id, row.token_public_id) == (alice.pk, 7, public_id)
    assert row.data == {"scopes": "inference"}
    detail = EventDetail.objects.get()
    assert (detail.event_id, detail.address, detail.client) == (row.pk, "2001:db8::7", "curl")
    assert (detail.token_name, detail.request_id) == ("n" * 64, "r" * 32)


def test_an_event_needs_nothing_but_its_origin(db: None) -> None:
    event = audit.record(audit.Kind.REVOKED, origin=origin(at=NOON, door=Door.SYSTEM))
    assert (event.actor_id, event.owner_id, event.token_public_id) == (None, None, None)
    assert event.data == {}
    assert EventDetail.objects.get(event_id=event.pk).address is None


def test_details_can_be_erased_while_the_event_stays(clock: Clock, alice: User) -> None:
    issue(alice)
    EventDetail.objects.all().delete()
    assert TokenEvent.objects.count() == 1


def test_the_words_of_events_fit_their_column() -> None:
    longest = max(len(kind) for kind in audit.Kind)
    assert longest <= TokenEvent._meta.get_field("kind").max_length


def test_an_event_that_is_rolled_back_never_was(db: None) -> None:
    with transaction.atomic():
        audit.record(audit.Kind.REVOKED, origin=origin(at=NOON))
        transaction.set_rollback(True)
    assert not TokenEvent.objects.exists()
    assert not EventDetail.objects.exists()


# --- What PostgreSQL refuses --------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("table", TABLES)
def test_a_row_once_written_can_neither_be_changed_nor_removed(
    an_event_and_a_seal: None, table: str, attack: str
) -> None:
    with connection.cursor() as cursor:
        with pytest.raises(DatabaseError, match=f"{table} is append-only"), transaction.atomic():
            cursor.execute(ATTACKS[attack].format(table))
        cursor.execute(f"SELECT COUNT(*) FROM {table}")  # noqa: S608 - a name from the list above
        assert cursor.fetchone() == (1,)


@pytest.mark.postgresql
def test_models_meet_the_same_refusal(an_event_and_a_seal: None) -> None:
    for rows in (TokenEvent.objects, AuditSeal.objects):
        for attack in (rows.all().delete, lambda rows=rows: rows.update(at=NOON), rows.get().save):
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                attack()
    assert TokenEvent.objects.count() == AuditSeal.objects.count() == 1


@pytest.fixture
def lifted(request: pytest.FixtureRequest, db: None) -> str:
    """Damage one table's triggers for one test; the test's own rollback mends them."""
    with connection.cursor() as cursor:
        cursor.execute(request.param)
    return request.param


@pytest.mark.postgresql
def test_a_guarded_database_is_well(db: None) -> None:
    assert health.faults() == []


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("lifted", "tables"),
    [
        ("DROP TRIGGER refuse_change ON tokens_tokenevent", TABLES[:1]),
        ("DROP TRIGGER refuse_truncate ON tokens_auditseal", TABLES[1:]),
        ("ALTER TABLE tokens_tokenevent DISABLE TRIGGER refuse_change", TABLES[:1]),
        ("ALTER TABLE tokens_tokenevent DISABLE TRIGGER USER", TABLES[:1]),
        # A trigger for replicas only does not fire for anybody who connects here.
        ("ALTER TABLE tokens_auditseal ENABLE REPLICA TRIGGER refuse_change", TABLES[1:]),
        ("DROP FUNCTION tokens_refuse_change CASCADE", TABLES),
    ],
    indirect=["lifted"],
)
def test_a_missing_or_disabled_trigger_is_a_fault_that_names_its_table(
    lifted: str, tables: list[str]
) -> None:
    assert health.faults() == [
        f"{table} can be changed: its triggers are missing." for table in tables
    ]


@pytest.mark.sqlite
def test_an_embedded_database_needs_no_guards(db: None) -> None:
    assert health.faults() == []
