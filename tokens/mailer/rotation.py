"""The mails of a rotation: one that was left, and an end that is near while the old token is used."""

from __future__ import annotations

from datetime import datetime

from tokens import insight
from tokens.mailer.pieces import Fact, Link, Mail, instant, look, page, rotation as way_on, value_of
from tokens.models import AccessToken, Notice
from tokens.models.liveness import is_paused
from tokens.models.rotation import Rotation, Step, as_rotation, replacements, rotation_of
from tokens.notices import Kind

KINDS = {Kind.ROTATION_UNFINISHED, Kind.RETIREMENT_NEAR}
_NEXT = {
    Step.COPY: "Copy the replacement, or begin again",
    Step.UPDATE: "Put the replacement where the old token is",
    Step.CONFIRM: "See the replacement work",
    Step.REVOKE: "Revoke the old token",
}


def is_still_true(notice: Notice, now: datetime) -> bool:
    """Say whether what a mail was to tell is so when it falls due; any other kind always is."""
    if notice.kind not in KINDS or notice.token_id is None:
        return True
    if notice.kind == Kind.ROTATION_UNFINISHED:
        rotation = _rotation_of(notice)
        return rotation.is_open(now) and rotation.old.retire_at is None
    old = rotation_of(notice.token_id, now)
    planned = notice.data.get("retire_at")
    if old is None or old.old.retire_at is None or old.old.retire_at.isoformat() != planned:
        return False
    return not insight.is_quiet(notice.token_id, now)


def mail_about_rotation(notice: Notice, now: datetime) -> Mail:
    """Return what is said about a rotation, which is open when this is asked."""
    rotation = _rotation_of(notice)
    if notice.kind == Kind.ROTATION_UNFINISHED:
        return _unfinished(notice, rotation, now)
    return _end_is_near(notice, rotation, now)


def _rotation_of(notice: Notice) -> Rotation:
    """Return the rotation of a notice about its replacement, or about its old token."""
    rows = replacements()
    if notice.kind == Kind.ROTATION_UNFINISHED:
        return as_rotation(rows.get(pk=notice.token_id or 0))
    mine = rows.filter(replaces_id=notice.token_id, rotation_closed_at__isnull=True)
    return as_rotation(mine.latest("generation"))


def _unfinished(notice: Notice, rotation: Rotation, now: datetime) -> Mail:
    old, new = rotation.old, rotation.replacement
    begun = instant(datetime.fromisoformat(notice.data["at"]))
    both = "Both tokens work, so the old one can still be misused."
    rest = "The old token is paused and not revoked." if is_paused(old.liveness(), now) else both
    used = new.first_used_at is not None
    cancel = Link("Cancel the rotation", page("tokens:rotate_cancel", public_id=old.public_id))
    return Mail(
        notice=notice,
        subject=f"The rotation of {new.name} is not finished",
        lede=f"You began it on {begun}. {rest}",
        button=way_on(old, "Continue the rotation"),
        facts=(
            *_pair(rotation),
            Fact("Replacement used", "Yes" if used else "Not yet"),
            Fact("Next", f"Step {rotation.step:d} of {len(Step)}: {_NEXT[rotation.step]}"),
        ),
        # What was used cannot be cancelled any more.
        question=""
        if used
        else "Is the replacement not needed? Cancel the rotation; the old token goes on.",
        ways_out=() if used else (cancel,),
    )


def _end_is_near(notice: Notice, rotation: Rotation, now: datetime) -> Mail:
    old = rotation.old
    return Mail(
        notice=notice,
        subject=f"The old {old.name} ends within an hour and is still used",
        lede=f"You planned its end for {_end_of(old)}. Whatever uses it then is refused.",
        button=Link("Move the end", page("tokens:rotate_revoke", public_id=old.public_id)),
        facts=(*_pair(rotation), Fact("Its end", insight.who_breaks(old.pk, now).headline)),
        question="Is that all right? Do nothing, and it ends by itself.",
        ways_out=(look(old, "See who uses it"),),
    )


def _pair(rotation: Rotation) -> tuple[Fact, Fact]:
    return value_of(rotation.old, "Old token"), value_of(rotation.replacement, "Replacement")


def _end_of(old: AccessToken) -> str:
    return instant(old.retire_at) if old.retire_at else "now"
