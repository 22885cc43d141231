from __future__ import annotations

import zoneinfo
from typing import Any

import pytest
from django.test import Client

from skytells_console.models import User
from tests.cast import Clock, issue, sign_in
from tests.views.pages import LIST, text_of

PROFILE = "/settings/profile"


def save(client: Client, **changes: str) -> Any:
    return client.post(PROFILE, {"name": "Alice Arden", "time_zone": "Europe/Berlin", **changes})


def test_the_page_shows_what_is_stored(as_alice: Client, alice: User) -> None:
    page = as_alice.get(PROFILE).content.decode()
    assert 'value="Alice Arden"' in page
    assert '<option value="Europe/Berlin" selected>Berlin</option>' in page
    assert "You sign in with alice@example.com." in page


def test_saving_changes_the_person_and_says_so(as_alice: Client, alice: User) -> None:
    answer = save(as_alice, name="  Alice Ahlberg ", time_zone="Asia/Tokyo")
    assert (answer.status_code, answer.headers["Location"]) == (303, PROFILE)
    alice.refresh_from_db()
    assert (alice.name, alice.time_zone) == ("Alice Ahlberg", "Asia/Tokyo")
    page = text_of(as_alice.get(PROFILE))
    assert "Profile saved" in page
    assert "Alice Ahlberg" in page


def test_times_change_at_once(clock: Clock, alice: User) -> None:
    client = sign_in(Client(), alice)
    issue(alice)
    assert "where it is 13:00 now" in text_of(client.get(PROFILE))
    save(client, time_zone="Asia/Tokyo")
    assert "Times are shown in Asia/Tokyo, where it is 21:00 now." in text_of(client.get(PROFILE))
    assert "Asia/Tokyo" in text_of(client.get(LIST))


def test_a_name_may_be_left_out(as_alice: Client, alice: User) -> None:
    assert save(as_alice, name="").status_code == 303
    alice.refresh_from_db()
    assert (alice.name, str(alice.get_full_name())) == ("", "alice@example.com")


@pytest.mark.parametrize("zone", ["UTC", "US/Pacific", "Etc/GMT+5", "America/Argentina/Ushuaia"])
def test_every_zone_there_is_can_be_kept(as_alice: Client, alice: User, zone: str) -> None:
    assert save(as_alice, time_zone=zone).status_code == 303
    page = as_alice.get(PROFILE).content.decode()
    assert f'<option value="{zone}" selected>' in page
    assert page.count(" selected>") == 1


def test_every_offered_zone_exists(as_alice: Client) -> None:
    offered = [
        zone.name for _, zones in as_alice.get(PROFILE).context["zone_groups"] for zone in zones
    ]
    assert len(offered) == len(set(offered)) > 400
    assert set(offered) <= zoneinfo.available_timezones()


BAD = [
    ({"name": "x" * 121}, "Names can be up to 120 characters."),
    ({"name": "sk_pat_12345678"}, "The name holds a token. Leave it out."),
    ({"name": "Al\u202eice"}, "The name holds a character that cannot be seen."),
    ({"name": "Al\nice"}, "The name holds a character that cannot be seen."),
    ({"name": "Al\x07ice"}, "The name holds a character that cannot be seen."),
    ({"name": "Al\x00ice"}, "Null characters are not allowed."),
    ({"time_zone": ""}, "Choose a time zone such as Europe/Berlin or UTC."),
    ({"time_zone": "Berlin"}, "Choose a time zone such as Europe/Berlin or UTC."),
    ({"time_zone": "../../etc/passwd"}, "Choose a time zone such as Europe/Berlin or UTC."),
    ({"time_zone": "europe/berlin"}, "Choose a time zone such as Europe/Berlin or UTC."),
    ({"time_zone": "x" * 5000}, "Choose a time zone such as Europe/Berlin or UTC."),
    ({"time_zone": "<script>alert(1)</script>"}, "Choose a time zone such as"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD, ids=range(len(BAD)))
def test_what_cannot_be_saved_is_said_and_kept(
    as_alice: Client, alice: User, changes: dict[str, str], sentence: str
) -> None:
    answer = save(as_alice, **{"name": "Another", **changes})
    assert answer.status_code == 422
    page = text_of(answer)
    assert sentence in page
    assert "1 thing to fix" in page
    assert "<script>alert" not in answer.content.decode()
    kept = answer.context["typed_name"], answer.context["typed_zone"]
    typed = changes.get("name", "Another"), changes.get("time_zone", "Europe/Berlin")
    assert kept == tuple(value.replace("12345678", "[redacted]") for value in typed)
    alice.refresh_from_db()
    assert (alice.name, alice.time_zone) == ("Alice Arden", "Europe/Berlin")


def test_a_value_in_the_name_is_never_repeated(as_alice: Client, alice: User) -> None:
    value = issue(alice).plaintext.reveal()
    answer = save(as_alice, name=value, time_zone=value)
    assert value[7:19] not in answer.content.decode()


def test_nothing_else_can_be_changed_here(as_alice: Client, alice: User) -> None:
    save(as_alice, email="mallory@example.com", is_staff="1", is_superuser="1")
    alice.refresh_from_db()
    assert (alice.email, alice.is_staff, alice.is_superuser) == ("alice@example.com", False, False)


def test_a_stranger_is_asked_to_sign_in(client: Client, alice: User) -> None:
    for answer in (client.get(PROFILE), save(client, name="Mallory")):
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/account/sign-in")


def test_one_person_never_changes_another(as_bob: Client, alice: User) -> None:
    save(as_bob, name="Bob Again")
    alice.refresh_from_db()
    assert alice.name == "Alice Arden"


@pytest.mark.parametrize("path", [PROFILE, "/settings/password"])
def test_the_navigation_says_where_one_is(as_alice: Client, path: str) -> None:
    page = as_alice.get(path).content.decode()
    assert page.count(f'href="{path}" aria-current="page"') == 2
    assert page.count("aria-current") == 3
