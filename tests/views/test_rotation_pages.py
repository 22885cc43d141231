"""The rotation's pages without a browser: what each step shows, does, refuses and keeps."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import NOON, PASSWORD, Clock, issue, origin
from tests.views.pages import HTMX, LIST, levels, text_of, tokens_in
from tokens import lifecycle, projects, usage
from tokens.lifecycle import RotationWish
from tokens.models import AccessToken, MailPreference, Policy, RotationTick, TokenEvent
from tokens.models.rotation import ALL_PLACES
from tokens.origin import Consumer

HELD = ["projects.read", "projects.write", "account.read"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def it_is_noon(clock: Clock) -> None:
    """Set the clock before anybody signs in, so that the proof is fresh."""


@pytest.fixture
def old(clock: Clock, alice: User) -> AccessToken:
    return issue(alice, "gitlab-release", scopes=HELD).token


@pytest.fixture
def new(old: AccessToken, alice: User) -> AccessToken:
    wish = RotationWish(scopes=HELD, expires_at=NOON + 30 * DAY)
    return lifecycle.rotate(token=old, wish=wish, origin=origin(alice)).token


def at(token: AccessToken, step: str = "") -> str:
    return f"/settings/tokens/{token.public_id}/rotate{f'/{step}' if step else ''}"


def wish(**changes: Any) -> dict[str, Any]:
    sent = {
        **levels(*changes.pop("scopes", HELD)),
        "projects_choice": "all",
        "expires": "30",
        "expires_custom": "",
        "request_id": str(uuid.uuid4()),
    }
    return {key: value for key, value in (sent | changes).items() if value is not None}


def stored(token: AccessToken) -> AccessToken:
    return AccessToken.objects.get(pk=token.pk)


def everything() -> list[Any]:
    models = (AccessToken, TokenEvent, RotationTick)
    return [list(model.objects.order_by("pk").values()) for model in models]


def store(new: AccessToken, alice: User) -> None:
    lifecycle.confirm_stored(token=new, origin=origin(alice))


def updated(new: AccessToken, alice: User) -> None:
    store(new, alice)
    lifecycle.tick(replacement=new, ticked=[ALL_PLACES], origin=origin(alice))


def called(
    token: AccessToken,
    address: str = "203.0.113.7",
    client: str = "curl",
    *,
    scope: str = "projects.read",
    allowed: bool = True,
    ago: timedelta = timedelta(0),
) -> None:
    """Use the token as a request would."""
    when = NOON - ago
    if allowed:
        lifecycle.note_first_use(token_id=token.pk, origin=origin(at=when))
    network = address.rpartition(".")[0] + ".0/24"
    usage.record(
        token_id=token.pk,
        scope=scope,
        consumer=Consumer(network=network, client=client),
        address=address,
        at=when,
        allowed=allowed,
    )
    usage.flush()


# --- Step one ------------------------------------------------------------------------------------


def test_the_first_step_offers_what_the_old_token_has_and_no_more(
    as_alice: Client, old: AccessToken
) -> None:
    assert as_alice.get(at(old)).headers["Location"] == at(old, "scopes")
    page = as_alice.get(at(old, "scopes"))
    offered = re.findall(r'name="level-(\w+)" value="(\w+)"( checked)?', page.content.decode())
    assert offered == [
        ("projects", "none", ""),
        ("projects", "read", ""),
        ("projects", "readwrite", " checked"),
        ("projects", "write", ""),
        ("account", "none", ""),
        ("account", "read", " checked"),
    ]
    assert "3 scopes, 1 write" in text_of(page)


def test_a_replacement_is_shown_once_in_the_answer_that_made_it(
    as_alice: Client, old: AccessToken
) -> None:
    sent = wish(scopes=["account.read"])
    answer = as_alice.post(at(old, "scopes"), sent)
    (value,) = set(tokens_in(answer))
    assert "Copy the replacement now" in text_of(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    new = AccessToken.objects.get(replaces=old)
    assert (new.scopes, new.name, new.generation) == ("account.read", old.name, 2)
    again = as_alice.post(at(old, "scopes"), sent, follow=True)
    assert tokens_in(again) == []
    assert "was shown once, and cannot be shown again" in text_of(again)
    assert AccessToken.objects.count() == 2
    for step in ("copy", "update", "confirm", "revoke", "finished", ""):
        assert value[7:19] not in as_alice.get(at(old, step), follow=True).content.decode()


def test_a_scope_that_was_not_used_is_pointed_out_and_left_out_in_one_click(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    old = issue(alice, "cli", scopes=HELD, at=NOON - 50 * DAY, expires_at=NOON + 30 * DAY).token
    called(old, scope="projects.read")
    called(old, scope="projects.write", ago=40 * DAY)
    page = text_of(as_alice.get(at(old, "scopes")))
    assert "account.read was never used in 50 days." in page
    assert "projects.write was not used in 40 days." in page
    assert "Leave out all 2" in page
    left = as_alice.post(at(old, "draft"), wish(drop="account.read"))
    assert "account.read is left out." in text_of(left)
    assert 'id="id_level_account_none" name="level-account" value="none" checked' in (
        left.content.decode()
    )
    back = as_alice.post(at(old, "draft"), wish(scopes=["projects.read"], back="account.read"))
    assert "account.read was never used in 50 days." in text_of(back)
    linked = as_alice.get(at(old, "scopes"), {"drop": "account.read projects.write"})
    assert "1 scope, no writes" in text_of(linked)
    assert AccessToken.objects.count() == 1


def test_the_comparison_follows_the_choice(as_alice: Client, old: AccessToken) -> None:
    headers = {**HTMX, "HX-Target": "rotate-narrow"}
    answer = as_alice.post(at(old, "draft"), wish(scopes=["account.read"]), headers=headers)
    assert answer.content.decode().lstrip().startswith('<div id="rotate-narrow"')
    assert "1 scope, no writes" in text_of(answer)
    # What was not held cannot be put back.
    forged = as_alice.post(at(old, "draft"), wish(scopes=[], back="keys.write"), headers=headers)
    assert "No scope yet" in text_of(forged)


def test_a_limited_token_offers_its_own_projects_only(
    clock: Clock, as_alice: Client, alice: User
) -> None:
    shop, blog = (
        projects.create(owner_id=alice.pk, name=name, origin=origin(alice))
        for name in ("Shop", "Blog")
    )
    old = issue(alice, "limited", projects=[shop], scopes=HELD).token
    page = text_of(as_alice.get(at(old, "scopes")))
    assert "Shop" in page
    assert "Blog" not in page
    for sent, said in (
        ({"projects_choice": "all"}, "only reach projects of the old token"),
        ({"projects": str(blog.public_id)}, "only reach projects of the old token"),
        ({"projects_choice": "chosen"}, "Choose at least one of these projects"),
    ):
        answer = as_alice.post(at(old, "scopes"), wish(**({"projects_choice": "chosen"} | sent)))
        assert (answer.status_code, said in text_of(answer)) == (422, True), sent
    assert AccessToken.objects.count() == 1
    as_alice.post(at(old, "scopes"), wish(projects_choice="chosen", projects=str(shop.public_id)))
    assert list(AccessToken.objects.get(replaces=old).projects.all()) == [shop]


BAD = [
    ({"level-keys": "readwrite"}, "The replacement can only have scopes of the old token."),
    ({"level-deployments": "read"}, "The replacement can only have scopes of the old token."),
    ({"level-projects": "all"}, "Choose one of the levels that Projects offers."),
    ({"scopes": []}, "Choose at least one scope."),
    ({"expires": None}, "Choose when the token ends."),
    ({"expires": "7000"}, "Choose when the token ends."),
    ({"expires": "custom", "expires_custom": "soon"}, "Type a date and a time"),
    ({"expires": "custom", "expires_custom": "2029-01-01T10:00"}, "Choose a time between"),
    ({"expires": "custom", "expires_custom": "2020-01-01T10:00"}, "Choose a time between"),
    ({"projects_choice": "chosen", "projects": "x"}, "Choose projects of your own"),
    ({"request_id": "x"}, "This form is out of date."),
    ({"request_id": None}, "This form is out of date."),
]


@pytest.mark.parametrize(("changes", "said"), BAD, ids=range(len(BAD)))
def test_a_bad_wish_gets_a_sentence_and_changes_nothing(
    as_alice: Client, old: AccessToken, changes: dict[str, Any], said: str
) -> None:
    before = everything()
    answer = as_alice.post(at(old, "scopes"), wish(**changes))
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert everything() == before
    custom = changes.get("expires_custom")
    assert custom is None or f'value="{custom}"' in answer.content.decode()


def test_a_scope_that_the_policy_forbids_is_not_offered(
    clock: Clock, as_alice: Client, old: AccessToken
) -> None:
    Policy.objects.create(created_at=NOON, allowed_scopes="projects.read account.read")
    page = as_alice.get(at(old, "scopes"))
    assert "projects.write cannot be given any more." in text_of(page)
    assert 'value="readwrite"' not in page.content.decode()
    answer = as_alice.post(at(old, "scopes"), wish())
    assert answer.status_code == 422
    assert "Your administrator does not allow projects.write." in text_of(answer)


def end(token: AccessToken) -> None:
    lifecycle.revoke(token=token, origin=origin())


def pause(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(paused_at=NOON)


def expire(token: AccessToken) -> None:
    AccessToken.objects.filter(pk=token.pk).update(created_at=NOON - DAY, expires_at=NOON)


def begin(token: AccessToken) -> None:
    wanted = RotationWish(scopes=["account.read"], expires_at=NOON + DAY)
    lifecycle.rotate(token=token, wish=wanted, origin=origin(token.owner))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (end, "gitlab-release has ended, so it cannot be rotated."),
        (expire, "gitlab-release has ended, so it cannot be rotated."),
        (begin, "gitlab-release is being rotated already."),
    ],
)
def test_what_cannot_be_rotated_says_why(
    as_alice: Client, old: AccessToken, state: Any, said: str
) -> None:
    state(old)
    before = everything()
    answer = as_alice.post(at(old, "scopes"), wish())
    assert (answer.status_code, said in text_of(answer)) == (422, True)
    assert everything() == before
    assert as_alice.get(at(old), follow=True).status_code == 200


def test_a_replacement_leads_to_its_own_rotation(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    assert as_alice.get(at(new)).headers["Location"] == at(old, "copy")
    before = everything()
    answer = as_alice.post(at(new, "scopes"), wish())
    assert answer.status_code == 422
    assert "Finish that rotation first." in text_of(answer)
    assert everything() == before


STEPS = [
    "",
    "scopes",
    "draft",
    "copy",
    "update",
    "confirm",
    "watch",
    "revoke",
    "cancel",
    "finished",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_strangers_rotation_does_not_exist(
    as_bob: Client, old: AccessToken, new: AccessToken, step: str
) -> None:
    before = everything()
    sent = {"replacement": str(new.public_id), "when": "now", "stop": "on", **wish()}
    for answer in (as_bob.get(at(old, step)), as_bob.post(at(old, step), sent)):
        assert answer.status_code in {404, 405}
    assert everything() == before


@pytest.mark.parametrize("step", STEPS)
def test_nobody_rotates_without_signing_in(client: Client, old: AccessToken, step: str) -> None:
    answer = client.get(at(old, step))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/sign-in")


@pytest.mark.parametrize("step", ["scopes", "revoke", "cancel"])
def test_beginning_and_ending_need_a_fresh_proof(
    clock: Clock, as_alice: Client, old: AccessToken, alice: User, step: str
) -> None:
    if step != "scopes":
        begin(old)
        called(AccessToken.objects.get(replaces=old))
    clock.tick(minutes=16)
    before = everything()
    assert "Confirm it’s you" in text_of(as_alice.get(at(old, step)))
    sent = wish(scopes=["account.read"], when="now", stop="on")
    answer = as_alice.post(at(old, step), sent)
    assert answer.status_code == 422
    assert "Confirm it’s you" in text_of(answer)
    assert everything() == before
    answer = as_alice.post(at(old, step), {**sent, "proof_password": PASSWORD})
    assert "Confirm it’s you" not in text_of(answer)


# --- Copy ----------------------------------------------------------------------------------------


def test_a_lost_answer_can_be_cancelled_and_begun_again(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    page = text_of(as_alice.get(at(old), follow=True))
    assert "I did not see it" in page
    question = as_alice.get(at(old, "cancel"), {"again": "1"})
    assert "Begin again?" in text_of(question)
    sent = {"replacement": str(new.public_id), "again": "1"}
    answer = as_alice.post(at(old, "cancel"), sent)
    assert answer.headers["Location"] == at(old, "scopes")
    assert stored(new).revoke_kind == "cancelled"
    again = as_alice.post(at(old, "scopes"), wish())
    assert len(set(tokens_in(again))) == 1
    assert AccessToken.objects.filter(replaces=old, rotation_closed_at=None).count() == 1


def test_a_used_replacement_is_not_cancelled(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(new)
    before = everything()
    answer = as_alice.post(at(old, "cancel"), {"replacement": str(new.public_id)})
    assert (answer.status_code, "has been used" in text_of(answer)) == (422, True)
    assert everything() == before


def test_saying_that_it_is_stored_goes_on_with_the_rotation(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    address = f"/settings/tokens/{new.public_id}/stored"
    answer = as_alice.post(address, {"stored": "yes"}, follow=True)
    assert answer.redirect_chain[-1][0] == at(old, "update")
    assert "Put the replacement where the old token is now" in text_of(answer)


ACTIONS = {
    "update": {"go": "on"},
    "confirm": {},
    "revoke": {"when": "now", "stop": "on"},
    "cancel": {},
}


@pytest.mark.parametrize("step", list(ACTIONS))
def test_what_another_tab_asked_of_an_earlier_replacement_does_nothing_to_this_one(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User, step: str
) -> None:
    lifecycle.cancel_rotation(replacement=new, origin=origin(alice))
    begin(old)
    second = AccessToken.objects.get(replaces=old, rotation_closed_at=None)
    updated(second, alice)
    if step == "revoke":
        lifecycle.skip_check(replacement=second, origin=origin(alice))
    before = everything()
    sent = {**ACTIONS[step], "replacement": str(new.public_id)}
    answer = as_alice.post(at(old, step), sent, follow=True)
    assert "spoke of a rotation that is over" in text_of(answer)
    assert everything() == before


@pytest.mark.parametrize("step", list(ACTIONS))
def test_what_is_asked_after_the_end_changes_nothing(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User, step: str
) -> None:
    lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    before = everything()
    sent = {**ACTIONS[step], "replacement": str(new.public_id)}
    answer = as_alice.post(at(old, step), sent, follow=True)
    assert "Rotation finished" in text_of(answer)
    assert everything() == before


@pytest.mark.parametrize(
    ("state", "location"),
    [
        (lambda new, alice: None, "copy"),
        (store, "update"),
        (updated, "confirm"),
    ],
)
def test_a_step_that_was_not_reached_leads_to_the_one_that_was(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User, state: Any, location: str
) -> None:
    state(new, alice)
    assert as_alice.get(at(old)).headers["Location"] == at(old, location)
    assert as_alice.get(at(old, "revoke")).headers["Location"] == at(old, location)
    assert as_alice.get(at(old, location)).status_code == 200


# --- Update --------------------------------------------------------------------------------------


def test_the_places_of_the_old_token_are_a_checklist(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    store(new, alice)
    called(old, "203.0.113.7", ago=HOUR)
    called(old, "198.51.100.9", "Node.js client", ago=2 * HOUR)
    page = as_alice.get(at(old, "update"))
    keys = re.findall(r'name="place" value="(\w+)"', page.content.decode())
    assert "0 of 2 places updated" in text_of(page)
    sent = {"replacement": str(new.public_id), "shown": keys, "place": keys[:1]}
    kept = as_alice.post(at(old, "update"), sent, headers=HTMX)
    assert kept.status_code == 204
    assert "1 of 2 places updated" in text_of(as_alice.get(at(old, "update")))
    # A place that this tab did not show stays as it is.
    as_alice.post(at(old, "update"), {**sent, "shown": keys[1:], "place": []})
    assert "1 of 2 places updated" in text_of(as_alice.get(at(old, "update")))
    forged = {**sent, "place": ["f" * 32, ALL_PLACES], "shown": ["f" * 32]}
    as_alice.post(at(old, "update"), forged)
    assert "1 of 2 places updated" in text_of(as_alice.get(at(old, "update")))
    answer = as_alice.post(at(old, "update"), {**sent, "go": "on"})
    assert answer.headers["Location"] == at(old, "confirm")
    assert as_alice.get(at(old)).headers["Location"] == at(old, "confirm")


@pytest.mark.parametrize("key", ["gitlab", "github", "cli", "shell", "env", "nonsense"])
def test_snippets_name_the_secret_and_never_its_value(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User, key: str
) -> None:
    store(new, alice)
    page = as_alice.get(at(old, "update"), {"for": key})
    assert tokens_in(page) == []
    assert page.content.decode().count('aria-current="true"') >= 2
    assert "SKYTELLS_TOKEN" in text_of(page) or key == "cli"


# --- Confirm -------------------------------------------------------------------------------------


def watch(client: Client, old: AccessToken, seen: str = "", step: int = 4) -> Any:
    return client.get(at(old, "watch"), {"step": step, "seen": seen}, headers=HTMX)


def version(answer: Any) -> str:
    return str(re.search(r"seen=(\w+)", answer.content.decode())[1])  # type: ignore[index]


def says(answer: Any) -> str:
    return str(re.search(r'data-says="([^"]*)"', answer.content.decode())[1])  # type: ignore[index]


def test_the_first_request_is_seen_with_all_that_is_known_of_it(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    called(old, "203.0.113.40", ago=2 * HOUR)
    waiting = as_alice.get(at(old, "confirm"))
    assert "Waiting for first request…" in text_of(waiting)
    assert "Still works. 203.0.113.40, 2 hours ago" in text_of(waiting)
    seen = version(waiting)
    assert watch(as_alice, old, seen).status_code == 204
    called(new, "203.0.113.7", "Python requests")
    answer = watch(as_alice, old, seen)
    words = " ".join(text_of(answer).split())
    assert answer.content.decode().lstrip().startswith('<div id="_rotation_watch"')
    assert "The replacement works Seen just now from 203.0.113.7, Python requests." in words
    assert "1 request, all allowed, for projects.read" in words
    assert "203.0.113.0/24 has only used the old token." in words
    assert watch(as_alice, old, version(answer)).status_code == 204


def test_a_refused_first_request_says_which_scope(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    called(new, scope="deployments.write", allowed=False)
    page = as_alice.get(at(old, "confirm"))
    assert "The replacement was refused: it needs deployments.write" in text_of(page)
    assert "Tried just now from 203.0.113.0/24, curl." in text_of(page)
    assert stored(new).first_used_at is None
    called(new)
    later = watch(as_alice, old)
    assert "The replacement works" in text_of(later)
    assert "Some requests were refused: deployments.write is missing." in text_of(later)


def test_places_tick_over_as_they_appear_and_listeners_hear_of_each_change_once(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    for address in ("203.0.113.7", "198.51.100.9"):
        called(old, address, ago=HOUR)
    states = []
    for change in (
        lambda: None,
        lambda: called(new, "203.0.113.7"),
        lambda: called(new, "203.0.113.7", scope="account.read"),
        lambda: called(new, "198.51.100.9"),
    ):
        change()
        page = watch(as_alice, old).content.decode()
        states.append(re.search(r'data-state="([^"]*)"', page)[1])  # type: ignore[index]
    assert "Everything has moved over." in page
    assert "data-done" in page
    # A second request for another scope is shown, but is no news to a listener.
    assert states[1] == states[2]
    assert len(set(states)) == 3
    assert "198.51.100.0/24" not in says(watch(as_alice, old))


def test_an_old_token_that_is_used_again_is_noticed(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    called(old, "203.0.113.7", ago=HOUR)
    called(new, "203.0.113.7", ago=timedelta(minutes=30))
    called(old, "203.0.113.7", ago=timedelta(minutes=1))
    page = text_of(as_alice.get(at(old, "confirm")))
    assert "203.0.113.0/24 used the old token again." in page


def test_the_check_can_be_skipped_and_the_skip_is_recorded(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    answer = as_alice.post(at(old, "confirm"), {"replacement": str(new.public_id)})
    assert answer.headers["Location"] == at(old, "revoke")
    assert stored(new).skipped_at == NOON
    page = text_of(as_alice.get(at(old, "revoke")))
    assert "The replacement has not been used yet" in page
    assert "Skipped" in page


def test_a_poll_costs_few_queries_whatever_the_number_of_places(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    called(old, ago=HOUR)
    counts = []
    for size in (1, 30):
        for number in range(size):
            called(old, f"10.0.{number}.1", ago=HOUR)
            called(new, f"10.1.{number}.1")
        seen = version(watch(as_alice, old))
        with CaptureQueriesContext(connection) as queries:
            assert watch(as_alice, old, seen).status_code == 204
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6


def test_without_htmx_a_poll_is_the_page_itself(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    answer = as_alice.get(at(old, "watch"), {"step": 4, "seen": "x"})
    assert answer.headers["Location"] == at(old, "confirm")


def test_a_watching_page_is_led_on_when_the_rotation_is_over(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    lifecycle.retire(replacement=new, at=None, origin=origin(alice))
    answer = watch(as_alice, old)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, at(old))


# --- Revoke --------------------------------------------------------------------------------------


def retire(client: Client, old: AccessToken, new: AccessToken, **sent: Any) -> Any:
    return client.post(at(old, "revoke"), {"replacement": str(new.public_id), **sent})


def test_a_quiet_old_token_is_revoked_without_further_ado(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(old, ago=26 * HOUR)
    called(new)
    page = text_of(as_alice.get(at(old, "revoke")))
    assert "The old token is quiet No request for 26 hours." in " ".join(page.split())
    assert "1 request, all allowed, 1 place" in " ".join(page.split())
    assert "Its next request gets 401. This cannot be undone." in page
    answer = retire(as_alice, old, new, when="now")
    assert answer.headers["Location"] == at(old)
    assert stored(old).revoke_kind == "rotated"
    finished = text_of(as_alice.get(at(old), follow=True))
    assert "Rotation finished" in finished
    assert "gitlab-release is the replacement now" in finished
    again = retire(as_alice, old, new, when="now")
    assert again.headers["Location"] == at(old)


def test_silence_that_has_only_begun_is_told_as_a_span(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(old)
    called(new)
    page = " ".join(text_of(as_alice.get(at(old, "revoke"))).split())
    assert "No request for less than a minute. The one place that used it has used" in page


def test_whoever_would_break_is_named_and_must_be_confirmed(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(old, "198.51.100.9", ago=timedelta(minutes=1))
    called(new, "203.0.113.7")
    page = text_of(as_alice.get(at(old, "revoke")))
    said = "The old token was used 1 minute ago from 198.51.100.0/24. Revoking now stops it."
    assert f"The old token is still used {said}" in " ".join(page.split())
    assert "**" not in page
    assert "Breaks 198.51.100.0/24. Asks you to confirm first." in page
    assert "Still on the old one" in page
    before = everything()
    answer = retire(as_alice, old, new, when="now")
    assert answer.status_code == 422
    assert "Tick this to stop what still uses the old token" in text_of(answer)
    assert everything() == before
    retire(as_alice, old, new, when="now", stop="on")
    assert stored(old).revoked_at == NOON


def test_an_end_is_planned_moved_and_reached(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(new)
    assert retire(as_alice, old, new, when="hours", hours="24").status_code == 303
    assert stored(old).retire_at == NOON + DAY
    page = text_of(as_alice.get(at(old, "revoke")))
    assert "The old token ends 24 Nov 2026, 13:00 CET." in page
    assert "Old one ends 24 Nov 2026, 13:00 CET" in text_of(as_alice.get(LIST))
    # Alice lives in Berlin.
    retire(as_alice, old, new, when="date", at="2026-11-25T10:00")
    assert stored(old).retire_at == NOON + timedelta(hours=45)
    retire(as_alice, old, new, when="hours", hours="1")
    clock.tick(hours=1)
    assert "Ended as planned" in text_of(as_alice.get(at(old), follow=True))
    shown = [row.status.label for row in as_alice.get(LIST).context["rows"]]
    assert shown == ["Active", "Rotated out"]


BAD_ENDS = [
    ({}, "Choose when the old token ends."),
    ({"when": "never"}, "Choose when the old token ends."),
    ({"when": "hours", "hours": "2"}, "Choose 1, 24 or 72 hours."),
    ({"when": "hours", "hours": "x"}, "Choose 1, 24 or 72 hours."),
    ({"when": "date", "at": ""}, "Type a date and a time"),
    ({"when": "date", "at": "2026-11-22T10:00"}, "Choose a time that is still to come"),
    ({"when": "date", "at": "2027-06-01T10:00"}, "The old token expires before that."),
    ({"when": "date", "at": "9999-12-31T23:59"}, "expires before that"),
    ({"when": "date", "at": "2026-02-30T10:00"}, "Type a date and a time"),
    ({"when": "date", "at": "tomorrow"}, "Type a date and a time"),
]


@pytest.mark.parametrize(("sent", "said"), BAD_ENDS, ids=range(len(BAD_ENDS)))
def test_a_bad_end_gets_a_sentence_and_changes_nothing(
    clock: Clock,
    as_alice: Client,
    old: AccessToken,
    new: AccessToken,
    sent: dict[str, str],
    said: str,
) -> None:
    called(new)
    before = everything()
    answer = retire(as_alice, old, new, **sent)
    assert (answer.status_code, said in text_of(answer)) == (422, True), text_of(answer)[-1500:]
    assert everything() == before
    if sent.get("at"):
        # A browser's field for a time stays empty where its value is none.
        kind = "text" if said == "Type a date and a time" else "datetime-local"
        field = f'type="{kind}" id="id_at" name="at" value="{sent["at"]}"'
        assert field in answer.content.decode()


def test_a_monthly_job_is_named_apart(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    AccessToken.objects.filter(pk=old.pk).update(created_at=NOON - 200 * DAY)
    for days in (138, 108, 78, 48, 18):
        called(old, "192.0.2.77", "Node.js client", ago=days * DAY)
    called(new)
    page = text_of(as_alice.get(at(old, "revoke")))
    assert "192.0.2.0/24 is a monthly job, next ≈ 5 Dec." in page
    assert "To be sure, revoke at a date after that." in page


# --- The list and the token's page ---------------------------------------------------------------


def test_the_list_shows_one_row_with_the_step_and_a_way_on(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    answer = as_alice.get(LIST)
    (row,) = answer.context["rows"]
    assert (row.public_id, row.status.label) == (old.public_id, "Rotating")
    assert row.status.text == "Step 2 of 5, replacement not used yet"
    assert (row.next_label, row.next_url, row.life.kind) == ("Continue", at(old), "rotating")
    assert f'href="{at(old)}">Continue' in answer.content.decode()


def test_the_replacements_sun_shines_once_it_was_used(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    lifecycle.note_first_use(token_id=new.pk, origin=origin(alice))
    for page in (as_alice.get(LIST), as_alice.get(f"{LIST}/{old.public_id}")):
        assert "draw-sun--ok" in page.content.decode()


def test_a_rotation_goes_on_while_its_old_token_is_paused(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    pause(old)
    page = as_alice.get(LIST)
    assert page.context["rows"][0].status.label == "Paused"
    assert "Continue rotation" in text_of(page)
    assert "Paused." in text_of(as_alice.get(at(old), follow=True))


def test_both_tokens_pages_speak_of_the_rotation(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    page = text_of(as_alice.get(f"/settings/tokens/{old.public_id}"))
    assert "Continue rotation" in page
    assert "Step 2 of 5, replacement not used yet." in page
    assert "Cancel rotation" in page
    replacement = text_of(as_alice.get(f"/settings/tokens/{new.public_id}"))
    assert "This is the replacement in an open rotation." in replacement


def test_new_tokens_switched_off_is_said_at_the_first_step(
    as_alice: Client, old: AccessToken, settings: Settings
) -> None:
    settings.TOKENS_ALLOW_NEW = False
    answer = as_alice.post(at(old, "scopes"), wish())
    assert answer.status_code == 422
    assert "New tokens are switched off for now." in text_of(answer)


def rail(answer: Any) -> dict[str, str]:
    """Return what the rail notes under each step."""
    return {step.title: step.note for step in answer.context["rail"]}


def test_the_rail_says_what_a_step_came_to_and_nothing_of_a_later_one(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    store(new, alice)
    called(old, "203.0.113.7", ago=HOUR)
    called(old, "198.51.100.9", ago=2 * HOUR)
    assert list(rail(as_alice.get(at(old, "update"))).values()) == [
        "3 scopes, until 23 Dec 2026",
        "Shown once, copied",
        "0 of 2 places updated",
        "",
        "",
    ]
    called(new, "203.0.113.7")
    assert rail(as_alice.get(at(old, "confirm")))["Confirm it works"] == "Seen from 203.0.113.7"
    called(new, "198.51.100.9")
    notes = rail(as_alice.get(at(old, "revoke")))
    assert notes["Confirm it works"] == "Seen from 2 places"
    assert notes["Revoke the old token"] == "Last step"


def test_the_first_step_sums_up_what_is_chosen(as_alice: Client, old: AccessToken) -> None:
    assert rail(as_alice.get(at(old, "scopes")))["Scopes and expiration"] == "3 scopes, 30 days"
    changed = as_alice.post(at(old, "draft"), wish(expires="never"))
    assert rail(changed)["Scopes and expiration"].endswith(", no expiration")


def test_a_stored_replacement_is_not_asked_about_again(
    as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    assert "I have stored this token" in text_of(as_alice.get(at(old, "copy")))
    store(new, alice)
    page = as_alice.get(at(old, "copy"))
    assert "I have stored this token" not in text_of(page)
    assert f'href="{at(old, "update")}"' in page.content.decode()
    assert f'href="{at(old, "copy")}"' in as_alice.get(at(old, "update")).content.decode()


def test_a_finished_rotation_says_who_ended_it_and_when_the_new_end_is_recalled(
    clock: Clock, as_alice: Client, old: AccessToken, new: AccessToken, alice: User
) -> None:
    updated(new, alice)
    called(old, ago=26 * HOUR)
    called(new)
    retire(as_alice, old, new, when="now")
    page = as_alice.get(at(old, "finished"))
    assert rail(page)["Update the consumer"] == "0 of 1 place updated"
    assert rail(page)["Confirm it works"] == "Seen from 203.0.113.7"
    assert rail(page)["Revoke the old token"] == "By you, 13:00 CET"
    words = " ".join(text_of(page).split())
    assert "Revoked by you, 23 Nov 2026, 13:00 CET" in words
    assert "expires 23 Dec 2026" in words
    days = "16 Dec, 22 Dec and 23 Dec"
    assert f"Reminders for the new end: {days}, to alice@example.com." in words
    MailPreference.objects.create(owner=alice, kind="expires_7", wanted=False)
    MailPreference.objects.create(owner=alice, kind="expires_30", wanted=False)
    clock.tick(days=1)
    later = as_alice.get(at(old, "finished"))
    assert "Reminders for the new end: 22 Dec and 23 Dec, to" in " ".join(text_of(later).split())
    # What was not today is told by its day.
    assert rail(later)["Revoke the old token"] == "By you, 23 Nov 2026"


@pytest.mark.parametrize(
    ("how", "note", "said"),
    [
        ("planned", "Ended as planned, 14:00 CET", "Ended as planned, 23 Nov 2026, 14:00 CET"),
        ("expired", "Expired, 14:00 CET", "Expired, 23 Nov 2026, 14:00 CET"),
    ],
)
def test_a_rotation_that_time_ended_says_so(
    clock: Clock,
    as_alice: Client,
    old: AccessToken,
    new: AccessToken,
    how: str,
    note: str,
    said: str,
) -> None:
    field = "retire_at" if how == "planned" else "expires_at"
    AccessToken.objects.filter(pk=old.pk).update(**{field: NOON + HOUR})
    clock.tick(hours=2)
    page = as_alice.get(at(old, "finished"))
    assert rail(page)["Revoke the old token"] == note
    assert said in " ".join(text_of(page).split())


def test_yesterdays_use_of_a_scope_is_told_with_its_hour(
    clock: Clock, as_alice: Client, old: AccessToken
) -> None:
    called(old, scope="projects.read", ago=28 * HOUR)
    assert "Used yesterday, 09:00 CET" in text_of(as_alice.get(at(old, "scopes")))
    clock.tick(hours=-5)
    assert "Used 23 hours ago" in text_of(as_alice.get(at(old, "scopes")))


def offered_hours(page: Any) -> dict[str, str]:
    """Return the choices of *In some hours*, by what is sent."""
    options = page.content.decode().partition('name="hours"')[2].partition("</select>")[0]
    return dict(re.findall(r'<option value="(\d+)"[^>]*>([^<]+)<', options))


def test_some_hours_say_when_the_old_token_would_end(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    called(old)
    called(new)
    page = as_alice.get(at(old, "revoke"))
    assert "Counted from your click. Both tokens work until then." in text_of(page)
    assert offered_hours(page) == {
        "1": "1 hour, until 23 Nov 2026, 14:00 CET",
        "24": "24 hours, until 24 Nov 2026, 13:00 CET",
        "72": "72 hours, until 26 Nov 2026, 13:00 CET",
    }
    AccessToken.objects.filter(pk=old.pk).update(expires_at=NOON + 5 * HOUR)
    # Beyond the token's own end there is none to name.
    shorter = offered_hours(as_alice.get(at(old, "revoke")))
    assert list(shorter.values())[1:] == ["24 hours", "72 hours"]


def test_a_paused_token_is_rotated_and_stays_paused(
    as_alice: Client, old: AccessToken, alice: User
) -> None:
    pause(old)
    page = as_alice.get(f"/settings/tokens/{old.public_id}")
    assert f'id="rotate" href="{at(old)}"' in page.content.decode()
    first = text_of(as_alice.get(at(old), follow=True))
    assert "gitlab-release is paused and stays so; the replacement works at once." in first
    assert "Both tokens work until you finish." not in first
    answer = as_alice.post(at(old, "scopes"), wish())
    assert (answer.status_code, len(tokens_in(answer))) == (200, 1)
    replacement = AccessToken.objects.exclude(pk=old.pk).get()
    assert (stored(old).paused_at, replacement.paused_at) == (NOON, None)
    detail = text_of(as_alice.get(f"/settings/tokens/{old.public_id}"))
    assert "it works while this one is paused until the rotation is finished." in detail


def test_nothing_says_of_a_paused_token_that_it_works(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    pause(old)
    cancelling = text_of(as_alice.get(at(old, "cancel")))
    assert "nothing stops: gitlab-release stays as it is." in cancelling
    assert "begin again; the old token stays as it is." in text_of(as_alice.get(at(old, "copy")))
    called(old, ago=HOUR)
    called(new)
    lifecycle.retire(replacement=new, at=NOON + DAY, origin=origin())
    planned = " ".join(text_of(as_alice.get(at(old, "revoke"))).split())
    assert "Until then it stays paused. You can move the time, or revoke it now." in planned
    assert "Until then the old token stays paused. You can revoke the old one earlier" in planned
    question = text_of(as_alice.get(f"/settings/tokens/{old.public_id}/revoke"))
    assert "Rotate it instead: the old one stays as it is until you switch over." in question
    for words in (cancelling, planned, question):
        assert "oth tokens work" not in words
        assert "oth work" not in words


def test_a_token_without_an_end_is_not_said_to_work_until_then(
    as_alice: Client, alice: User
) -> None:
    endless = issue(alice, "endless", expires_at=None).token
    pause(endless)
    page = text_of(as_alice.get(at(endless, "scopes")))
    assert "The old token has no expiration: it lasts until you revoke it." in page


@pytest.mark.parametrize(
    ("how", "together"),
    [
        ("never", True),
        ("before", True),
        ("still", False),
        ("from before", False),
        ("resumed", False),
        ("by itself", False),
    ],
)
def test_a_finished_rotation_counts_no_time_in_which_the_old_token_was_paused(
    clock: Clock, as_alice: Client, alice: User, how: str, together: bool
) -> None:
    old = issue(alice, "gitlab-release", scopes=HELD, at=NOON - DAY).token
    ends = {"before": NOON - HOUR, "from before": NOON + HOUR}
    if how in ends:
        started = origin(alice, at=NOON - 2 * HOUR)
        lifecycle.pause(token=old, until=ends[how], origin=started)
    wish = RotationWish(scopes=HELD, expires_at=NOON + 30 * DAY)
    new = lifecycle.rotate(token=old, wish=wish, origin=origin(alice)).token
    clock.tick(hours=1)
    if how in {"still", "resumed", "by itself"}:
        until = clock.now + HOUR if how == "by itself" else None
        lifecycle.pause(token=old, until=until, origin=origin(alice, at=clock.now))
    clock.tick(hours=2)
    if how == "resumed":
        lifecycle.resume(token=old, origin=origin(alice, at=clock.now))
    lifecycle.retire(replacement=new, at=None, origin=origin(alice, at=clock.now))
    page = text_of(as_alice.get(at(old, "finished")))
    assert "No request of the replacement was refused." in page
    assert ("Both tokens worked together for 3 hours." in page) is together


def test_the_replacements_places_are_counted_as_they_are_listed(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    """Hosted runners come from another network every time, and are one place."""
    called(old, ago=26 * HOUR)
    for number in range(6):
        called(new, f"10.1.{number}.1", "Actions")
    page = as_alice.get(at(old, "revoke"))
    assert "6 requests, all allowed, 1 place " in " ".join(text_of(page).split())
    called(new, "203.0.113.7")
    page = as_alice.get(at(old, "revoke"))
    assert "7 requests, all allowed, 2 places " in " ".join(text_of(page).split())
    assert rail(page)["Confirm it works"] == "Seen from 2 places"
    retire(as_alice, old, new, when="now")
    assert rail(as_alice.get(at(old, "finished")))["Confirm it works"] == "Seen from 2 places"


def test_all_requests_of_a_replacement_are_counted(
    as_alice: Client, old: AccessToken, new: AccessToken
) -> None:
    for day in range(10):
        for number in range(25):
            called(new, f"10.{day}.{number}.1", ago=day * DAY)
    page = " ".join(text_of(as_alice.get(at(old, "revoke"))).split())
    assert "250 requests, all allowed" in page
