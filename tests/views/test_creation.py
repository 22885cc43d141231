from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import CREATE, HTMX, LIST, create, text_of, tokens_in, wish
from tokens import projects
from tokens.models import AccessToken, Project, TokenEvent
from tokens.scopes import PRESETS, Preset, level_of
from tokens.secret import mint

DRAFT = f"{CREATE}/draft"


def test_the_form_offers_every_scope_and_thirty_days(as_alice: Client) -> None:
    page = as_alice.get(CREATE).content.decode()
    assert len(re.findall(r'type="radio" id="id_level_\w+" name="level-', page)) == 13
    assert page.count("<span>Read and write</span>") == 3
    assert 'value="30" checked' in page.replace("  ", " ")
    assert 'name="request_id"' in page


def test_a_token_is_made_and_shown_in_the_same_answer(as_alice: Client, alice: User) -> None:
    answer = create(as_alice)
    assert answer.status_code == 200
    assert len(tokens_in(answer)) == 1
    token = AccessToken.objects.get()
    assert (token.owner, token.name, token.scopes) == (
        alice,
        "cli-macbook",
        "projects.read account.read",
    )
    assert "no-store" in answer.headers["Cache-Control"]


def test_htmx_gets_the_fragment_alone(as_alice: Client) -> None:
    answer = create(as_alice, headers=HTMX)
    assert answer.content.decode().strip().startswith("<")
    assert "<html" not in answer.content.decode()
    assert 'id="_shown_once"' in answer.content.decode()
    assert len(tokens_in(answer)) == 1
    assert "HX-Push-Url" not in answer.headers


def test_a_taken_name_is_said_beside_other_faults_with_a_way_to_rotate_it(
    as_alice: Client, alice: User
) -> None:
    holder = issue(alice, "cli-macbook").token
    for sent in ({"scopes": []}, {}):
        answer = create(as_alice, name="CLI-MacBook", **sent)
        assert answer.status_code == 422
        sentence = "You already have an active token called CLI-MacBook. Pick another name, or "
        link = f'<a href="{LIST}/{holder.public_id}/rotate">rotate</a> or revoke that one.'
        assert sentence + link in answer.content.decode()
        assert (" 2 things to fix" if sent else " 1 thing to fix") in f" {text_of(answer)}"
    assert AccessToken.objects.count() == 1


def test_the_reminders_are_promised_as_they_come(as_alice: Client) -> None:
    assert "We email you 30, 7 and 1 days before and on the day." in text_of(as_alice.get(CREATE))


def test_a_name_that_is_free_again_is_no_fault(
    clock: Clock, as_alice: Client, as_bob: Client, alice: User
) -> None:
    issue(alice, "cli-macbook", expires_at=clock.now + timedelta(hours=1))
    assert "already have" in text_of(create(as_alice, scopes=[]))
    assert "already have" not in text_of(create(as_bob, scopes=[]))
    clock.tick(hours=1)
    assert "already have" not in text_of(create(as_alice, scopes=[]))


def test_a_repeated_submission_mints_nothing_and_says_so(as_alice: Client) -> None:
    same = str(uuid.uuid4())
    first = create(as_alice, request_id=same)
    for headers in (None, HTMX):
        again = create(as_alice, request_id=same, headers=headers)
        assert again.status_code == 200
        assert tokens_in(again) == []
        assert "has been shown" in text_of(again)
    assert AccessToken.objects.count() == 1
    assert len(tokens_in(first)) == 1


def test_the_list_shows_the_masked_value_only(as_alice: Client) -> None:
    value = tokens_in(create(as_alice))[0]
    page = text_of(as_alice.get(LIST))
    assert value not in page
    assert f"{value[:11]}…{value[-4:]}" in page


def test_an_anonymous_person_is_sent_to_the_sign_in_page(client: Client, db: None) -> None:
    answer = client.get(CREATE)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/sign-in")


def test_htmx_follows_the_sign_in_redirect_as_a_whole_page(client: Client, db: None) -> None:
    answer = client.post(CREATE, wish(), headers=HTMX)
    assert answer.headers["HX-Redirect"].startswith("/account/sign-in")
    assert answer.content == b""


def test_a_name_in_use_is_an_error_at_the_name(as_alice: Client, alice: User) -> None:
    issue(alice, "cli-macbook")
    answer = create(as_alice, name="CLI-MacBook")
    assert answer.status_code == 422
    assert "You already have an active token called CLI-MacBook" in text_of(answer)
    assert 'value="CLI-MacBook"' in answer.content.decode()


def test_bob_may_use_the_name_that_alice_uses(as_bob: Client, alice: User) -> None:
    issue(alice, "cli-macbook")
    assert create(as_bob).status_code == 200


def test_the_corrected_form_keeps_its_request_id(as_alice: Client) -> None:
    same = str(uuid.uuid4())
    wrong = create(as_alice, request_id=same, name="")
    assert f'value="{same}"' in wrong.content.decode()


def test_the_presets_end_on_a_working_morning_where_alice_lives(
    clock: Clock, as_alice: Client
) -> None:
    create(as_alice, expires="7")
    # Monday noon in UTC is 13:00 in Berlin, so the next morning after seven days is a Tuesday's.
    assert AccessToken.objects.get().expires_at == datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def test_a_custom_time_is_read_in_the_persons_zone(clock: Clock, as_alice: Client) -> None:
    create(as_alice, expires="custom", expires_custom="2026-12-24T18:30")
    assert AccessToken.objects.get().expires_at == datetime(2026, 12, 24, 17, 30, tzinfo=UTC)


def test_a_token_may_have_no_end(as_alice: Client) -> None:
    create(as_alice, expires="never")
    assert AccessToken.objects.get().expires_at is None


def test_no_end_is_not_offered_where_it_is_forbidden(as_alice: Client, settings: Any) -> None:
    settings.TOKENS_ALLOW_NO_EXPIRATION = False
    assert 'value="never"' not in as_alice.get(CREATE).content.decode()
    answer = create(as_alice, expires="never")
    assert answer.status_code == 422
    assert "asks for an expiration" in text_of(answer)


def test_no_new_tokens_is_a_switch(as_alice: Client, settings: Any) -> None:
    settings.TOKENS_ALLOW_NEW = False
    assert "New tokens are switched off" in text_of(as_alice.get(LIST))
    answer = create(as_alice)
    assert answer.status_code == 422
    assert "New tokens are switched off for now" in text_of(answer)


def test_the_fiftieth_live_token_is_the_last(as_alice: Client, alice: User, settings: Any) -> None:
    settings.TOKENS_MAX_LIVE = 2
    issue(alice, "one")
    issue(alice, "two")
    answer = create(as_alice)
    assert answer.status_code == 422
    assert "You have reached 2 active tokens. Revoke one first." in text_of(answer)


# --- Bad input: what was typed comes back, nothing is made ------------------------------------------

NAMES = [
    ("", "Give the token a name."),
    ("   ", "Give the token a name."),
    ("n" * 65, "Names can be up to 64 characters."),
    ("n" * 10_000, "Names can be up to 64 characters."),
    ("abc\u202edef", "cannot be seen (U+202E)"),
    ("abc\u0000def", "cannot be seen (U+0000)"),
    ("abc\u2066def", "cannot be seen (U+2066)"),
    ("\u3164\u3164", "cannot be seen (U+3164)"),
    ("blank\u2800", "cannot be seen (U+2800)"),
    ("two\nlines", "cannot be seen (U+000A)"),
    ("\u001b[31mred", "cannot be seen (U+001B)"),
    ("\ufdfa" * 64, "Names can be up to 64 characters."),
    ("a" + "\u0301\u0327" * 20_000, "Names can be up to 64 characters."),
]


@pytest.mark.parametrize(("name", "sentence"), NAMES, ids=range(len(NAMES)))
def test_a_name_that_cannot_be_used_is_refused(
    as_alice: Client, only_short_text_is_normalised: None, name: str, sentence: str
) -> None:
    answer = create(as_alice, name=name)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert answer.context["form"]["name"].value() == name
    assert 'name="level-account" value="read" checked' in answer.content.decode()
    assert AccessToken.objects.count() == TokenEvent.objects.count() == 0


@pytest.mark.parametrize(
    "name", ["n" * 64, "🚀 launch", "<b>bold</b>", "café", 'it\'s "quoted" & more', "名前"]
)
def test_a_name_that_looks_odd_but_can_be_read_is_kept_as_it_is(
    as_alice: Client, name: str
) -> None:
    assert create(as_alice, name=name).status_code == 200
    assert AccessToken.objects.get().name == name
    page = as_alice.get(LIST)
    assert "<b>bold</b>" not in page.content.decode()


@pytest.mark.parametrize("length", [71, 40, 15])
@pytest.mark.parametrize(
    "field",
    ["name", "description", "expires_custom", "expires", "request_id", "level-keys", "projects"],
)
def test_a_pasted_token_is_refused_and_not_shown_again(
    as_alice: Client, field: str, length: int
) -> None:
    pasted = mint().reveal()[:length]
    sent = {"expires_custom": {"expires": "custom"}, "projects": {"projects_choice": "chosen"}}
    answer = create(as_alice, **(sent.get(field, {}) | {field: f"my {pasted}"}))
    assert answer.status_code == 422
    assert pasted not in answer.content.decode()
    assert AccessToken.objects.count() == 0


@pytest.mark.parametrize(
    ("level", "sentence"),
    [
        ("none", "Choose at least one scope."),
        ("", "Choose one of the levels that Account offers."),
        ("readwrite", "Choose one of the levels that Account offers."),
        ("admin", "Choose one of the levels that Account offers."),
        ("READ", "Choose one of the levels that Account offers."),
        ("a" * 10_000, "Choose one of the levels that Account offers."),
    ],
)
def test_a_level_that_is_not_offered_is_refused(
    as_alice: Client, level: str, sentence: str
) -> None:
    answer = as_alice.post(CREATE, wish(scopes=[]) | {"level-account": level})
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert 'value="cli-macbook"' in answer.content.decode()
    assert AccessToken.objects.count() == 0


@pytest.mark.parametrize(
    ("level", "scopes"),
    [
        ("read", "projects.read"),
        ("readwrite", "projects.read projects.write"),
        ("write", "projects.write"),
    ],
)
def test_a_level_grants_exactly_its_scopes(as_alice: Client, level: str, scopes: str) -> None:
    assert as_alice.post(CREATE, wish(scopes=[]) | {"level-projects": level}).status_code == 200
    assert AccessToken.objects.get().scopes == scopes


DESCRIPTIONS = [
    ("d" * 201, "Descriptions can be up to 200 characters."),
    ("d" * 10_000, "Descriptions can be up to 200 characters."),
    ("abc\u202edef", "cannot be seen (U+202E)"),
    ("two\nlines", "cannot be seen (U+000A)"),
]


@pytest.mark.parametrize(("typed", "sentence"), DESCRIPTIONS, ids=range(len(DESCRIPTIONS)))
def test_a_description_that_cannot_be_used_is_refused(
    as_alice: Client, typed: str, sentence: str
) -> None:
    answer = create(as_alice, description=typed)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert answer.context["form"]["description"].value() == typed
    assert AccessToken.objects.count() == 0


def test_a_description_is_optional_and_kept(as_alice: Client) -> None:
    create(as_alice, description="d" * 200)
    create(as_alice, name="other", description="")
    assert {len(each.description) for each in AccessToken.objects.all()} == {0, 200}


# --- Projects -------------------------------------------------------------------------------------


def project(owner: User, name: str) -> Project:
    return projects.create(owner_id=owner.pk, name=name, origin=origin(owner))


def test_projects_are_asked_about_only_where_there_are_some(
    as_alice: Client, alice: User, bob: User
) -> None:
    project(bob, "bobs")
    assert "Only chosen projects" not in text_of(as_alice.get(CREATE))
    project(alice, "storefront")
    page = text_of(as_alice.get(CREATE))
    assert "storefront" in page
    assert "bobs" not in page


def test_a_token_can_be_limited_to_chosen_projects(as_alice: Client, alice: User) -> None:
    mine, _ = project(alice, "storefront"), project(alice, "blog")
    answer = create(as_alice, projects_choice="chosen", projects=[str(mine.public_id)] * 2)
    assert answer.status_code == 200
    token = AccessToken.objects.get()
    assert token.projects_limited
    assert list(token.projects.all()) == [mine]


def test_all_projects_is_what_a_token_gets_unless_limited(as_alice: Client, alice: User) -> None:
    mine = project(alice, "storefront")
    create(as_alice, projects_choice="all", projects=[str(mine.public_id)])
    assert not AccessToken.objects.get().projects_limited


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"projects_choice": "chosen"}, "Choose at least one project, or all of them."),
        (
            {"projects_choice": "chosen", "projects": ["bobs"]},
            "Choose projects of your own.",
        ),
        (
            {"projects_choice": "chosen", "projects": ["nonsense"]},
            "Choose projects of your own.",
        ),
        ({"projects_choice": "some"}, "Choose projects of your own."),
    ],
)
def test_projects_that_cannot_be_chosen_are_refused(
    as_alice: Client, alice: User, bob: User, sent: dict[str, Any], sentence: str
) -> None:
    project(alice, "storefront")
    theirs = str(project(bob, "bobs").public_id)
    sent = {
        **sent,
        "projects": [theirs if each == "bobs" else each for each in sent.get("projects", [])],
    }
    answer = create(as_alice, **sent)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert 'value="cli-macbook"' in answer.content.decode()
    assert AccessToken.objects.count() == 0


# --- Presets and the summary, which make nothing ----------------------------------------------------


def draft(client: Client, headers: dict[str, str] | None = None, **sent: Any) -> Any:
    return client.post(DRAFT, wish(**sent), headers=headers)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_a_preset_fills_in_the_matrix_and_keeps_the_rest(as_alice: Client, preset: Preset) -> None:
    answer = draft(as_alice, name="ci", description="mine", preset=preset.key, expires="7")
    page = answer.content.decode()
    assert answer.status_code == 200
    for resource, level in answer.context["form"]["scopes"].value().items():
        assert level == level_of(resource, preset.scopes)
    assert page.count('aria-pressed="true"') == 1
    assert 'value="ci"' in page
    assert 'value="mine"' in page
    assert 'value="7" checked' in page
    assert AccessToken.objects.count() == TokenEvent.objects.count() == 0


def test_a_draft_is_not_judged_and_an_unknown_preset_changes_nothing(as_alice: Client) -> None:
    answer = draft(as_alice, name="", scopes=["keys.read"], expires="soon", preset="admin")
    assert answer.status_code == 200
    assert "to fix" not in text_of(answer)
    assert answer.context["form"]["scopes"].value()["keys"] == "read"


def test_a_draft_does_not_show_a_pasted_token_again(as_alice: Client) -> None:
    pasted = mint().reveal()
    assert pasted[7:19] not in draft(as_alice, name=pasted).content.decode()


def test_the_summary_alone_comes_back_to_htmx(as_alice: Client) -> None:
    headers = HTMX | {"HX-Target": "create-summary"}
    answer = draft(as_alice, headers, scopes=["deployments.write", "keys.write"], expires="never")
    page = answer.content.decode()
    assert page.strip().startswith('<div id="create-summary"')
    said = text_of(answer)
    assert (
        "Whoever holds it can make API keys that keep working after you revoke this token." in said
    )
    assert "They can also deploy to any project you can deploy to." in said
    assert "Not for skytells login --token." in said
    assert "It works until someone remembers to revoke it." in said


def test_the_summary_says_both_zones_and_a_wrong_date(clock: Clock, as_alice: Client) -> None:
    said = text_of(draft(as_alice, expires="7"))
    assert "1 Dec 2026, 10:00 CET" in said
    assert "09:00 UTC" in said
    said = text_of(draft(as_alice, expires="custom", expires_custom="2031-01-01T10:00"))
    assert "No valid date" in said


def test_the_draft_has_no_page_of_its_own(as_alice: Client) -> None:
    assert as_alice.get(DRAFT).headers["Location"] == CREATE


def test_a_draft_needs_a_sign_in(client: Client, db: None) -> None:
    assert client.post(DRAFT, wish()).headers["Location"].startswith("/account/sign-in")


def test_the_form_asks_the_same_queries_with_many_projects(
    as_alice: Client, alice: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        project(alice, f"project {number}")
    with django_assert_max_num_queries(5):
        as_alice.get(CREATE)


TIMES = [
    ("2026-11-22T12:00", "Choose a time between one hour from now and"),
    ("2026-11-23T13:59:59", "Choose a time between one hour from now and"),
    ("2027-11-24T13:00:01", "Choose a time between one hour from now and"),
    ("9999-12-31T23:59", "Choose a"),
    ("0001-01-01T00:00", "Choose a"),
    ("2027-03-28T02:30", "skip 02:30 on 28 Mar 2027. Choose 03:30."),
    ("tomorrow", "Type a date and a time, such as 2026-12-24 10:00."),
    ("", "Type a date and a time"),
    ("2026-13-40T99:99", "Type a date and a time"),
    ("<script>", "Type a date and a time"),
    ("1" * 10_000, "Type a date and a time"),
]


@pytest.mark.parametrize(("typed", "sentence"), TIMES, ids=range(len(TIMES)))
def test_an_end_that_cannot_be_is_refused(
    clock: Clock, as_alice: Client, typed: str, sentence: str
) -> None:
    answer = create(as_alice, expires="custom", expires_custom=typed)
    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert answer.context["form"]["expires_custom"].value() == typed
    assert AccessToken.objects.count() == 0


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("", "datetime-local"),
        ("2026-11-22T12:00", "datetime-local"),
        ("2026-11-22 12:00:59", "datetime-local"),
        ("tomorrow", "text"),
        ("2026-02-30T10:00", "text"),
        ("2026-11-22T12:00+01:00", "text"),
        (" 2026-11-22T12:00", "text"),
        ("0000-01-01T00:00", "text"),
        ("٢٠٢٦-11-22T12:00", "text"),
    ],
)
def test_a_refused_end_is_given_back_in_a_field_that_shows_it(
    clock: Clock, as_alice: Client, typed: str, kind: str
) -> None:
    """A browser's field for a time stays empty where its value is none."""
    answer = create(as_alice, name="", expires="custom", expires_custom=typed)
    assert answer.status_code == 422
    field = f'type="{kind}" id="id_expires_custom" name="expires_custom" value="{typed}"'
    assert field in answer.content.decode()


@pytest.mark.parametrize("typed", ["2026-11-23T14:00", "2027-11-24T13:00", "2026-12-24 10:00"])
def test_an_end_at_the_very_edge_is_allowed(clock: Clock, as_alice: Client, typed: str) -> None:
    assert create(as_alice, expires="custom", expires_custom=typed).status_code == 200


def test_a_time_that_comes_twice_means_the_first_one(clock: Clock, as_alice: Client) -> None:
    create(as_alice, expires="custom", expires_custom="2027-10-31T02:30")
    assert AccessToken.objects.get().expires_at == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("choice", [None, "", "31", "forever", "-1", "\u0663\u0660"])
def test_an_expiration_that_is_not_offered_is_refused(as_alice: Client, choice: str | None) -> None:
    answer = create(as_alice, expires=choice)
    assert answer.status_code == 422
    assert "Choose when the token ends." in text_of(answer)


@pytest.mark.parametrize("request_id", [None, "", "7", "not-a-uuid", "é" * 40])
def test_a_form_without_its_id_is_asked_for_again(as_alice: Client, request_id: str | None) -> None:
    answer = create(as_alice, request_id=request_id)
    assert answer.status_code == 422
    assert "This form is out of date." in text_of(answer)
    assert 'value="cli-macbook"' in answer.content.decode()
    mended = answer.context["form"]["request_id"].value()
    assert create(as_alice, request_id=mended).status_code == 200


def test_everything_wrong_at_once_is_told_at_once(as_alice: Client) -> None:
    answer = create(as_alice, name="", scopes=[], expires="")
    assert "3 things to fix" in text_of(answer)


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(as_alice: Client, method: str) -> None:
    assert getattr(as_alice, method)(CREATE).status_code == 405


def test_a_body_of_ten_megabytes_is_refused(as_alice: Client) -> None:
    answer = as_alice.post(CREATE, wish(name="n" * 10_000_000))
    assert answer.status_code == 413
    assert AccessToken.objects.count() == 0


def test_a_body_that_is_not_utf_8_is_refused_or_read_but_never_breaks(as_alice: Client) -> None:
    body = b"name=%FF%FE&level-account=read&expires=30&request_id=" + str(uuid.uuid4()).encode()
    answer = as_alice.post(CREATE, body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422
    assert AccessToken.objects.count() == 0


# --- A stale proof, a stale form ------------------------------------------------------------------


def test_a_missing_csrf_token_keeps_what_was_typed(alice: User) -> None:
    from tests.cast import sign_in  # noqa: PLC0415

    client = sign_in(Client(), alice)
    client.handler.enforce_csrf_checks = True
    answer = client.post(CREATE, wish(), headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 403
    assert "This form was out of date. Nothing was changed." in text_of(answer)
    assert 'value="cli-macbook"' in answer.content.decode()
    assert AccessToken.objects.count() == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_strangers_page_cannot_fill_in_the_form(alice: User, site: str) -> None:
    from tests.cast import sign_in  # noqa: PLC0415

    client = sign_in(Client(), alice)
    client.handler.enforce_csrf_checks = True
    answer = client.post(CREATE, wish(), headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert "cli-macbook" not in answer.content.decode()
    assert AccessToken.objects.count() == 0


@pytest.mark.parametrize(
    ("origin", "kept"),
    [
        ("http://testserver", True),
        ("https://testserver", False),
        ("http://testserver:81", False),
        ("http://[evil", False),
        ("//testserver", False),
        ("null", False),
    ],
)
@pytest.mark.parametrize("header", ["Origin", "Referer"])
def test_an_origin_counts_with_its_scheme_and_one_that_is_none_breaks_nothing(
    as_alice: Client, origin: str, kept: bool, header: str
) -> None:
    as_alice.handler.enforce_csrf_checks = True
    answer = as_alice.post(CREATE, wish(), headers={header: origin})
    assert answer.status_code == 403
    assert ("cli-macbook" in answer.content.decode()) == kept


def test_a_retried_request_after_an_hour_still_mints_once(clock: Clock, as_alice: Client) -> None:
    same = str(uuid.uuid4())
    create(as_alice, request_id=same)
    clock.tick(minutes=5)
    assert tokens_in(create(as_alice, request_id=same)) == []
    assert AccessToken.objects.get().created_at == clock.now - timedelta(minutes=5)
