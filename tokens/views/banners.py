"""What needs a look, said on the pages that have no other place for it, and hidden for a day if asked.

Nothing is stored: the numbers are read with the page, and a cookie of this browser names what was
hidden. Something new, such as one more token that expires, is another thing and shows again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from tokens import insight
from tokens.secret import redact_address
from tokens.templatetags.console_ui import instant_words
from tokens.views.filters import View

COOKIE = "later"
ONE_DAY = 24 * 3600
_KEY = re.compile(r"[a-z]{1,10}-[0-9a-f]{8}\Z", re.ASCII)
_MOST = 8


class Item(NamedTuple):
    """One thing that needs a look: what, what follows, and where it is seen to."""

    kind: str
    title: str
    text: str
    url: str
    link: str

    @property
    def key(self) -> str:
        """What this very thing is called in the cookie; another number or date is another thing."""
        return f"{self.kind}-{zlib.crc32(f'{self.title} {self.text}'.encode()):08x}"


class Banner(NamedTuple):
    """What is shown, and where hiding it leads back to."""

    items: list[Item]
    here: str

    @property
    def keys(self) -> str:
        """Return what the form hides."""
        return ".".join(item.key for item in self.items)


def banner(request: HttpRequest, items: Iterable[Item | None]) -> Banner | None:
    """Return the banner of these things without those that were hidden; None when nothing is left."""
    hidden = _keys(request.COOKIES.get(COOKIE, ""))
    left = [item for item in items if item is not None and item.key not in hidden]
    return Banner(left, redact_address(request.get_full_path())) if left else None


def site_banner(request: HttpRequest) -> Banner | None:
    """Return what of the person's tokens needs a look. Two queries, and none for a stranger.

    What answers a form has something else to say, and nobody could be led back to it.
    """
    user: Any = request.user
    if not user.is_authenticated or request.method not in {"GET", "HEAD"}:
        return None
    now = timezone.now()
    found = insight.attention(user.pk, now)
    items = [
        about_policy(found.outside, found.blocks_from, now),
        _about_expiry(found),
        _about_rotations(found.left_open),
    ]
    return banner(request, items)


def about_policy(number: int, blocks_from: datetime | None, now: datetime) -> Item | None:
    """Return what announced rules mean for this many tokens, before and after their date."""
    if not number or blocks_from is None:
        return None
    one = number == 1
    at = _instant(blocks_from)
    if blocks_from > now:
        title = f"{_tokens(number)} {'stops' if one else 'stop'} working on {at}"
        text = (
            "Your administrator allows less from then on. Rotate "
            f"{'it' if one else 'them'}, or create {'another' if one else 'others'} that "
            f"{'fits' if one else 'fit'}."
        )
    else:
        title = f"{_tokens(number)} {'is' if one else 'are'} refused since {at}"
        text = f"Your administrator allows less than {'it was' if one else 'they were'} made for."
    return Item("policy", title, text, View(status="outside").url, "Show what is out of policy")


def _about_expiry(found: insight.Attention) -> Item | None:
    if not found.expiring or found.first_end is None:
        return None
    one = found.expiring == 1
    title = f"{_tokens(found.expiring)} {'expires' if one else 'expire'} within 7 days"
    text = f"{'On' if one else 'The first on'} {_instant(found.first_end)}."
    return Item("expiring", title, text, View(status="expiring").url, "Show what expires")


def _about_rotations(number: int) -> Item | None:
    if not number:
        return None
    one = number == 1
    title = "1 rotation is left open" if one else f"{number} rotations are left open"
    text = "The old token still works." if one else "The old tokens still work."
    return Item("rotating", title, text, View(status="rotating").url, "Show what is rotating")


@require_POST
def hide_banner(request: HttpRequest) -> HttpResponse:
    """Hide what was shown for a day in this browser, and go back. Repeating it changes nothing."""
    keys = _keys(request.POST.get("keys", ""))
    kept = _keys(request.COOKIES.get(COOKIE, "")) - keys
    if getattr(request, "htmx", False):
        response = render(request, "components/site_banner_hidden.html")
    else:
        response = HttpResponseRedirect(_back(request), status=303)
    response.set_cookie(
        COOKIE,
        ".".join([*sorted(keys), *sorted(kept)][:_MOST]),
        max_age=ONE_DAY,
        secure=settings.TLS,
        httponly=True,
        samesite="Lax",
    )
    return response


def _back(request: HttpRequest) -> str:
    """Return the page the form stood on, or the list: nobody is sent anywhere else."""
    here = request.POST.get("here", "")
    inside = here.startswith("/") and url_has_allowed_host_and_scheme(here, allowed_hosts=None)
    return here if inside and here.isprintable() else reverse("tokens:list")


def _keys(text: str) -> set[str]:
    """Return the readable ones of at most a few keys."""
    return {each for each in text[:200].split(".")[:_MOST] if _KEY.match(each)}


def _instant(at: datetime) -> str:
    return instant_words(at, timezone.get_current_timezone())


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{number} tokens"
