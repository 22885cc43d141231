from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, origin, sign_in
from tests.threads import meeting_before_update
from tests.views.pages import HTMX, LIST, text_of
from tests.views.test_listing import use
from tests.views.test_use import refuse, use as call
from tokens import lifecycle
from tokens.models import AccessToken, TokenEvent
from tokens.secret import mint
from tokens.usage import mark_of_pause

# The clock stands before anybody signs in.
pytestmark = pytest.mark.usefixtures("clock")
BULK = "/settings/tokens/revoke"
IN_DIALOG = {**HTMX, "HX-Current-URL": f"http://testserver{LIST}?status=unused"}


@pytest.fixture
def four(clock: Clock, alice: User) -> dict[str, AccessToken]:
    """Two in use, one used long ago, one never used."""
    made = {}
    for name in ("release", "deploy", "notebook", "smoke"):
        made[name] = issue(alice, name, at=clock.now - timedelta(days=200), expires_at=None).token
    use(made["release"], clock.now - timedelta(minutes=2), "203.0.113.40")
    use(made["deploy"], clock.now - timedelta(hours=23), "198.51.100.24")
    use(made["notebook"], clock.now - timedelta(days=118), "192.0.2.61")
    return made


def ids(*tokens: AccessToken) -> list[str]:
    return [str(token.public_id) for token in tokens]


def living() -> set[str]:
    return set(AccessToken.objects.filter(revoked_at__isnull=True).values_list("name", flat=True))


def test_the_question_says_what_each_would_break(
    as_alice: Client, four: dict[str, AccessToken]
) -> None:
    answer = as_alice.get(BULK, {"id": ids(*four.values())})
    page = " ".join(text_of(answer).split())
    for words in (
        "Revoke 4 tokens?",
        "2 of them are in use. Their next request gets 401, and the CLI says “Not authenticated”.",
        "Breaks 203.0.113.0/24 Last used 2 minutes ago",
        "Breaks 198.51.100.0/24 Last used 23 hours ago",
        "Breaks nobody we know of Last used 118 days ago",
        "Breaks nobody It has never been used",
        "Stop 203.0.113.0/24 and 198.51.100.0/24 now. This cannot be undone.",
        "Revoke only the 2 not in use",
        "Keep tokens",
    ):
        assert words in page
    assert [line.token.name for line in answer.context["lines"]] == list(four)
    assert len(living()) == 4


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["notebook", "smoke"], "Nobody we know of breaks. This cannot be undone."),
        (["release", "deploy"], "All of them are in use. Their next request gets 401"),
        (["release", "smoke"], "1 of them is in use. Its next request gets 401"),
        (["release"], "It is in use. Its next request gets 401"),
    ],
)
def test_the_question_counts_what_is_in_use(
    as_alice: Client, four: dict[str, AccessToken], names: list[str], sentence: str
) -> None:
    page = text_of(as_alice.get(BULK, {"id": ids(*(four[name] for name in names))}))
    assert sentence in page
    assert ("Revoke only" in page) == (names == ["release", "smoke"])
    assert f"Revoke {len(names)} token{'s' if len(names) > 1 else ''}?" in page


def test_who_knocks_at_a_paused_token_did_not_use_it(
    clock: Clock, as_alice: Client, four: dict[str, AccessToken]
) -> None:
    token = four["smoke"]
    call(token, timedelta(minutes=2))
    lifecycle.pause(token=token, until=None, origin=origin(token.owner, at=clock.now))
    page = " ".join(text_of(as_alice.get(BULK, {"id": ids(token)})).split())
    assert "Last used 2 minutes ago" in page
    token.refresh_from_db()
    assert token.paused_at
    clock.tick(minutes=5)
    refuse(token, -timedelta(minutes=4), scope=mark_of_pause(token.paused_at))
    page = " ".join(text_of(as_alice.get(BULK, {"id": ids(token)})).split())
    assert "Last refused 1 minute ago" in page


def test_at_most_three_places_are_named(clock: Clock, as_alice: Client, alice: User) -> None:
    tokens = [issue(alice, f"runner-{each}").token for each in range(6)]
    for each, token in enumerate(tokens):
        use(token, clock.now - timedelta(minutes=each), f"203.0.{min(each, 4)}.1")
    page = text_of(as_alice.get(BULK, {"id": ids(*tokens)}))
    assert "Stop 203.0.0.0/24, 203.0.1.0/24, 203.0.2.0/24 and 2 more now." in page


def test_a_monthly_job_is_in_use_though_it_called_weeks_ago(
    clock: Clock, as_alice: Client, four: dict[str, AccessToken]
) -> None:
    for months in (4, 3, 2, 1):
        use(four["notebook"], clock.now - timedelta(days=29 * months - 10), "192.0.2.61")
    answer = as_alice.get(BULK, {"id": ids(four["notebook"], four["smoke"])})
    page = " ".join(text_of(answer).split())
    assert (
        "Breaks 192.0.2.0/24 Last used 19 days ago. "
        "Monthly job, last seen 19 days ago, next ≈ 3 Dec" in page
    )
    assert as_alice.post(BULK, {"id": ids(four["notebook"])}).status_code == 422
    assert len(living()) == 4


def test_the_replacement_of_a_chosen_token_is_said_to_stay(
    clock: Clock, as_alice: Client, alice: User, four: dict[str, AccessToken]
) -> None:
    old = four["notebook"]
    wish = lifecycle.RotationWish(scopes=old.scope_names, expires_at=None)
    new = lifecycle.rotate(token=old, wish=wish, origin=origin(alice)).token
    said = f"{old.name} is in rotation: its replacement {new.masked} stays."
    assert said in text_of(as_alice.get(BULK, {"id": ids(old, four["smoke"])}))
    # Not where it is chosen as well, and not of a token without a rotation.
    assert "in rotation" not in text_of(as_alice.get(BULK, {"id": ids(old, new)}))
    assert "in rotation" not in text_of(as_alice.get(BULK, {"id": ids(four["smoke"])}))
    as_alice.post(BULK, {"id": ids(old), "stop": "on"})
    assert new.name in living()


def test_all_of_them_end_together(
    as_alice: Client, alice: User, four: dict[str, AccessToken]
) -> None:
    sent = {"id": ids(*four.values()), "stop": "on", "reason": "clearing up"}
    answer = as_alice.post(BULK, sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, LIST)
    assert "4 tokens revoked" in text_of(as_alice.get(LIST))
    for token in AccessToken.objects.all():
        assert (token.revoke_kind, token.reason, token.revoked_by) == (
            "owner",
            "clearing up",
            alice,
        )
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 4


def test_only_what_is_not_in_use_can_end_alone(
    as_alice: Client, four: dict[str, AccessToken]
) -> None:
    as_alice.post(BULK, {"id": ids(*four.values()), "only": "idle"})
    assert living() == {"release", "deploy"}
    assert "2 tokens revoked" in text_of(as_alice.get(LIST))


def test_what_came_into_use_meanwhile_is_left_alone(
    clock: Clock, as_alice: Client, four: dict[str, AccessToken]
) -> None:
    chosen = {"id": ids(four["notebook"], four["smoke"])}
    assert "Stop " not in text_of(as_alice.get(BULK, chosen))
    use(four["smoke"], clock.now, "192.0.2.9")
    answer = as_alice.post(BULK, chosen)
    assert answer.status_code == 422
    assert "Stop 192.0.2.0/24 now." in text_of(answer)
    assert len(living()) == 4
    as_alice.post(BULK, {**chosen, "only": "idle"})
    assert living() == {"release", "deploy", "smoke"}


def test_nothing_idle_asks_again(as_alice: Client, four: dict[str, AccessToken]) -> None:
    sent = {"id": ids(four["release"]), "only": "idle"}
    assert as_alice.post(BULK, sent).status_code == 422
    assert len(living()) == 4


BAD: list[tuple[dict[str, str], str]] = [
    ({}, "Tick this to stop what is in use, or revoke only what is not."),
    ({"stop": ""}, "Tick this to stop what is in use, or revoke only what is not."),
    ({"stop": "on", "reason": "x" * 201}, "Reasons can be up to 200 characters."),
    ({"stop": "on", "reason": mint().reveal()}, "The reason holds a token, or part of one."),
    ({"stop": "on", "reason": "a\u202eb"}, "The reason holds a character that cannot be seen"),
    ({"stop": "on", "reason": "a\x00b"}, "The reason holds a character that cannot be seen"),
]


@pytest.mark.parametrize(("sent", "sentence"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("headers", [{}, IN_DIALOG], ids=["plain", "htmx"])
def test_what_cannot_be_taken_changes_nothing(
    as_alice: Client,
    four: dict[str, AccessToken],
    sent: dict[str, str],
    sentence: str,
    headers: dict[str, str],
) -> None:
    answer = as_alice.post(BULK, {"id": ids(*four.values()), **sent}, headers=headers)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert answer.content.decode().count('type="hidden" name="id"') == 4
    assert ("checked" in answer.content.decode()) == (sent.get("stop") == "on")
    if "sk_pat_" in sent.get("reason", ""):
        assert sent["reason"][7:19] not in answer.content.decode()
    assert len(living()) == 4


def test_foreign_ended_and_forged_ids_are_left_out(
    as_alice: Client, alice: User, bob: User, four: dict[str, AccessToken]
) -> None:
    lifecycle.revoke(token=four["smoke"], origin=origin(alice), reason="earlier")
    foreign = issue(bob, "bobs").token
    chosen = [*ids(*four.values(), foreign), "x", "", "%00", str(uuid.uuid4()), "1" * 5_000]
    assert "Revoke 3 tokens?" in text_of(as_alice.get(BULK, {"id": chosen}))
    as_alice.post(BULK, {"id": chosen, "stop": "on"})
    assert living() == {"bobs"}
    four["smoke"].refresh_from_db()
    assert four["smoke"].reason == "earlier"


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_a_token_of_ones_own_there_is_nothing_here(
    as_bob: Client, four: dict[str, AccessToken], method: str
) -> None:
    for chosen in ([], ["x"], [str(uuid.uuid4())], ids(*four.values())):
        assert getattr(as_bob, method)(BULK, {"id": chosen, "stop": "on"}).status_code == 404
    assert len(living()) == 4


def test_a_repeat_changes_nothing_and_says_so(
    clock: Clock, as_alice: Client, four: dict[str, AccessToken]
) -> None:
    sent = {"id": ids(*four.values()), "stop": "on", "reason": "first"}
    as_alice.post(BULK, sent)
    as_alice.get(LIST)
    clock.tick(minutes=1)
    assert as_alice.post(BULK, {**sent, "reason": "second"}).status_code == 303
    assert "These tokens have ended already" in text_of(as_alice.get(LIST))
    assert "Nothing is left to revoke." in text_of(as_alice.get(BULK, sent))
    assert set(AccessToken.objects.values_list("reason", flat=True)) == {"first"}
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 4


def test_asking_changes_nothing(as_alice: Client, four: dict[str, AccessToken]) -> None:
    for method in ("get", "head"):
        sent = {"id": ids(*four.values()), "stop": "on", "only": "idle"}
        assert getattr(as_alice, method)(BULK, sent).status_code == 200
    assert len(living()) == 4


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(as_alice: Client, method: str) -> None:
    assert getattr(as_alice, method)(BULK).status_code == 405


def test_the_dialog_closes_and_the_list_refreshes(
    as_alice: Client, four: dict[str, AccessToken]
) -> None:
    opened = as_alice.get(BULK, {"id": ids(four["smoke"])}, headers=IN_DIALOG)
    assert "dialog-open" in opened.headers["HX-Trigger-After-Swap"]
    assert "<html" not in opened.content.decode()
    done = as_alice.post(BULK, {"id": ids(four["smoke"])}, headers=IN_DIALOG)
    assert done.status_code == 204
    events: dict[str, Any] = json.loads(done.headers["HX-Trigger"])
    assert set(events) == {"toast", "dialog-close", "tokens-changed"}
    assert events["toast"] == {"value": "1 token revoked"}


def test_anonymous_people_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(BULK).headers["Location"].startswith("/account/sign-in")
    assert client.post(BULK).status_code in {302, 403}


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stale_proof_is_asked_for_first(
    clock: Clock, as_alice: Client, four: dict[str, AccessToken], method: str
) -> None:
    clock.tick(minutes=16)
    sent = {"id": ids(*four.values()), "stop": "on", "reason": "kept"}
    answer = getattr(as_alice, method)(BULK, sent)
    assert "Confirm it’s you" in text_of(answer)
    assert len(living()) == 4
    if method == "post":
        as_alice.post(BULK, {**sent, "proof_password": PASSWORD, "proof_for": "POST"})
        assert living() == set()


def test_many_tokens_need_no_more_questions_to_the_database(
    as_alice: Client, alice: User, four: dict[str, AccessToken]
) -> None:
    counted = []
    for chosen in (ids(four["smoke"]), ids(*four.values())):
        with CaptureQueriesContext(connection) as queries:
            as_alice.get(BULK, {"id": chosen})
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 6


@pytest.mark.django_db(transaction=True)
def test_two_at_once_end_each_token_once(alice: User) -> None:
    tokens = [issue(alice, f"runner-{each}").token for each in range(4)]
    first, second = (sign_in(Client(), alice) for _ in range(2))
    answers = meeting_before_update(
        "tokens_accesstoken",
        lambda: first.post(BULK, {"id": ids(*tokens)}).status_code,
        lambda: second.post(BULK, {"id": ids(*reversed(tokens))}).status_code,
    )
    assert answers == [303, 303]
    assert living() == set()
    assert TokenEvent.objects.filter(kind="token.revoked").count() == 4
