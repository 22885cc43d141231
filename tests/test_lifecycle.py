from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import audit, lifecycle, projects, secret
from tokens.lifecycle import AlreadyIssued, Issued, Wish
from tokens.lifecycle.rows import new_row
from tokens.models import (
    AccessToken,
    Created,
    EventDetail,
    Project,
    RevokeKind,
    TokenEvent,
    TokenProject,
)
from tokens.origin import Door
from tokens.policy import Refused

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
VALUE = secret.PREFIX + "0123456789abcdef" * 4


@pytest.fixture
def issued(clock: Clock, alice: User) -> Issued:
    return issue(alice)


@pytest.fixture
def token(issued: Issued) -> AccessToken:
    return issued.token


def stored(token: AccessToken) -> AccessToken:
    return AccessToken.objects.get(pk=token.pk)


def kinds(token: AccessToken) -> list[str]:
    events = TokenEvent.objects.filter(token_public_id=token.public_id).order_by("id")
    return list(events.values_list("kind", flat=True))


def everything() -> list[Any]:
    """Return all rows the lifecycle may write, to compare them before and after."""
    models = (AccessToken, TokenProject, TokenEvent, EventDetail)
    return [list(model.objects.order_by("pk").values()) for model in models]


def a_project(owner: User, name: str = "Website") -> Project:
    return projects.create(owner_id=owner.pk, name=name, origin=origin(owner))


# --- Issue --------------------------------------------------------------------------------------


def test_an_issued_token_is_stored_without_its_value(clock: Clock, alice: User) -> None:
    expires_at = clock.now + 30 * DAY
    made = issue(alice, "  cli ", scopes=["projects.read", "inference"], expires_at=expires_at)
    value, row = made.plaintext.reveal(), stored(made.token)
    assert (row.name, row.name_key, row.scopes) == ("cli", "cli", "inference projects.read")
    assert (row.owner_id, row.created_at, row.expires_at) == (alice.pk, clock.now, expires_at)
    assert (row.created_via, row.generation, row.projects_limited) == ("console", 1, False)
    assert (row.pepper_id, bytes(row.digest)) == secret.digest(value)
    assert row.masked == str(made.plaintext)
    assert value[7:19] not in str(everything())


def test_an_issue_is_remembered_with_its_origin(clock: Clock, alice: User) -> None:
    wish = Wish(name="cli", scopes=["inference"], expires_at=None)
    where = origin(alice, address="203.0.113.9", client="curl", request_id="r1", door=Door.COMMAND)
    made = lifecycle.issue(owner=alice, wish=wish, origin=where, via=Created.COMMAND)
    event = TokenEvent.objects.get()
    assert (event.kind, event.at, event.door) == ("token.issued", clock.now, "command")
    assert (event.actor_id, event.owner_id) == (alice.pk, alice.pk)
    assert event.token_public_id == made.token.public_id
    assert event.data == {"scopes": "inference", "expires_at": None, "via": "command"}
    detail = EventDetail.objects.get(event_id=event.pk)
    assert (detail.address, detail.client) == ("203.0.113.9", "curl")
    assert (detail.token_name, detail.request_id) == ("cli", "r1")


@pytest.mark.parametrize(
    ("wish", "field", "code"),
    [
        ({"name": " "}, "name", "name_required"),
        ({"name": VALUE[:30]}, "name", "contains_token"),
        ({"scopes": []}, "scopes", "scopes_required"),
        ({"scopes": ["admin"]}, "scopes", "unknown_scope"),
        ({"expires_at": NOON}, "expires_custom", "expiry_out_of_range"),
        ({"expires_at": NOON + 367 * DAY}, "expires_custom", "expiry_out_of_range"),
        ({"description": "x" * 201}, "description", "description_too_long"),
        ({"description": "a\x00b"}, "description", "unprintable"),
        ({"description": f"see {VALUE[:20]}"}, "description", "contains_token"),
    ],
    ids=["no name", "a token", "no scope", "bad scope", "past", "far", "long", "NUL", "token in text"],
)  # fmt: skip
def test_a_refused_wish_leaves_nothing_behind(
    clock: Clock, alice: User, wish: dict[str, Any], field: str, code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as caught:
        issue(alice, **wish)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert everything() == before


@pytest.mark.parametrize("held", ["cli", "CLI", "ｃｌｉ", " cli "])  # noqa: RUF001
def test_a_live_name_is_held_whatever_its_spelling(
    clock: Clock, alice: User, bob: User, held: str
) -> None:
    issue(alice, held)
    before = everything()
    with pytest.raises(Refused) as caught:
        issue(alice, "Cli")
    assert caught.value.code == "name_taken"
    assert caught.value.sentence == (
        "You already have an active token called Cli. "
        "Pick another name, or rotate or revoke that one."
    )
    assert everything() == before
    issue(bob, "Cli")


def test_a_revoked_tokens_name_is_free_at_once(token: AccessToken, alice: User) -> None:
    lifecycle.revoke(token=token, origin=origin(alice))
    issue(alice, token.name)
    assert stored(token).name == token.name
    assert stored(token).name_key is None


@pytest.mark.parametrize("end", ["expires_at", "retire_at"])
def test_a_name_whose_token_ended_by_time_is_freed_by_the_next_issue(
    clock: Clock, token: AccessToken, alice: User, end: str
) -> None:
    AccessToken.objects.filter(pk=token.pk).update(**{end: clock.now + HOUR})
    clock.tick(hours=1, seconds=-1)
    with pytest.raises(Refused, match="already have an active token"):
        issue(alice, token.name)
    clock.tick(seconds=1)
    assert stored(token).name_key == token.name
    issue(alice, token.name)
    assert stored(token).name_key is None


def test_a_refused_issue_frees_no_name(clock: Clock, token: AccessToken, alice: User) -> None:
    AccessToken.objects.filter(pk=token.pk).update(expires_at=clock.now + HOUR)
    clock.tick(hours=1)
    mine, hers = a_project(alice), Project(owner_id=alice.pk + 1)
    with pytest.raises(Refused):
        issue(alice, token.name, projects=[mine, hers])
    assert stored(token).name_key == token.name


# --- Repetition ---------------------------------------------------------------------------------


def test_the_same_request_mints_once(clock: Clock, alice: User) -> None:
    request_id = uuid.uuid4()
    first = issue(alice, request_id=request_id)
    before = everything()
    for name in (first.token.name, "another name", ""):
        with pytest.raises(AlreadyIssued) as caught:
            issue(alice, name, request_id=request_id)
        assert caught.value.token == first.token
    assert everything() == before


def test_a_repeated_request_is_answered_even_when_the_limit_is_reached(
    clock: Clock, alice: User, settings: Settings
) -> None:
    request_id = uuid.uuid4()
    issue(alice, request_id=request_id)
    settings.TOKENS_MAX_LIVE = 1
    with pytest.raises(AlreadyIssued):
        issue(alice, request_id=request_id)


def test_one_persons_request_id_says_nothing_about_anothers(
    clock: Clock, alice: User, bob: User
) -> None:
    request_id = uuid.uuid4()
    one, other = (issue(person, request_id=request_id) for person in (alice, bob))
    assert one.token != other.token


# --- Projects -----------------------------------------------------------------------------------


def test_a_token_may_be_limited_to_projects_or_to_none(clock: Clock, alice: User) -> None:
    website, shop = a_project(alice), a_project(alice, "Shop")
    both = issue(alice, "both", projects=[website, shop, website]).token
    none = issue(alice, "none", projects=[]).token
    every = issue(alice, "every", projects=None).token
    limits = [
        (row.projects_limited, set(row.projects.all()))
        for row in (stored(both), stored(none), stored(every))
    ]
    assert limits == [(True, {website, shop}), (True, set()), (False, set())]


@pytest.mark.parametrize("with_own", [True, False])
def test_bob_cannot_use_the_projects_of_alice(
    clock: Clock, alice: User, bob: User, with_own: bool
) -> None:
    chosen = [a_project(alice)] + ([a_project(bob)] if with_own else [])
    before = everything()
    with pytest.raises(Refused) as caught:
        issue(bob, projects=chosen)
    assert (caught.value.field, caught.value.code) == ("projects", "unknown_project")
    assert caught.value.sentence == "Choose projects of your own."
    assert everything() == before


# --- Revoke -------------------------------------------------------------------------------------


def test_a_revoked_token_keeps_its_row_and_the_facts_of_its_end(
    clock: Clock, token: AccessToken, alice: User, carol: User
) -> None:
    clock.tick(hours=1)
    assert lifecycle.revoke(
        token=token, origin=origin(carol), kind=RevokeKind.ADMIN, reason="  found in a log "
    )
    row = stored(token)
    assert (row.revoked_at, row.revoked_by, row.revoke_kind) == (clock.now, carol, "admin")
    assert (row.reason, row.name_key) == ("found in a log", None)
    event = TokenEvent.objects.get(kind="token.revoked")
    assert (event.actor_id, event.owner_id) == (carol.pk, alice.pk)
    # What was typed may name somebody, and the event can never be erased.
    assert event.data == {"kind": "admin", "reason_given": True}


def test_a_second_revoke_keeps_the_firsts_facts_and_writes_no_event(
    clock: Clock, token: AccessToken, alice: User, carol: User
) -> None:
    lifecycle.revoke(token=token, origin=origin(alice), kind=RevokeKind.LEAKED, reason="leaked")
    before = everything()
    clock.tick(hours=1)
    assert not lifecycle.revoke(token=token, origin=origin(carol), kind=RevokeKind.ADMIN)
    assert everything() == before


@pytest.mark.parametrize("end", ["expires_at", "retire_at"])
def test_revoking_a_token_that_has_ended_changes_nothing(
    clock: Clock, token: AccessToken, alice: User, end: str
) -> None:
    AccessToken.objects.filter(pk=token.pk).update(**{end: clock.now + HOUR})
    clock.tick(hours=1)
    before = everything()
    assert not lifecycle.revoke(token=token, origin=origin(alice))
    assert everything() == before


def test_a_paused_token_can_be_revoked(token: AccessToken, alice: User, clock: Clock) -> None:
    AccessToken.objects.filter(pk=token.pk).update(paused_at=clock.now)
    assert lifecycle.revoke(token=token, origin=origin(alice))


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (f"it was {VALUE}", "contains_token"),
        (f"it was {VALUE[:15]}", "contains_token"),
        ("a\u202eb", "unprintable"),
        ("a\x00", "unprintable"),
        ("a\ufffd", "unreadable"),
    ],
)
def test_a_reason_nobody_should_have_to_read_ends_nothing(
    token: AccessToken, alice: User, reason: str, code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as caught:
        lifecycle.revoke(token=token, origin=origin(alice), reason=reason)
    assert (caught.value.field, caught.value.code) == ("reason", code)
    assert everything() == before


def test_a_long_reason_is_cut_to_its_column(token: AccessToken, alice: User) -> None:
    assert lifecycle.revoke(token=token, origin=origin(alice), reason="x" * 10_000)
    assert stored(token).reason == "x" * 200


# --- Rename -------------------------------------------------------------------------------------


def test_a_rename_changes_name_and_description_and_moves_the_hold(
    token: AccessToken, alice: User
) -> None:
    assert lifecycle.rename(
        token=token, name=" New ", description=" what for ", origin=origin(alice)
    )
    row = stored(token)
    assert (row.name, row.name_key, row.description) == ("New", "new", "what for")
    assert kinds(token) == ["token.issued", "token.renamed"]
    assert EventDetail.objects.order_by("-event_id")[0].token_name == "New"
    issue(alice, token.name)


def test_a_rename_to_the_same_writes_nothing(token: AccessToken, alice: User) -> None:
    before = everything()
    assert not lifecycle.rename(token=token, name=token.name, description="", origin=origin(alice))
    assert everything() == before


def test_a_token_may_change_the_case_of_its_own_name(token: AccessToken, alice: User) -> None:
    assert lifecycle.rename(
        token=token, name=token.name.upper(), description="", origin=origin(alice)
    )
    assert stored(token).name == token.name.upper()


def test_a_rename_to_a_held_name_is_refused(token: AccessToken, alice: User) -> None:
    issue(alice, "other")
    before = everything()
    with pytest.raises(Refused, match="already have an active token called OTHER"):
        lifecycle.rename(token=token, name="OTHER", description="", origin=origin(alice))
    assert everything() == before


def test_a_rename_frees_a_name_whose_holder_expired(
    clock: Clock, token: AccessToken, alice: User
) -> None:
    old = issue(alice, "other", expires_at=clock.now + HOUR).token
    clock.tick(hours=1)
    assert lifecycle.rename(token=token, name="other", description="", origin=origin(alice))
    assert stored(old).name_key is None


def test_an_ended_token_keeps_its_name(token: AccessToken, alice: User, clock: Clock) -> None:
    lifecycle.revoke(token=token, origin=origin(alice))
    before = everything()
    assert not lifecycle.rename(token=token, name="new", description="", origin=origin(alice))
    assert everything() == before


@pytest.mark.parametrize(
    ("name", "description", "code"),
    [
        ("", "", "name_required"),
        ("x" * 65, "", "name_too_long"),
        (VALUE[:20], "", "contains_token"),
        ("fine", "x" * 201, "description_too_long"),
        ("fine", "a\nb", "unprintable"),
    ],
)
def test_a_rename_that_cannot_be_read_is_refused(
    token: AccessToken, alice: User, name: str, description: str, code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as caught:
        lifecycle.rename(token=token, name=name, description=description, origin=origin(alice))
    assert caught.value.code == code
    assert everything() == before


# --- Narrow -------------------------------------------------------------------------------------


def test_a_token_can_lose_scopes_and_the_event_says_which(token: AccessToken, alice: User) -> None:
    assert lifecycle.narrow(token=token, scopes=["projects.read"], origin=origin(alice))
    assert stored(token).scopes == "projects.read"
    event = TokenEvent.objects.get(kind="token.narrowed")
    assert event.data == {"before": "projects.read account.read", "after": "projects.read"}


def test_narrowing_to_the_same_writes_nothing(token: AccessToken, alice: User) -> None:
    before = everything()
    assert not lifecycle.narrow(token=token, scopes=token.scope_names, origin=origin(alice))
    assert everything() == before


@pytest.mark.parametrize(
    ("scopes", "code"),
    [
        (["projects.read", "projects.write"], "scopes_widened"),
        (["inference"], "scopes_widened"),
        ([], "scopes_required"),
        (["admin"], "unknown_scope"),
    ],
    ids=["more", "others", "none", "unknown"],
)
def test_a_token_never_gains_a_scope(
    token: AccessToken, alice: User, scopes: list[str], code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as caught:
        lifecycle.narrow(token=token, scopes=scopes, origin=origin(alice))
    assert caught.value.code == code
    assert everything() == before


def test_narrowing_a_token_that_has_ended_changes_nothing(
    token: AccessToken, alice: User, clock: Clock
) -> None:
    clock.tick(days=30)
    before = everything()
    assert not lifecycle.narrow(token=token, scopes=["projects.read"], origin=origin(alice))
    assert everything() == before


# --- First use and digests ----------------------------------------------------------------------


def test_the_first_use_is_noted_once(token: AccessToken, alice: User, clock: Clock) -> None:
    first = clock.tick(minutes=1)
    assert lifecycle.note_first_use(token_id=token.pk, origin=origin(alice))
    clock.tick(minutes=1)
    assert not lifecycle.note_first_use(token_id=token.pk, origin=origin(alice))
    assert stored(token).first_used_at == first
    assert kinds(token) == ["token.issued", "token.first_used"]


def test_a_token_is_digested_again_under_the_pepper_that_signs(
    issued: Issued, alice: User, settings: Settings
) -> None:
    value, before = issued.plaintext.reveal(), bytes(stored(issued.token).digest)
    settings.TOKEN_PEPPERS = f"{settings.TOKEN_PEPPERS},7:{'p' * 32}"
    facts = {"token_id": issued.token.pk, "value": value, "origin": origin(alice)}
    assert lifecycle.redigest(**facts)
    assert not lifecycle.redigest(**facts)
    row = stored(issued.token)
    assert (row.pepper_id, bytes(row.digest)) == secret.digest(value)
    assert row.pepper_id == 7
    assert bytes(row.digest) != before
    assert kinds(issued.token) == ["token.issued", "token.redigested"]
    assert TokenEvent.objects.get(kind="token.redigested").data == {"pepper_id": 7}


# --- Many at once -------------------------------------------------------------------------------


def test_many_tokens_are_made_with_one_event_that_names_them(
    clock: Clock, alice: User, bob: User
) -> None:
    wishes = [Wish(name="seed", scopes=["inference"], expires_at=None) for _ in range(3)]
    made = lifecycle.issue_many(
        owners=[alice, bob, alice], wishes=wishes, origin=origin(None, door=Door.COMMAND)
    )
    rows = AccessToken.objects.in_bulk([each.public_id for each in made], field_name="public_id")
    for each, owner in zip(made, [alice, bob, alice], strict=True):
        row = rows[each.public_id]
        assert (row.owner, row.name, row.name_key) == (owner, "seed", None)
        assert (row.pepper_id, bytes(row.digest)) == secret.digest(each.plaintext.reveal())
        assert (row.scopes, row.created_at, row.expires_at) == ("inference", clock.now, None)
    event = TokenEvent.objects.get()
    assert event.kind == "token.issued_batch"
    assert event.data == {
        "via": "command",
        "count": 3,
        "tokens": [str(each.public_id) for each in made],
    }


def test_a_row_of_many_is_the_row_that_one_issue_would_have_written(
    clock: Clock, alice: User
) -> None:
    later = clock.now + timedelta(days=30)
    wishes = [
        Wish(name="tab\there", scopes=["inference"], expires_at=None, description="\\N"),
        Wish(name="\\.", scopes=["projects.read", "account.read"], expires_at=later),
        Wish(name="\"quoted\", 'twice'", scopes=["inference"], expires_at=later),
        Wish(name="Träume 🚀", scopes=["inference"], expires_at=later, description="x; --"),
    ]
    own = {"id", "public_id", "family", "digest", "head4", "last4", "name_key", "request_id"}
    lifecycle.issue_many(owners=[alice] * 4, wishes=wishes, origin=origin(alice))
    seeded = list(AccessToken.objects.order_by("id").values())
    assert len({each[name] for each in seeded for name in ("public_id", "family")}) == 8
    for wish, row in zip(wishes, seeded, strict=True):
        value = secret.mint()
        one = new_row(alice, wish.name, row["scopes"], wish, value, Created.COMMAND, clock.now)
        one.save()
        alone = AccessToken.objects.values().get(pk=one.pk)
        assert {name: row[name] for name in row.keys() - own} == {
            name: alone[name] for name in alone.keys() - own
        }


def test_of_many_tokens_all_are_made_or_none(clock: Clock, alice: User) -> None:
    wishes = [Wish(name="seed", scopes=names, expires_at=None) for names in (["inference"], ["x"])]
    with pytest.raises(Refused):
        lifecycle.issue_many(owners=[alice] * 2, wishes=wishes, origin=origin(alice))
    with pytest.raises(ValueError, match="shorter"):
        lifecycle.issue_many(owners=[alice] * 2, wishes=wishes[:1], origin=origin(alice))
    assert everything() == [[], [], [], []]


# --- The event is part of the change ------------------------------------------------------------

CHANGES: dict[str, Callable[[Issued, User], Any]] = {
    "issue": lambda _, alice: issue(alice, "another"),
    "issue_many": lambda _, alice: lifecycle.issue_many(
        owners=[alice],
        wishes=[Wish(name="seed", scopes=["inference"], expires_at=None)],
        origin=origin(alice),
    ),
    "revoke": lambda issued, alice: lifecycle.revoke(token=issued.token, origin=origin(alice)),
    "rename": lambda issued, alice: lifecycle.rename(
        token=issued.token, name="another", description="", origin=origin(alice)
    ),
    "narrow": lambda issued, alice: lifecycle.narrow(
        token=issued.token, scopes=["projects.read"], origin=origin(alice)
    ),
    "note_first_use": lambda issued, alice: lifecycle.note_first_use(
        token_id=issued.token.pk, origin=origin(alice)
    ),
    "redigest": lambda issued, alice: lifecycle.redigest(
        token_id=issued.token.pk, value=issued.plaintext.reveal(), origin=origin(alice)
    ),
}


@pytest.fixture
def new_pepper(issued: Issued, settings: Settings) -> None:
    settings.TOKEN_PEPPERS = f"{settings.TOKEN_PEPPERS},7:{'p' * 32}"


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("model", [TokenEvent, EventDetail])
def test_where_the_event_cannot_be_written_nothing_is_changed(
    issued: Issued,
    new_pepper: None,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    model: Any,
) -> None:
    def fail(**_: Any) -> None:
        raise IntegrityError("the audit cannot be written")

    before = everything()
    monkeypatch.setattr(model.objects, "create", fail)
    with pytest.raises(IntegrityError):
        CHANGES[change](issued, alice)
    monkeypatch.undo()
    assert everything() == before
    CHANGES[change](issued, alice)
    assert everything() != before


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_is_made_without_an_event(
    issued: Issued, new_pepper: None, alice: User, change: str
) -> None:
    events = TokenEvent.objects.count()
    CHANGES[change](issued, alice)
    assert TokenEvent.objects.count() == events + 1
    assert EventDetail.objects.count() == events + 1


# --- What can never be stored -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "law"),
    [
        ({"expires_at": NOON}, "token_expires_after_it_is_created"),
        ({"revoked_at": NOON}, "token_has_a_revoke_kind_iff_revoked"),
        ({"revoke_kind": "owner"}, "token_has_a_revoke_kind_iff_revoked"),
        ({"paused_until": NOON}, "token_pause_that_ends_has_begun"),
        ({"scopes": ""}, "token_has_a_scope"),
    ],
    ids=["expiry", "kind missing", "kind alone", "pause", "scopes"],
)
def test_the_database_refuses_rows_that_mean_nothing(
    token: AccessToken, values: dict[str, Any], law: str
) -> None:
    with pytest.raises(IntegrityError, match=law), transaction.atomic():
        AccessToken.objects.filter(pk=token.pk).update(**values)


def test_the_database_keeps_one_holder_a_name_and_one_token_a_request(
    token: AccessToken, alice: User
) -> None:
    other = issue(alice, "other", request_id=uuid.uuid4()).token
    for values in ({"name_key": token.name_key}, {"digest": bytes(token.digest)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            AccessToken.objects.filter(pk=other.pk).update(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        AccessToken.objects.filter(pk=token.pk).update(request_id=other.request_id)


def test_a_tokens_events_tell_its_whole_life(issued: Issued, new_pepper: None, alice: User) -> None:
    for change in ("rename", "narrow", "note_first_use", "redigest", "revoke"):
        CHANGES[change](issued, alice)
    assert kinds(issued.token) == [
        audit.Kind.ISSUED,
        audit.Kind.RENAMED,
        audit.Kind.NARROWED,
        audit.Kind.FIRST_USED,
        audit.Kind.REDIGESTED,
        audit.Kind.REVOKED,
    ]


def test_a_revocation_counts_for_a_clock_that_was_read_before_it(clock: Clock, alice: User) -> None:
    token = issue(alice, "cli-macbook").token
    earlier = clock.now
    clock.tick(seconds=1)
    lifecycle.revoke(token=token, origin=origin(alice))
    before = origin(alice, at=earlier)
    assert not lifecycle.rename(token=token, name="laptop", description="", origin=before)
    assert not lifecycle.narrow(token=token, scopes=["account.read"], origin=before)
    token.refresh_from_db()
    assert (token.name, token.name_key) == ("cli-macbook", None)
    assert token.scope_names == ("projects.read", "account.read")


def test_renaming_remembers_what_was_changed_and_not_the_words(alice: User) -> None:
    token = issue(alice, "cli-macbook").token
    lifecycle.rename(token=token, name="laptop", description="", origin=origin(alice))
    lifecycle.rename(token=token, name="laptop", description="Desk", origin=origin(alice))
    lifecycle.rename(token=token, name="mac", description="", origin=origin(alice))
    events = TokenEvent.objects.filter(kind="token.renamed").order_by("pk")
    assert [event.data for event in events] == [
        {"changed": ["name"]},
        {"changed": ["description"]},
        {"changed": ["name", "description"]},
    ]


# --- Stored ---------------------------------------------------------------------------------------


def test_storing_is_noted_once_with_one_event(clock: Clock, alice: User) -> None:
    token = issue(alice).token
    assert lifecycle.confirm_stored(token=token, origin=origin(alice))
    first = clock.now
    clock.tick(minutes=5)
    assert not lifecycle.confirm_stored(token=token, origin=origin(alice))
    token.refresh_from_db()
    assert token.stored_at == first
    event = TokenEvent.objects.get(kind="token.stored")
    assert (event.actor_id, event.token_public_id) == (alice.pk, token.public_id)
