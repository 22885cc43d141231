"""``manage.py create_sample``: an account with tokens in every state, to look at and try out."""

from __future__ import annotations

import secrets
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass, field
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
from tokens.management.commands._sample_use import (
    HOSTED_RUNNERS,
    OPS_RUNNER,
    Use,
    knock,
    write,
)
from tokens.models import AccessToken, RevokeKind
from tokens.origin import Door, Origin, client_label
from tokens.scopes import PRESETS

Step = Callable[[datetime], None]

NAME = "Maya Lindqvist"
CLI = next(preset.scopes for preset in PRESETS if preset.key == "cli")
CI = next(preset.scopes for preset in PRESETS if preset.key == "ci")
READ = next(preset.scopes for preset in PRESETS if preset.key == "read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The life of one token: everything in it is told by how long ago, or in how long, it is."""

    name: str
    scopes: frozenset[str]
    created: timedelta
    ends_in: timedelta | None
    description: str = ""
    uses: tuple[Use, ...] = ()
    revoked: timedelta | None = None
    kind: RevokeKind = RevokeKind.OWNER
    reason: str = ""
    rotated: timedelta | None = None
    # What the replacement was used for since, and how many days it lives.
    moved: tuple[Use, ...] = ()
    lives: int = 30
    muted: dict[str, timedelta] = field(default_factory=dict)
    paused: timedelta | None = None
    knocks: tuple[Use, ...] = ()


def _days(number: float, **more: float) -> timedelta:
    return timedelta(days=number, **more)


SAMPLES = (
    # Expiring soon.
    Sample(
        name="github-actions-deploy",
        description="Deploys the shop from its main branch",
        scopes=CI,
        created=_days(25),
        ends_in=_days(5, hours=3),
        uses=(
            *HOSTED_RUNNERS,
            Use(_days(3), "198.51.100.24", "node", "deployments.write"),
            Use(_days(2), "198.51.100.24", "node", "deployments.write"),
            Use(_days(1), "198.51.100.24", "node", "deployments.write"),
            Use(timedelta(minutes=26), "198.51.100.24", "node", "deployments.write"),
        ),
    ),
    # Unused for 90 days, and without an end.
    Sample(
        name="notebook-experiments",
        scopes=frozenset({"inference"}),
        created=_days(190),
        ends_in=None,
        uses=(Use(_days(118), "192.0.2.61", "python-requests/2.32.3", "inference"),),
    ),
    # In the middle of a rotation: one of its two places uses the replacement already.
    Sample(
        name="gitlab-release",
        scopes=CI,
        created=_days(41),
        ends_in=_days(19, hours=3),
        uses=(
            Use(_days(7), "203.0.113.40", "curl/8.11.0", "deployments.write"),
            Use(_days(1), "203.0.113.40", "curl/8.11.0", "deployments.write"),
            Use(timedelta(hours=7), "198.51.100.9", "node", "projects.read"),
            Use(timedelta(minutes=2), "203.0.113.40", "curl/8.11.0", "deployments.write"),
        ),
        rotated=timedelta(hours=6),
        moved=(Use(timedelta(minutes=40), "198.51.100.9", "node", "projects.read"),),
        lives=90,
    ),
    # Active.
    Sample(
        name="cli-macbook",
        description="The laptop on the desk",
        scopes=CLI,
        created=_days(50),
        ends_in=_days(40, hours=3),
        uses=(
            Use(_days(12), "203.0.113.7", "node", "account.read"),
            Use(_days(1, hours=4), "203.0.113.7", "node", "deployments.read"),
            Use(timedelta(minutes=3), "203.0.113.7", "node", "projects.read"),
        ),
    ),
    Sample(
        name="ops-runner",
        description="Nightly checks and the monthly export",
        scopes=READ,
        created=_days(133),
        ends_in=_days(48, hours=3),
        uses=OPS_RUNNER,
        muted={"keys.read": _days(13)},
    ),
    # Paused until it is resumed, and somebody knocks.
    Sample(
        name="log-shipper",
        description="Sends deployment logs to the archive",
        scopes=READ,
        created=_days(62),
        ends_in=_days(27, hours=3),
        uses=(
            Use(_days(30), "192.0.2.118", "node", "deployments.read"),
            Use(_days(1, hours=2), "203.0.113.52", "node", "deployments.read"),
            Use(timedelta(minutes=29), "203.0.113.52", "node", "deployments.read"),
        ),
        paused=timedelta(minutes=14),
        knocks=(
            knock(timedelta(minutes=13), "203.0.113.52", "node"),
            knock(timedelta(minutes=11), "192.0.2.118", "node"),
            knock(timedelta(minutes=9), "198.51.100.77", "curl/8.9.1"),
            knock(timedelta(minutes=6), "192.0.2.118", "node"),
            knock(timedelta(minutes=1), "203.0.113.52", "node", times=12),
        ),
    ),
    # Never used.
    Sample(name="staging-smoke-tests", scopes=READ, created=_days(9), ends_in=_days(21, hours=3)),
    # Expired.
    Sample(
        name="terraform-poc",
        scopes=frozenset({"projects.read", "projects.write", "keys.read", "keys.write"}),
        created=_days(33),
        ends_in=_days(-3),
        uses=(Use(_days(3, hours=5), "198.51.100.9", "terraform/1.9.8", "projects.read"),),
    ),
    # Revoked by the person, and by the token itself, as ``DELETE /api/v1/token`` does.
    Sample(
        name="old-thinkpad",
        scopes=CLI,
        created=_days(60),
        ends_in=_days(30),
        uses=(Use(_days(10, hours=2), "203.0.113.7", "node", "account.read"),),
        revoked=_days(10),
        reason="Sold the laptop",
        # Whoever has the laptop now still has the value.
        knocks=(
            *(knock(_days(ago), "203.0.113.7", "node", times=45) for ago in range(9, 0, -1)),
            knock(_days(8), "192.0.2.118", "curl/8.9.1", times=3),
            knock(timedelta(minutes=6), "203.0.113.7", "node", times=4),
        ),
    ),
    Sample(
        name="cli-workshop",
        scopes=CLI,
        created=_days(20),
        ends_in=_days(10),
        uses=(Use(_days(16), "192.0.2.140", "node", "projects.read"),),
        revoked=_days(16),
        kind=RevokeKind.SELF,
    ),
)


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
    wish = lifecycle.RotationWish(scopes=tuple(sample.scopes), expires_at=now + _days(sample.lives))
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
