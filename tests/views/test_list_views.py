"""Filters, search, sorts and pages of the list: what is counted is what is shown."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import HTMX, LIST, text_of
from tests.views.test_listing import many, use
from tokens import lifecycle, policy, policy_change
from tokens.models import AccessToken, standing
from tokens.models.status import Status, status_of
from tokens.secret import mint
from tokens.views.filters import KEYS, View
from tokens.views.paging import SORTS

DAY = timedelta(days=1)


def names(answer: Any) -> list[str]:
    return [row.name for row in answer.context["rows"]]


def chips(answer: Any) -> dict[str, Any]:
    context = answer.context
    return {link.key: link for link in (*context["chips"], *context["signals"])}


def in_random_states(owner: User, number: int, now: Any, seed: int = 7) -> None:
    """Make tokens whose times lie anywhere around the edges that decide about a status."""
    dice = random.Random(seed)  # noqa: S311 - the same states in every run
    many(owner, number, now - 300 * DAY)
    near = [timedelta(0), timedelta(microseconds=1), timedelta(minutes=1), DAY, 7 * DAY, 95 * DAY]
    tokens = list(AccessToken.objects.owned_by(owner).order_by("pk"))
    before: AccessToken | None = None
    for each, token in enumerate(tokens):

        def maybe(share: float) -> Any:
            off = dice.choice(near) * dice.choice([-1, 1])
            return now + off if dice.random() < share else None

        facts: dict[str, Any] = {"expires_at": maybe(0.7), "retire_at": maybe(0.1)}
        facts |= {"name": f"token-{dice.randrange(number):03d}"}
        facts["revoked_at"] = maybe(0.2)
        facts["revoke_kind"] = "owner" if facts["revoked_at"] else ""
        facts["paused_at"] = maybe(0.2)
        facts["paused_until"] = maybe(0.5) if facts["paused_at"] else None
        if before is not None and dice.random() < 0.15:
            facts["replaces"] = before
        if dice.random() < 0.3:
            facts["created_at"] = now - dice.choice([8, 9, 200]) * DAY
        if facts["expires_at"] and facts["expires_at"] <= facts.get("created_at", now - 300 * DAY):
            facts["expires_at"] = None
        AccessToken.objects.filter(pk=token.pk).update(**facts)
        if dice.random() < 0.6:
            use(token, now - dice.choice([timedelta(0), DAY, 90 * DAY, 89 * DAY, 120 * DAY]))
        before = token if each % 3 == 0 else None


# --- Filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_the_place_in_the_list_is_the_status_that_is_shown(
    clock: Clock, alice: User, seed: int
) -> None:
    in_random_states(alice, 120, clock.now, seed)
    tokens = standing.with_rotation(AccessToken.objects.owned_by(alice), clock.now)
    ranked = tokens.select_related("owner", "activity").annotate(
        rank=standing.status_rank(clock.now)
    )
    seen = set()
    for token in ranked:
        activity = getattr(token, "activity", None)
        last_used_at = activity.last_used_at if activity else None
        shown = status_of(token.liveness(), last_used_at, clock.now, rotating=token.rotating)
        assert standing.RANK[shown] == token.rank, token.liveness()
        seen.add(shown)
    assert len(seen) >= len(Status) - 1


@pytest.mark.parametrize("seed", range(2))
def test_each_status_finds_just_the_tokens_that_show_it(
    clock: Clock, alice: User, seed: int
) -> None:
    in_random_states(alice, 120, clock.now, seed)
    tokens = standing.with_rotation(AccessToken.objects.all(), clock.now)
    found = {
        status: set(
            tokens.filter(standing.status_q(status, clock.now)).values_list("pk", flat=True)
        )
        for status in Status
    }
    for token in tokens.select_related("owner", "activity"):
        activity = getattr(token, "activity", None)
        last_used_at = activity.last_used_at if activity else None
        shown = status_of(token.liveness(), last_used_at, clock.now, rotating=token.rotating)
        assert [each for each in Status if token.pk in found[each]] == [shown], token.liveness()
    assert sum(map(bool, found.values())) >= len(Status) - 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("q", ["", "token-00"])
def test_each_chip_counts_the_rows_it_leads_to(
    clock: Clock, as_alice: Client, alice: User, seed: int, q: str
) -> None:
    in_random_states(alice, 45, clock.now, seed)
    answer = as_alice.get(LIST, {"q": q})
    assert len(chips(answer)) >= 7
    for link in (*chips(answer).values(), *answer.context["posture"]):
        there = as_alice.get(link.url)
        assert len(there.context["rows"]) == link.count, link
        assert there.context["view"].url == link.url
    assert chips(answer)["all"].count == len(names(answer))


def test_active_is_what_a_request_would_be_allowed_with(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    in_random_states(alice, 45, clock.now)
    rules, now = policy.current_rules(), clock.now
    accepted = {
        token.public_id
        for token in AccessToken.objects.exclude(policy.open_replacement_q(now))
        if policy.is_accepted(
            token.liveness(),
            policy.TokenFacts(token.created_at, token.expires_at, token.scope_names),
            rules,
            now,
        )
    }
    rows = as_alice.get(LIST, {"status": "active"}).context["rows"]
    assert {row.public_id for row in rows} == accepted


def test_a_rotating_pair_is_one_row(clock: Clock, as_alice: Client, alice: User) -> None:
    old, new = issue(alice, "release").token, issue(alice, "release-new").token
    assert "rotating" not in chips(as_alice.get(LIST))
    AccessToken.objects.filter(pk=new.pk).update(replaces=old)
    answer = as_alice.get(LIST)
    assert names(answer) == ["release"]
    assert answer.context["rows"][0].status.text == "Step 2 of 5, replacement not used yet"
    assert (chips(answer)["rotating"].count, chips(answer)["active"].count) == (1, 1)
    AccessToken.objects.filter(pk=new.pk).update(first_used_at=clock.now)
    assert as_alice.get(LIST).context["rows"][0].status.text == "Step 5 of 5, replacement works"
    AccessToken.objects.filter(pk=new.pk).update(rotation_closed_at=clock.now)
    assert len(names(as_alice.get(LIST))) == 2


def test_a_pause_says_until_when(clock: Clock, as_alice: Client, alice: User) -> None:
    token = issue(alice, "runner").token
    paused = AccessToken.objects.filter(pk=token.pk)
    paused.update(paused_at=clock.now, paused_until=clock.now + timedelta(minutes=15))
    answer = as_alice.get(LIST)
    # Alice lives in Berlin.
    assert answer.context["rows"][0].status.text == "Until 13:15 CET, by you"
    assert (chips(answer)["paused"].count, chips(answer)["active"].count) == (1, 0)
    paused.update(paused_until=None)
    assert as_alice.get(LIST).context["rows"][0].status.text == "Until resumed, by you"
    assert as_alice.get(LIST).context["need_a_look"] == 0
    clock.tick(hours=25)
    assert as_alice.get(LIST).context["need_a_look"] == 1


def test_the_posture_counts_each_token_once(clock: Clock, as_alice: Client, alice: User) -> None:
    issue(alice, "fine", expires_at=clock.now + 40 * DAY)
    assert "Nothing needs attention" in text_of(as_alice.get(LIST))
    both = issue(alice, "both", at=clock.now - 120 * DAY, expires_at=clock.now + 3 * DAY).token
    use(both, clock.now - 100 * DAY)
    assert "1 token needs a look" in text_of(as_alice.get(LIST))
    issue(alice, "soon", expires_at=clock.now + 3 * DAY)
    page = as_alice.get(LIST)
    assert "2 tokens need a look" in text_of(page)
    assert {link.key: link.count for link in page.context["posture"]} == {
        "active": 3,
        "expiring": 2,
        "unused": 1,
        "endless": 0,
    }


# --- Search --------------------------------------------------------------------------------------


@pytest.fixture
def three(clock: Clock, alice: User) -> dict[str, AccessToken]:
    return {
        name: issue(alice, name, description=about).token
        for name, about in (
            ("100%_sure", "A percent and a line"),
            ("Łukasz’ laptop", "C:\\temp"),
            ("terraform-poc", "Builds the <b>staging</b> network"),
        )
    }


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("terra", ["terraform-poc"]),
        ("TERRA", ["terraform-poc"]),
        ("  terra  ", ["terraform-poc"]),
        ("staging", ["terraform-poc"]),
        ("łukasz", ["Łukasz’ laptop"]),
        ("ŁUKASZ", ["Łukasz’ laptop"]),
        ("%", ["100%_sure"]),
        ("_", ["100%_sure"]),
        ("0%_s", ["100%_sure"]),
        ("\\", ["Łukasz’ laptop"]),
        ("<b>", ["terraform-poc"]),
        ("'; --", []),
        ("teraform", []),
        ("x" * 900, []),
    ],
)
def test_a_search_finds_what_was_typed_and_nothing_else(
    as_alice: Client, three: dict[str, AccessToken], q: str, found: list[str]
) -> None:
    answer = as_alice.get(LIST, {"q": q})
    assert names(answer) == found
    assert answer.context["matches"] == len(found)


def test_a_search_knows_the_token_as_the_pages_write_it(
    as_alice: Client, three: dict[str, AccessToken]
) -> None:
    token = three["terraform-poc"]
    written = (
        token.last4,
        token.last4.upper(),
        f"…{token.last4}",
        token.masked,
        token.masked.replace("…", "..."),
        f"sk_pat_{token.head4}",
        f"{token.head4}…{token.last4}",
    )
    for q in written:
        assert "terraform-poc" in names(as_alice.get(LIST, {"q": q})), q


def test_a_search_without_a_match_says_so_and_leads_out(
    as_alice: Client, three: dict[str, AccessToken]
) -> None:
    answer = as_alice.get(LIST, {"q": "<i>tera", "sort": "used"})
    page = answer.content.decode()
    assert "No token matches “&lt;i&gt;tera”" in page
    assert "3 tokens in total." in page
    assert f'href="{LIST}?sort=used"' in page


def test_search_and_filter_go_together(as_alice: Client, three: dict[str, AccessToken]) -> None:
    answer = as_alice.get(LIST, {"q": "a", "status": "never", "sort": "token"})
    assert names(answer) == ["100%_sure", "terraform-poc", "Łukasz’ laptop"]
    assert 'name="status" value="never"' in answer.content.decode()
    assert chips(answer)["all"].url == f"{LIST}?q=a&sort=token"


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value,
        lambda value: value[:15],
        lambda value: f"  what is {value.upper()}?",
        lambda value: value.replace("_", "\uff3f"),
    ],
    ids=["whole", "begun", "in a sentence", "look-alike"],
)
def test_a_token_is_not_searched_for_nor_left_in_the_address(
    as_alice: Client, alice: User, headers: dict[str, str], spoil: Callable[[str], str]
) -> None:
    issue(alice)
    value = mint().reveal()
    answer = as_alice.get(
        LIST, {"q": spoil(value), "status": "active", "sort": "used"}, headers=headers
    )
    there = answer.headers.get("HX-Redirect") or answer.headers["Location"]
    assert there == f"{LIST}?status=active&sort=used&refused=contains_token"
    assert value[7:15] not in answer.content.decode().lower()
    page = as_alice.get(there)
    assert "The search holds a token, or part of one. Nothing was searched for." in text_of(page)
    assert 'aria-invalid="true"' in page.content.decode()
    assert len(names(page)) == 1


@pytest.mark.parametrize("q", ["a\x00b", "\u202eevil", "a\nb", "\ufffd", "\u3164"])
def test_what_cannot_be_seen_is_not_searched_for(as_alice: Client, alice: User, q: str) -> None:
    issue(alice)
    answer = as_alice.get(LIST, {"q": q}, follow=True)
    assert "a character that cannot be seen" in text_of(answer)
    assert answer.redirect_chain == [(f"{LIST}?refused=unreadable", 303)]


# --- Sorts and pages -----------------------------------------------------------------------------


def walk(client: Client, url: str, between: Callable[[], None] = lambda: None) -> list[Any]:
    seen: list[Any] = []
    while url:
        context = client.get(url).context
        seen += [row.public_id for row in context["rows"]]
        url = context["next_url"]
        between()
    return seen


def in_order(owner: User, sort: str, now: Any) -> list[Any]:
    """Return the ids as Python would sort them."""
    mine = AccessToken.objects.owned_by(owner).exclude(policy.open_replacement_q(now))
    tokens = list(standing.with_rotation(mine, now).select_related("owner", "activity"))
    far = now + 9_000 * DAY

    def key(token: Any) -> Any:
        activity = getattr(token, "activity", None)
        used = activity.last_used_at if activity else None
        if sort == "token":
            return (token.name.lower(),)
        if sort == "used":
            return (used is None, -used.timestamp() if used else 0)
        if sort == "created":
            return (-token.created_at.timestamp(),)
        status = status_of(token.liveness(), used, now, rotating=token.rotating)
        end = token.expires_at if token.expires_at and not status.is_ended else far
        return (standing.RANK[status], end, -token.created_at.timestamp())

    return [token.public_id for token in sorted(tokens, key=lambda t: (*key(t), t.public_id.hex))]


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_pages_through_all_rows_in_order(
    clock: Clock, as_alice: Client, alice: User, sort: str
) -> None:
    in_random_states(alice, 130, clock.now)
    assert walk(as_alice, f"{LIST}?sort={sort}") == in_order(alice, sort, clock.now)


@pytest.mark.parametrize("sort", SORTS)
def test_pages_stay_right_while_rows_come_go_and_move(
    clock: Clock, as_alice: Client, alice: User, sort: str
) -> None:
    in_random_states(alice, 160, clock.now)
    order = in_order(alice, sort, clock.now)
    # The rows at the very seams of the pages are the ones that move.
    seams = [order[49], order[50], order[99], order[100]]
    moves = iter(seams)

    def disturb() -> None:
        many(alice, 2, clock.now)
        for public_id in (next(moves, None), next(moves, None)):
            token = AccessToken.objects.filter(public_id=public_id).first()
            if token is not None:
                use(token, clock.now)
                lifecycle.revoke(token=token, origin=origin(alice))

    seen = walk(as_alice, f"{LIST}?sort={sort}", disturb)
    steady = [each for each in order if each not in seams]
    assert [each for each in seen if each in set(steady)] == steady


def test_what_needs_a_look_comes_first(clock: Clock, as_alice: Client, alice: User) -> None:
    now = clock.now
    gone = issue(alice, "gone", at=now - DAY).token
    lifecycle.revoke(token=gone, origin=origin(alice))
    issue(alice, "expired", at=now - 40 * DAY, expires_at=now - 4 * DAY)
    issue(alice, "never", at=now - 9 * DAY, expires_at=now + 21 * DAY)
    for name, ago, left in (("later", 0, 6), ("soon", 0, 5), ("active", 0, 60), ("unused", 99, 50)):
        token = issue(alice, name, at=now - 200 * DAY, expires_at=now + left * DAY).token
        use(token, now - ago * DAY)
    assert names(as_alice.get(LIST)) == [
        "soon",
        "later",
        "unused",
        "active",
        "never",
        "expired",
        "gone",
    ]


@pytest.mark.parametrize(("sort", "spoken"), [("token", "ascending"), ("used", "descending")])
def test_the_sorted_column_says_so(as_alice: Client, alice: User, sort: str, spoken: str) -> None:
    issue(alice)
    page = as_alice.get(LIST, {"sort": sort}).content.decode()
    assert page.count(f'aria-sort="{spoken}"') == 1
    assert re.search(rf'id="sort-{sort}"[^>]*aria-current="true"', page)


def packed(*values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


ID = "00000000-0000-0000-0000-000000000000"
NONSENSE = [
    "",
    "x",
    ID,
    "a" * 99_999,
    "é",
    "\x00",
    packed(),
    packed(1, None, "2026-01-01T00:00:00.000000"),
    packed(99**99, None, None, ID),
    packed(True, None, None, ID),
    packed(1.5, None, None, ID),
    packed(1, "yesterday", None, ID),
    packed(1, "9999-12-31T23:59:59.999999+14:00", None, ID),
    packed("a\x00b", ID),
    packed("\ud800", ID),
    packed({}, ID),
    packed([[]], []),
    packed(None, None, None, None),
    "W" * 900,
]


@pytest.mark.parametrize("sort", ["", "status", "token", "used", "created", "nonsense"])
def test_a_bad_cursor_is_the_beginning(as_alice: Client, alice: User, sort: str) -> None:
    issue(alice)
    for cursor in NONSENSE:
        answer = as_alice.get(LIST, {"after": cursor, "sort": sort})
        assert answer.status_code == 200
        assert len(names(answer)) == 1, cursor
        assert answer.context["view"].after == ""


@pytest.mark.parametrize(
    "query",
    [
        "status=nonsense",
        "status=",
        "status=active&status=%00",
        "sort=-pk",
        "sort=owner__password",
        "refused=anything",
        "page=2&owner=1",
        "%00=%00",
        "q=%FF%FE",
        "&&&===",
        "after[]=1",
    ],
)
def test_a_bad_query_is_ignored(as_alice: Client, alice: User, query: str) -> None:
    issue(alice)
    answer = as_alice.get(f"{LIST}?{query}", follow=True)
    assert answer.status_code == 200
    assert len(names(answer)) == 1


def test_a_cursor_beyond_the_end_leads_back(as_alice: Client, alice: User) -> None:
    issue(alice)
    late = packed(8, None, "1970-01-01T00:00:00.000000", "f" * 32)
    page = as_alice.get(LIST, {"after": late})
    assert "Nothing comes after this" in text_of(page)
    assert f'href="{LIST}"' in page.content.decode()


# --- The address ---------------------------------------------------------------------------------


def test_the_address_of_a_view_holds_only_what_is_not_obvious() -> None:
    assert View().url == LIST
    assert View(status="unused", q="a b&c", sort="token").url == (
        f"{LIST}?status=unused&q=a+b%26c&sort=token"
    )
    assert View(after="x", refused="y").but(sort="used").url == f"{LIST}?sort=used"


def test_htmx_is_told_the_address_where_it_differs(as_alice: Client, alice: User) -> None:
    issue(alice)
    told = as_alice.get(f"{LIST}?q=&status=active", headers=HTMX)
    assert told.headers["HX-Push-Url"] == f"{LIST}?status=active"
    assert "HX-Push-Url" not in as_alice.get(f"{LIST}?status=active", headers=HTMX).headers


@pytest.mark.parametrize("status", sorted(KEYS))
def test_the_list_refreshes_itself_as_it_is(as_alice: Client, alice: User, status: str) -> None:
    issue(alice)
    view = View(status=status, q="cli", sort="used")
    page = as_alice.get(view.url, headers=HTMX).content.decode()
    link = re.search(r'<a id="refresh-tokens" href="([^"]*)" hx-get="([^"]*)"', page)
    assert link
    assert link[1] == link[2] == view.url.replace("&", "&amp;")


# --- Tokens outside the rules -------------------------------------------------------------------

OUTSIDE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"max_lifetime_days": 30}, {}, "Longer than your administrator allows"),
    (
        {"max_write_lifetime_days": 7},
        {"scopes": ["deployments.read", "deployments.write"]},
        "Longer than your administrator allows",
    ),
    ({"max_write_lifetime_days": 7}, {}, ""),
    (
        {"no_expiration_allowed": False},
        {"expires_at": None},
        "No expiration, which your administrator does not allow",
    ),
    ({"no_expiration_allowed": False}, {}, ""),
    ({"allowed_scopes": "keys.read"}, {}, "More access than your administrator allows"),
    ({}, {}, ""),
]


@pytest.mark.parametrize(("rules", "facts", "sentence"), OUTSIDE)
def test_a_token_outside_the_rules_says_why_under_its_date(
    clock: Clock,
    as_alice: Client,
    alice: User,
    carol: User,
    rules: dict[str, Any],
    facts: dict[str, Any],
    sentence: str,
) -> None:
    """Whether or not the rules block: saving them stops nothing, and its owner is to know."""
    issue(alice, **{"expires_at": clock.now + timedelta(days=60), **facts})
    policy_change.save(policy_change.Draft(**rules), after=0, origin=origin(carol))
    (row,) = as_alice.get(LIST).context["rows"]
    assert row.misfit == sentence
    assert text_of(as_alice.get(LIST)).count(" administrator ") == bool(sentence)


def test_what_the_rules_refuse_already_says_that_it_is_refused(
    clock: Clock, as_alice: Client, alice: User, carol: User
) -> None:
    issue(alice, expires_at=clock.now + timedelta(days=60))
    at = clock.now + timedelta(days=1)
    draft = policy_change.Draft(max_lifetime_days=30, blocks_from=at)
    policy_change.save(draft, after=0, origin=origin(carol))
    assert "Refused:" not in text_of(as_alice.get(LIST))
    clock.tick(days=1)
    assert "Refused: longer than your administrator allows" in text_of(as_alice.get(LIST))


def test_an_ended_token_is_outside_no_rules(
    clock: Clock, as_alice: Client, alice: User, carol: User
) -> None:
    token = issue(alice, expires_at=None).token
    lifecycle.revoke(token=token, origin=origin(alice))
    draft = policy_change.Draft(no_expiration_allowed=False)
    policy_change.save(draft, after=0, origin=origin(carol))
    assert "your administrator" not in text_of(as_alice.get(LIST))


def test_each_row_has_a_menu_and_an_ended_one_leads_to_its_page_alone(
    as_alice: Client, alice: User
) -> None:
    live, ended = issue(alice, "live").token, issue(alice, "ended").token
    lifecycle.revoke(token=ended, origin=origin(alice))
    page = as_alice.get(LIST).content.decode()
    for token, items in ((live, 5), (ended, 1)):
        menu = page.partition(f'id="more-{token.public_id}"')[2].partition("</details>")[0]
        assert menu.count('class="menu__item') == items
        assert f'href="{LIST}/{token.public_id}">' in menu


@pytest.mark.parametrize("query", ["", "?status=unused&sort=used", "?q=bulk&sort=token"])
def test_no_view_needs_more_queries_for_more_tokens(
    clock: Clock, as_alice: Client, alice: User, query: str
) -> None:
    counted = []
    for number in (1, 499):
        many(alice, number, clock.now)
        with CaptureQueriesContext(connection) as queries:
            as_alice.get(LIST + query)
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 5


def test_a_search_that_is_far_too_long_is_refused_with_a_sentence(
    as_alice: Client, alice: User
) -> None:
    issue(alice)
    answer = as_alice.get(LIST, {"q": "x" * 5_000}, follow=True)
    assert answer.redirect_chain[0][0] == f"{LIST}?refused=too_long"
    assert "The search is too long." in text_of(answer)
