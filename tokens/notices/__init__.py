"""What mail is owed: one row a mail, written in the transaction of what it tells of.

A row that is not sent yet is a debt that survives a restart. Nothing here sends; ``mailer`` does, and
it is told right after the commit. ``reminding`` owes what time alone brings about. A claim is a lease
and not a lock: whoever dies while sending leaves a row that falls due again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from tokens.models import AccessToken, MailPreference, Notice, RevokeKind
from tokens.origin import Origin

# Longer than any mail server is waited for, so that a claim never ends while its mail is on the way.
LEASE = timedelta(minutes=10)
# How long a rotation may stay open before its owner is reminded, and how long before a timed end.
UNFINISHED, BEFORE_THE_END = timedelta(hours=24), timedelta(hours=1)
SHORTEST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)

_NEVER = Value(datetime(9999, 12, 30, tzinfo=UTC))

# What its owner did, or asked for with a rotation, is no news to its owner.
_BY_THE_OWNER = {RevokeKind.OWNER, RevokeKind.ROTATED, RevokeKind.CANCELLED}


class Kind(StrEnum):
    """The mails there are; the stored words never change."""

    TOKEN_CREATED = "token_created"  # noqa: S105 - a kind of mail
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - a kind of mail
    ROTATION_UNFINISHED = "rotation_unfinished"
    RETIREMENT_NEAR = "retirement_near"
    TOKEN_KNOCKED = "token_knocked"  # noqa: S105 - a kind of mail
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind of mail
    EXPIRES_30 = "expires_30"
    EXPIRES_7 = "expires_7"
    EXPIRES_1 = "expires_1"
    EXPIRES_0 = "expires_0"
    REVOKED_SOON = "revoked_soon"
    UNUSED = "unused"
    NEVER_STORED = "never_stored"
    POLICY_CHANGED = "policy_changed"


# Sent only to people who asked for it; everything else is sent until somebody asks not to.
OFF_AT_FIRST = frozenset({Kind.TOKEN_KNOCKED})


class _Wiring:
    """Who is told that something is owed; the app wires it, since senders stand below this room."""

    tell: Callable[[], None] | None = None


def deliver_with(tell: Callable[[], None]) -> None:
    """Have ``tell`` called after each commit that owes a mail."""
    _Wiring.tell = tell


def token_created(token: AccessToken, origin: Origin) -> None:
    """Owe the mail about a new token."""
    _owe_about(Kind.TOKEN_CREATED, token, origin)


def token_revoked(token: AccessToken, *, kind: RevokeKind, origin: Origin) -> None:
    """Owe the mail about a token that somebody else than its owner ended."""
    if kind in _BY_THE_OWNER and origin.actor_id == token.owner_id:
        return
    _owe_about(Kind.TOKEN_REVOKED, token, origin)


def rotation_started(replacement: AccessToken, origin: Origin) -> None:
    """Owe the mail about a rotation that is still open a day later; ``mailer`` asks whether it is."""
    if not origin.quiet:
        _owe(
            Kind.ROTATION_UNFINISHED,
            owner_id=replacement.owner_id,
            subject=str(replacement.public_id),
            at=origin.at + UNFINISHED,
            facts={"at": origin.at.isoformat()},
            token_id=replacement.pk,
        )


def retirement_planned(
    old: AccessToken, replacement: AccessToken, *, at: datetime, origin: Origin
) -> None:
    """Owe the mail an hour before a timed end, unless it is within one; each time is a subject.

    A time that was moved leaves a debt that ``mailer`` does not send, since it tells of no end any more.
    """
    if origin.quiet or at - BEFORE_THE_END <= origin.at:
        return
    _owe(
        Kind.RETIREMENT_NEAR,
        owner_id=old.owner_id,
        subject=f"{replacement.public_id} {at.isoformat()}",
        at=at - BEFORE_THE_END,
        facts={"at": origin.at.isoformat(), "retire_at": at.isoformat()},
        token_id=old.pk,
    )


def owed_a_first_knock(token_ids: Collection[int]) -> list[AccessToken]:
    """Return those of the tokens whose owners want to hear of a knock and have not yet."""
    if not token_ids:
        return []
    told = Notice.objects.filter(
        owner_id=OuterRef("owner_id"), kind=Kind.TOKEN_KNOCKED, token_id=OuterRef("pk")
    )
    knocked = AccessToken.objects.filter(_wanted(Kind.TOKEN_KNOCKED), pk__in=token_ids)
    return list(knocked.exclude(Exists(told)).order_by("pk"))


def token_knocked(token: AccessToken, *, at: datetime, place: str, client: str) -> None:
    """Owe the one mail about an ended token that is still tried; ``place`` is a network."""
    facts = {"at": at.isoformat(), "place": place, "client": client}
    _owe(
        Kind.TOKEN_KNOCKED,
        owner_id=token.owner_id,
        subject=str(token.public_id),
        at=at,
        facts=facts,
        token_id=token.pk,
    )


def _wanted(kind: Kind) -> Q:
    """Return the condition for tokens whose owners want this kind of mail."""
    said = MailPreference.objects.filter(owner_id=OuterRef("owner_id"), kind=kind)
    if kind in OFF_AT_FIRST:
        return Q(Exists(said.filter(wanted=True)))
    return ~Q(Exists(said.filter(wanted=False)))


def password_changed(owner_id: int, *, at: datetime, address: str | None) -> None:
    """Owe the mail about a new password; each change is a subject of its own."""
    facts = {"at": at.isoformat(), "address": address or ""}
    _owe(Kind.PASSWORD_CHANGED, owner_id=owner_id, subject=at.isoformat(), at=at, facts=facts)


def policy_changed(owner_ids: Collection[int], *, version: int, origin: Origin) -> None:
    """Owe each of these owners the mail about new rules that their tokens break; one a version."""
    rows = [
        Notice(
            owner_id=each,
            kind=Kind.POLICY_CHANGED,
            subject=f"policy {version}",
            data={"at": origin.at.isoformat()},
            due_at=origin.at,
        )
        for each in sorted(owner_ids)
    ]
    if rows:
        Notice.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
        _tell_the_sender()


def _owe_about(kind: Kind, token: AccessToken, origin: Origin) -> None:
    # The past of a sample is nobody's news.
    if origin.quiet:
        return
    facts = {
        "at": origin.at.isoformat(),
        "door": str(origin.door),
        "address": origin.address or "",
        "client": origin.client,
    }
    subject = str(token.public_id)
    _owe(
        kind,
        owner_id=token.owner_id,
        subject=subject,
        at=origin.at,
        facts=facts,
        token_id=token.pk,
    )


def _owe(
    kind: Kind,
    *,
    owner_id: int,
    subject: str,
    at: datetime,
    facts: dict[str, Any],
    token_id: int | None = None,
) -> None:
    """Write the debt down; a second one of the same kind and subject is the same debt."""
    row = Notice(
        owner_id=owner_id, token_id=token_id, kind=kind, subject=subject, data=facts, due_at=at
    )
    Notice.objects.bulk_create([row], ignore_conflicts=True)
    _tell_the_sender()


def _tell_the_sender() -> None:
    if _Wiring.tell is not None:
        # Robust: what goes wrong with a mail must not undo the answer to what was done.
        transaction.on_commit(_Wiring.tell, robust=True)


def due(now: datetime, limit: int) -> list[int]:
    """Return the ids of the mails to send at ``now``, the longest owed first."""
    waiting = Notice.objects.filter(sent_at__isnull=True, due_at__lte=now)
    return list(waiting.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])


def unsent() -> QuerySet[Notice]:
    """Return what was not sent yet, for statements that find their rows by a key or by a person.

    "sent_at IS NULL" would have PostgreSQL read all that is owed instead, each time: when many mails
    have just been owed, its statistics still say that the index of those is nearly empty.
    """
    return Notice.objects.alias(gone_at=Coalesce("sent_at", _NEVER)).filter(gone_at=_NEVER)


def claim(pk: int, now: datetime) -> Notice | None:
    """Take one mail to send; None when somebody else took it or it was sent meanwhile."""
    # The condition decides: of two senders that read the same row, one updates it.
    taken = unsent().filter(pk=pk, due_at__lte=now).update(due_at=now + LEASE)
    return Notice.objects.select_related("owner", "token").get(pk=pk) if taken else None


def mark_sent(pks: Collection[int], now: datetime) -> int:
    """Note that a mail about these went out, and forget what it said. Return how many are new."""
    # Addresses are facts about a person, and nobody reads them here again.
    return unsent().filter(pk__in=pks).update(sent_at=now, data={})


def put_back(mail: Sequence[Notice], now: datetime) -> None:
    """Let a mail that could not be sent fall due again, after as long as it has waited so far."""
    waited = now - datetime.fromisoformat(mail[0].data["at"])
    wait = min(max(waited, SHORTEST_WAIT), LONGEST_WAIT)
    unsent().filter(pk__in=[notice.pk for notice in mail]).update(due_at=now + wait)
