from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.admin.conftest import REVOKE, VIEW, Signer
from tests.cast import PASSWORD, Clock, issue, make_user, origin, sign_in
from tests.views.test_listing import use
from tokens import lifecycle, ratelimit, secret
from tokens.models import AccessToken, Notice, TokenEvent

pytestmark = pytest.mark.usefixtures("clock")
STOP, IDENTIFY = "/admin/revoke/", "/admin/identify/"
VALUE = secret.PREFIX + "0123456789abcdef" * 4


@pytest.fixture
def pair(alice: User, bob: User, clock: Clock) -> list[AccessToken]:
    """Alice's is in use, bob's is not."""
    both = [issue(alice, "busy").token, issue(bob, "idle").token]
    use(both[0], clock.now - timedelta(minutes=5), "203.0.113.40")
    return both


def ids(*tokens: AccessToken) -> list[str]:
    return [str(token.public_id) for token in tokens]


def living() -> set[str]:
    return set(AccessToken.objects.filter(revoked_at__isnull=True).values_list("name", flat=True))


def sent(*tokens: AccessToken, **fields: Any) -> dict[str, Any]:
    return {"id": ids(*tokens), "kind": "admin", "stop": "on", "reason": "", **fields}


# --- Revoking ------------------------------------------------------------------------------------


def test_the_question_says_who_would_break_and_changes_nothing(
    pair: list[AccessToken], as_carol: Signer
) -> None:
    page = as_carol(REVOKE).get(STOP, {"id": ids(*pair)}).content.decode()
    for words in (
        "Revoke 2 tokens?",
        "tokens is in use: its next",
        "Breaks 203.0.113.0/24",
        "idle",
    ):
        assert words in page
    assert living() == {"busy", "idle"}


def test_both_end_with_reason_kind_door_and_mail(
    pair: list[AccessToken], as_carol: Signer, carol: User
) -> None:
    answer = as_carol(REVOKE).post(STOP, sent(*pair, reason="Left the company"))
    assert answer.status_code == 303
    for token in AccessToken.objects.all():
        assert (token.revoke_kind, token.reason) == ("admin", "Left the company")
        assert token.revoked_by_id == carol.pk
    events = TokenEvent.objects.filter(kind="token.revoked")
    assert list(events.values_list("door", "actor_id")) == [("admin", carol.pk)] * 2
    assert Notice.objects.filter(kind="token_revoked").count() == 2


def test_a_repeat_does_nothing(pair: list[AccessToken], as_carol: Signer) -> None:
    client = as_carol(REVOKE)
    client.post(STOP, sent(*pair, reason="first"))
    answer = client.post(STOP, sent(*pair, reason="second"), follow=False)
    assert answer.status_code == 303
    assert set(AccessToken.objects.values_list("reason", flat=True)) == {"first"}
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 2


def test_what_ended_already_keeps_its_facts(
    pair: list[AccessToken], bob: User, as_carol: Signer
) -> None:
    lifecycle.revoke(token=pair[1], origin=origin(bob), reason="mine")
    as_carol(REVOKE).post(STOP, sent(*pair, reason="theirs"))
    assert AccessToken.objects.get(pk=pair[1].pk).reason == "mine"
    assert living() == set()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"stop": ""}, "Tick this to stop what is in use, or keep the tokens."),
        ({"kind": ""}, "Choose why the tokens end."),
        ({"kind": "rotated"}, "Choose why the tokens end."),
        ({"reason": "x" * 201}, "up to 200 characters"),
        ({"reason": VALUE}, "token"),
        ({"reason": "a\u202eb"}, "U+202E"),
        ({"reason": "a\x00b"}, "U+0000"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_what_was_typed(
    fields: dict[str, str], sentence: str, pair: list[AccessToken], as_carol: Signer
) -> None:
    answer = as_carol(REVOKE).post(STOP, sent(*pair, **{"reason": "kept words", **fields}))
    page = answer.content.decode()
    assert answer.status_code == 422
    assert sentence in page
    assert VALUE[11:] not in page
    assert fields.keys() == {"reason"} or "kept words" in page
    assert living() == {"busy", "idle"}


@pytest.mark.parametrize(
    "given", [[], ["x"], ["\0"], ["0" * 5000], [VALUE]], ids=lambda ids: ascii(ids)[:20]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_ids_of_nothing_lead_back_to_the_list(
    method: str, given: list[str], pair: list[AccessToken], as_carol: Signer
) -> None:
    answer = getattr(as_carol(REVOKE), method)(STOP, {"id": given, "kind": "admin"})
    assert answer.status_code == 303
    assert answer["Location"] == "/admin/tokens/accesstoken/"
    assert living() == {"busy", "idle"}


def test_it_needs_a_fresh_proof(pair: list[AccessToken], as_carol: Signer, clock: Clock) -> None:
    client = as_carol(REVOKE)
    clock.tick(minutes=16)
    answer = client.post(STOP, sent(*pair))
    assert "proof_password" in answer.content.decode()
    assert living() == {"busy", "idle"}
    client.post(STOP, sent(*pair, proof_password=PASSWORD, proof_for="POST"))
    assert living() == set()


# --- Identifying ---------------------------------------------------------------------------------


def test_a_value_says_whose_it_is_and_is_not_shown_again(
    alice: User, as_carol: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    value = issue(alice, "found-in-a-log").plaintext.reveal()
    caplog.set_level(logging.DEBUG)
    answer = as_carol(VIEW).post(IDENTIFY, {"value": f"  {value}\n"})
    page = answer.content.decode()
    assert answer.status_code == 200
    for words in ("This value belongs to", "alice@example.com", "found-in-a-log"):
        assert words in page
    assert value[11:-4] not in page
    assert value[11:-4] not in caplog.text
    assert "Revoke as leaked" not in page


def test_what_it_found_is_revoked_as_leaked(alice: User, as_carol: Signer) -> None:
    issued = issue(alice)
    client = as_carol(VIEW, REVOKE)
    page = client.post(IDENTIFY, {"value": issued.plaintext.reveal()}).content.decode()
    address = f"{STOP}?id={issued.token.public_id}&amp;leaked=1"
    assert address in page
    question = client.get(address.replace("&amp;", "&"))
    assert question.context["form"]["kind"].value() == "leaked"
    client.post(STOP, sent(issued.token, kind="leaked"))
    assert AccessToken.objects.get().revoke_kind == "leaked"
    again = client.post(IDENTIFY, {"value": issued.plaintext.reveal()}).content.decode()
    assert "Has ended" in again


def test_the_last_four_name_all_that_fit(alice: User, bob: User, as_carol: Signer) -> None:
    first, second = issue(alice, "one").token, issue(bob, "two").token
    AccessToken.objects.update(last4="beef")
    page = as_carol(VIEW).post(IDENTIFY, {"value": "BEEF"}).content.decode()
    assert first.name in page
    assert second.name in page


def test_a_value_of_another_installation_is_unknown(as_carol: Signer) -> None:
    page = as_carol(VIEW).post(IDENTIFY, {"value": secret.mint().reveal()}).content.decode()
    assert "No token here has this value" in page


@pytest.mark.parametrize(
    "typed", ["", "abc", "xyz!", VALUE, VALUE[:40], "\0", "é" * 4, "x" * 100_000, "sk_pat_"]
)
def test_what_is_neither_is_refused(typed: str, alice: User, as_carol: Signer) -> None:
    answer = as_carol(VIEW).post(IDENTIFY, {"value": typed})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "neither a whole value nor its last four" in page
    assert VALUE[7:19] not in page


def test_a_value_in_the_address_is_not_looked_up(alice: User, as_carol: Signer) -> None:
    value = issue(alice, "in-a-link").plaintext.reveal()
    page = as_carol(VIEW).get(IDENTIFY, {"value": value}).content.decode()
    assert "in-a-link" not in page
    assert value[11:-4] not in page


def test_questions_are_limited(as_carol: Signer, clock: Clock) -> None:
    client = as_carol(VIEW)
    for _ in range(ratelimit.IDENTIFY.tries):
        assert client.post(IDENTIFY, {"value": "beef"}).status_code == 200
    answer = client.post(IDENTIFY, {"value": "beef"})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= ratelimit.IDENTIFY.seconds
    clock.tick(minutes=6)
    assert client.post(IDENTIFY, {"value": "beef"}).status_code == 200


# --- People --------------------------------------------------------------------------------------


def people(person: User, page: str = "") -> str:
    return page or f"/admin/skytells_console/user/{person.pk}/change/"


def test_people_are_found_by_their_address(alice: User, bob: User, as_carol: Signer) -> None:
    answer = as_carol(VIEW).get("/admin/skytells_console/user/", {"q": "ALI"})
    assert [person.email for person in answer.context["cl"].result_list] == ["alice@example.com"]


def test_a_person_s_tokens_stand_on_one_page(pair: list[AccessToken], as_carol: Signer) -> None:
    page = as_carol(VIEW).get(people(pair[0].owner)).content.decode()
    assert "busy" in page
    assert "idle" not in page
    assert "Deactivate" not in page


def test_deactivating_signs_out_and_ends_every_token(
    pair: list[AccessToken], alice: User, as_alice: Client, as_carol: Signer, carol: User
) -> None:
    issue(alice, "another")
    client, path = as_carol(VIEW, REVOKE), f"/admin/people/{alice.pk}/deactivate/"
    assert "Deactivate and revoke all…" in client.get(people(alice)).content.decode()
    question = client.get(path).content.decode()
    assert "Breaks 203.0.113.0/24" in question
    answer = client.post(path, {"stop": "on", "reason": "Left"})
    assert answer.status_code == 303
    alice.refresh_from_db()
    assert not alice.is_active
    assert living() == {"idle"}
    assert as_alice.get("/settings/tokens").status_code == 302
    (event,) = TokenEvent.objects.filter(kind="account.deactivated")
    assert (event.owner_id, event.actor_id, event.door) == (alice.pk, carol.pk, "admin")
    client.post(path, {"stop": "on", "reason": "again"})
    assert TokenEvent.objects.filter(kind="account.deactivated").count() == 1
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 2


def test_what_is_in_use_needs_the_tick(
    pair: list[AccessToken], alice: User, as_carol: Signer
) -> None:
    path = f"/admin/people/{alice.pk}/deactivate/"
    answer = as_carol(REVOKE).post(path, {"reason": "kept words"})
    assert answer.status_code == 422
    assert "kept words" in answer.content.decode()
    alice.refresh_from_db()
    assert alice.is_active
    assert "busy" in living()


def test_nobody_switches_off_themselves_or_a_superuser(carol: User, as_carol: Signer) -> None:
    root = make_user("root@example.com", is_staff=True, is_superuser=True)
    client = as_carol(REVOKE)
    for person in (carol, root):
        answer = client.post(f"/admin/people/{person.pk}/deactivate/", {"stop": "on"})
        assert answer.status_code == 403
        person.refresh_from_db()
        assert person.is_active
    other = make_user("other@example.com", is_staff=True, is_superuser=True)
    sign_in(Client(), root).post(f"/admin/people/{other.pk}/deactivate/", {})
    other.refresh_from_db()
    assert not other.is_active


def test_nobody_is_deactivated_who_is_not_there(as_carol: Signer) -> None:
    for pk in ("999999", "9" * 30, "x"):
        assert as_carol(REVOKE).post(f"/admin/people/{pk}/deactivate/").status_code == 404
