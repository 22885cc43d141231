"""``manage.py list_tokens``: look at tokens as an operator chooses them; never at a value."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from tokens.management.operation import Operation, whole_number
from tokens.management.selection import add_choices, chosen, walk
from tokens.models import AccessToken
from tokens.models.liveness import ended_q, not_ended_q
from tokens.models.standing import with_rotation
from tokens.models.status import status_of

COLUMNS = (
    "public_id",
    "owner",
    "name",
    "value",
    "status",
    "scopes",
    "created",
    "expires",
    "last_used",
)


class Command(Operation):
    """Prints one line a token, the first made first."""

    help = "List the tokens that fit all the options."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare which tokens, and how many at most."""
        super().add_arguments(parser)
        add_choices(parser)
        parser.add_argument(
            "--state", choices=("live", "ended", "any"), default="live", help="live: not ended"
        )
        parser.add_argument("--limit", type=whole_number(1, 10_000_000), default=100)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the rows, and say when there are more of them."""
        now = self.origin().at
        tokens = with_rotation(chosen(options, now), now).select_related("owner", "activity")
        if options["state"] != "any":
            tokens = tokens.filter(
                ended_q(now) if options["state"] == "ended" else not_ended_q(now)
            )
        found = walk(tokens)
        shown = self.rows(COLUMNS, _rows(islice(found, options["limit"]), now), options)
        if next(found, None) is not None:
            self.note(f"The first {shown} are shown. There are more: see --limit.")


def _rows(tokens: Iterator[AccessToken], now: datetime) -> Iterator[tuple[Any, ...]]:
    for token in tokens:
        activity = getattr(token, "activity", None)
        used = activity.last_used_at if activity else None
        rotating = bool(token.rotating)  # type: ignore[attr-defined]
        yield (
            token.public_id,
            token.owner.email,
            token.name,
            token.masked,
            status_of(token.liveness(), used, now, rotating=rotating).key,
            token.scopes,
            token.created_at,
            token.expires_at,
            used,
        )
