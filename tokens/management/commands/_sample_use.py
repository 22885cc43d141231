"""What used the sample tokens: the uses behind the places, rhythms and refused calls they show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tokens.origin import Consumer, client_label, network_of
from tokens.usage.lines import Key, Tally, write_lines

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Use:
    """Some requests of one caller, told by how long ago they were."""

    ago: timedelta
    address: str
    agent: str
    scope: str
    times: int = 1
    allowed: bool = True


def knock(ago: timedelta, address: str, agent: str, times: int = 1) -> Use:
    """Return tries of a token that is paused or has ended: they need no scope and are refused."""
    return Use(ago, address, agent, "", times, allowed=False)


def write(use: Use, token_id: int, scope: str, at: datetime) -> None:
    """Count the requests as the writer of use does, in the order of time.

    Not through the gatherer, whose thread could not write use of a token that is not committed yet.
    """
    consumer = Consumer(network=network_of(use.address), client=client_label(use.agent))
    allowed = use.times if use.allowed else 0
    used_at = at if use.allowed else None
    tally = Tally(allowed, use.times - allowed, at, used_at, use.address)
    write_lines({Key(token_id, at.date(), scope, consumer): tally})


def every(gap: timedelta, number: int, use: Use) -> tuple[Use, ...]:
    """Return ``number`` uses like this one, the last as long ago as it says, the gap between them."""
    return tuple(
        Use(use.ago + gap * each, use.address, use.agent, use.scope, use.times, use.allowed)
        for each in range(number)
    )


def _weekly_wave() -> tuple[Use, ...]:
    """Return an hourly job that is busier in the middle of the week and rests for two days."""
    requests = (4, 4, 7, 9, 12, 10, 6)
    return tuple(
        use
        for days in range(30)
        if days not in {6, 7}
        for use in every(
            HOUR,
            3,
            Use(
                DAY * days + timedelta(minutes=3),
                "203.0.113.40",
                "node",
                "projects.read",
                requests[days % 7],
            ),
        )
    )


# One token with all that can be told of use: an hourly job, a daily one that also asks for more than
# it may, a monthly one that last use alone would hide, and one that did not come back.
OPS_RUNNER = (
    *_weekly_wave(),
    *every(DAY, 30, Use(timedelta(minutes=26), "192.0.2.118", "node", "deployments.read", 4)),
    *every(
        DAY,
        5,
        Use(timedelta(minutes=26), "192.0.2.118", "node", "deployments.write", 6, allowed=False),
    ),
    *every(29 * DAY, 4, Use(19 * DAY, "198.51.100.9", "curl/8.11.0", "account.read")),
    *every(DAY, 22, Use(16 * DAY, "198.18.20.88", "node", "projects.read")),
    Use(14 * DAY, "192.0.2.118", "node", "keys.read", 4, allowed=False),
)

# A pipeline on hosted runners, which come from another network every time.
HOSTED_RUNNERS = tuple(
    Use(DAY * (4 + 3 * number), f"198.18.{number}.10", "node", "deployments.read", 3)
    for number in range(6)
)
