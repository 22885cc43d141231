"""What is removed, and when: tokens that ended long ago with all that hangs on them, and old rows.

Each batch is one short transaction, so that whoever kills a purge loses nothing and the next one goes
on where it stopped, and so that nobody waits long for a lock. Events are never removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from tokens import lifecycle, ratelimit
from tokens.device_flow import forgetting as grants
from tokens.lifecycle.purging import WAYS_TO_END, Place, start
from tokens.models import AccessToken, DeviceGrant, Notice, RateLimit, TokenConsumer, TokenUse
from tokens.models.liveness import not_ended_q
from tokens.notices import forgetting as mails
from tokens.origin import Origin
from tokens.usage import forgetting

# How long ended tokens stay listed, where the purge is not told otherwise.
ENDED_KEPT = timedelta(days=90)
USE_KEPT = timedelta(days=35)
CONSUMERS_KEPT = timedelta(days=400)
GRANTS_KEPT = timedelta(days=1)
# After each batch the purge rests for this part of the time it took, so that writers who wait for
# the one lock of SQLite get their turn.
_REST = 0.2
# A batch that takes so many times as long as the quickest one does so because somebody else is busy;
# then the purge rests for several times what it took too long, at most so many seconds.
_SLOW, _STEP_BACK, _LONGEST_REST = 1.5, 3, 1.0


@dataclass(slots=True)
class Removed:
    """How many rows of each kind one batch removed, or would be removed by all of them."""

    tokens: int = 0
    use_rows: int = 0
    consumers: int = 0
    mails: int = 0
    grants: int = 0
    limits: int = 0
    batches: int = field(default=0, compare=False)

    def __iadd__(self, other: Removed) -> Removed:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def waiting(*, origin: Origin, older_than: timedelta) -> Removed:
    """Count what a purge would remove now; each row once, by the step of the purge that would take it."""
    now, before = origin.at, origin.at - older_than
    going = AccessToken.objects.ended(before)
    with_token, alone = Q(token__in=going.values("pk")), not_ended_q(before, of="token__")
    old_days, seen = Q(day__lt=(now - USE_KEPT).date()), Q(last_at__lt=now - CONSUMERS_KEPT)
    sent = Q(token__isnull=True, sent_at__lt=before)
    return Removed(
        tokens=going.count(),
        use_rows=TokenUse.objects.filter(old_days & alone).count()
        + sum(table.objects.filter(with_token).count() for table in forgetting.OF_A_TOKEN),
        consumers=TokenConsumer.objects.filter(seen & alone).count(),
        mails=Notice.objects.filter(sent).count() + Notice.objects.filter(with_token).count(),
        grants=DeviceGrant.objects.filter(expires_at__lt=now - GRANTS_KEPT).count(),
        limits=RateLimit.objects.filter(expires_at__lt=now).count(),
    )


def tokens_waiting(*, origin: Origin, older_than: timedelta) -> int:
    """Count the tokens that a purge would remove now, which a bar is drawn for."""
    return AccessToken.objects.ended(origin.at - older_than).count()


def purge(*, origin: Origin, older_than: timedelta, batch_size: int) -> Iterator[Removed]:
    """Remove what is past its time, a batch at a time; yield what each batch removed."""
    now = origin.at
    ended_before = now - older_than
    # Grants first: one that was redeemed refers to its token, and ended before any token that goes.
    spent = now - GRANTS_KEPT
    yield from _until_none(lambda: Removed(grants=grants.forget_spent(spent, at_most=batch_size)))
    for way in WAYS_TO_END:
        yield from _purge_tokens(way, ended_before, batch_size, origin)
    days, seen = (now - USE_KEPT).date(), now - CONSUMERS_KEPT
    yield from _until_none(
        lambda: Removed(use_rows=forgetting.forget_days(days, at_most=batch_size))
    )
    yield from _until_none(
        lambda: Removed(consumers=forgetting.forget_consumers(seen, at_most=batch_size))
    )
    yield from _until_none(
        lambda: Removed(mails=mails.forget_sent(ended_before, at_most=batch_size))
    )
    yield from _until_none(
        lambda: Removed(limits=ratelimit.forget_expired(now=now, at_most=batch_size))
    )


def _purge_tokens(way: str, before: datetime, size: int, origin: Origin) -> Iterator[Removed]:
    place: Place | None = start()
    pace = _Pace()
    while place is not None:
        with pace:
            place, removed = _purge_batch(way, before, place, size, origin)
        if removed.tokens:
            yield removed
            pace.rest()


def _purge_batch(
    way: str, before: datetime, after: Place, size: int, origin: Origin
) -> tuple[Place | None, Removed]:
    """Remove one batch with all that refers to it; the place of the next one is None at the end."""
    with transaction.atomic():
        batch = lifecycle.hold_ended(way, before=before, after=after, at_most=size)
        if batch is None:
            return None, Removed()
        removed = Removed(tokens=len(batch.token_ids), batches=1)
        removed.use_rows = forgetting.forget(batch.token_ids)
        removed.mails = mails.forget(batch.token_ids)
        lifecycle.purge(batch, origin=origin)
    return batch.place, removed


def _until_none(remove: Callable[[], Removed]) -> Iterator[Removed]:
    pace = _Pace()
    while True:
        with pace:
            removed = remove()
        if removed == Removed():
            return
        removed.batches = 1
        yield removed
        pace.rest()


class _Pace:
    """Measures batches, and rests after each the longer, the more somebody else has to do."""

    def __init__(self) -> None:
        self._began = self._took = 0.0
        self._quickest = float("inf")

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._took = time.perf_counter() - self._began
        self._quickest = min(self._quickest, self._took)

    def rest(self) -> None:
        """Leave the machine to the others for a moment."""
        too_long = max(self._took - _SLOW * self._quickest, 0)
        time.sleep(min(self._took * _REST + too_long * _STEP_BACK, _LONGEST_REST))
