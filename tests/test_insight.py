from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, Clock, issue
from tokens import insight, usage
from tokens.insight import Verdict
from tokens.models import AccessToken, MutedScope, TokenActivity, TokenConsumer
from tokens.origin import Consumer

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MADE = 120 * DAY
HOME = Consumer("203.0.113.0/24", "curl")
OFFICE = Consumer("198.51.100.0/24", "Node.js client")


@pytest.fixture
def token(clock: Clock, alice: User) -> AccessToken:
    return issue(alice, at=NOON - MADE, expires_at=NOON + 30 * DAY).token


def use(
    token: AccessToken,
    *ago: timedelta,
    by: Consumer = HOME,
    scope: str = "projects.read",
    **facts: Any,
) -> None:
    """Use the token so long before noon, each time written as if a minute had passed."""
    for each in sorted(ago, reverse=True):
        address = None if by.service else "203.0.113.9"
        facts = {"consumer": by, "address": address, "scope": scope, **facts}
        usage.record(token_id=token.pk, at=NOON - each, **facts)
        usage.flush()


def times(number: int, gap: timedelta, last: timedelta) -> list[timedelta]:
    return [last + number * gap for number in range(number)]


@dataclass(frozen=True)
class Story:
    """Who used a token and when, and what is to be said of it."""

    uses: tuple[tuple[Consumer, list[timedelta]], ...]
    verdict: Verdict
    sentence: str
    titles: tuple[str, ...]
    quiet: bool


def runners(number: int) -> tuple[tuple[Consumer, list[timedelta]], ...]:
    """Return hosted runners, each from a network of its own, one a week and the last two days ago."""
    return tuple(
        (Consumer(f"192.0.{each}.0/24", "Node.js client"), [2 * DAY + 7 * each * DAY])
        for each in range(number)
    )


STORIES = {
    "never used": Story(
        uses=(),
        verdict=Verdict.NEVER_USED,
        sentence="Breaks nobody: it has never been used.",
        titles=(),
        quiet=True,
    ),
    "used a minute ago": Story(
        uses=((HOME, times(9, HOUR, MINUTE)),),
        verdict=Verdict.BREAKS,
        sentence="Breaks 203.0.113.0/24.",
        titles=("203.0.113.0/24",),
        quiet=False,
    ),
    "an hourly job that stopped four hours ago": Story(
        uses=((HOME, times(9, HOUR, 4 * HOUR)),),
        verdict=Verdict.BREAKS,
        sentence="Breaks 203.0.113.0/24.",
        titles=("203.0.113.0/24",),
        quiet=True,
    ),
    "a monthly job": Story(
        uses=((HOME, times(4, 29 * DAY, 19 * DAY)),),
        verdict=Verdict.BREAKS_LATER,
        sentence="Breaks 203.0.113.0/24, which calls about every 29 days and was last seen 19 days ago.",
        titles=("203.0.113.0/24",),
        quiet=False,
    ),
    "a monthly job behind a busy laptop": Story(
        uses=((HOME, times(9, HOUR, MINUTE)), (OFFICE, times(4, 29 * DAY, 19 * DAY))),
        verdict=Verdict.BREAKS,
        sentence=(
            "Breaks 203.0.113.0/24 and 198.51.100.0/24. Easy to forget: 198.51.100.0/24 calls "
            "about every 29 days and was last seen 19 days ago."
        ),
        titles=("203.0.113.0/24", "198.51.100.0/24"),
        quiet=False,
    ),
    "a monthly job that was abandoned": Story(
        uses=((HOME, times(4, 14 * DAY, 60 * DAY)),),
        verdict=Verdict.NOBODY_KNOWN,
        sentence="Breaks nobody we know of: last used 60 days ago.",
        titles=("203.0.113.0/24",),
        quiet=True,
    ),
    "seen once, an hour ago": Story(
        uses=((HOME, [HOUR]),),
        verdict=Verdict.BREAKS,
        sentence="Breaks 203.0.113.0/24.",
        titles=("203.0.113.0/24",),
        quiet=False,
    ),
    "seen once, a month ago": Story(
        uses=((HOME, [31 * DAY]),),
        verdict=Verdict.NOBODY_KNOWN,
        sentence="Breaks nobody we know of: last used 31 days ago.",
        titles=("203.0.113.0/24",),
        quiet=True,
    ),
    "hosted CI": Story(
        uses=runners(14),
        verdict=Verdict.NOBODY_KNOWN,
        sentence=(
            "Breaks nobody we know of: last used 2 days ago. Easy to forget: hosted CI, 14 networks, "
            "usual gap 7 days, last seen 2 days ago."
        ),
        titles=("hosted CI, 14 networks",),
        quiet=True,
    ),
    "a few networks are no hosted CI": Story(
        uses=runners(3),
        verdict=Verdict.NOBODY_KNOWN,
        sentence="Breaks nobody we know of: last used 2 days ago.",
        titles=("192.0.0.0/24", "192.0.1.0/24", "192.0.2.0/24"),
        quiet=True,
    ),
    "a stranger's client is not folded among the runners": Story(
        uses=(*runners(5), (Consumer("198.18.7.0/24", "curl"), [HOUR])),
        verdict=Verdict.BREAKS,
        sentence=(
            "Breaks 198.18.7.0/24. Easy to forget: hosted CI, 5 networks, usual gap 7 days, "
            "last seen 2 days ago."
        ),
        titles=("198.18.7.0/24", "hosted CI, 5 networks"),
        quiet=False,
    ),
    "one runner of today breaks by itself": Story(
        uses=(*runners(5), (Consumer("198.18.7.0/24", "Node.js client"), [HOUR])),
        verdict=Verdict.BREAKS,
        sentence="Breaks 198.18.7.0/24.",
        titles=("hosted CI, 6 networks",),
        quiet=False,
    ),
    "a proxy that asks on behalf of others": Story(
        uses=((Consumer("", "", service="edge-gateway"), times(9, HOUR, MINUTE)),),
        verdict=Verdict.BREAKS,
        sentence="Breaks edge-gateway.",
        titles=("edge-gateway",),
        quiet=False,
    ),
    "two consumers on one network, told apart by their client": Story(
        uses=((HOME, times(9, HOUR, 3 * MINUTE)), (Consumer(HOME.network, "Go client"), [HOUR])),
        verdict=Verdict.BREAKS,
        sentence="Breaks 203.0.113.0/24.",
        titles=("203.0.113.0/24", "203.0.113.0/24"),
        quiet=False,
    ),
    "two consumers on one network, told apart by what they call themselves": Story(
        uses=(
            (Consumer(HOME.network, "curl", "nightly"), times(4, DAY, 6 * HOUR)),
            (Consumer(HOME.network, "curl", "monthly"), times(4, 30 * DAY, 20 * DAY)),
        ),
        verdict=Verdict.BREAKS,
        sentence=(
            "Breaks 203.0.113.0/24. Easy to forget: 203.0.113.0/24 calls about every 30 days "
            "and was last seen 20 days ago."
        ),
        titles=("203.0.113.0/24", "203.0.113.0/24"),
        quiet=False,
    ),
    "more places than a sentence can name": Story(
        uses=tuple(
            (Consumer(f"198.18.{each}.0/24", f"client {each}"), [each * MINUTE])
            for each in range(1, 8)
        ),
        verdict=Verdict.BREAKS,
        sentence="Breaks 198.18.1.0/24, 198.18.2.0/24, 198.18.3.0/24 and 4 more.",
        titles=tuple(f"198.18.{each}.0/24" for each in range(1, 8)),
        quiet=False,
    ),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_who_breaks_is_told_for_every_kind_of_use(token: AccessToken, story: Story) -> None:
    for consumer, ago in story.uses:
        use(token, *ago, by=consumer)
    found = insight.who_breaks(token.pk, NOON)
    assert (found.verdict, found.sentence) == (story.verdict, story.sentence)
    assert tuple(place.title for place in found.places) == story.titles
    assert found.breaks_somebody is any(place.expected for place in found.places)
    assert insight.is_quiet(token.pk, NOON) is story.quiet
    assert all(place.quiet for place in insight.places(token.pk, NOON)) is story.quiet


def test_a_use_that_nobody_remembers_is_still_no_token_never_used(token: AccessToken) -> None:
    use(token, 90 * DAY)
    TokenConsumer.objects.all().delete()
    found = insight.who_breaks(token.pk, NOON)
    assert found.verdict is Verdict.NOBODY_KNOWN
    assert found.sentence == "Breaks nobody we know of: last used 90 days ago."


def test_a_job_of_once_a_year_is_forgotten_after_four_hundred_days(token: AccessToken) -> None:
    use(token, 399 * DAY)
    assert len(insight.places(token.pk, NOON)) == 1
    assert insight.places(token.pk, NOON + 2 * DAY) == []


def test_whoever_knocks_at_a_paused_token_still_needs_it(token: AccessToken) -> None:
    use(token, *times(5, DAY, 5 * DAY))
    use(token, 40 * DAY, by=OFFICE)
    assert insight.who_breaks(token.pk, NOON).verdict is Verdict.NOBODY_KNOWN
    assert insight.is_quiet(token.pk, NOON)
    stranger = Consumer("198.18.0.0/24", "Wget")
    for by in (HOME, stranger):
        use(token, HOUR, by=by, scope="#paused 2026-11-20", allowed=False)
    use(token, HOUR, by=OFFICE, scope="keys.read", allowed=False)
    found = insight.who_breaks(token.pk, NOON)
    assert (found.verdict, found.breaking) == (Verdict.BREAKS, (HOME.network,))
    assert not insight.is_quiet(token.pk, NOON)


def test_what_breaks_stands_first_and_then_what_called_last(token: AccessToken) -> None:
    use(token, *times(4, DAY, 20 * DAY), by=OFFICE)
    use(token, *times(4, 29 * DAY, 25 * DAY), by=HOME)
    use(token, MINUTE, by=Consumer("198.18.0.0/24", "Go client"))
    titles = [place.title for place in insight.who_breaks(token.pk, NOON).places]
    assert titles == ["198.18.0.0/24", HOME.network, OFFICE.network]


# --- A place ------------------------------------------------------------------------------------


def test_a_place_tells_its_rhythm_and_when_it_is_expected(token: AccessToken) -> None:
    use(token, *times(4, 29 * DAY, 19 * DAY))
    use(token, *times(4, 29 * DAY, 19 * DAY), scope="account.read")
    (place,) = insight.places(token.pk, NOON)
    assert (place.client, place.count, place.days) == ("curl", 8, 4)
    assert (place.first_at, place.last_at) == (NOON - 106 * DAY, NOON - 19 * DAY)
    assert place.usual_gap == 29 * DAY
    assert place.next_at == place.next_day == NOON + 10 * DAY
    assert (place.job, place.late, place.quiet, place.expected) == (
        "Monthly job",
        False,
        False,
        True,
    )


@pytest.mark.parametrize(
    ("gap", "silent", "late", "quiet", "expected"),
    [
        (DAY, 1.4 * DAY, False, False, True),
        (DAY, 1.6 * DAY, True, False, True),
        (DAY, 2 * DAY, True, False, False),
        (DAY, 3 * DAY, True, True, False),
        (MINUTE, 14 * MINUTE, False, False, True),
        (MINUTE, 15 * MINUTE, False, True, True),
        (MINUTE, 24 * HOUR, False, True, False),
    ],
)
def test_late_quiet_and_expected_follow_the_usual_gap(
    token: AccessToken, gap: timedelta, silent: timedelta, late: bool, quiet: bool, expected: bool
) -> None:
    use(token, *times(5, gap, silent))
    (place,) = insight.places(token.pk, NOON)
    assert (place.late, place.quiet, place.expected) == (late, quiet, expected)


def test_a_gap_is_unknown_until_three_of_them_were_seen(token: AccessToken) -> None:
    use(token, *times(3, DAY, HOUR))
    (place,) = insight.places(token.pk, NOON)
    assert (place.usual_gap, place.next_at, place.job) == (None, None, "")
    assert not place.quiet
    assert insight.places(token.pk, NOON + DAY)[0].quiet


def test_folded_runners_have_the_rhythm_of_all_of_them(token: AccessToken) -> None:
    for consumer, ago in runners(6):
        use(token, *ago, by=consumer)
    (place,) = insight.places(token.pk, NOON)
    assert (place.networks, place.count, place.job) == (6, 6, "Weekly job")
    assert place.next_day == NOON + 5 * DAY
    assert len(place.keys) == 6
    assert (place.expected, place.may_return) == (False, True)
    assert not insight.places(token.pk, NOON + 13 * DAY)[0].may_return


# --- Scopes -------------------------------------------------------------------------------------


def test_a_scope_without_use_for_thirty_days_could_be_left_out(clock: Clock, alice: User) -> None:
    scopes = ["inference", "projects.read", "deployments.read"]
    token = issue(alice, scopes=scopes, at=NOON - 50 * DAY).token
    use(token, 2 * HOUR)
    use(token, 30 * DAY, scope="deployments.read")
    found = {
        each.scope: (each.last_at, each.unused, each.idle_days)
        for each in insight.scope_use(token, NOON)
    }
    assert found == {
        "inference": (None, True, 50),
        "projects.read": (NOON - 2 * HOUR, False, 0),
        "deployments.read": (NOON - 30 * DAY, True, 30),
    }


def test_a_young_token_has_no_unused_scope(clock: Clock, alice: User) -> None:
    token = issue(alice, at=NOON - 29 * DAY).token
    assert not any(each.unused for each in insight.scope_use(token, NOON))


# --- Days and refusals --------------------------------------------------------------------------


def test_thirty_days_are_counted_by_utc_day_and_none_is_left_out(token: AccessToken) -> None:
    use(token, HOUR, 13 * HOUR, 29 * DAY, 30 * DAY)
    use(token, 2 * HOUR, scope="keys.read", allowed=False)
    use(token, 3 * HOUR, scope="#ended", allowed=False)
    days = insight.daily(token.pk, NOON)
    assert len(days) == 30
    assert (days[0].day, days[-1].day) == ((NOON - 29 * DAY).date(), NOON.date())
    assert [(day.allowed, day.refused) for day in (days[0], days[1], days[-2], days[-1])] == [
        (1, 0),
        (0, 0),
        (1, 0),
        (1, 2),
    ]
    assert [each.scope for each in insight.refused(token, NOON)] == ["keys.read"]


def test_refused_calls_are_told_by_scope_with_their_callers(token: AccessToken) -> None:
    for ago in (2 * DAY, 1 * DAY, 26 * MINUTE):
        use(token, ago, by=OFFICE, scope="deployments.write", allowed=False)
    use(token, DAY, by=HOME, scope="deployments.write", allowed=False)
    use(token, HOUR, scope="account.read", allowed=False)
    use(token, 31 * DAY, scope="keys.write", allowed=False)
    MutedScope.objects.create(token=token, scope="account.read", at=NOON - DAY)
    missing, held = insight.refused(token, NOON)
    assert (missing.scope, missing.calls, missing.held) == ("deployments.write", 4, False)
    assert (missing.first_day, missing.last_at) == ((NOON - 2 * DAY).date(), NOON - 26 * MINUTE)
    assert [(caller.place, caller.client, caller.calls) for caller in missing.callers] == [
        (OFFICE.network, "Node.js client", 3),
        (HOME.network, "curl", 1),
    ]
    assert missing.muted_at is None
    assert (held.scope, held.held, held.muted_at) == ("account.read", True, NOON - DAY)


# --- What it costs ------------------------------------------------------------------------------


def test_the_number_of_queries_is_constant(token: AccessToken, alice: User) -> None:
    tokens = [token, *(issue(alice, f"t-{number}").token for number in range(9))]
    counts = []
    for crowd in (1, 60):
        for each in tokens[: 10 if crowd > 1 else 1]:
            for number in range(crowd):
                use(each, number * HOUR, by=Consumer(f"198.18.{number}.0/24", f"client {number}"))
        with CaptureQueriesContext(connection) as queries:
            insight.seen(AccessToken.objects.select_related("activity").get(pk=token.pk), NOON)
            insight.who_breaks_each([each.pk for each in tokens], NOON)
        counts.append(len(queries))
    assert counts == [6, 6]


def test_one_reading_tells_the_same_as_each_part(token: AccessToken) -> None:
    use(token, *times(5, DAY, HOUR))
    use(token, HOUR, by=OFFICE, scope="keys.read", allowed=False)
    token = AccessToken.objects.select_related("activity").get(pk=token.pk)
    seen = insight.seen(token, NOON)
    assert seen.places == insight.places(token.pk, NOON)
    assert seen.scopes == insight.scope_use(token, NOON)
    assert seen.days == insight.daily(token.pk, NOON)
    assert seen.refused == insight.refused(token, NOON)
    assert seen.knocks == 0
    assert TokenActivity.objects.get().last_used_at == NOON - HOUR
