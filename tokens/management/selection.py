"""Which tokens a command is about: the options, and the rows they choose."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db.models import Q

from tokens import scopes as catalogue
from tokens.management.operation import instant, whole_number
from tokens.models import AccessToken
from tokens.models.token import AccessTokenQuerySet

_WALK = 500
# The options that choose; each narrows what the others chose.
CHOICES = ("user", "scope", "created_before", "unused_for", "public_id")


def add_choices(parser: ArgumentParser) -> None:
    """Declare the options that choose tokens."""
    parser.add_argument("--user", metavar="EMAIL", help="of this person")
    parser.add_argument("--scope", type=_scope, help="that hold this scope")
    parser.add_argument("--created-before", type=instant, metavar="TIME", help="UTC unless it says")
    parser.add_argument(
        "--unused-for",
        type=whole_number(1, 3660),
        metavar="DAYS",
        help="that nothing used for so long, since they were made if ever",
    )
    parser.add_argument(
        "--public-id", type=_public_id, action="append", help="this one; may be repeated"
    )


def chosen(options: Mapping[str, Any], now: datetime) -> AccessTokenQuerySet:
    """Return the tokens that fit all the options, ended ones among them.

    Raises ``CommandError`` for a person or a token that there is not.
    """
    tokens = AccessToken.objects.select_related("owner")
    if options["user"] is not None:
        tokens = tokens.owned_by(person(options["user"]))
    if options["scope"] is not None:
        # No scope's name is part of another's, so containment is membership.
        tokens = tokens.filter(scopes__contains=options["scope"])
    if options["created_before"] is not None:
        tokens = tokens.filter(created_at__lt=options["created_before"])
    if options["unused_for"] is not None:
        tokens = tokens.filter(idle_q(now - timedelta(days=options["unused_for"])))
    if options["public_id"]:
        tokens = tokens.filter(public_id__in=_known(options["public_id"]))
    return tokens


def idle_q(since: datetime) -> Q:
    """Return the condition for tokens that nothing used after ``since`` and that existed then."""
    return Q(activity__last_used_at__lte=since) | Q(activity__isnull=True, created_at__lte=since)


def walk(tokens: AccessTokenQuerySet) -> Iterator[AccessToken]:
    """Yield the tokens by id, some hundred a query, so that their number costs no memory."""
    last = 0
    while True:
        found = list(tokens.filter(pk__gt=last).order_by("pk")[:_WALK])
        yield from found
        if len(found) < _WALK:
            return
        last = found[-1].pk


def person(email: str) -> Any:
    """Return the account of an address, active or not. Raises ``CommandError`` when there is none."""
    # Nothing that can be typed holds a NUL, and PostgreSQL has no text with one.
    address = email.strip().replace("\0", "")
    account = get_user_model()._default_manager.filter(email__iexact=address).first()
    if account is None:
        raise CommandError("There is no account with this address.")
    return account


def _known(public_ids: list[uuid.UUID]) -> set[uuid.UUID]:
    wanted = set(public_ids)
    found = AccessToken.objects.filter(public_id__in=wanted).values_list("public_id", flat=True)
    missing = sorted(map(str, wanted.difference(found)))
    if missing:
        raise CommandError(f"There is no token with the public id {', '.join(missing)}.")
    return wanted


def _scope(text: str) -> str:
    if text not in catalogue.BY_NAME:
        raise ArgumentTypeError(f"must be one of {', '.join(catalogue.BY_NAME)}")
    return text


def _public_id(text: str) -> uuid.UUID:
    # Not ``uuid.UUID`` itself: argparse would repeat the text, which may be a token's value.
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ArgumentTypeError(
            "must be the public id that list_tokens prints; for values use --leaked"
        ) from None
