"""A draft of the rules, and the one statement that puts it in force."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from tokens import audit
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


def save(draft: Draft, *, after: int, origin: Origin) -> bool:
    """Put a draft in force that began with version ``after``. Return whether anything changed.

    Raises ``Overtaken`` when another version was saved meanwhile; a repeat of the same change finds
    its own work done and changes nothing.
    """
    with transaction.atomic():
        # Two who save at once meet here; the second then sees the first one's version.
        list(Policy.objects.select_for_update().order_by("-id").values_list("pk")[:1])
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
    return True


def _same(held: Draft, draft: Draft, now: datetime) -> bool:
    """Say whether two drafts mean the same; a block that has begun has begun, whenever that was."""
    begun = all(each.blocks_from and each.blocks_from <= now for each in (held, draft))
    return (
        dataclasses.replace(draft, blocks_from=held.blocks_from) == held if begun else held == draft
    )


def _fields(draft: Draft) -> dict[str, object]:
    return {each.name: getattr(draft, each.name) for each in dataclasses.fields(draft)}
