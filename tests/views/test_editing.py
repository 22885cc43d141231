"""Name and description, and fewer scopes: what is changed, what is refused, what is kept."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import HTMX, text_of
from tokens import lifecycle
from tokens.models import AccessToken, TokenEvent
from tokens.secret import mint
from tokens.views.editing import narrow_token

FOUR = ["inference", "projects.read", "projects.write", "account.read"]


@pytest.fixture
def token(alice: User) -> AccessToken:
    return issue(alice, "cli-macbook", description="The desk", scopes=FOUR).token


def address(token: AccessToken) -> str:
    return f"/settings/tokens/{token.public_id}"


def edit(client: Client, token: AccessToken, **changes: Any) -> Any:
    headers = changes.pop("headers", None)
    sent = {"name": "laptop", "description": "Another desk"} | changes
    return client.post(f"{address(token)}/edit", sent, headers=headers)


def narrow(client: Client, token: AccessToken, *remove: str, **changes: Any) -> Any:
    headers = changes.pop("headers", None)
    sent = {"remove": list(remove), "confirm": "yes"} | changes
    return client.post(f"{address(token)}/scopes", sent, headers=headers)


def standing_on(token: AccessToken) -> dict[str, str]:
    return {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}"}


def row(token: AccessToken) -> dict[str, Any]:
    return AccessToken.objects.filter(pk=token.pk).values().get()


def events(kind: str) -> int:
    return TokenEvent.objects.filter(kind=kind).count()


# --- Name and description ------------------------------------------------------------------------


def test_the_form_is_filled_with_what_is_stored(as_alice: Client, token: AccessToken) -> None:
    page = as_alice.get(f"{address(token)}/edit").content.decode()
    assert 'value="cli-macbook"' in page
    assert 'value="The desk"' in page


def test_name_and_description_are_changed(as_alice: Client, token: AccessToken) -> None:
    answer = edit(as_alice, token)
    assert (answer.status_code, answer.headers["Location"]) == (303, address(token))
    assert (row(token)["name"], row(token)["name_key"]) == ("laptop", "laptop")
    page = text_of(as_alice.get(address(token)))
    for words in ("laptop saved", "Another desk", "Renamed to laptop"):
        assert words in page


def test_htmx_gets_the_whole_content_back(as_alice: Client, token: AccessToken) -> None:
    answer = edit(as_alice, token, headers=standing_on(token))
    assert answer.status_code == 200
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("#_detail", "outerHTML")
    assert json.loads(answer.headers["HX-Trigger"]) == {"toast": {"value": "laptop saved"}}
    page = answer.content.decode()
    assert "<html" not in page
    assert 'data-title="laptop"' in page
    assert page.count("autofocus") == 1


def test_htmx_on_a_page_of_its_own_is_led_back(as_alice: Client, token: AccessToken) -> None:
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(token)}/edit"}
    answer = edit(as_alice, token, headers=headers)
    assert answer.headers["HX-Redirect"] == address(token)


def test_saving_twice_changes_once(as_alice: Client, token: AccessToken) -> None:
    assert edit(as_alice, token).status_code == 303
    assert edit(as_alice, token).status_code == 303
    assert events("token.renamed") == 1


def test_the_same_name_in_another_case_may_be_kept(as_alice: Client, token: AccessToken) -> None:
    assert edit(as_alice, token, name="CLI-MacBook").status_code == 303
    assert row(token)["name"] == "CLI-MacBook"


BAD_DETAILS = [
    ({"name": ""}, "Give the token a name."),
    ({"name": "   "}, "Give the token a name."),
    ({"name": "n" * 65}, "Names can be up to 64 characters."),
    ({"name": "n" * 100_000}, "Names can be up to 64 characters."),
    ({"name": "a\u202eb"}, "The name holds a character that cannot be seen (U+202E)."),
    ({"name": "a\u0000b"}, "The name holds a character that cannot be seen (U+0000)."),
    ({"name": "a\nb"}, "The name holds a character that cannot be seen (U+000A)."),
    ({"name": "\u3164"}, "The name holds a character that cannot be seen (U+3164)."),
    ({"name": "ci"}, "You already have an active token called ci."),
    ({"name": "\uff23\uff29"}, "You already have an active token called \uff23\uff29."),
    ({"description": "d" * 201}, "Descriptions can be up to 200 characters."),
    ({"description": "d" * 100_000}, "Descriptions can be up to 200 characters."),
    (
        {"description": "a\u2028b"},
        "The description holds a character that cannot be seen (U+2028).",
    ),
    ({"description": "a\tb"}, "The description holds a character that cannot be seen (U+0009)."),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD_DETAILS, ids=range(len(BAD_DETAILS)))
@pytest.mark.parametrize("htmx", [False, True], ids=["plain", "htmx"])
def test_bad_details_are_refused_and_kept(
    as_alice: Client,
    alice: User,
    token: AccessToken,
    changes: dict[str, str],
    sentence: str,
    htmx: bool,
) -> None:
    issue(alice, "ci")
    before = row(token)
    answer = edit(as_alice, token, headers=HTMX if htmx else {}, **changes)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    page = answer.content.decode()
    assert page.count("aria-invalid") == page.count(" autofocus") == 1
    field, value = next(iter(changes.items()))
    kept = answer.context["form"][field].value()
    assert kept == value
    other = "description" if field == "name" else "name"
    assert answer.context["form"][other].value() in {"Another desk", "laptop"}
    assert ("<html" in page) is not htmx
    assert row(token) == before
    assert events("token.renamed") == 0


@pytest.mark.parametrize("field", ["name", "description"])
def test_a_pasted_token_is_refused_and_not_shown(
    as_alice: Client, token: AccessToken, field: str
) -> None:
    pasted = mint().reveal()
    before = row(token)
    answer = edit(as_alice, token, **{field: f"x {pasted}"})
    assert answer.status_code == 422
    assert "holds a token, or part of one" in text_of(answer)
    assert pasted[11:40] not in answer.content.decode()
    assert row(token) == before


def test_both_faults_are_told_at_once(as_alice: Client, token: AccessToken) -> None:
    page = text_of(edit(as_alice, token, name="", description="d" * 201))
    assert "Give the token a name." in page
    assert "Descriptions can be up to 200 characters." in page


def test_nothing_else_can_be_sent_along(as_alice: Client, token: AccessToken, bob: User) -> None:
    before = row(token)
    edit(as_alice, token, owner=bob.pk, scopes="keys.write", expires_at="", revoked_at="", pk=1)
    after = row(token)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"name", "name_key", "description"}


def test_editing_asks_for_no_fresh_proof(
    clock: Clock, as_alice: Client, alice: User, token: AccessToken
) -> None:
    clock.tick(hours=3)
    assert edit(as_alice, token).status_code == 303


# --- Fewer scopes --------------------------------------------------------------------------------


def test_the_form_offers_what_the_token_holds(as_alice: Client, token: AccessToken) -> None:
    page = as_alice.get(f"{address(token)}/scopes").content.decode()
    for name in FOUR:
        assert f'name="remove" value="{name}"' in page
    assert "keys.write" not in page
    assert " checked" not in page
    assert "insufficient_scope" in page


def test_scopes_are_removed(as_alice: Client, token: AccessToken) -> None:
    answer = narrow(as_alice, token, "projects.write", "inference")
    assert (answer.status_code, answer.headers["Location"]) == (303, address(token))
    assert row(token)["scopes"] == "projects.read account.read"
    page = text_of(as_alice.get(address(token)))
    assert "2 scopes removed" in page
    assert "Scopes narrowed" in page


def test_htmx_gets_the_content_with_fewer_scopes(as_alice: Client, token: AccessToken) -> None:
    answer = narrow(as_alice, token, "projects.write", headers=standing_on(token))
    assert answer.headers["HX-Retarget"] == "#_detail"
    assert json.loads(answer.headers["HX-Trigger"]) == {"toast": {"value": "1 scope removed"}}
    assert 'id="scopes"' in answer.content.decode()
    assert answer.content.decode().count(" autofocus") == 1


BAD_REMOVALS: list[tuple[dict[str, Any], str]] = [
    ({"remove": []}, "Choose at least one scope to remove."),
    ({"remove": ["keys.write"]}, "The token does not have all of these scopes any more."),
    ({"remove": ["moon.write"]}, "The token does not have all of these scopes any more."),
    ({"remove": [""]}, "The token does not have all of these scopes any more."),
    ({"remove": ["inference", "x" * 9999]}, "does not have all of these scopes any more."),
    ({"remove": ["inference\u0000"]}, "The token does not have all of these scopes any more."),
    ({"remove": FOUR}, "Leave at least one scope. To stop the token altogether, revoke it."),
    ({"confirm": ""}, "Tick this box to confirm. Removed scopes cannot be given back."),
    ({"confirm": "no"}, "Tick this box to confirm."),
    ({"confirm": "true"}, "Tick this box to confirm."),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD_REMOVALS, ids=range(len(BAD_REMOVALS)))
def test_a_bad_removal_changes_nothing(
    as_alice: Client, token: AccessToken, changes: dict[str, Any], sentence: str
) -> None:
    before = row(token)
    answer = narrow(as_alice, token, **{"remove": ["inference"], **changes})
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    page = answer.content.decode()
    assert page.count(" autofocus") == 1
    ticked = set(changes.get("remove", ["inference"])) & set(FOUR)
    for name in FOUR:
        assert (f'value="{name}" checked' in page) is (name in ticked)
    assert row(token) == before
    assert events("token.narrowed") == 0


def test_removing_twice_says_that_it_is_gone(as_alice: Client, token: AccessToken) -> None:
    assert narrow(as_alice, token, "inference").status_code == 303
    answer = narrow(as_alice, token, "inference")
    assert answer.status_code == 422
    assert "does not have all of these scopes any more" in text_of(answer)
    assert events("token.narrowed") == 1


def test_a_pasted_token_is_not_shown(as_alice: Client, token: AccessToken) -> None:
    pasted = mint().reveal()
    answer = narrow(as_alice, token, pasted)
    assert answer.status_code == 422
    assert pasted not in answer.content.decode()


def test_removing_asks_for_a_fresh_proof(
    clock: Clock, as_alice: Client, alice: User, token: AccessToken
) -> None:
    assert narrow_token.__wrapped__.fresh_proof  # type: ignore[attr-defined]
    clock.tick(hours=3)
    before = row(token)
    opened = as_alice.get(f"{address(token)}/scopes")
    assert "Removing scopes needs a fresh check." in text_of(opened)
    asked = narrow(as_alice, token, "inference")
    assert asked.status_code == 422
    assert 'name="remove" value="inference"' in asked.content.decode()
    assert row(token) == before


# --- Both ----------------------------------------------------------------------------------------

Send = Callable[[Client, AccessToken], Any]
BOTH = pytest.mark.parametrize(
    ("part", "send"),
    [
        ("edit", edit),
        ("scopes", lambda client, token, **k: narrow(client, token, "inference", **k)),
    ],
    ids=["edit", "scopes"],
)


@BOTH
def test_bob_cannot_change_what_alice_owns(
    as_bob: Client, token: AccessToken, part: str, send: Send
) -> None:
    before = row(token)
    missing = f"/settings/tokens/{uuid.uuid4()}/{part}"
    assert as_bob.get(f"{address(token)}/{part}").status_code == 404
    assert send(as_bob, token).status_code == 404
    assert as_bob.get(missing).status_code == as_bob.post(missing).status_code == 404
    assert row(token) == before


@BOTH
def test_an_ended_token_cannot_be_changed(
    as_alice: Client, alice: User, token: AccessToken, part: str, send: Send
) -> None:
    lifecycle.revoke(token=token, origin=origin(alice))
    before = row(token)
    opened = as_alice.get(f"{address(token)}/{part}")
    assert opened.status_code == 200
    assert "cli-macbook has ended" in text_of(opened)
    assert "<input class" not in opened.content.decode()
    refused = send(as_alice, token)
    assert refused.status_code == 422
    assert "nothing can be changed any more" in text_of(refused)
    assert row(token) == before


@BOTH
def test_one_that_ends_while_the_form_is_sent_is_not_changed(
    as_alice: Client,
    alice: User,
    token: AccessToken,
    part: str,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = {"edit": "rename", "scopes": "narrow"}[part]
    change = getattr(lifecycle, name)

    def late(**facts: Any) -> bool:
        lifecycle.revoke(token=token, origin=origin(alice))
        return bool(change(**facts))

    monkeypatch.setattr(lifecycle, name, late)
    answer = send(as_alice, token)
    assert answer.status_code == 422
    assert "cli-macbook has ended" in text_of(answer)
    assert (row(token)["name"], row(token)["scopes"]) == ("cli-macbook", token.scopes)


def test_an_expired_token_cannot_be_changed(clock: Clock, as_alice: Client, alice: User) -> None:
    token = issue(alice, expires_at=clock.now + timedelta(hours=1)).token
    clock.tick(hours=1)
    assert edit(as_alice, token).status_code == 422
    assert row(token)["name"] == "cli-macbook"


def test_a_narrowing_in_between_is_told(
    as_alice: Client, alice: User, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = lifecycle.narrow

    def late(**facts: Any) -> bool:
        change(token=token, scopes=["inference", "projects.read"], origin=origin(alice))
        return change(**facts)

    monkeypatch.setattr(lifecycle, "narrow", late)
    answer = narrow(as_alice, token, "inference")
    assert answer.status_code == 422
    assert "Create another token for more" in text_of(answer)
    assert row(token)["scopes"] == "inference projects.read"


def test_an_update_that_lost_the_race_is_told(
    as_alice: Client, token: AccessToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "narrow", lambda **facts: False)
    answer = narrow(as_alice, token, "inference")
    assert answer.status_code == 422
    assert "The scopes changed in another tab. Choose again." in text_of(answer)


@BOTH
@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(
    as_alice: Client, token: AccessToken, part: str, send: Send, method: str
) -> None:
    assert getattr(as_alice, method)(f"{address(token)}/{part}").status_code == 405


@BOTH
def test_looking_changes_nothing(
    as_alice: Client, token: AccessToken, part: str, send: Send
) -> None:
    before = row(token)
    as_alice.get(f"{address(token)}/{part}?name=x&remove=inference&confirm=yes")
    as_alice.head(f"{address(token)}/{part}")
    assert row(token) == before


@BOTH
def test_a_missing_csrf_token_changes_nothing(
    as_alice: Client, token: AccessToken, part: str, send: Send
) -> None:
    before = row(token)
    as_alice.handler.enforce_csrf_checks = True
    answer = send(as_alice, token)
    assert answer.status_code == 403
    assert "This form is out of date" in text_of(answer)
    assert row(token) == before


@BOTH
def test_plain_and_htmx_answers_hold_the_same_form(
    as_alice: Client, token: AccessToken, part: str, send: Send
) -> None:
    def form_of(headers: dict[str, str]) -> str:
        page = as_alice.get(f"{address(token)}/{part}", headers=headers).content.decode()
        start = page.index(f'<section id="_{part}_form"')
        form = page[start : page.index("</section>", start)]
        return "".join(line for line in form.splitlines() if "csrfmiddlewaretoken" not in line)

    assert form_of({}) == form_of(HTMX)
