"""Where a rotation stands: read from stored times, so that it can be left and resumed anywhere.

A rotation is open while nobody closed it and both of its tokens go on. When one of them ends, by its
date, by a timed end or by hand, the rotation is over at that instant, without a job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from django.db.models import Exists, OuterRef, Q

from tokens.models.liveness import LivenessFacts, is_ended, not_ended_q
from tokens.models.token import AccessToken, AccessTokenQuerySet
from tokens.models.use import RotationTick

# The note that every place the person knows of was updated; no consumer has so short a key.
ALL_PLACES = "all"


class Step(IntEnum):
    """The five steps of a rotation, in the order in which they are gone through."""

    SCOPES = 1
    COPY = 2
    UPDATE = 3
    CONFIRM = 4
    REVOKE = 5


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation: the old token, its replacement, and whether the places were said to be updated."""

    old: AccessToken
    replacement: AccessToken
    updated: bool = False

    @property
    def step(self) -> Step:
        """The step that comes next, derived from what is stored."""
        return next_step(self.old, self.replacement, updated=self.updated)

    def is_open(self, now: datetime) -> bool:
        """Say whether the rotation goes on at ``now``; needs the owners loaded."""
        new = self.replacement
        return is_open(self.old.liveness(), new.liveness(), new.rotation_closed_at, now)


def next_step(old: AccessToken, replacement: AccessToken, *, updated: bool) -> Step:
    """Return the first step that is not done: used, skipped or scheduled means that only the end is left."""
    used = replacement.first_used_at is not None
    if used or replacement.skipped_at is not None or old.retire_at is not None:
        return Step.REVOKE
    if replacement.stored_at is None:
        return Step.COPY
    return Step.CONFIRM if updated else Step.UPDATE


def is_open(
    old: LivenessFacts, replacement: LivenessFacts, closed_at: datetime | None, now: datetime
) -> bool:
    """Say whether the rotation goes on; the twin of ``open_replacement_q``."""
    return closed_at is None and not is_ended(old, now) and not is_ended(replacement, now)


def open_replacement_q(now: datetime) -> Q:
    """Return the condition for replacements whose rotation is open: the pair counts as one token."""
    return (
        Q(replaces__isnull=False, rotation_closed_at__isnull=True)
        & not_ended_q(now)
        & not_ended_q(now, of="replaces__")
    )


def rotation_of(token_id: int, now: datetime) -> Rotation | None:
    """Return the open rotation of an old token, with one query, or None."""
    return rotations_of([token_id], now).get(token_id)


def rotation_with(token_id: int, now: datetime) -> Rotation | None:
    """Return the open rotation that a token is part of, as the old one or as the replacement."""
    mine = Q(pk=token_id) | Q(replaces_id=token_id)
    row = replacements().filter(open_replacement_q(now), mine).first()
    return as_rotation(row) if row else None


def rotations_of(token_ids: Iterable[int], now: datetime) -> dict[int, Rotation]:
    """Return the open rotations of old tokens by the old one's id, with one query."""
    wanted = replacements().filter(open_replacement_q(now), replaces__in=list(token_ids))
    return {each.old.pk: each for each in map(as_rotation, wanted)}


def replacements() -> AccessTokenQuerySet:
    """Return replacements with all that a rotation is judged and shown by."""
    said = RotationTick.objects.filter(token=OuterRef("pk"), consumer_key=ALL_PLACES)
    rows = AccessToken.objects.filter(replaces__isnull=False).annotate(updated=Exists(said))
    return rows.select_related("owner", "activity", "replaces__owner", "replaces__activity")


def as_rotation(replacement: AccessToken) -> Rotation:
    """Return the rotation of a row of ``replacements``."""
    old = replacement.replaces
    assert old is not None  # noqa: S101 - replacements() asks for such rows only
    return Rotation(old, replacement, bool(getattr(replacement, "updated", False)))
