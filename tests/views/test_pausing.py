"""The pages that pause and resume a token, and what its own page says meanwhile and afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import NOON, PASSWORD, Clock, issue, origin
from tests.views.pages import HTMX, LIST, text_of
from tokens import lifecycle, usage
from tokens.lifecycle import Issued
from tokens.models import AccessToken, TokenEvent
from tokens.secret import mint

MINUTE = timedelta(minutes=1)
VERBS = ("pause", "resume")


@pytest.fixture(autouse=True)
def noon(clock: Clock) -> Clock:
    """Stop the clock before anybody signs in, so that every proof is fresh."""
    return clock


@pytest.fixture
def issued(alice: User) -> Issued:
    return issue(alice, "ops-runner")


@pytest.fixture
def token(issued: Issued) -> AccessToken:
    return issued.token


def address(token: AccessToken, verb: str = "", query: str = "") -> str:
    here = f"/settings/tokens/{token.public_id}"
    return f"{here}/{verb}{query}" if verb else here


def pause(token: AccessToken, until: datetime | None = None) -> None:
    lifecycle.pause(token=token, until=until, origin=origin(token.owner))


def call(client: Client, issued: Issued, place: str = "203.0.113.9", agent: str = "curl/8") -> Any:
    """Present the token over HTTP, as whoever holds it does."""
    return client.get(
        "/api/v1/token",
        headers={"Authorization": f"Bearer {issued.plaintext.reveal()}", "User-Agent": agent},
        REMOTE_ADDR=place,
    )


def times(token: AccessToken) -> tuple[datetime | None, datetime | None]:
    token.refresh_from_db()
    return token.paused_at, token.paused_until


def everything() -> list[Any]:
    return [list(each.objects.order_by("pk").values()) for each in (AccessToken, TokenEvent)]


def flat(answer: Any) -> str:
    return " ".join(text_of(answer).split())


# --- The question -------------------------------------------------------------------------------


def test_the_question_offers_four_lengths_with_their_ends(
    as_alice: Client, token: AccessToken
) -> None:
    page = flat(as_alice.get(address(token, "pause")))
    assert "Pause ops-runner?" in page
    assert "Breaks nobody: it has never been used. Requests are refused until it resumes" in page
    for words in (
        "5 minutes Until 13:05 CET",
        "15 minutes Until 13:15 CET",
        "60 minutes Until 14:00 CET",
        "Until resumed Stays off until you act",
    ):
        assert words in page
    assert "The expiration date does not move." in page


def test_a_quarter_of_an_hour_is_chosen(as_alice: Client, token: AccessToken) -> None:
    page = as_alice.get(address(token, "pause")).content.decode()
    assert 'name="length" value="15" checked' in page
    assert page.count(" checked") == 1


def test_the_question_says_who_breaks(client: Client, as_alice: Client, issued: Issued) -> None:
    call(client, issued)
    page = flat(as_alice.get(address(issued.token, "pause")))
    assert "Breaks 203.0.113.0/24. Its requests are refused until it resumes" in page
    call(client, issued, "198.51.100.4")
    page = flat(as_alice.get(address(issued.token, "pause")))
    assert "Their requests are refused until it resumes; nothing else changes." in page


def test_asking_changes_nothing(as_alice: Client, token: AccessToken) -> None:
    before = everything()
    for verb in VERBS:
        as_alice.get(address(token, verb))
        as_alice.head(address(token, verb))
    assert everything() == before


# --- Pausing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "until", "said"),
    [
        ("5", NOON + 5 * MINUTE, "ops-runner paused until 13:05 CET"),
        ("15", NOON + 15 * MINUTE, "ops-runner paused until 13:15 CET"),
        ("60", NOON + 60 * MINUTE, "ops-runner paused until 14:00 CET"),
        ("resumed", None, "ops-runner paused until you resume it"),
    ],
)
def test_pausing_holds_on_the_next_request(
    client: Client,
    as_alice: Client,
    issued: Issued,
    length: str,
    until: datetime | None,
    said: str,
) -> None:
    token = issued.token
    answer = as_alice.post(address(token, "pause"), {"length": length})
    assert (answer.status_code, answer.headers["Location"]) == (303, LIST)
    assert times(token) == (NOON, until)
    assert said in text_of(as_alice.get(LIST))
    refused = call(Client(), issued)
    assert (refused.status_code, refused.json()["code"]) == (403, "token_paused")


def test_a_pause_ends_on_a_full_minute_so_that_two_clicks_are_one(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    clock.tick(seconds=20)
    as_alice.post(address(token, "pause"), {"length": "5"})
    clock.tick(seconds=3)
    as_alice.post(address(token, "pause"), {"length": "5"})
    assert times(token)[1] == NOON + 6 * MINUTE
    assert TokenEvent.objects.filter(kind__startswith="token.pause").count() == 1


def test_pausing_needs_no_fresh_proof(clock: Clock, as_alice: Client, token: AccessToken) -> None:
    clock.tick(hours=3)
    assert "Pause ops-runner?" in text_of(as_alice.get(address(token, "pause")))
    assert as_alice.post(address(token, "pause"), {"length": "15"}).status_code == 303
    assert times(token)[0] == clock.now


@pytest.mark.parametrize("before", [None, NOON + 60 * MINUTE])
def test_ending_a_pause_sooner_needs_the_proof_that_resuming_needs(
    clock: Clock, as_alice: Client, token: AccessToken, before: datetime | None
) -> None:
    pause(token, before)
    clock.tick(minutes=16)
    asked = as_alice.post(address(token, "pause"), {"length": "5"})
    assert (asked.status_code, "Confirm it’s you" in text_of(asked)) == (422, True)
    assert 'name="length" value="5"' in asked.content.decode()
    assert times(token) == (NOON, before)
    proof = {"proof_password": PASSWORD, "proof_for": "POST", "length": "5"}
    wrong = as_alice.post(address(token, "pause"), proof | {"proof_password": "no"})
    assert wrong.status_code == 422
    assert times(token) == (NOON, before)
    assert as_alice.post(address(token, "pause"), proof).status_code == 303
    assert times(token) == (NOON, NOON + 21 * MINUTE)


def test_a_longer_pause_needs_no_proof_and_one_that_came_in_between_is_kept(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    pause(token, NOON + 20 * MINUTE)
    clock.tick(minutes=16)
    assert as_alice.post(address(token, "pause"), {"length": "15"}).status_code == 303
    assert times(token) == (NOON, NOON + 31 * MINUTE)
    assert as_alice.post(address(token, "pause"), {"length": "resumed"}).status_code == 303
    assert times(token) == (NOON, None)
    # Whoever read the token before that asks for less than there is by now.
    here = origin(token.owner)
    assert not lifecycle.pause(
        token=token, until=NOON + 60 * MINUTE, origin=here, may_shorten=False
    )
    assert times(token) == (NOON, None)


def test_pausing_again_changes_the_end(clock: Clock, as_alice: Client, token: AccessToken) -> None:
    as_alice.post(address(token, "pause"), {"length": "60"})
    clock.tick(minutes=10)
    page = flat(as_alice.get(address(token, "pause")))
    assert "Change the pause of ops-runner?" in page
    assert "It is paused until 14:00 CET. What you choose now is the new end." in page
    as_alice.post(address(token, "pause"), {"length": "5"})
    assert times(token) == (NOON, NOON + 15 * MINUTE)


BAD_LENGTHS = [
    "",
    "0",
    "-5",
    "5.0",
    "\uff16\uff10",
    "10",
    "1e9",
    "forever",
    "5\x00",
    "x" * 100_000,
    "None",
]


@pytest.mark.parametrize("length", [*BAD_LENGTHS, None], ids=range(len(BAD_LENGTHS) + 1))
def test_a_forged_length_is_refused_and_nothing_changes(
    as_alice: Client, token: AccessToken, length: str | None
) -> None:
    before = everything()
    answer = as_alice.post(address(token, "pause"), {} if length is None else {"length": length})
    assert answer.status_code == 422
    assert "Choose 5, 15 or 60 minutes, or until it is resumed." in text_of(answer)
    assert everything() == before


def test_a_forged_length_does_not_end_a_pause(as_alice: Client, token: AccessToken) -> None:
    pause(token)
    before = everything()
    assert as_alice.post(address(token, "pause"), {"length": "0"}).status_code == 422
    assert everything() == before


def test_a_pasted_token_is_no_length(as_alice: Client, token: AccessToken) -> None:
    pasted = mint().reveal()
    answer = as_alice.post(address(token, "pause"), {"length": pasted})
    assert answer.status_code == 422
    assert pasted not in answer.content.decode()


def revoke(token: AccessToken) -> None:
    lifecycle.revoke(token=token, origin=origin(token.owner))


def expire(token: AccessToken) -> None:
    AccessToken.objects.update(created_at=NOON - 2 * MINUTE, expires_at=NOON)


def rotate_out(token: AccessToken) -> None:
    AccessToken.objects.update(retire_at=NOON)


@pytest.mark.parametrize("end", [revoke, expire, rotate_out])
@pytest.mark.parametrize("verb", VERBS)
def test_what_has_ended_says_so_and_stays_as_it_is(
    as_alice: Client, token: AccessToken, end: Callable[[AccessToken], None], verb: str
) -> None:
    pause(token)
    end(token)
    before = everything()
    sentence = f"ops-runner has ended already. Nothing is left to {verb}."
    asked = as_alice.get(address(token, verb))
    assert (asked.status_code, sentence in text_of(asked)) == (200, True)
    answer = as_alice.post(address(token, verb), {"length": "15"})
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    assert everything() == before


def test_a_resumption_in_another_tab_is_told(
    as_alice: Client, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "pause", lambda **_: False)
    answer = as_alice.post(address(token, "pause"), {"length": "60"})
    assert answer.status_code == 422
    assert "It was resumed in another tab at the same moment. Choose again." in text_of(answer)
    assert 'value="60" checked' in answer.content.decode()


# --- Resuming -----------------------------------------------------------------------------------


def test_resuming_says_who_knocked(client: Client, as_alice: Client, issued: Issued) -> None:
    token = issued.token
    pause(token)
    for place in ("203.0.113.9", "203.0.113.77", "198.51.100.4", "192.0.2.1"):
        call(Client(), issued, place)
    usage.flush()
    page = flat(as_alice.get(address(token, "resume")))
    assert "Resume ops-runner?" in page
    assert "It is paused until you resume it. Its next request is allowed again." in page
    assert "3 places knocked meanwhile." in page
    assert as_alice.post(address(token, "resume")).status_code == 303
    assert "ops-runner resumed. 3 places knocked meanwhile" in text_of(as_alice.get(LIST))
    assert times(token) == (None, None)
    assert call(Client(), issued).status_code == 200


def test_resuming_needs_a_fresh_proof(clock: Clock, as_alice: Client, token: AccessToken) -> None:
    pause(token)
    clock.tick(minutes=16)
    assert "Confirm it’s you" in text_of(as_alice.get(address(token, "resume")))
    asked = as_alice.post(address(token, "resume"))
    assert (asked.status_code, "Confirm it’s you" in text_of(asked)) == (422, True)
    assert times(token)[0] == NOON
    wrong = as_alice.post(address(token, "resume"), {"proof_password": "no", "proof_for": "POST"})
    assert wrong.status_code == 422
    assert times(token)[0] == NOON
    proof = {"proof_password": PASSWORD, "proof_for": "POST"}
    assert as_alice.post(address(token, "resume"), proof).status_code == 303
    assert times(token) == (None, None)


def test_resuming_twice_says_that_it_is_not_paused(as_alice: Client, token: AccessToken) -> None:
    pause(token)
    as_alice.post(address(token, "resume"))
    before = everything()
    assert as_alice.post(address(token, "resume")).status_code == 303
    assert "ops-runner is not paused" in text_of(as_alice.get(LIST))
    assert "ops-runner is not paused" in text_of(as_alice.get(address(token, "resume")))
    assert everything() == before


def test_a_pause_that_ran_out_is_nothing_to_resume(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    pause(token, NOON + 5 * MINUTE)
    clock.tick(minutes=5)
    before = everything()
    assert "Nothing is left to resume" in text_of(as_alice.get(address(token, "resume")))
    as_alice.post(address(token, "resume"))
    assert everything() == before


# --- Doors and strangers ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_bob_can_do_neither_to_what_alice_owns(
    as_bob: Client, token: AccessToken, verb: str
) -> None:
    pause(token)
    before = everything()
    for path in (address(token, verb), f"/settings/tokens/{uuid.uuid4()}/{verb}"):
        assert as_bob.get(path).status_code == 404
        assert as_bob.post(path, {"length": "5"}).status_code == 404
    assert everything() == before


@pytest.mark.parametrize("verb", VERBS)
def test_anonymous_people_are_sent_to_sign_in(
    client: Client, token: AccessToken, verb: str
) -> None:
    before = everything()
    for answer in (client.get(address(token, verb)), client.post(address(token, verb))):
        assert answer.status_code == 302
        assert "/account/sign-in" in answer.headers["Location"]
    assert everything() == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("forged", ["1", "x", "../new", "00000000", "%00"])
def test_a_forged_id_is_nowhere(as_alice: Client, forged: str, verb: str) -> None:
    assert as_alice.get(f"/settings/tokens/{forged}/{verb}").status_code == 404


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(
    as_alice: Client, token: AccessToken, method: str, verb: str
) -> None:
    assert getattr(as_alice, method)(address(token, verb)).status_code == 405


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_csrf_token_changes_nothing(
    as_alice: Client, token: AccessToken, verb: str
) -> None:
    pause(token)
    before = everything()
    as_alice.handler.enforce_csrf_checks = True  # type: ignore[attr-defined]
    assert as_alice.post(address(token, verb), {"length": "5"}).status_code == 403
    assert everything() == before


@pytest.mark.parametrize("word", ["https://evil.example", "//evil", "list", ""])
def test_nobody_is_sent_anywhere_else(as_alice: Client, token: AccessToken, word: str) -> None:
    for verb in VERBS:
        answer = as_alice.post(address(token, verb, f"?from={word}"), {"length": "5"})
        assert answer.headers["Location"] == LIST


def test_from_the_tokens_page_one_comes_back_to_it(as_alice: Client, token: AccessToken) -> None:
    for verb in VERBS:
        opened = as_alice.get(address(token, verb, "?from=detail")).content.decode()
        assert f'action="{address(token, verb)}?from=detail"' in opened or verb == "resume"
        answer = as_alice.post(address(token, verb, "?from=detail"), {"length": "5"})
        assert answer.headers["Location"] == address(token)


@pytest.mark.parametrize("verb", VERBS)
def test_the_dialog_closes_and_the_list_refreshes(
    as_alice: Client, token: AccessToken, verb: str
) -> None:
    pause(token)
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{LIST}"}
    opened = as_alice.get(address(token, verb), headers=headers)
    assert "dialog-open" in opened.headers["HX-Trigger-After-Swap"]
    assert "<html" not in opened.content.decode()
    done = as_alice.post(address(token, verb), {"length": "5"}, headers=headers)
    assert done.status_code == 204
    assert set(json.loads(done.headers["HX-Trigger"])) == {
        "toast",
        "dialog-close",
        "tokens-changed",
    }


def test_the_row_menu_offers_what_can_be_done(as_alice: Client, token: AccessToken) -> None:
    assert f'href="{address(token, "pause")}"' in as_alice.get(LIST).content.decode()
    pause(token, NOON + 5 * MINUTE)
    page = as_alice.get(LIST)
    assert f'href="{address(token, "resume")}"' in page.content.decode()
    assert "Until 13:05 CET, by you" in text_of(page)


# --- The token's own page -----------------------------------------------------------------------


def test_a_paused_token_tells_who_knocked(clock: Clock, as_alice: Client, issued: Issued) -> None:
    token = issued.token
    call(Client(), issued, "203.0.113.9")
    clock.tick(minutes=1)
    pause(token, NOON + 16 * MINUTE)
    for _ in range(12):
        call(Client(), issued, "203.0.113.9")
    clock.tick(minutes=3)
    call(Client(), issued, "198.51.100.77", "node")
    usage.flush()
    page = flat(as_alice.get(address(token)))
    assert "Paused until 13:16 CET by you" in page
    assert "2 places knocked meanwhile. Each got a refusal; nothing else changed." in page
    assert "203.0.113.0/24 curl 12 times, last 3 minutes ago" in page
    assert "198.51.100.0/24 Node.js client, new place 1 time, just now" in page
    assert "Resume now" in page
    assert "Pause…" not in page


def test_nobody_knocked_is_said(as_alice: Client, token: AccessToken) -> None:
    pause(token)
    page = flat(as_alice.get(address(token)))
    assert "Paused by you, until you resume it" in page
    assert "Nobody knocked so far." in page


def test_a_token_without_an_end_speaks_of_none(as_alice: Client, alice: User, clock: Clock) -> None:
    endless = issue(alice, "endless", expires_at=None).token
    assert "The expiration date" not in flat(as_alice.get(address(endless, "pause")))
    pause(endless)
    assert "The expiration date" not in flat(as_alice.get(address(endless)))


def test_a_token_that_works_has_no_banner(as_alice: Client, token: AccessToken) -> None:
    page = as_alice.get(address(token))
    assert 'id="banner"' not in page.content.decode()
    assert "Pause…" in text_of(page)


def test_an_ended_token_that_is_still_tried_says_by_whom(
    clock: Clock, as_alice: Client, issued: Issued
) -> None:
    call(Client(), issued, "203.0.113.9")
    revoke(issued.token)
    page = flat(as_alice.get(address(issued.token)))
    assert "Still tried" not in page
    for _ in range(3):
        call(Client(), issued, "192.0.2.118")
    clock.tick(minutes=1)
    for _ in range(409):
        call(Client(), issued, "203.0.113.9", "node")
    clock.tick(minutes=6)
    usage.flush()
    page = flat(as_alice.get(address(issued.token)))
    assert "Still tried at least 412 times, last 6 minutes ago from 203.0.113.0/24" in page
    assert "Every try gets 401." in page
    assert "409 tries, last 6 minutes ago" in page
    assert "192.0.2.0/24 curl, never used it before 3 tries, last 7 minutes ago" in page


def test_tries_that_are_expected_are_muted_and_heard_of_again(
    as_alice: Client, issued: Issued
) -> None:
    revoke(issued.token)
    call(Client(), issued)
    usage.flush()
    mute = address(issued.token, "mute")
    answer = as_alice.post(mute, {"scope": usage.ENDED, "action": "mute"}, follow=True)
    page = flat(answer)
    assert "Tries of this token muted" in page
    assert "You said that you expect this" in page
    assert "Something there still holds the old value" not in page
    assert "Unmute" in page
    page = flat(as_alice.post(mute, {"scope": usage.ENDED, "action": "unmute"}, follow=True))
    assert "Tries of this token shown again" in page
    assert "Something there still holds the old value" in page


def test_a_pause_cannot_be_muted(as_alice: Client, issued: Issued) -> None:
    pause(issued.token)
    scope = usage.mark_of_pause(NOON)
    answer = as_alice.post(address(issued.token, "mute"), {"scope": scope, "action": "mute"})
    assert answer.status_code == 422


def test_once_is_said_as_once(clock: Clock, as_alice: Client, issued: Issued) -> None:
    revoke(issued.token)
    call(Client(), issued)
    clock.tick(minutes=2)
    usage.flush()
    page = flat(as_alice.get(address(issued.token)))
    assert "Still tried at least once, 2 minutes ago from 203.0.113.0/24" in page


def test_more_knockers_than_are_listed_are_counted(
    clock: Clock, as_alice: Client, issued: Issued
) -> None:
    pause(issued.token)
    for number in range(12):
        call(Client(), issued, f"192.0.{number}.1")
    usage.flush()
    page = flat(as_alice.get(address(issued.token)))
    assert "12 places knocked meanwhile" in page
    assert "and 4 more" in page


def test_what_a_knocker_says_of_itself_is_escaped(as_alice: Client, issued: Issued) -> None:
    pause(issued.token)
    Client().get(
        "/api/v1/token",
        headers={
            "Authorization": f"Bearer {issued.plaintext.reveal()}",
            "X-Skytells-Consumer": "<script>alert(1)</script>",
        },
    )
    usage.flush()
    page = as_alice.get(address(issued.token))
    assert "<script>alert" not in page.content.decode()
    assert "<script>alert(1)</script>" in text_of(page)


def test_many_knockers_cost_the_page_as_little_as_one(
    as_alice: Client, alice: User, issued: Issued
) -> None:
    def cost(token: AccessToken) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert as_alice.get(address(token)).status_code == 200
        return len(queries)

    quiet = issue(alice, "quiet").token
    pause(issued.token)
    call(Client(), issued, "192.0.99.1")
    usage.flush()
    for_one = cost(issued.token)
    for number in range(30):
        call(Client(), issued, f"192.0.{number}.1")
    usage.flush()
    assert cost(issued.token) == for_one == cost(quiet) + 1


def look_again(client: Client, token: AccessToken) -> Any:
    headers = {**HTMX, "HX-Trigger": "check-knocks", "HX-Target": "banner"}
    return client.get(address(token), headers=headers)


def test_an_open_page_gets_its_banner_anew(as_alice: Client, issued: Issued) -> None:
    pause(issued.token)
    answer = look_again(as_alice, issued.token)
    assert 'data-knocks="Nobody knocked so far"' in answer.content.decode()
    assert "HX-Retarget" not in answer.headers
    assert 'id="_detail"' not in answer.content.decode()
    call(Client(), issued)
    answer = look_again(as_alice, issued.token)
    assert 'data-knocks="1 place knocked meanwhile"' in answer.content.decode()
    assert "?from=detail" in answer.content.decode()


@pytest.mark.parametrize("end", ["time", "resumed", "revoked"])
def test_an_open_page_is_told_when_the_pause_is_over(
    clock: Clock, as_alice: Client, alice: User, token: AccessToken, end: str
) -> None:
    pause(token, NOON + 5 * MINUTE)
    if end == "time":
        clock.tick(minutes=5)
    elif end == "resumed":
        lifecycle.resume(token=token, origin=origin(alice))
    else:
        revoke(token)
    answer = look_again(as_alice, token)
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reselect"]) == ("#_detail",) * 2
    said = json.loads(answer.headers["HX-Trigger"])["toast"]["value"]
    assert said == "ops-runner is not paused any more"
    assert 'id="_detail"' in answer.content.decode()


# --- Afterwards, in Activity --------------------------------------------------------------------


def activity(client: Client, token: AccessToken) -> str:
    return flat(client.get(address(token))).partition(" Activity ")[2]


def test_a_pause_that_ran_out_is_told_with_who_knocked(
    clock: Clock, as_alice: Client, issued: Issued
) -> None:
    pause(issued.token, NOON + 15 * MINUTE)
    call(Client(), issued)
    assert "Resumed" not in activity(as_alice, issued.token)
    clock.tick(minutes=20)
    told = activity(as_alice, issued.token)
    assert "Resumed by itself after 15 minutes 1 place knocked meanwhile 13:15" in told
    assert told.index("Resumed by itself") < told.index("Paused by you until 13:15 CET")


def test_what_was_resumed_or_revoked_did_not_end_by_itself(
    clock: Clock, as_alice: Client, alice: User, issued: Issued
) -> None:
    other = issue(alice, "other").token
    for token in (issued.token, other):
        pause(token, NOON + 15 * MINUTE)
    call(Client(), issued)
    clock.tick(minutes=5)
    lifecycle.resume(token=issued.token, origin=origin(alice))
    revoke(other)
    clock.tick(hours=1)
    told = activity(as_alice, issued.token)
    assert "Resumed by you 1 place knocked meanwhile" in told
    assert "by itself" not in told
    assert "by itself" not in activity(as_alice, other)


def test_an_end_that_was_moved_is_told_once(
    clock: Clock, as_alice: Client, token: AccessToken
) -> None:
    pause(token, NOON + 60 * MINUTE)
    clock.tick(minutes=2)
    pause(token, NOON + 5 * MINUTE)
    clock.tick(minutes=90)
    told = activity(as_alice, token)
    assert "Pause changed by you until 13:05 CET" in told
    assert told.count("Resumed by itself") == 1
    assert "Resumed by itself after 5 minutes Nobody knocked meanwhile" in told


def test_a_token_that_expired_during_its_pause_never_resumed(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    token = issue(alice, "short", expires_at=NOON + timedelta(hours=2)).token
    clock.tick(minutes=110)
    pause(token, clock.now + 60 * MINUTE)
    clock.tick(hours=3)
    assert "Resumed" not in activity(as_alice, token)


def test_a_pause_without_an_end_says_so(as_alice: Client, token: AccessToken) -> None:
    pause(token)
    assert "Paused by you until resumed" in activity(as_alice, token)


def test_anybody_elses_pause_is_not_called_yours(
    as_alice: Client, token: AccessToken, carol: User
) -> None:
    lifecycle.pause(token=token, until=None, origin=origin(carol))
    assert "Paused until resumed" in activity(as_alice, token)
