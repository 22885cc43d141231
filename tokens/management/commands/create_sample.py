"""``manage.py create_sample``: an account with tokens in every state, to look at and try out."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from skytells_console.models import User
from tokens import lifecycle, policy, usage
from tokens.lifecycle import Wish
from tokens.management.commands._sample_lives import SAMPLES, Sample
from tokens.management.commands._sample_use import Use, write
from tokens.models import AccessToken, RevokeKind
from tokens.origin import Door, Origin, client_label

Step = Callable[[datetime], None]

NAME = "Maya Lindqvist"


class Command(BaseCommand):
    """Makes one account and lets its tokens live their lives, with a clock set back.

    Every step goes through the same writers as a person's would, so the samples can show nothing
    that the product does not do. The values are dropped at once: nobody holds them.
    """

    help = "Make a sample account with tokens in every state; do nothing if it exists."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the address of the account."""
        parser.add_argument("--email", default="sample@example.com")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make the account and its tokens in one transaction, then print how to sign in."""
        email = options["email"].strip().lower()
        _check(email)
        if User.objects.filter(email__iexact=email).exists():
            self.stdout.write(f"There is an account for {email} already; nothing was changed.")
            return
        password = secrets.token_urlsafe(15)
        try:
            with transaction.atomic():
                _tell(_make_account(email, password), timezone.now())
        except policy.Refused as refused:
            raise CommandError(f"The samples break a rule of this console. {refused}") from None
        self.stdout.write(f"Account: {email}")
        self.stdout.write(f"Password: {password}")
        self.stdout.write(f"Tokens: {len(SAMPLES)}, one at least in every state.")


def _check(email: str) -> None:
    try:
        validate_email(email)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None


def _make_account(email: str, password: str) -> User:
    user = User.objects.create_user(email, password, name=NAME)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _tell(owner: User, now: datetime) -> None:
    """Run through all lives in the order of time, so that the remembered events are in order too."""
    tokens: dict[str, AccessToken] = {}
    steps: list[tuple[timedelta, Step]] = []
    for sample in SAMPLES:
        steps.append((sample.created, partial(_issue, owner, sample, now, tokens)))
        steps += [(use.ago, partial(_use, owner, sample.name, use, tokens)) for use in sample.uses]
        steps += [
            (ago, partial(_mute, sample.name, scope, tokens)) for scope, ago in sample.muted.items()
        ]
        if sample.rotated is not None:
            steps.append((sample.rotated, partial(_rotate, owner, sample, now, tokens)))
            moved = _replacement(sample)
            steps += [(use.ago, partial(_use, owner, moved, use, tokens)) for use in sample.moved]
        if sample.paused is not None:
            steps.append((sample.paused, partial(_pause, owner, sample.name, tokens)))
        if sample.revoked is not None:
            steps.append((sample.revoked, partial(_revoke, owner, sample, tokens)))
        since = None if sample.paused is None else now - sample.paused
        steps += [
            (knock.ago, partial(_knock, sample.name, knock, since, tokens))
            for knock in sample.knocks
        ]
    # The sort is stable: a token that is used and ended in one instant is used first.
    for ago, step in sorted(steps, key=lambda each: each[0], reverse=True):
        step(now - ago)


def _issue(
    owner: User, sample: Sample, now: datetime, tokens: dict[str, AccessToken], at: datetime
) -> None:
    wish = Wish(
        name=sample.name,
        scopes=tuple(sample.scopes),
        expires_at=None if sample.ends_in is None else now + sample.ends_in,
        description=sample.description,
    )
    origin = Origin(at=at, door=Door.COMMAND, actor_id=owner.pk, quiet=True)
    tokens[sample.name] = lifecycle.issue(owner=owner, wish=wish, origin=origin).token


def _replacement(sample: Sample) -> str:
    return f"{sample.name}, replacement"


def _rotate(
    owner: User, sample: Sample, now: datetime, tokens: dict[str, AccessToken], at: datetime
) -> None:
    origin = Origin(at=at, door=Door.BROWSER, actor_id=owner.pk, quiet=True)
    wish = lifecycle.RotationWish(
        scopes=tuple(sample.scopes), expires_at=now + timedelta(days=sample.lives)
    )
    made = lifecycle.rotate(token=tokens[sample.name], wish=wish, origin=origin).token
    lifecycle.confirm_stored(token=made, origin=origin)
    tokens[_replacement(sample)] = made


def _use(owner: User, name: str, use: Use, tokens: dict[str, AccessToken], at: datetime) -> None:
    token, label = tokens[name], client_label(use.agent)
    origin = Origin(
        at=at,
        door=Door.API,
        actor_id=owner.pk,
        token_id=token.pk,
        address=use.address,
        client=label,
    )
    if use.allowed:
        lifecycle.note_first_use(token_id=token.pk, origin=origin)
    write(use, token.pk, use.scope, at)


def _mute(name: str, scope: str, tokens: dict[str, AccessToken], at: datetime) -> None:
    usage.mute(token_id=tokens[name].pk, scope=scope, at=at)


def _pause(owner: User, name: str, tokens: dict[str, AccessToken], at: datetime) -> None:
    origin = Origin(at=at, door=Door.BROWSER, actor_id=owner.pk, quiet=True)
    lifecycle.pause(token=tokens[name], until=None, origin=origin)


def _knock(
    name: str, use: Use, since: datetime | None, tokens: dict[str, AccessToken], at: datetime
) -> None:
    mark = usage.ENDED if since is None else usage.mark_of_pause(since)
    write(use, tokens[name].pk, mark, at)


def _revoke(owner: User, sample: Sample, tokens: dict[str, AccessToken], at: datetime) -> None:
    token = tokens[sample.name]
    by_itself = sample.kind is RevokeKind.SELF
    origin = Origin(
        at=at,
        door=Door.API if by_itself else Door.BROWSER,
        actor_id=owner.pk,
        token_id=token.pk if by_itself else None,
        quiet=True,
    )
    lifecycle.revoke(token=token, origin=origin, kind=sample.kind, reason=sample.reason)
