"""What the address of the list says: which tokens, which search, in which order, from where on."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import Q
from django.http import QueryDict
from django.urls import reverse

from tokens import policy
from tokens.models import standing
from tokens.models.liveness import live_q
from tokens.views.paging import SORTS

ALL, BY_NEED = "all", "status"
MAX_SEARCH = 200
# A token as the pages write it, whole or in part: sk_pat_9f3a…c41e, 9f3a…c41e, sk_pat_9f3a, c41e.
_MASKED = re.compile(
    r"(?:sk_pat_)?(?P<head>[0-9a-f]{4})(?:…|\.{3})(?P<last>[0-9a-f]{4})|"
    r"sk_pat_(?P<prefix>[0-9a-f]{4})…?|…?(?P<end>[0-9a-f]{4})",
    re.ASCII | re.IGNORECASE,
)


class Filter(NamedTuple):
    """One way to narrow the list."""

    key: str
    label: str
    only_if_any: bool = False


LIFECYCLE = (
    Filter(ALL, "All"),
    Filter("active", "Active"),
    Filter("expired", "Expired"),
    Filter("revoked", "Revoked"),
)
# These overlap each other and the ones above.
SIGNALS = (
    Filter("expiring", "Expiring soon"),
    Filter("unused", "Unused"),
    Filter("rotating", "Rotating", only_if_any=True),
    Filter("paused", "Paused", only_if_any=True),
    Filter("never", "Never used"),
    Filter("outside", "Out of policy", only_if_any=True),
)
# Reached from the posture strip alone.
ENDLESS = Filter("endless", "No expiration")
KEYS = frozenset(each.key for each in (*LIFECYCLE, *SIGNALS, ENDLESS))

REFUSED = {
    "contains_token": "The search holds a token, or part of one. Nothing was searched for. "
    "Type its name or its last four characters instead.",
    "too_long": "The search is too long. Type a part of a name or description.",
    "unreadable": "The search holds a character that cannot be seen. Type it again without it.",
}


@dataclass(frozen=True, slots=True)
class View:
    """One view of the list. Its address is the whole of it: whoever opens that sees the same."""

    status: str = ALL
    q: str = ""
    sort: str = BY_NEED
    after: str = ""
    refused: str = ""

    @property
    def url(self) -> str:
        """Return the one address of this view, without what goes without saying."""
        said = {
            "status": "" if self.status == ALL else self.status,
            "q": self.q,
            "sort": "" if self.sort == BY_NEED else self.sort,
            "after": self.after,
            "refused": self.refused,
        }
        query = urlencode({key: value for key, value in said.items() if value})
        return f"{reverse('tokens:list')}{'?' if query else ''}{query}"

    def but(self, **changes: str) -> View:
        """Return a neighbouring view, from its first page on."""
        return replace(self, **{"after": "", "refused": "", **changes})


def read_view(query: QueryDict) -> View:
    """Return the view an address asks for; what it cannot mean is as if it were not there."""
    status, sort = query.get("status", ""), query.get("sort", "")
    view = View(
        status=status if status in KEYS else ALL,
        sort=sort if sort in SORTS else BY_NEED,
        after=query.get("after", ""),
        refused=query.get("refused", "") if query.get("refused") in REFUSED else "",
    )
    text = query.get("q", "").strip()
    try:
        policy.check_text(text, field="q", what="The search")
    except policy.Refused as refused:
        code = refused.code if refused.code in REFUSED else "unreadable"
        return view.but(refused=code)
    return replace(view, q=text[:MAX_SEARCH])


def conditions(rules: policy.Rules, now: datetime) -> dict[str, Q]:
    """Return what each filter means. A count and the rows it leads to come from the same condition."""
    return {
        ALL: Q(),
        "active": policy.accepted_q(rules, now),
        "expired": standing.expired_q(now),
        "revoked": standing.revoked_q(now),
        "expiring": standing.expiring_soon_q(now),
        "unused": standing.unused_q(now),
        "rotating": standing.rotating_q(now),
        "paused": standing.switched_off_q(now),
        "never": standing.never_used_q(now),
        "endless": standing.endless_q(now),
        "outside": _outside_q(rules, now),
    }


def _outside_q(rules: policy.Rules, now: datetime) -> Q:
    """Return the condition for tokens that announced rules refuse; needs ``fits`` on the rows."""
    announced = Q(fits=False) if rules.blocks_from is not None else Q(pk__isnull=True)
    return live_q(now) & announced


def search_q(text: str) -> Q:
    """Return the condition for tokens that a search finds: by name, description or what is shown of them."""
    if not text:
        return Q()
    # The key finds letters of every script in either case, where a database folds only A to Z.
    found = (
        Q(name__icontains=text)
        | Q(name_key__contains=policy.name_key(text))
        | Q(description__icontains=text)
    )
    shown = _MASKED.fullmatch(text)
    return found | _shown_q(shown.groupdict()) if shown else found


def _shown_q(parts: dict[str, Any]) -> Q:
    head = (parts["head"] or parts["prefix"] or "").lower()
    last = (parts["last"] or parts["end"] or "").lower()
    return Q(**{key: value for key, value in (("head4", head), ("last4", last)) if value})
