"""Rotations as the writers make them: what they change, what they refuse, and what time does."""

from __future__ import annotations

import itertools
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin
from tokens import lifecycle, policy, projects
from tokens.lifecycle import AlreadyIssued, Issued, RotationWish
from tokens.models import (
    AccessToken,
    EventDetail,
    Notice,
    Project,
    RevokeKind,
    RotationTick,
    TokenEvent,
    TokenProject,
    standing,
)
from tokens.models.rotation import (
    ALL_PLACES,
    Step,
    is_open,
    open_replacement_q,
    rotation_of,
)
from tokens.policy import Refused

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HELD = ["projects.read", "account.read"]


def stored(token: AccessToken) -> AccessToken:
    return AccessToken.objects.select_related("owner").get(pk=token.pk)


def kinds(token: AccessToken) -> list[str]:
    events = TokenEvent.objects.filter(token_public_id=token.public_id).order_by("id")
    return list(events.values_list("kind", flat=True))


def everything() -> list[Any]:
    """Return all rows a rotation may write, to compare them before and after."""
    models = (AccessToken, TokenProject, RotationTick, TokenEvent, EventDetail, Notice)
    return [list(model.objects.order_by("pk").values()) for model in models]


def wish(**changes: Any) -> RotationWish:
    facts = {"scopes": HELD, "expires_at": NOON + 30 * DAY, "projects": None}
    return RotationWish(**(facts | changes))


def rotate(token: AccessToken, alice: User, **changes: Any) -> Issued:
    request_id = changes.pop("request_id", None)
    at = changes.pop("at", None)
    return lifecycle.rotate(
        token=token, wish=wish(**changes), origin=origin(alice, at=at), request_id=request_id
    )


def use(token: AccessToken) -> None:
    lifecycle.note_first_use(token_id=token.pk, origin=origin())


@pytest.fixture
def old(clock: Clock, alice: User) -> AccessToken:
    return issue(alice, "gitlab-release", description="Ships the shop").token


@pytest.fixture
def new(clock: Clock, old: AccessToken, alice: User) -> AccessToken:
    return rotate(old, alice).token


# --- Beginning -----------------------------------------------------------------------------------


def test_a_replacement_takes_the_name_and_raises_the_generation(
    clock: Clock, old: AccessToken, alice: User
) -> None:
    made = rotate(old, alice, scopes=["account.read"], expires_at=NOON + 7 * DAY)
    before, after = stored(old), stored(made.token)
    assert (after.name, after.name_key, after.description) == (
        "gitlab-release",
        "gitlab-release",
        "Ships the shop",
    )
    assert (before.name, before.name_key) == ("gitlab-release", None)
    assert (after.family, after.generation, after.replaces) == (old.family, 2, old)
    assert (after.scopes, after.expires_at) == ("account.read", NOON + 7 * DAY)
    assert (after.created_via, after.created_at) == ("rotation", clock.now)
    assert (before.scopes, before.expires_at) == (old.scopes, old.expires_at)
    assert made.plaintext.reveal()[7:19] not in str(everything())
    assert kinds(old)[1:] == ["token.rotation_started"]
    assert kinds(made.token) == ["token.issued"]


def test_both_tokens_live_during_a_rotation(
    clock: Clock, old: AccessToken, new: AccessToken
) -> None:
    assert set(AccessToken.objects.live(clock.now)) == {old, new}


def test_a_repeated_request_makes_no_second_replacement(old: AccessToken, alice: User) -> None:
    request_id = uuid.uuid4()
    made = rotate(old, alice, request_id=request_id)
    before = everything()
    with pytest.raises(AlreadyIssued) as caught:
        rotate(old, alice, request_id=request_id)
    assert caught.value.token == made.token
    assert everything() == before


def refused(token: AccessToken, alice: User, **changes: Any) -> Refused:
    """Rotate in vain, and make sure that nothing was written."""
    before = everything()
    with pytest.raises(Refused) as caught:
        rotate(token, alice, **changes)
    assert everything() == before
    assert caught.value.sentence.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"scopes": [*HELD, "keys.write"]}, "scopes", "scopes_widened"),
        ({"scopes": ["deployments.read"]}, "scopes", "scopes_widened"),
        ({"scopes": ["root"]}, "scopes", "scopes_widened"),
        ({"scopes": []}, "scopes", "scopes_required"),
        ({"expires_at": NOON + 367 * DAY}, "expires_custom", "expiry_out_of_range"),
        ({"expires_at": NOON - DAY}, "expires_custom", "expiry_out_of_range"),
    ],
)
def test_a_replacement_is_never_more_than_its_token(
    clock: Clock, old: AccessToken, alice: User, changes: dict[str, Any], field: str, code: str
) -> None:
    refusal = refused(old, alice, **changes)
    assert (refusal.field, refusal.code) == (field, code)


def a_project(owner: User, name: str) -> Project:
    return projects.create(owner_id=owner.pk, name=name, origin=origin(owner))


def test_a_replacement_reaches_no_more_projects(clock: Clock, alice: User, bob: User) -> None:
    shop, blog, secret = a_project(alice, "Shop"), a_project(alice, "Blog"), a_project(bob, "X")
    limited = issue(alice, "limited", projects=[shop]).token
    for wider in (None, [shop, blog], [secret]):
        assert refused(limited, alice, projects=wider).code == "projects_widened"
    free = issue(alice, "free").token
    assert refused(free, alice, projects=[secret]).code == "unknown_project"
    assert list(rotate(limited, alice, projects=[shop]).token.projects.all()) == [shop]
    narrower = stored(rotate(free, alice, projects=[blog]).token)
    assert (narrower.projects_limited, list(narrower.projects.all())) == (True, [blog])


def test_a_token_that_lost_its_last_project_is_replaced_by_one_without_any(
    clock: Clock, alice: User
) -> None:
    none = issue(alice, "none", projects=[]).token
    assert refused(none, alice, projects=None).code == "projects_widened"
    replacement = stored(rotate(none, alice, projects=[]).token)
    assert (replacement.projects_limited, replacement.projects.count()) == (True, 0)


def ended(token: AccessToken) -> None:
    lifecycle.revoke(token=token, origin=origin())


def expired(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(expires_at=NOON, created_at=NOON - DAY)


def retired(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(retire_at=NOON)


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (ended, "token_ended"),
        (expired, "token_ended"),
        (retired, "token_ended"),
    ],
)
def test_what_does_not_work_is_not_rotated(
    old: AccessToken, alice: User, state: Any, code: str
) -> None:
    state(old)
    assert refused(old, alice).code == code


@pytest.mark.parametrize("until", [None, NOON + HOUR])
def test_the_replacement_of_a_paused_token_is_not_paused(
    clock: Clock, old: AccessToken, alice: User, until: datetime | None
) -> None:
    lifecycle.pause(token=old, until=until, origin=origin(alice))
    made = rotate(old, alice)
    accepted = policy.accepted_q(policy.current_rules(), clock.now)
    assert list(AccessToken.objects.filter(accepted)) == [made.token]
    kept = stored(old)
    assert (kept.paused_at, kept.paused_until, kept.revoked_at) == (NOON, until, None)
    # What ends the pause afterwards is the end of the old token's pause, and of nothing else.
    assert lifecycle.resume(token=old, origin=origin(alice))
    assert (stored(old).paused_at, stored(made.token).paused_at) == (None, None)


def test_a_token_has_one_open_rotation_and_its_replacement_none(
    old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert refused(old, alice).code == "already_rotating"
    assert refused(new, alice).code == "replacement_in_rotation"


def test_a_replacement_can_be_rotated_once_its_rotation_is_over(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert lifecycle.retire(replacement=new, at=clock.now + HOUR, origin=origin(alice))
    clock.tick(hours=1, seconds=-1)
    assert refused(new, alice).code == "replacement_in_rotation"
    clock.tick(seconds=1)
    third = rotate(new, alice).token
    assert third.generation == 3
    # The writer after a timed end stamps it, with the instant of the end.
    assert stored(new).rotation_closed_at == NOON + HOUR
    assert kinds(new)[-2:] == ["token.rotation_finished", "token.rotation_started"]


def test_a_rotation_needs_no_room_but_counts_for_the_day(
    clock: Clock, old: AccessToken, alice: User, settings: Any
) -> None:
    settings.TOKENS_MAX_LIVE = 2
    issue(alice, "second")
    new = rotate(old, alice).token
    with pytest.raises(Refused, match="reached 2 active tokens"):
        issue(alice, "third")
    lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    with pytest.raises(Refused, match="reached 2 active tokens"):
        issue(alice, "third")
    settings.TOKENS_MAX_NEW_PER_DAY = 3
    assert refused(new, alice).code == "too_many_new_tokens"


def test_the_name_of_a_rotating_pair_is_held(
    old: AccessToken, new: AccessToken, alice: User
) -> None:
    with pytest.raises(Refused, match="already have an active token"):
        issue(alice, "GitLab-Release")


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_rotating_pair_is_renamed_as_one(
    old: AccessToken, new: AccessToken, alice: User, which: str
) -> None:
    token = {"old": old, "new": new}[which]
    assert lifecycle.rename(token=token, name="ship", description="", origin=origin(alice))
    assert (stored(old).name, stored(old).name_key) == ("ship", None)
    assert (stored(new).name, stored(new).name_key) == ("ship", "ship")
    assert kinds(token)[-1] == "token.renamed"
    issue(alice, "gitlab-release")


# --- Cancelling ----------------------------------------------------------------------------------


def test_a_cancelled_rotation_leaves_the_token_as_it_was(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=clock.now + HOUR, origin=origin(alice))
    assert lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    assert (stored(old).name_key, stored(old).retire_at) == ("gitlab-release", None)
    gone = stored(new)
    assert (gone.revoke_kind, gone.name_key) == (RevokeKind.CANCELLED, None)
    assert (gone.revoked_at, gone.rotation_closed_at) == (clock.now, clock.now)
    assert kinds(old)[-1] == "token.rotation_cancelled"
    assert kinds(new)[-1] == "token.revoked"
    before = everything()
    assert not lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    assert everything() == before
    assert rotate(old, alice).token.replaces == old


def test_a_rotation_whose_replacement_was_used_is_not_cancelled(
    new: AccessToken, alice: User
) -> None:
    use(new)
    before = everything()
    with pytest.raises(Refused, match="has been used") as caught:
        lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    assert caught.value.code == "replacement_used"
    assert everything() == before


@pytest.mark.parametrize("state", [ended, expired, retired])
def test_what_is_left_of_a_rotation_is_never_cancelled(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User, state: Any
) -> None:
    state(old)
    before = everything()
    assert not lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    assert everything() == before


def test_a_token_that_replaces_nothing_is_not_cancelled(old: AccessToken, alice: User) -> None:
    before = everything()
    for change in (
        lambda: lifecycle.cancel_rotation(replacement=old, origin=origin(alice)),
        lambda: lifecycle.retire(replacement=old, at=None, origin=origin(alice)),
        lambda: lifecycle.skip_check(replacement=old, origin=origin(alice)),
        lambda: lifecycle.tick(replacement=old, ticked=["a"], origin=origin(alice)),
    ):
        assert not change()
    assert everything() == before


# --- Ending --------------------------------------------------------------------------------------


def test_retiring_now_ends_the_old_token_and_the_rotation(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    clock.tick(hours=6)
    assert lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    before, after = stored(old), stored(new)
    assert (before.revoked_at, before.revoke_kind) == (clock.now, RevokeKind.ROTATED)
    assert before.revoked_by == alice
    assert (after.rotation_closed_at, after.revoked_at) == (clock.now, None)
    assert after.name_key == "gitlab-release"
    assert kinds(old)[-1] == "token.revoked"
    assert kinds(new)[-1] == "token.rotation_finished"
    snapshot = everything()
    assert not lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    assert not lifecycle.retire(replacement=new, at=clock.now + HOUR, origin=origin(alice))
    assert everything() == snapshot


def test_a_timed_end_holds_at_its_instant_and_can_be_moved(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert lifecycle.retire(replacement=new, at=NOON + HOUR, origin=origin(alice))
    assert lifecycle.retire(replacement=new, at=NOON + DAY, origin=origin(alice))
    before = everything()
    assert not lifecycle.retire(replacement=new, at=NOON + DAY, origin=origin(alice))
    assert everything() == before
    events = TokenEvent.objects.filter(kind="token.retirement_set").order_by("id")
    assert [event.data["before"] for event in events] == [None, (NOON + HOUR).isoformat()]
    clock.tick(days=1, seconds=-1)
    assert rotation_of(old.pk, clock.now) is not None
    clock.tick(seconds=1)
    assert rotation_of(old.pk, clock.now) is None
    assert set(AccessToken.objects.live(clock.now)) == {new}


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (NOON, "retirement_past"),
        (NOON - DAY, "retirement_past"),
        (NOON + 31 * DAY, "retirement_too_late"),
    ],
)
def test_a_timed_end_lies_between_now_and_the_planned_one(
    new: AccessToken, alice: User, at: datetime, code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as caught:
        lifecycle.retire(replacement=new, at=at, origin=origin(alice))
    assert caught.value.code == code
    assert everything() == before


def test_a_token_without_an_end_is_not_kept_for_ever(clock: Clock, alice: User) -> None:
    endless = issue(alice, "endless", expires_at=None).token
    new = rotate(endless, alice).token
    with pytest.raises(Refused, match="within 366 days"):
        lifecycle.retire(replacement=new, at=NOON + 367 * DAY, origin=origin(alice))
    assert lifecycle.retire(replacement=new, at=NOON + 366 * DAY, origin=origin(alice))


def test_revoking_the_old_token_finishes_its_rotation(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.revoke(token=old, origin=origin(alice))
    assert stored(new).rotation_closed_at == clock.now
    assert stored(new).name_key == "gitlab-release"
    assert kinds(new)[-1] == "token.rotation_finished"
    rotate(new, alice)


def test_revoking_the_replacement_hands_the_name_back(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    use(new)
    lifecycle.retire(replacement=new, at=clock.now + DAY, origin=origin(alice))
    lifecycle.revoke(token=new, origin=origin(alice), kind=RevokeKind.LEAKED)
    assert (stored(old).name_key, stored(old).retire_at) == ("gitlab-release", None)
    assert stored(new).rotation_closed_at == clock.now
    assert kinds(old)[-1] == "token.rotation_cancelled"
    assert rotate(old, alice).token.generation == 2


def test_a_replacement_that_expires_first_lets_a_new_rotation_begin(
    clock: Clock, old: AccessToken, alice: User
) -> None:
    short = rotate(old, alice, expires_at=NOON + HOUR).token
    clock.tick(hours=1)
    assert rotation_of(old.pk, clock.now) is None
    again = rotate(old, alice).token
    assert stored(short).rotation_closed_at == NOON + HOUR
    assert (stored(short).name_key, again.name_key) == (None, "gitlab-release")


def test_an_old_token_that_expires_first_ends_the_rotation(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    AccessToken.objects.filter(pk=old.pk).update(expires_at=NOON + HOUR)
    clock.tick(hours=2)
    assert not lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    assert rotate(new, alice).token.generation == 3


def test_a_clock_that_is_set_back_opens_nothing_that_was_closed(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    clock.tick(days=-1)
    assert rotation_of(old.pk, clock.now) is None
    assert refused(old, alice).code == "token_ended"
    assert not lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    clock.tick(days=2)
    assert rotate(new, alice).token.generation == 3


def test_a_clock_that_jumps_over_a_timed_end_and_back_follows_the_verdict(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    lifecycle.retire(replacement=new, at=NOON + HOUR, origin=origin(alice))
    clock.tick(hours=2)
    assert not lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    clock.tick(hours=-2)
    assert rotation_of(old.pk, clock.now) is not None
    assert set(AccessToken.objects.live(clock.now)) == {old, new}


# --- Steps and notes -----------------------------------------------------------------------------


def step(old: AccessToken) -> Step:
    rotation = rotation_of(old.pk, NOON)
    assert rotation is not None
    return rotation.step


def test_the_step_is_read_from_what_is_stored(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert step(old) is Step.COPY
    lifecycle.confirm_stored(token=new, origin=origin(alice))
    assert step(old) is Step.UPDATE
    lifecycle.tick(replacement=new, ticked=["a" * 32], origin=origin(alice))
    assert step(old) is Step.UPDATE
    lifecycle.tick(replacement=new, ticked=[ALL_PLACES], origin=origin(alice))
    assert step(old) is Step.CONFIRM
    assert lifecycle.skip_check(replacement=new, origin=origin(alice))
    assert step(old) is Step.REVOKE


@pytest.mark.parametrize("what", ["used", "scheduled"])
def test_what_was_used_or_scheduled_is_at_its_last_step(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User, what: str
) -> None:
    if what == "used":
        use(new)
    else:
        lifecycle.retire(replacement=new, at=NOON + HOUR, origin=origin(alice))
    assert step(old) is Step.REVOKE


def test_a_skipped_check_is_remembered_once(new: AccessToken, alice: User) -> None:
    assert lifecycle.skip_check(replacement=new, origin=origin(alice))
    assert stored(new).skipped_at == NOON
    before = everything()
    assert not lifecycle.skip_check(replacement=new, origin=origin(alice))
    assert everything() == before
    assert kinds(new)[-1] == "token.check_skipped"


def test_what_was_seen_working_is_not_skipped(new: AccessToken, alice: User) -> None:
    use(new)
    assert not lifecycle.skip_check(replacement=new, origin=origin(alice))


def test_ticks_are_notes_of_the_rotation(
    clock: Clock, old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert lifecycle.tick(replacement=new, ticked=["a", "b"], origin=origin(alice))
    assert lifecycle.tick(replacement=new, ticked=["b"], unticked=["a", "c"], origin=origin(alice))
    assert [each.consumer_key for each in RotationTick.objects.all()] == ["b"]
    before = everything()
    assert not lifecycle.tick(replacement=new, ticked=["b"], unticked=["a"], origin=origin(alice))
    assert everything() == before
    lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    assert not lifecycle.tick(replacement=new, ticked=["c"], origin=origin(alice))


def test_open_means_the_same_in_python_and_in_sql(clock: Clock, alice: User) -> None:
    dice = random.Random(4)  # noqa: S311 - a test's dice
    old = issue(alice, "old", expires_at=None).token
    new = rotate(old, alice, expires_at=None).token
    times = (None, NOON - HOUR, NOON, NOON + HOUR)
    fields = ("revoked_at", "retire_at", "expires_at")
    seen = set()
    cases = list(itertools.product(times, repeat=7))
    for case in [*dice.sample(cases, 150), (None,) * 7, (*[NOON + HOUR] * 6, None)]:
        for token, facts in ((old, case[:3]), (new, case[3:6])):
            row = dict(zip(fields, facts, strict=True))
            row["revoke_kind"] = "owner" if row["revoked_at"] else ""
            AccessToken.objects.filter(pk=token.pk).update(**row, created_at=NOON - DAY)
        AccessToken.objects.filter(pk=new.pk).update(rotation_closed_at=case[6])
        a, b = stored(old), stored(new)
        in_python = is_open(a.liveness(), b.liveness(), b.rotation_closed_at, NOON)
        in_sql = AccessToken.objects.filter(open_replacement_q(NOON)).exists()
        assert in_python == in_sql == (rotation_of(old.pk, NOON) is not None), case
        rotating = standing.with_rotation(AccessToken.objects.filter(pk=old.pk), NOON)
        assert rotating.filter(standing.rotating_q(NOON)).exists() == in_sql
        seen.add(in_sql)
    assert seen == {True, False}
    assert policy.open_replacement_q is open_replacement_q
