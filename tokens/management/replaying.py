"""What exported events say became of tokens, told to a database that was restored to an earlier day."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from tokens import lifecycle, policy
from tokens.audit import Kind
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import is_ended
from tokens.origin import Origin

REASON = "Revoked before the restore of a backup"
_AT_ONCE = 500
# What a rotation and a pause leave behind; their words are those of the events.
_RETIREMENT, _PAUSED, _RESUMED = "token.retirement_set", "token.paused", "token.resumed"


class UnreadableError(Exception):
    """A line is no exported event; the message says which one."""


@dataclass(slots=True)
class Fate:
    """What became of one token, as far as the events tell."""

    revoked: RevokeKind | None = None
    retire_at: datetime | None = None
    scopes: str | None = None
    paused: bool = False


def fates(lines: Iterable[str]) -> tuple[int, dict[uuid.UUID, Fate]]:
    """Read exported events, JSON lines in the order of their ids; return how many, and the fates.

    Raises ``UnreadableError`` for a line that is no exported event.
    """
    found: dict[uuid.UUID, Fate] = {}
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            kind, data, token = event["kind"], event["data"], event["token_public_id"]
            if token is not None:
                _tell(found.setdefault(uuid.UUID(token), Fate()), kind, data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise UnreadableError(
                f"Line {number} is no event as export_events prints it. Nothing was changed."
            ) from None
        count += 1
    return count, {token: fate for token, fate in found.items() if fate != Fate()}


def _tell(fate: Fate, kind: str, data: dict[str, Any]) -> None:
    if kind == Kind.REVOKED:
        known = {str(each) for each in RevokeKind}
        told = data.get("kind", "")
        fate.revoked = fate.revoked or RevokeKind(told if told in known else RevokeKind.ADMIN)
    elif kind == Kind.NARROWED:
        fate.scopes = str(data["after"])
    elif kind == _RETIREMENT:
        # A postponed end replaces the one before.
        at = parse_datetime(data["at"]) if data["at"] else None
        fate.retire_at = at.astimezone(UTC) if at else None
    elif kind == Kind.ROTATION_CANCELLED:
        # The old token goes on, and its end was for the rotation that is no more.
        fate.retire_at = None
    elif kind in {_PAUSED, _RESUMED}:
        fate.paused = kind == _PAUSED


def apply(fates: dict[uuid.UUID, Fate], *, origin: Origin, dry_run: bool) -> dict[str, int]:
    """Bring the tokens to their fates; return the counts. What is so already is left alone."""
    counts = dict.fromkeys(
        ("revoked", "narrowed", "already_so", "unknown", "retire_by_hand", "pause_by_hand"), 0
    )
    waiting = list(fates.items())
    for start in range(0, len(waiting), _AT_ONCE):
        part = dict(waiting[start : start + _AT_ONCE])
        rows = AccessToken.objects.select_related("owner").filter(public_id__in=part)
        known = {token.public_id: token for token in rows}
        counts["unknown"] += len(part) - len(known)
        for public_id, token in known.items():
            for outcome in _bring(token, part[public_id], origin, dry_run=dry_run):
                counts[outcome] += 1
    return counts


def _bring(token: AccessToken, fate: Fate, origin: Origin, *, dry_run: bool) -> Iterable[str]:
    if is_ended(token.liveness(), origin.at):
        return ["already_so"]
    kind = fate.revoked
    if kind is None and fate.retire_at is not None and fate.retire_at <= origin.at:
        kind = RevokeKind.ROTATED
    if kind is not None:
        done = dry_run or lifecycle.revoke(token=token, origin=origin, kind=kind, reason=REASON)
        return ["revoked" if done else "already_so"]
    outcomes = []
    if fate.scopes is not None:
        outcomes.append(_narrow(token, fate.scopes, origin, dry_run=dry_run))
    if fate.retire_at is not None and fate.retire_at != token.retire_at:
        outcomes.append("retire_by_hand")
    if fate.paused and token.paused_at is None:
        outcomes.append("pause_by_hand")
    return outcomes


def _narrow(token: AccessToken, scopes: str, origin: Origin, *, dry_run: bool) -> str:
    held, wanted = set(token.scope_names), set(scopes.split())
    if held <= wanted or not held & wanted:
        return "already_so"
    try:
        left = [name for name in token.scope_names if name in wanted]
        done = dry_run or lifecycle.narrow(token=token, scopes=left, origin=origin)
    except policy.Refused:
        return "already_so"
    return "narrowed" if done else "already_so"
