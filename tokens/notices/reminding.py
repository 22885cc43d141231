"""Mails that time alone brings about: owed many at once, and one mail a person and run.

Each reminder is a row of its own, which keeps it from being told twice. The rows of one mail bear one
name, under which a sender claims them together.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from tokens.models import AccessToken, MailPreference, Notice
from tokens.models.standing import with_rotation
from tokens.notices import LEASE, SHORTEST_WAIT, Kind, claim, unsent
from tokens.notices.preferences import FIXED

REMINDERS = frozenset(
    {
        Kind.EXPIRES_30,
        Kind.EXPIRES_7,
        Kind.EXPIRES_1,
        Kind.EXPIRES_0,
        Kind.REVOKED_SOON,
        Kind.UNUSED,
        Kind.NEVER_STORED,
    }
)


class Reminder(NamedTuple):
    """One thing to tell; of two with the same kind and subject the first one is told."""

    owner_id: int
    token_id: int
    kind: Kind
    subject: str
    facts: dict[str, str]


def owe(reminders: Iterable[Reminder], *, at: datetime) -> int:
    """Owe them, one mail a person; return how many of them nobody had owed before.

    They are written in one transaction, so that no sender finds half a mail: give all of a person's
    reminders in one call.
    """
    wanted = _wanted(sorted(reminders, key=lambda each: (each.owner_id, each.token_id, each.kind)))
    mails, rows = [], []
    for _, mine in groupby(wanted, key=lambda each: each.owner_id):
        mails.append(str(uuid.uuid4()))
        common = {"at": at.isoformat(), "mail": mails[-1]}
        rows += [
            Notice(
                owner_id=each.owner_id,
                token_id=each.token_id,
                kind=each.kind,
                subject=each.subject,
                data={**common, **each.facts},
                due_at=at,
            )
            for each in mine
        ]
    with transaction.atomic():
        Notice.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
        owners = {row.owner_id for row in rows}
        new = Notice.objects.filter(owner_id__in=owners, kind__in=REMINDERS, data__mail__in=mails)
        return new.count()


def _wanted(reminders: list[Reminder]) -> list[Reminder]:
    """Leave out the kinds that a person switched off."""
    owners = {each.owner_id for each in reminders}
    off = MailPreference.objects.filter(wanted=False, owner_id__in=owners)
    unwanted = set(off.exclude(kind__in=FIXED).values_list("owner_id", "kind"))
    return [each for each in reminders if (each.owner_id, str(each.kind)) not in unwanted]


def mails_due(now: datetime) -> int:
    """Count the mails to send at ``now``: what goes out together is one."""
    rows = Notice.objects.filter(sent_at__isnull=True, due_at__lte=now)
    reminders, revoked = rows.filter(kind__in=REMINDERS), rows.filter(kind=Kind.TOKEN_REVOKED)
    strokes = revoked.values("owner_id", "data__at", "data__door").distinct()
    single = rows.exclude(kind__in=[*REMINDERS, Kind.TOKEN_REVOKED])
    return single.count() + reminders.values("data__mail").distinct().count() + strokes.count()


def claim_mail(pk: int, now: datetime) -> list[Notice]:
    """Take all that goes out in one mail with this notice; empty when somebody else took it.

    Whoever takes the first row of a mail has its others, so no two senders share one.
    """
    notice = Notice.objects.filter(pk=pk).first()
    mates = None if notice is None else _in_one_mail_with(notice)
    if mates is None:
        single = claim(pk, now)
        return [] if single is None else [single]
    mail = sorted({*mates.values_list("pk", flat=True), pk})
    if claim(mail[0], now) is None:
        _wait_for(mail[0], mail[1:], now)
        return []
    unsent().filter(pk__in=mail[1:]).update(due_at=now + LEASE)
    rows = Notice.objects.filter(pk__in=mail).order_by("pk")
    rows = rows.select_related("owner", "token__activity", "token__owner")
    found = list(rows.prefetch_related("token__projects"))
    if found[0].kind in REMINDERS:
        _tell_rotating(found, now)
    return found


def _wait_for(first: int, others: list[int], now: datetime) -> None:
    """Let what was owed after its mail had been taken be due no earlier than that.

    It would be found again at once otherwise, by everybody, before the mails of others.
    """
    taken_until = unsent().filter(pk=first, due_at__gt=now).values_list("due_at", flat=True).first()
    if taken_until is not None:
        wait = min(taken_until, now + SHORTEST_WAIT)
        unsent().filter(pk__in=others, due_at__lte=now).update(due_at=wait)


def _in_one_mail_with(notice: Notice) -> QuerySet[Notice] | None:
    """Return what else goes out with it, if anything may: a person's reminders of one run, and the
    tokens of a person that somebody revoked at one stroke, which all bear its time.
    """
    mine = unsent().filter(owner_id=notice.owner_id)
    if notice.kind in REMINDERS:
        return mine.filter(kind__in=REMINDERS, data__mail=notice.data.get("mail"))
    if notice.kind == Kind.TOKEN_REVOKED:
        said = {name: notice.data.get(name) for name in ("at", "door")}
        return mine.filter(kind=notice.kind, data__at=said["at"], data__door=said["door"])
    return None


def _tell_rotating(found: list[Notice], now: datetime) -> None:
    """Write onto the tokens whether a replacement is open, which ends the news of their expiry."""
    mine = AccessToken.objects.filter(pk__in={each.token_id for each in found})
    tokens = with_rotation(mine, now)
    rotating = {token.pk: token.rotating for token in tokens}  # type: ignore[attr-defined]
    for notice in found:
        if notice.token is not None:
            notice.token.rotating = rotating[notice.token.pk]  # type: ignore[attr-defined]
