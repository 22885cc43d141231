"""A draft of the rules, and the one statement that puts it in force."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from tokens import audit, notices
from tokens.models import Policy
from tokens.origin import Origin
from tokens.policy import PolicyRow, Rules, rules_of


class Overtaken(Exception):  # noqa: N818 - an answer, not a fault
    """Somebody saved another version since the one that the draft began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Every rule of a version, as it would be stored; None means the installation's setting."""

    new_tokens_allowed: bool = True
    max_lifetime_days: int | None = None
    max_write_lifetime_days: int | None = None
    default_lifetime_days: int | None = None
    no_expiration_allowed: bool = True
    allowed_scopes: str = ""
    allowed_networks: str = ""
    max_live_tokens: int | None = None
    revoke_unused_after_days: int | None = None
    blocks_from: datetime | None = None

    def rules(self) -> Rules:
        """Return the rules that would be in force."""
        return rules_of(PolicyRow(*(getattr(self, name) for name in PolicyRow._fields)))


def current() -> tuple[int, Draft]:
    """Return the version in force with its id; 0 and the settings' rules where none was saved."""
    row = Policy.objects.order_by("-id").first()
    if row is None:
        return 0, Draft()
    return row.pk, Draft(
        **{each.name: getattr(row, each.name) for each in dataclasses.fields(Draft)}
    )


def save(draft: Draft, *, after: int, origin: Origin, tell: Collection[int] = ()) -> bool:
    """Put a draft in force that began with version ``after``. Return whether anything changed.

    A mail is owed to each of the owners in ``tell``, in the same transaction. Raises ``Overtaken``
    when another version was saved meanwhile; a repeat of the same change finds its own work done,
    changes nothing and tells nobody.
    """
    with transaction.atomic():
        _one_at_a_time()
        version, held = current()
        if _same(held, draft, origin.at):
            return False
        if version != after:
            raise Overtaken
        row = Policy.objects.create(
            created_at=origin.at, created_by_id=origin.actor_id, **_fields(draft)
        )
        changed = [name for name, value in _fields(draft).items() if getattr(held, name) != value]
        audit.record(
            audit.Kind.POLICY_CHANGED, origin=origin, data={"version": row.pk, "changed": changed}
        )
        notices.policy_changed(tell, version=row.pk, origin=origin)
    return True


def _one_at_a_time() -> None:
    """Let a second one who saves wait here; afterwards it sees the first one's version.

    The whole table, because before the first version there is no row to hold. Who only reads the
    rules does not wait. On SQLite the transaction itself is the only writer.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE tokens_policy IN SHARE ROW EXCLUSIVE MODE")


def _same(held: Draft, draft: Draft, now: datetime) -> bool:
    """Say whether two drafts mean the same; a block that has begun has begun, whenever that was."""
    begun = all(each.blocks_from and each.blocks_from <= now for each in (held, draft))
    return (
        dataclasses.replace(draft, blocks_from=held.blocks_from) == held if begun else held == draft
    )


def _fields(draft: Draft) -> dict[str, object]:
    return {each.name: getattr(draft, each.name) for each in dataclasses.fields(draft)}
