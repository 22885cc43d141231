from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tests.threads import together
from tokens import lifecycle, notices
from tokens.lifecycle import Wish
from tokens.models import AccessToken, Notice, RevokeKind
from tokens.notices import LEASE, Kind
from tokens.origin import Door


@pytest.fixture(autouse=True)
def nobody_sends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep the debts, and count how often the sender would have been told."""
    told: list[str] = []
    monkeypatch.setattr(notices._Wiring, "tell", lambda: told.append("told"))
    return told


def kinds() -> list[tuple[str, str]]:
    return [(each.kind, each.subject) for each in Notice.objects.order_by("pk")]


def the_notice() -> Notice:
    return Notice.objects.get()


def test_a_new_token_owes_one_mail(clock: Clock, alice: User) -> None:
    token = issue(alice).token
    notice = the_notice()
    assert (notice.kind, notice.subject) == ("token_created", str(token.public_id))
    assert (notice.owner, notice.token) == (alice, token)
    assert (notice.due_at, notice.sent_at) == (NOON, None)


def test_the_sender_is_told_after_the_commit_and_not_before(
    alice: User, nobody_sends: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        issue(alice)
        assert nobody_sends == []
    assert nobody_sends == ["told"]


def test_what_is_rolled_back_owes_nothing(
    alice: User, nobody_sends: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    def issue_in_vain() -> None:
        with transaction.atomic():
            issue(alice)
            raise LookupError

    with django_capture_on_commit_callbacks(execute=True), pytest.raises(LookupError):
        issue_in_vain()
    assert (Notice.objects.count(), nobody_sends) == (0, [])


def test_what_the_owner_revokes_owes_no_mail(alice: User) -> None:
    lifecycle.revoke(token=issue(alice).token, origin=origin(alice))
    assert [kind for kind, _ in kinds()] == ["token_created"]


@pytest.mark.parametrize(
    "kind",
    [RevokeKind.ADMIN, RevokeKind.SELF, RevokeKind.LEAKED, RevokeKind.UNUSED, RevokeKind.LOST],
)
def test_every_other_end_owes_one(alice: User, kind: RevokeKind) -> None:
    token = issue(alice).token
    lifecycle.revoke(token=token, origin=origin(alice), kind=kind)
    assert kinds()[1:] == [("token_revoked", str(token.public_id))]


@pytest.mark.parametrize("kind", [RevokeKind.ROTATED, RevokeKind.CANCELLED])
def test_the_end_of_a_rotation_owes_none_to_who_rotated(alice: User, kind: RevokeKind) -> None:
    lifecycle.revoke(token=issue(alice).token, origin=origin(alice), kind=kind)
    assert len(kinds()) == 1


def test_an_operator_is_somebody_else(alice: User, carol: User) -> None:
    for name, actor in (("by nobody", None), ("by carol", carol)):
        token = issue(alice, name).token
        lifecycle.revoke(token=token, origin=origin(actor, door=Door.COMMAND))
    assert [kind for kind, _ in kinds()].count("token_revoked") == 2


def test_a_second_revocation_owes_no_second_mail(alice: User) -> None:
    token = issue(alice).token
    for _ in range(2):
        lifecycle.revoke(token=token, origin=origin(alice), kind=RevokeKind.SELF)
    assert len(kinds()) == 2


def test_the_same_debt_is_owed_once(alice: User) -> None:
    token = issue(alice).token
    notices.token_created(token, origin(alice))
    assert len(kinds()) == 1


def test_each_new_password_is_a_subject_of_its_own(clock: Clock, alice: User) -> None:
    for _ in range(2):
        notices.password_changed(alice.pk, at=clock.now, address="203.0.113.7")
    notices.password_changed(alice.pk, at=clock.tick(seconds=1), address=None)
    assert [kind for kind, _ in kinds()] == [Kind.PASSWORD_CHANGED] * 2


def test_made_up_lives_owe_nothing(alice: User) -> None:
    wish = Wish(name="quiet", scopes=["account.read"], expires_at=None)
    token = lifecycle.issue(owner=alice, wish=wish, origin=origin(alice, quiet=True)).token
    lifecycle.revoke(token=token, origin=origin(quiet=True), kind=RevokeKind.ADMIN)
    lifecycle.issue_many(owners=[alice], wishes=[wish], origin=origin())
    assert AccessToken.objects.count() == 2
    assert kinds() == []


def test_nothing_owed_holds_a_part_of_the_value(alice: User) -> None:
    issued = issue(alice)
    stored = str(Notice.objects.values().get())
    assert issued.plaintext.reveal()[7:19] not in stored


# --- Claims --------------------------------------------------------------------------------------


@pytest.fixture
def owed(clock: Clock, alice: User) -> int:
    issue(alice)
    return the_notice().pk


def test_what_is_claimed_is_nobody_elses_until_the_claim_ends(clock: Clock, owed: int) -> None:
    assert notices.due(clock.now, 10) == [owed]
    claimed = notices.claim(owed, clock.now)
    assert claimed is not None
    assert claimed.owner.email == "alice@example.com"
    assert notices.due(clock.now, 10) == []
    assert notices.claim(owed, clock.now) is None
    # Whoever claimed it may have died; the debt has not.
    assert notices.due(clock.tick(seconds=LEASE.total_seconds()), 10) == [owed]


def test_what_was_sent_is_never_due_and_keeps_nothing_personal(clock: Clock, owed: int) -> None:
    assert notices.mark_sent([owed], clock.now)
    assert not notices.mark_sent([owed], clock.tick(minutes=1))
    assert (the_notice().sent_at, the_notice().data) == (NOON, {})
    assert notices.claim(owed, clock.tick(days=1)) is None
    assert notices.due(clock.now, 10) == []


@pytest.mark.parametrize(
    ("waited", "wait"),
    [
        (timedelta(0), timedelta(minutes=1)),
        (timedelta(minutes=20), timedelta(minutes=20)),
        (timedelta(days=2), timedelta(hours=1)),
    ],
)
def test_what_failed_falls_due_after_as_long_again(
    clock: Clock, owed: int, waited: timedelta, wait: timedelta
) -> None:
    now = clock.tick(seconds=waited.total_seconds())
    notice = notices.claim(owed, now)
    assert notice is not None
    notices.put_back([notice], now)
    assert the_notice().due_at == now + wait


def test_a_batch_takes_the_longest_owed_first(clock: Clock, alice: User) -> None:
    for number in range(3):
        issue(alice, f"t{number}")
        clock.tick(minutes=1)
    ids = list(Notice.objects.order_by("pk").values_list("pk", flat=True))
    assert notices.due(clock.now, 2) == ids[:2]


@pytest.mark.django_db(transaction=True)
def test_of_eight_claims_at_once_one_is_granted(alice: User) -> None:
    issue(alice)
    notice = the_notice()
    claims = together(*[lambda: notices.claim(notice.pk, notice.due_at)] * 8)
    assert [claim for claim in claims if claim is not None] == [notice]


@pytest.mark.postgresql
def test_a_mail_is_found_by_its_key_among_many_that_have_just_been_owed(alice: User) -> None:
    def owe(number: int, sent_at: datetime | None) -> None:
        Notice.objects.bulk_create(
            Notice(owner=alice, kind="k", subject=f"{n} {sent_at}", due_at=NOON, sent_at=sent_at)
            for n in range(number)
        )

    owe(3000, NOON)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tokens_notice")
    owe(1000, None)
    one, mine = {"pk": 5, "due_at__lte": NOON}, {"owner_id": alice.pk, "kind": "k", "subject": "x"}
    for which in (one, mine):
        assert "notice_due" in Notice.objects.filter(sent_at__isnull=True, **which).explain()
        assert "notice_due" not in notices.unsent().filter(**which).explain()
