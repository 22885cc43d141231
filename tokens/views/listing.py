"""Settings → Tokens: one's tokens, filtered, searched, sorted and counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.http import push_url

from tokens import policy
from tokens.models import AccessToken, standing
from tokens.models.rotation import rotations_of
from tokens.models.token import AccessTokenQuerySet
from tokens.views.banners import about_policy, banner
from tokens.views.filters import (
    ALL,
    ENDLESS,
    LIFECYCLE,
    REFUSED,
    SIGNALS,
    Filter,
    View,
    conditions,
    read_view,
    search_q,
)
from tokens.views.paging import SORTS, beyond, cursor_of, order, read_cursor
from tokens.views.rows import row_of

PAGE_SIZE = 50
# How each sort is announced on its column's head; by need is neither up nor down.
_ARIA_SORT = {
    "status": "other",
    "token": "ascending",
    "used": "descending",
    "created": "descending",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A filter or a sort as the page offers it."""

    key: str
    label: str
    url: str
    current: bool
    count: int = 0
    aria_sort: str = ""


@require_safe
def token_list(request: HttpRequest) -> HttpResponse:
    """Show the tokens of the signed-in person; htmx gets the list alone.

    A search that holds a token is redirected and not answered with 422 in place: the value would
    stay in the address bar, in the history and in the next request's referrer.
    """
    view = read_view(request.GET)
    if view.refused and "q" in request.GET:
        return HttpResponseRedirect(view.url, status=303)
    context = list_context(request, view)
    if not getattr(request, "htmx", False):
        return render(request, "tokens/list.html", context)
    response = render(request, "tokens/_token_list.html", context)
    here = context["view"].url
    # The address bar says what is shown, also where a form sent an empty field along.
    return response if here == request.get_full_path() else push_url(response, here)


def _of_owner(user: Any, rules: policy.Rules, now: datetime) -> AccessTokenQuerySet:
    """Return what the list counts and shows: a rotating pair is one row, that of the old token."""
    mine = AccessToken.objects.owned_by(user).exclude(policy.open_replacement_q(now))
    mine = standing.with_rotation(mine, now)
    return mine if rules.blocks_from is None else mine.annotate(fits=policy.fits(rules, now))


def list_context(request: HttpRequest, view: View) -> dict[str, Any]:
    """Return what the list's templates show of ``view``."""
    now = timezone.now()
    user: Any = request.user
    rules = policy.current_rules()
    meaning = conditions(rules, now)
    mine = _of_owner(user, rules, now)
    counts = _counts(mine, meaning, view, now)
    columns = SORTS[view.sort]
    cursor = read_cursor(columns, view.after) if view.after else None
    view = view if cursor else view.but(refused=view.refused)
    rows = _keyed(mine, now).filter(meaning[view.status] & search_q(view.q))
    rest = rows.filter(beyond(columns, cursor)) if cursor else rows
    page = list(rest.select_related("owner", "activity").order_by(*order(columns))[: PAGE_SIZE + 1])
    more = len(page) > PAGE_SIZE
    rotating = [token.pk for token in page if getattr(token, "rotating", False)]
    rotations = rotations_of(rotating, now) if rotating else {}
    return {
        "view": view,
        "rows": [row_of(token, now, rotations.get(token.pk), rules) for token in page[:PAGE_SIZE]],
        "total": counts["of_all"],
        "matches": counts[f"in_{view.status}"],
        "chips": _chips(LIFECYCLE, view, counts),
        "signals": _chips(SIGNALS, view, counts),
        "posture": _posture(view, counts),
        "need_a_look": counts["need_a_look"],
        "banner": banner(request, [about_policy(counts["of_outside"], rules.blocks_from, now)]),
        "sorts": _sorts(view),
        "filter_label": _label(view.status),
        "refused_sentence": REFUSED.get(view.refused, ""),
        "pasted_sentence": REFUSED["contains_token"],
        "clear_url": view.but(q="").url,
        "next_url": _next(view, cursor_of(columns, page[PAGE_SIZE - 1])) if more else "",
        "first_url": view.but().url if view.after else "",
        "time_zone": user.zone.key,
        "can_create": rules.new_tokens_allowed,
        "cannot_create_reason": ""
        if rules.new_tokens_allowed
        else "New tokens are switched off for now.",
    }


def _counts(
    mine: AccessTokenQuerySet, meaning: dict[str, Q], view: View, now: datetime
) -> dict[str, int]:
    """Count every filter in one reading of the person's rows, with and without the search."""
    wanted = {f"of_{key}": each for key, each in meaning.items() if each}
    if view.q:
        searched = search_q(view.q)
        wanted |= {f"in_{key}": each & searched for key, each in meaning.items()}
    counts: dict[str, int] = mine.aggregate(
        **{key: Count("pk", filter=each) for key, each in wanted.items()},
        need_a_look=Count("pk", filter=standing.needs_a_look_q(now)),
        of_all=Count("pk"),
    )
    # Without a search both say the same, and half the counting is half the time.
    return counts if view.q else counts | {f"in_{key}": counts[f"of_{key}"] for key in meaning}


def _keyed(mine: AccessTokenQuerySet, now: datetime) -> AccessTokenQuerySet:
    """Add the keys of every sort."""
    return mine.annotate(
        rank=standing.status_rank(now),
        planned_end=standing.planned_end(now),
        used_at=F("activity__last_used_at"),
        name_sorted=Lower("name"),
    )


def _next(view: View, cursor: str) -> str:
    return view.but(after=cursor).url


def _chips(filters: tuple[Filter, ...], view: View, counts: dict[str, int]) -> list[Link]:
    """Return the filters with the number of rows each leads to, within the search."""
    return [
        Link(
            key=each.key,
            label=each.label,
            url=view.but(status=each.key).url,
            current=each.key == view.status,
            count=counts[f"in_{each.key}"],
        )
        for each in filters
        if not each.only_if_any or counts[f"of_{each.key}"] or each.key == view.status
    ]


def _posture(view: View, counts: dict[str, int]) -> list[Link]:
    """Return the four figures over the list, of all tokens and whatever is searched for."""
    endless = counts["of_endless"]
    words = {
        "active": "active",
        "expiring": "expiring in 7 days",
        "unused": "unused for 90 days",
        ENDLESS.key: "has no expiration" if endless == 1 else "have no expiration",
    }
    return [
        Link(
            key=key,
            label=label,
            url=View(status=key).url,
            current=key == view.status and not view.q,
            count=counts[f"of_{key}"],
        )
        for key, label in words.items()
    ]


def _sorts(view: View) -> dict[str, Link]:
    labels = {"token": "Token", "created": "Created", "used": "Last used", "status": "Status"}
    return {
        key: Link(
            key=key,
            label=label,
            url=view.but(sort=key).url,
            current=key == view.sort,
            aria_sort=_ARIA_SORT[key] if key == view.sort else "none",
        )
        for key, label in labels.items()
    }


def _label(status: str) -> str:
    known = {each.key: each.label for each in (*LIFECYCLE, *SIGNALS, ENDLESS)}
    return "" if status == ALL else known[status]
