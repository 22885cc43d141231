"""What a token's page tells of its use, and how refused calls are answered."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, Clock, issue, origin, sign_in
from tests.views.pages import HTMX
from tokens import lifecycle, projects, usage
from tokens.lifecycle import Issued
from tokens.models import AccessToken, MutedScope, TokenUse
from tokens.origin import Consumer
from tokens.secret import mint
from tokens.usage.knocks import PREFIX

# The clock stands before anybody signs in.
pytestmark = pytest.mark.usefixtures("clock")

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LAPTOP = Consumer("203.0.113.0/24", "Node.js client")
CRON = Consumer("198.51.100.0/24", "curl")
SCOPES = ["inference", "projects.read", "account.read"]


@pytest.fixture
def token(clock: Clock, alice: User) -> AccessToken:
    made = issue(
        alice, "ops-runner", scopes=SCOPES, at=NOON - 120 * DAY, expires_at=NOON + 30 * DAY
    )
    return made.token


def use(
    token: AccessToken,
    *ago: timedelta,
    by: Consumer = LAPTOP,
    scope: str = "projects.read",
    times: int = 1,
    allowed: bool = True,
) -> None:
    for each in sorted(ago, reverse=True):
        for _ in range(times):
            usage.record(
                token_id=token.pk,
                scope=scope,
                consumer=by,
                address=None,
                at=NOON - each,
                allowed=allowed,
            )
        usage.flush()


def refuse(
    token: AccessToken, *ago: timedelta, scope: str = "deployments.write", **facts: Any
) -> None:
    use(token, *ago, scope=scope, allowed=False, **facts)


def address(token: AccessToken, part: str = "") -> str:
    return f"/settings/tokens/{token.public_id}{part}"


def words_of(answer: Any) -> str:
    """Return an answer's words, one space between them, as a screen reader walks through them."""
    shown = re.sub(r"<title>.*?</title>", " ", answer.content.decode(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", shown)).split())


# --- Thirty days --------------------------------------------------------------------------------


def test_thirty_days_are_drawn_and_said_in_a_sentence(as_alice: Client, token: AccessToken) -> None:
    use(token, 2 * DAY, 4 * DAY, times=3)
    use(token, 3 * DAY, times=5)
    refuse(token, 2 * DAY, HOUR, times=2)
    answer = as_alice.get(address(token))
    page = words_of(answer)
    assert "11 requests on 3 of 30 days, most on 20 Nov (5)." in page
    assert "4 refused since 21 Nov, all for deployments.write ." in page
    assert "25 Oct 1 Nov 8 Nov 15 Nov Today" in page
    assert "Day (UTC) Allowed Refused 23 Nov 0 2 22 Nov 0 0 21 Nov 3 2 20 Nov 5 0" in page
    plots = re.findall(r'<svg class="use__plot[^>]*>', answer.content.decode())
    assert len(plots) == 2
    assert all('aria-hidden="true"' in plot for plot in plots)


SENTENCES: list[tuple[str, list[tuple[timedelta, int]], list[tuple[str, timedelta]], str]] = [
    ("one request", [(DAY, 1)], [], "1 request on 1 of 30 days, last on 22 Nov."),
    ("one a day", [(DAY, 1), (5 * DAY, 1)], [], "2 requests on 2 of 30 days, last on 22 Nov."),
    ("many", [(DAY, 1200)], [], "1,200 requests on 1 of 30 days, last on 22 Nov."),
    (
        "refused alone",
        [],
        [("keys.read", DAY)],
        "0 requests in 30 days. 1 refused on 22 Nov, all for keys.read .",
    ),
    (
        "refused for several scopes",
        [],
        [("keys.read", DAY), ("keys.write", 2 * DAY)],
        "0 requests in 30 days. 2 refused since 21 Nov.",
    ),
    (
        "refused while paused as well",
        [],
        [("keys.read", DAY), ("#paused x", DAY)],
        "0 requests in 30 days. 2 refused on 22 Nov.",
    ),
    ("refused without a scope", [], [("", DAY)], "0 requests in 30 days. 1 refused on 22 Nov."),
]


@pytest.mark.parametrize(
    ("used", "refused", "sentence"),
    [row[1:] for row in SENTENCES],
    ids=[row[0] for row in SENTENCES],
)
def test_the_sentence_fits_the_days(
    as_alice: Client,
    token: AccessToken,
    used: list[tuple[timedelta, int]],
    refused: list[tuple[str, timedelta]],
    sentence: str,
) -> None:
    for ago, times in used:
        use(token, ago, times=times)
    for scope, ago in refused:
        refuse(token, ago, scope=scope)
    assert sentence in words_of(as_alice.get(address(token)))


def test_calls_refused_by_a_pause_are_not_called_nothing(
    as_alice: Client, token: AccessToken
) -> None:
    use(token, DAY)
    refuse(token, HOUR, scope="#paused x", times=16)
    page = words_of(as_alice.get(address(token)))
    assert "16 refused on 23 Nov." in page
    assert "Nothing to answer: 16 calls refused, because the token was paused." in page
    assert "Nothing was refused" not in page


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        ("revoked", "3 requests before it was revoked on 23 Nov, 2 tries since."),
        ("expired", "3 requests before it expired on 23 Nov, 2 tries since."),
    ],
)
def test_an_ended_token_tells_what_came_before_and_after(
    clock: Clock, alice: User, token: AccessToken, end: str, sentence: str
) -> None:
    use(token, DAY, times=3)
    if end == "revoked":
        lifecycle.revoke(token=token, origin=origin(alice))
    else:
        AccessToken.objects.filter(pk=token.pk).update(expires_at=NOON)
    clock.tick(days=1)
    refuse(token, -HOUR, scope="#ended", times=2)
    answer = sign_in(Client(), alice).get(address(token))
    page = words_of(answer)
    assert sentence in page
    assert "use__end" in answer.content.decode()
    for gone in ("Refused calls", "Leave", "did not come", "next ≈"):
        assert gone not in page


def test_a_token_that_was_never_used_draws_nothing(as_alice: Client, token: AccessToken) -> None:
    page = words_of(as_alice.get(address(token)))
    for gone in ("Requests, last 30 days", "Places", "Refused calls", "Leave"):
        assert gone not in page


# --- Places -------------------------------------------------------------------------------------


def test_places_tell_who_how_often_since_when_and_when_next(
    as_alice: Client, token: AccessToken
) -> None:
    use(token, *(3 * MINUTE + HOUR * each for each in range(6)), times=300)
    use(token, *(19 * DAY + 29 * DAY * each for each in range(4)), by=CRON)
    use(token, *(16 * DAY + DAY * each for each in range(5)), by=Consumer("192.0.2.0/24", "Wget"))
    use(token, 2 * HOUR, by=Consumer("192.0.2.0/24", "other", name="ci/web@main"))
    use(token, 5 * HOUR, by=Consumer("", "", service="edge-gateway"))
    page = words_of(as_alice.get(address(token)))
    for words in (
        "203.0.113.0/24 Node.js client 1,800 requests, 3 minutes ago First seen 23 Nov 2026",
        "23 Nov 2026 Usual gap 1 hour 192.0.2.0/24",
        "198.51.100.0/24 curl 4 requests, 19 days ago First seen 9 Aug 2026",
        "9 Aug 2026 Monthly job, last seen 19 days ago, next ≈ 3 Dec",
        "192.0.2.0/24 Wget 5 requests, 16 days ago First seen 3 Nov 2026",
        "3 Nov 2026 Expected 8 Nov, did not come. Last seen 16 days ago",
        "192.0.2.0/24 An unknown client, calls itself “ci/web@main” (not verified)",
        "edge-gateway A service that checks tokens 1 request, 5 hours ago",
    ):
        assert words in page, words


def test_many_places_are_folded_away_but_none_is_lost(as_alice: Client, token: AccessToken) -> None:
    for number in range(12):
        use(token, number * HOUR, by=Consumer(f"198.18.{number}.0/24", f"client {number}"))
    use(token, 91 * DAY, by=CRON)
    page = words_of(as_alice.get(address(token)))
    assert "Show 4 more" in page
    assert all(f"198.18.{number}.0/24" in page for number in range(12))
    assert CRON.network not in page


def test_a_job_of_once_a_quarter_stays_among_the_places(as_alice: Client, alice: User) -> None:
    token = issue(alice, "old", at=NOON - 390 * DAY, expires_at=None).token
    use(token, *(95 * DAY + 91 * DAY * each for each in range(4)), by=CRON)
    assert "Usual gap 91 days, expected 19 Nov" in words_of(as_alice.get(address(token)))


def test_what_a_caller_says_of_itself_is_shortened_and_escaped(
    as_alice: Client, alice: User, bearer: Callable[[Issued], dict[str, str]]
) -> None:
    issued = issue(alice, "tagged")
    claimed = "<script>x</script>\u202e\x07" + "y" * 200
    headers = {**bearer(issued), "X-Skytells-Consumer": claimed, "User-Agent": "<b>curl</b>"}
    assert Client().get("/api/v1/token", headers=headers).status_code == 200
    page = as_alice.get(address(issued.token)).content.decode()
    assert "<script>x" not in page
    stored = TokenUse.objects.get().consumer_name
    assert len(stored) == 80
    assert html.escape(stored) in page


# --- Scopes -------------------------------------------------------------------------------------


def test_an_unused_scope_is_pointed_out_and_left_out_in_one_click(
    as_alice: Client, token: AccessToken
) -> None:
    use(token, HOUR)
    use(token, 12 * DAY, scope="account.read")
    answer = as_alice.get(address(token))
    page = words_of(answer)
    assert "inference Run inference requests Never" in page
    assert "projects.read Read project information 1 hour ago" in page
    assert (
        "This token has not needed inference in 120 days. "
        "Dropping it means a leak cannot spend on your account. Leave it out" in page
    )
    form = as_alice.get(answer.context["leave_out"].url).content.decode()
    assert re.search(r'value="inference" checked', form)
    assert form.count(" checked") == 1
    gone = as_alice.post(
        address(token, "/scopes"), {"remove": ["inference"], "confirm": "yes"}, headers=HTMX
    )
    assert gone.status_code in {200, 303}
    assert "Leave it out" not in words_of(as_alice.get(address(token)))


def test_several_unused_scopes_are_left_out_together(as_alice: Client, token: AccessToken) -> None:
    use(token, HOUR)
    use(token, 40 * DAY, scope="account.read")
    page = words_of(as_alice.get(address(token)))
    assert (
        "This token has not needed inference and account.read in 40 days. "
        "Dropping them means a leak can do less. Leave them out" in page
    )


def test_nothing_is_pointed_out_where_nothing_or_everything_is_unused(
    clock: Clock, as_alice: Client, alice: User, token: AccessToken
) -> None:
    use(token, 40 * DAY)
    assert "Leave" not in words_of(as_alice.get(address(token)))
    young = issue(alice, "young", scopes=SCOPES, at=NOON - 29 * DAY).token
    use(young, HOUR)
    assert "Leave" not in words_of(as_alice.get(address(young)))


@pytest.mark.parametrize("forged", ["keys.write", "<b>", "", "%00", "a" * 3000])
def test_a_forged_link_ticks_nothing(as_alice: Client, token: AccessToken, forged: str) -> None:
    answer = as_alice.get(address(token, "/scopes"), {"remove": forged})
    assert answer.status_code == 200
    assert " checked" not in answer.content.decode()


# --- Refused calls ------------------------------------------------------------------------------


def test_a_refused_call_is_told_with_its_caller_and_leads_to_the_create_form(
    as_alice: Client, alice: User, bearer: Callable[[Issued], dict[str, str]]
) -> None:
    issued = issue(alice, "cli", description="The desk", scopes=["account.read"])
    headers = {**bearer(issued), "User-Agent": "curl/8.11.0"}
    for _ in range(3):
        assert Client().get("/api/v1/cli/projects", headers=headers).status_code == 403
    usage.flush()
    answer = as_alice.get(address(issued.token))
    page = words_of(answer)
    assert "3 calls refused for projects.read" in page
    assert "127.0.0.0/24, curl (not verified) . First 23 Nov, last just now" in page.replace(
        "(not verified).", "(not verified) ."
    )
    assert (
        "This token cannot read project information. Either it needs more, or something there does "
        "more than it should. Start a replacement with it Expected, mute" in page
    )
    form = as_alice.get(answer.context["inbox"][0].create_url)
    assert form.context["form"].filled["level-account"] == "read"
    assert form.context["form"].filled["level-projects"] == "read"
    assert form.context["form"].filled["description"] == "The desk"
    assert not form.context["form"].filled.get("name")


def test_a_scope_that_writes_is_asked_for_and_not_ticked(
    as_alice: Client, token: AccessToken
) -> None:
    refuse(token, HOUR, times=31)
    answer = as_alice.get(address(token))
    assert "31 calls refused for deployments.write" in words_of(answer)
    form = as_alice.get(answer.context["inbox"][0].create_url)
    assert form.context["form"].filled["level-deployments"] == "none"
    assert "deployments.write" in words_of(form)
    assert AccessToken.objects.count() == 1


def test_a_scope_the_token_holds_was_refused_for_another_reason(
    as_alice: Client, token: AccessToken
) -> None:
    refuse(token, HOUR, scope="account.read")
    page = words_of(as_alice.get(address(token)))
    assert "It holds this scope, so something else was in the way" in page
    assert "Start a replacement" not in page


def test_a_limit_to_nothing_is_never_offered_as_all(as_alice: Client, alice: User) -> None:
    token = issue(alice, "none", projects=[]).token
    refuse(token, HOUR)
    page = words_of(as_alice.get(address(token)))
    assert "1 call refused for deployments.write" in page
    assert "Start a replacement" not in page


def test_of_many_callers_three_are_named(as_alice: Client, token: AccessToken) -> None:
    for number in range(5):
        refuse(token, number * HOUR, by=Consumer(f"198.18.{number}.0/24", "curl"))
    page = words_of(as_alice.get(address(token)))
    assert "198.18.2.0/24, curl (not verified) ; and 2 more" in page.replace(
        "(not verified);", "(not verified) ;"
    )
    assert "198.18.3.0/24" not in page


# --- Scopes that are kept without use -----------------------------------------------------------

KEEP = {"scope": ["inference", "account.read"]}


@pytest.fixture
def endless(alice: User) -> AccessToken:
    return issue(alice, "nightly", scopes=SCOPES, at=NOON - 120 * DAY, expires_at=None).token


def test_scopes_are_kept_and_brought_up_again_after_sixty_days(
    clock: Clock, as_alice: Client, alice: User, endless: AccessToken
) -> None:
    use(endless, HOUR)
    page = words_of(as_alice.get(address(endless)))
    assert "Leave them out Keep them, remind me in 60 days" in page
    answer = as_alice.post(address(endless, "/keep"), KEEP)
    assert (answer.status_code, answer.headers["Location"]) == (303, address(endless) + "#access")
    page = words_of(as_alice.get(address(endless)))
    assert "inference and account.read kept for now" in page
    assert "has not needed" not in page
    clock.tick(days=59)
    use(endless, -59 * DAY)
    sign_in(as_alice, alice)
    assert "has not needed" not in words_of(as_alice.get(address(endless)))
    clock.tick(days=1)
    page = words_of(as_alice.get(address(endless)))
    assert "This token has not needed inference and account.read in 180 days." in page


def test_keeping_one_scope_leaves_the_other_to_be_judged(
    as_alice: Client, token: AccessToken
) -> None:
    use(token, HOUR)
    as_alice.post(address(token, "/keep"), {"scope": "account.read"})
    page = words_of(as_alice.get(address(token)))
    assert "This token has not needed inference in 120 days." in page


def test_keeping_again_counts_from_the_second_time(
    clock: Clock, as_alice: Client, alice: User, endless: AccessToken
) -> None:
    for _ in range(2):
        sign_in(as_alice, alice)
        assert as_alice.post(address(endless, "/keep"), KEEP).status_code == 303
        clock.tick(days=40)
    assert MutedScope.objects.count() == 2
    use(endless, -80 * DAY)
    sign_in(as_alice, alice)
    page = words_of(as_alice.get(address(endless)))
    assert "has not needed" not in page
    clock.tick(days=20)
    sign_in(as_alice, alice)
    assert "has not needed" in words_of(as_alice.get(address(endless)))


def test_a_kept_scope_is_no_muted_call(as_alice: Client, token: AccessToken) -> None:
    """Both are remembered in one table: neither is taken for the other."""
    refuse(token, HOUR, times=4)
    as_alice.post(address(token, "/keep"), {"scope": "inference"})
    page = words_of(as_alice.get(address(token)))
    assert "4 calls refused for deployments.write" in page
    assert "Unmute" not in page
    # Nor for a knock, whose marks all begin alike.
    kept = MutedScope.objects.get()
    assert not kept.scope.startswith(PREFIX)
    assert "muted" not in str(kept)


@pytest.mark.parametrize("names", [[], ["keys.write"], ["moon"], ["kept: inference"], ["x" * 5000]])
def test_only_scopes_that_the_token_holds_are_kept(
    as_alice: Client, token: AccessToken, names: list[str]
) -> None:
    answer = as_alice.post(address(token, "/keep"), {"scope": names})
    assert answer.status_code == 400
    assert not MutedScope.objects.exists()


def test_nobody_else_keeps_anything(client: Client, as_bob: Client, token: AccessToken) -> None:
    assert as_bob.post(address(token, "/keep"), KEEP).status_code == 404
    assert client.post(address(token, "/keep"), KEEP).status_code == 302
    assert not MutedScope.objects.exists()


def test_keeping_in_place_goes_on_at_the_access(as_alice: Client, token: AccessToken) -> None:
    use(token, HOUR)
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}"}
    answer = as_alice.post(address(token, "/keep"), KEEP, headers=headers)
    said = {"value": "inference and account.read kept for now"}
    assert json.loads(answer.headers["HX-Trigger"]) == {"toast": said}
    assert re.search(r'id="access-title" tabindex="-1" autofocus', answer.content.decode())


def test_the_scope_that_was_used_last_stands_first(as_alice: Client, token: AccessToken) -> None:
    use(token, 12 * DAY, scope="account.read")
    use(token, HOUR)
    held = as_alice.get(address(token)).context["held"]
    assert [each.name for each in held][:2] == ["projects.read", "account.read"]
    assert held[-1].name == "inference"


# --- Muting -------------------------------------------------------------------------------------

MUTE = {"scope": "deployments.write", "action": "mute"}


def test_expected_calls_are_muted_and_heard_of_again(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    refuse(token, HOUR, times=4)
    answer = as_alice.post(address(token, "/mute"), MUTE)
    assert (answer.status_code, answer.headers["Location"]) == (303, address(token) + "#refused")
    page = words_of(as_alice.get(address(token)))
    assert "Calls refused for deployments.write muted" in page
    assert "Muted: deployments.write , 4 calls, by you on 23 Nov. Unmute" in page
    assert "Nothing else was refused in 30 days." in page
    assert "4 calls refused" not in page
    as_alice.post(address(token, "/mute"), {**MUTE, "action": "unmute"})
    page = words_of(as_alice.get(address(token)))
    assert "Calls refused for deployments.write shown again" in page
    assert "4 calls refused for deployments.write" in page


def test_a_repeat_keeps_the_first_time_and_does_no_harm(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    for _ in range(2):
        assert as_alice.post(address(token, "/mute"), MUTE).status_code == 303
        clock.tick(minutes=1)
    assert MutedScope.objects.get().at == NOON
    for _ in range(2):
        sent = {**MUTE, "action": "unmute"}
        assert as_alice.post(address(token, "/mute"), sent).status_code == 303
    assert not MutedScope.objects.exists()


def test_htmx_swaps_the_page_and_says_so(as_alice: Client, token: AccessToken) -> None:
    refuse(token, HOUR)
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}"}
    answer = as_alice.post(address(token, "/mute"), MUTE, headers=headers)
    assert answer.status_code == 200
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("#_detail", "outerHTML")
    said = {"value": "Calls refused for deployments.write muted"}
    assert json.loads(answer.headers["HX-Trigger"]) == {"toast": said}
    body = answer.content.decode()
    assert "<html" not in body
    assert re.search(r'id="refused-title" tabindex="-1" autofocus', body)


def test_removing_a_scope_ends_what_was_muted_of_it(as_alice: Client, token: AccessToken) -> None:
    as_alice.post(address(token, "/mute"), {**MUTE, "scope": "inference"})
    as_alice.post(address(token, "/mute"), MUTE)
    as_alice.post(address(token, "/scopes"), {"remove": ["inference"], "confirm": "yes"})
    assert MutedScope.objects.get().scope == "deployments.write"


BAD = [
    ({}, "Choose whether to mute these calls or to show them."),
    ({"scope": "keys.read"}, "Choose whether to mute these calls or to show them."),
    ({"scope": "keys.read", "action": "erase"}, "Choose whether to mute these calls"),
    ({"scope": "moon.read", "action": "mute"}, "There is no such scope. Nothing was muted."),
    ({"scope": "x" * 5000, "action": "mute"}, "There is no such scope. Nothing was muted."),
    ({"scope": "a\x00b", "action": "mute"}, "Null characters are not allowed."),
    ({"scope": "<b>", "action": "mute"}, "There is no such scope. Nothing was muted."),
]


@pytest.mark.parametrize(("sent", "sentence"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_what_cannot_be_muted_changes_nothing(
    as_alice: Client,
    token: AccessToken,
    sent: dict[str, str],
    sentence: str,
    headers: dict[str, str],
) -> None:
    answer = as_alice.post(address(token, "/mute"), sent, headers=headers)
    assert answer.status_code == 422
    assert sentence in words_of(answer)
    assert not MutedScope.objects.exists()


def test_a_pasted_token_is_not_shown_back(as_alice: Client, token: AccessToken) -> None:
    pasted = mint().reveal()
    answer = as_alice.post(address(token, "/mute"), {"scope": pasted, "action": "mute"})
    assert answer.status_code == 422
    assert pasted[7:19] not in answer.content.decode()


def test_bob_and_nobody_mute_nothing_of_alices(
    as_bob: Client, client: Client, token: AccessToken
) -> None:
    assert as_bob.post(address(token, "/mute"), MUTE).status_code == 404
    assert Client().post(address(token, "/mute"), MUTE).status_code == 302
    assert not MutedScope.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "trace"])
def test_muting_is_a_post(as_alice: Client, token: AccessToken, method: str) -> None:
    assert getattr(as_alice, method)(address(token, "/mute")).status_code == 405


def test_a_missing_csrf_token_changes_nothing(as_alice: Client, token: AccessToken) -> None:
    as_alice.handler.enforce_csrf_checks = True
    assert as_alice.post(address(token, "/mute"), MUTE).status_code == 403
    assert not MutedScope.objects.exists()


# --- What it costs ------------------------------------------------------------------------------


def test_the_page_costs_the_same_for_one_consumer_and_for_many(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    mine = [
        projects.create(owner_id=alice.pk, name=f"P{n}", origin=origin(alice)) for n in range(3)
    ]
    token = issue(alice, "busy", projects=mine, at=NOON - 100 * DAY).token
    counts = []
    for crowd in (1, 30):
        for number in range(crowd):
            by = Consumer(f"198.18.{number}.0/24", f"client {number}")
            use(token, *(number * MINUTE + DAY * each for each in range(3)), by=by)
            refuse(token, number * MINUTE, by=by)
            refuse(token, number * MINUTE, by=by, scope="keys.read")
        usage.mute(token_id=token.pk, scope="keys.read", at=clock.now)
        with CaptureQueriesContext(connection) as queries:
            assert as_alice.get(address(token)).status_code == 200
        counts.append(len(queries))
    assert counts == [7, 7]
