"""The sample tokens: one at least in every state, each with the life that brought it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tokens.management.commands._sample_use import HOSTED_RUNNERS, OPS_RUNNER, Use, knock
from tokens.models import RevokeKind
from tokens.scopes import PRESETS

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
