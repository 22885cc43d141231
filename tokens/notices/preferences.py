"""Which mails a person wants: what may be chosen, what is always sent, and what was said so far."""

from __future__ import annotations

from collections.abc import Collection

from tokens.models import MailPreference
from tokens.notices import OFF_AT_FIRST, Kind

# These tell of somebody who acts as the owner, or of what is about to be done to a token, so that
# nobody who holds a stolen session can silence them.
FIXED = frozenset(
    {
        Kind.TOKEN_CREATED,
        Kind.TOKEN_REVOKED,
        Kind.PASSWORD_CHANGED,
        Kind.REVOKED_SOON,
        Kind.POLICY_CHANGED,
    }
)
CHOOSABLE = frozenset(Kind) - FIXED


def wanted_by(owner_id: int) -> frozenset[Kind]:
    """Return every kind of mail that is sent to this person, the fixed ones among them."""
    said = dict(MailPreference.objects.filter(owner_id=owner_id).values_list("kind", "wanted"))
    chosen = {kind for kind in CHOOSABLE if said.get(str(kind), kind not in OFF_AT_FIRST)}
    return FIXED | chosen


def choose(owner_id: int, kinds: Collection[Kind]) -> None:
    """Have the person sent these kinds and no others, apart from the fixed ones.

    All of them are written by one statement and in one order, so that of two answers at once one holds
    as a whole, and a repeated one changes nothing. Raises ``ValueError`` for a kind nobody may choose.
    """
    if not CHOOSABLE.issuperset(kinds):
        raise ValueError("Only kinds that may be chosen can be chosen.")
    rows = [
        MailPreference(owner_id=owner_id, kind=kind, wanted=kind in kinds)
        for kind in sorted(CHOOSABLE)
    ]
    MailPreference.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["owner", "kind"],
        update_fields=["wanted"],
    )
