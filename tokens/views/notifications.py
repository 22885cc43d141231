"""Settings → Notifications: which mails a person gets, which are always sent, and the calendar's address."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from tokens.forms import NotificationsForm
from tokens.notices import Kind, calendar, preferences
from tokens.secret import CALENDAR_PREFIX, Plaintext


class Words(NamedTuple):
    """What a kind of mail is called, and the fact about it that decides."""

    kind: Kind
    title: str
    hint: str


class Row(NamedTuple):
    """One kind of mail as the page shows it; a fixed one cannot be switched off."""

    words: Words
    is_on: bool
    is_fixed: bool


class Group(NamedTuple):
    """Kinds of mail that belong together."""

    key: str
    title: str
    hint: str
    rows: tuple[Row, ...]


_ENDS = (
    Words(
        Kind.EXPIRES_30,
        "30 days before it expires",
        "Only for tokens that live for 60 days or longer",
    ),
    Words(Kind.EXPIRES_7, "7 days before it expires", "Says whether something still uses it"),
    Words(
        Kind.EXPIRES_1, "1 day before it expires", "Not sent if it was rotated or revoked meanwhile"
    ),
    Words(Kind.EXPIRES_0, "On the day it expires", "That day in your time zone"),
    Words(
        Kind.RETIREMENT_NEAR,
        "1 hour before a rotation ends the old token",
        "Only if something still uses it",
    ),
    Words(
        Kind.REVOKED_SOON,
        "Before an unused token is revoked by policy",
        "Using it in time keeps it",
    ),
    Words(
        Kind.POLICY_CHANGED,
        "The rules for all tokens change",
        "When tokens of yours break the new ones",
    ),
)
_LOOKS = (
    Words(Kind.UNUSED, "Unused for 60 days", "With a link to revoke it"),
    Words(Kind.NEVER_STORED, "A value that nobody stored or used", "7 days after it was made"),
    Words(
        Kind.TOKEN_KNOCKED,
        "A revoked or expired token is still tried",
        "With the first try, and where it came from",
    ),
    Words(Kind.ROTATION_UNFINISHED, "A rotation is left open", "After 24 hours with two tokens"),
)
_ACCOUNT = (
    Words(
        Kind.TOKEN_CREATED,
        "Token created or rotated",
        "Also by a device you approved, or by an administrator",
    ),
    Words(
        Kind.TOKEN_REVOKED,
        "Token revoked by somebody else",
        "By an administrator, or by whoever holds its value",
    ),
    Words(Kind.PASSWORD_CHANGED, "Password changed", "With the place it was done from"),
)
_LOCKED = "These tell you if somebody else acts as you, so they cannot be turned off."
GROUPS = (
    ("ends", "Before a token ends", "Sent to the owner of the token.", _ENDS),
    ("looks", "When something needs a look", "Once, and again only if it happens anew.", _LOOKS),
    ("account", "Your account", _LOCKED, _ACCOUNT),
)


@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: HttpRequest) -> HttpResponse:
    """Show which mails are sent, or save the choice. Repeating an answer changes nothing.

    No fresh proof is asked for: what tells of somebody else's acts cannot be switched off here.
    """
    owner: Any = request.user
    if request.method != "POST":
        return _page(request, NotificationsForm(), preferences.wanted_by(owner.pk))
    form = NotificationsForm(request.POST)
    if not form.is_valid():
        return _page(request, form, request.POST.getlist("kinds"), status=422)
    preferences.choose(owner.pk, form.chosen())
    messages.success(request, "Notifications saved")
    return HttpResponseRedirect(reverse("notifications"), status=303)


def with_address(request: HttpRequest, value: Plaintext) -> HttpResponse:
    """Show the page with the whole address of the calendar, in this one answer."""
    owner: Any = request.user
    ticked = preferences.wanted_by(owner.pk)
    return _page(request, NotificationsForm(), ticked, address=_address(value.reveal()))


def _address(value: str) -> str:
    return settings.PUBLIC_URL + reverse("calendar", kwargs={"value": value})


def _page(
    request: HttpRequest,
    form: NotificationsForm,
    ticked: Collection[str],
    *,
    status: int = 200,
    address: str = "",
) -> HttpResponse:
    groups = [
        Group(key, title, hint, tuple(_row(words, ticked) for words in about))
        for key, title, hint, about in GROUPS
    ]
    owner: Any = request.user
    feed = calendar.feed_of(owner.pk)
    context = {
        "form": form,
        "groups": groups,
        "feed": feed,
        "address": address,
        "masked_address": unquote(_address(f"{CALENDAR_PREFIX}…{feed.last4}")) if feed else "",
    }
    return render(request, "account/notifications.html", context, status=status)


def _row(words: Words, ticked: Collection[str]) -> Row:
    is_fixed = words.kind in preferences.FIXED
    return Row(words, is_fixed or words.kind in ticked, is_fixed)
