"""``manage.py pepper status``: which peppers digest what, and whether one can be taken away."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Count

from tokens import secret
from tokens.management.operation import Operation
from tokens.models import AccessToken, CalendarFeed, DeviceGrant, Service
from tokens.models.liveness import not_ended_q

COLUMNS = ("pepper", "configured", "signs", "live_tokens", "tokens", "others", "advice")


class Command(Operation):
    """Counts; the peppers themselves are never printed."""

    help = "Say which peppers are configured and how many digests rest on each."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the one thing that can be asked."""
        super().add_arguments(parser)
        parser.add_argument("what", choices=("status",))

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line a pepper; fail when live tokens rest on one that is not configured."""
        now = self.origin().at
        peppers = secret.peppers()
        live = _counts(AccessToken.objects.filter(not_ended_q(now)))
        tokens = _counts(AccessToken.objects.all())
        others: Counter[int] = Counter()
        for rows in (Service.objects.filter(revoked_at=None), CalendarFeed.objects.all()):
            others += _counts(rows)
        others += _counts(DeviceGrant.objects.filter(expires_at__gt=now))
        ids = sorted({*peppers.keys, *tokens, *others})
        missing = [each for each in ids if each not in peppers.keys and live[each] + others[each]]
        lines = [
            (
                each,
                each in peppers.keys,
                each == peppers.signing_id,
                live[each],
                tokens[each],
                others[each],
                _advice(each, peppers, live[each] + others[each]),
            )
            for each in ids
        ]
        self.rows(COLUMNS, lines, options)
        if missing:
            names = ", ".join(map(str, missing))
            raise CommandError(
                f"What rests on pepper {names} is refused. Put it back into TOKEN_PEPPERS."
            )


def _counts(rows: Any) -> Counter[int]:
    found = rows.order_by().values_list("pepper_id").annotate(number=Count("pk"))
    return Counter(dict(found))


def _advice(pepper: int, peppers: secret.Peppers, used: int) -> str:
    if pepper == peppers.signing_id:
        return "signs: keep it"
    if pepper not in peppers.keys:
        return "put it back" if used else "gone, and needed by nothing that lives"
    if used:
        return "keep it: tokens move to the one that signs as they are used"
    return "can be taken away"
