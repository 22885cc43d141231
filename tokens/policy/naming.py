"""Who holds a name: of a person's tokens one at most, until it ends."""

from __future__ import annotations

from datetime import datetime

from tokens.models import AccessToken
from tokens.models.liveness import is_ended
from tokens.policy.refusal import Refused
from tokens.policy.wording import name_key


def name_holder(owner_id: int, name: str, now: datetime) -> AccessToken | None:
    """Return the person's token that holds the name, whatever its case, or None.

    A token that ended by time alone holds its name no longer, although nobody has freed it yet. Only a
    look ahead: ``lifecycle`` judges again under the owner's lock.
    """
    holders = AccessToken.objects.filter(owner_id=owner_id, name_key=name_key(name))
    holder = holders.select_related("owner").first()
    return None if holder is None or is_ended(holder.liveness(), now) else holder


def name_taken(name: str) -> Refused:
    """Return the refusal of a name that somebody holds."""
    return Refused(
        "name",
        "name_taken",
        f"You already have an active token called {name}. "
        "Pick another name, or rotate or revoke that one.",
    )
