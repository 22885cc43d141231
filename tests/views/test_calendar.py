from __future__ import annotations

import html
import logging
import re
from datetime import timedelta
from typing import Any

import pytest
import vobject
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from skytells_console.logging import RedactFilter, mask
from skytells_console.models import User
from tests.cast import PASSWORD, Clock, issue, origin
from tests.journeys.watch import pieces
from tests.test_secret_nowhere import everything_stored
from tests.views.pages import HTMX, text_of
from tests.views.test_listing import many
from tokens import lifecycle, secret
from tokens.models import CalendarFeed, TokenEvent
from tokens.notices import calendar

PAGE = "/settings/notifications"
MAKE, NAMES = f"{PAGE}/address", f"{PAGE}/address/names"
REPLACE, REVOKE = f"{PAGE}/address/replace", f"{PAGE}/address/revoke"
ADDRESS = re.compile(r"http://\S+/calendar/sk_cal_[0-9a-f]{64}\.ics")


def addresses_in(answer: Any) -> list[str]:
    """Return the paths of every whole calendar address in an answer."""
    found = ADDRESS.findall(html.unescape(answer.content.decode()))
    return [each[each.index("/calendar/") :] for each in found]


def make(client: Client, **fields: str) -> str:
    answer = client.post(MAKE, fields)
    assert answer.status_code == 200
    (path,) = addresses_in(answer)
    return path


def made(client: Client, question: str) -> str:
    """Return what the question's form says about which address it means."""
    page = client.get(question).content.decode()
    return html.unescape(re.findall(r'name="made" value="([^"]+)"', page)[0])


@pytest.fixture
def path(clock: Clock, as_alice: Client, alice: User) -> str:
    issue(alice, "cli-macbook")
    return make(as_alice)


# --- The feed -------------------------------------------------------------------------------------


def test_the_address_alone_opens_the_calendar(path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    (entry,) = vobject.readOne(answer.content.decode()).vevent_list
    assert entry.summary.value == "An access token expires"
    assert answer.cookies == {}


def test_a_calendar_may_be_kept_by_its_reader_and_is_asked_for_again(
    path: str, alice: User, clock: Clock
) -> None:
    reader = Client()
    first = reader.get(path)
    assert first.headers["Cache-Control"] == "private, no-cache"
    tag = first.headers["ETag"]
    clock.tick(hours=5)
    again = reader.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    assert again.headers["Cache-Control"] == "private, no-cache"
    issue(alice, "another")
    changed = reader.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_compressed_calendar_is_recognised_as_well(path: str, alice: User) -> None:
    for number in range(5):
        issue(alice, f"t{number}")
    reader = Client(headers={"Accept-Encoding": "gzip"})
    first = reader.get(path)
    assert first.headers["Content-Encoding"] == "gzip"
    tag = first.headers["ETag"]
    assert reader.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_a_head_has_no_body(path: str) -> None:
    answer = Client().head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 200


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options", "trace"])
def test_a_calendar_can_only_be_read(path: str, method: str) -> None:
    assert getattr(Client(), method)(path).status_code == 405


def test_every_address_that_opens_nothing_answers_alike(
    path: str, as_bob: Client, as_alice: Client, alice: User, bob: User
) -> None:
    never = f"/calendar/{secret.mint_for_calendar().reveal()}.ics"
    revoked = make(as_bob)
    calendar.revoke(
        owner_id=bob.pk, made_at=CalendarFeed.objects.get(owner=bob).created_at, origin=origin(bob)
    )
    alice.is_active = False
    alice.save()
    answers = [Client().get(each) for each in (never, revoked, path, "/calendar/x.ics")]
    assert [each.status_code for each in answers] == [404] * 4
    bodies = {re.sub(r"/calendar/\S+?\.ics", "", each.content.decode()) for each in answers}
    assert len(bodies) == 1
    heads = [
        {name: value for name, value in each.headers.items() if name not in _OWN}
        for each in answers
    ]
    assert all(each == heads[0] for each in heads)
    for each in answers:
        assert not re.search(r"sk_cal_[0-9a-f]{8}", each.content.decode())


_OWN = {"X-Request-ID", "Content-Length"}


def test_a_calendar_costs_the_same_whatever_stands_in_it(
    path: str, alice: User, clock: Clock
) -> None:
    Client().get(path)
    with CaptureQueriesContext(connection) as few:
        Client().get(path)
    many(alice, 300, clock.now)
    with CaptureQueriesContext(connection) as lots:
        Client().get(path)
    assert len(lots) == len(few) == 2


def test_a_strangers_guess_costs_one_query(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    guess = f"/calendar/{secret.mint_for_calendar().reveal()}.ics"
    with django_assert_num_queries(1):
        assert Client().get(guess).status_code == 404


READERS = {
    "Google-Calendar-Importer": "Google Calendar",
    "macOS/26.1 (25B78) dataaccessd/1.0": "Apple Calendar",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook)": "Outlook",
    "Mozilla/5.0 (X11; Linux) Gecko/20100101 Thunderbird/140.0": "Thunderbird",
    "curl/8.5.0": "curl",
    "<script>alert(1)</script>": "an unknown program",
    "": "an unknown program",
}


@pytest.mark.parametrize(("agent", "name"), READERS.items(), ids=range(len(READERS)))
def test_the_page_says_who_read_last_and_when(
    path: str, as_alice: Client, clock: Clock, agent: str, name: str
) -> None:
    Client(headers={"User-Agent": agent}).get(path)
    clock.tick(hours=2)
    text = " ".join(text_of(as_alice.get(PAGE)).split())
    assert f"Last read 2 hours ago by {name}. Made 23 Nov 2026." in text


def test_the_day_of_an_entry_is_the_owners(clock: Clock, as_alice: Client, alice: User) -> None:
    issue(alice, "t", expires_at=clock.now.replace(hour=23, minute=30) + timedelta(days=1))
    path = make(as_alice)
    (entry,) = vobject.readOne(Client().get(path).content.decode()).vevent_list
    assert str(entry.dtstart.value) == "2026-11-25"


# --- The address on the page ----------------------------------------------------------------------


def test_the_whole_address_is_shown_once_and_is_nowhere_else(
    as_alice: Client, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answer = as_alice.post(MAKE)
    (path,) = addresses_in(answer)
    assert answer.headers["Cache-Control"] == "no-store, private"
    assert "Content-Encoding" not in answer.headers
    value = path[len("/calendar/") : -len(".ics")]
    Client().get(path)
    calendar.revoke(
        owner_id=alice.pk, made_at=CalendarFeed.objects.get().created_at, origin=origin(alice)
    )
    Client().get(path)
    elsewhere = {
        "answers": as_alice.get(PAGE).content.decode() + as_alice.post(MAKE).content.decode()[:0],
        "headers": str(answer.headers),
        "cookies": str(as_alice.cookies),
        "database": everything_stored(),
        "log": "\n".join(_as_logged(record) for record in caplog.records),
    }
    for place, text in elsewhere.items():
        assert [piece for piece in pieces(value) if piece in text] == [], place


def _as_logged(record: logging.LogRecord) -> str:
    RedactFilter().filter(record)
    return str(record.msg)


def test_no_line_of_the_log_holds_any_part_of_an_address() -> None:
    value = secret.mint_for_calendar().reveal()
    for line in (
        f"Not Found: /calendar/{value}.ics",
        f"GET https://x.example/calendar/{value[:30]}?a=1 404",
        f"'/calendar/{value[7:]}.ics'",
        f"Referrer {value}",
    ):
        masked = mask(line)
        assert not [piece for piece in pieces(value) if piece in masked], masked
        assert "redacted" in masked
    assert (
        mask("/settings/notifications/address/replace") == "/settings/notifications/address/replace"
    )


def test_later_the_page_shows_the_last_four_alone(path: str, as_alice: Client) -> None:
    text = text_of(as_alice.get(PAGE))
    assert f"/calendar/sk_cal_…{path[-8:-4]}.ics" in text
    assert "Not read yet." in text


def test_a_repeated_form_shows_and_makes_nothing(path: str, as_alice: Client) -> None:
    answer = as_alice.post(MAKE, {"names": "yes"})
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    text = text_of(as_alice.get(PAGE))
    assert "You have a calendar address already. Replace it if you lost it." in text
    assert Client().get(path).status_code == 200
    assert not CalendarFeed.objects.get().with_names


def test_replacing_shows_a_new_address_and_ends_the_old_one(
    path: str, as_alice: Client, clock: Clock
) -> None:
    sent = {"made": made(as_alice, REPLACE)}
    clock.tick(seconds=1)
    assert "stop updating" in text_of(as_alice.get(REPLACE))
    answer = as_alice.post(REPLACE, sent)
    (new,) = addresses_in(answer)
    assert Client().get(path).status_code == 404
    assert Client().get(new).status_code == 200
    again = as_alice.post(REPLACE, sent)
    assert again.status_code == 303
    assert "Nothing was changed." in text_of(as_alice.get(PAGE))
    assert Client().get(new).status_code == 200


def test_revoking_ends_the_address(path: str, as_alice: Client, clock: Clock) -> None:
    sent = {"made": made(as_alice, REVOKE)}
    assert Client().get(path).status_code == 200
    assert as_alice.post(REVOKE, sent).status_code == 303
    assert "Calendar address revoked" in text_of(as_alice.get(PAGE))
    assert Client().get(path).status_code == 404
    assert as_alice.post(REVOKE, sent).status_code == 303
    assert TokenEvent.objects.filter(kind="calendar.revoked").count() == 1


UNREADABLE = ["", "yesterday", "2026-11-23", "2026-11-23T12:00:00", "2026-99-99T12:00:00Z", "\x00"]


@pytest.mark.parametrize("question", [REPLACE, REVOKE])
@pytest.mark.parametrize("which", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_form_that_names_no_address_changes_nothing(
    path: str, as_alice: Client, question: str, which: str
) -> None:
    answer = as_alice.post(question, {"made": which})
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize("question", [REPLACE, REVOKE])
def test_without_an_address_there_is_nothing_to_ask(as_alice: Client, question: str) -> None:
    answer = as_alice.get(question)
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)


@pytest.mark.parametrize("question", [REPLACE, REVOKE])
def test_htmx_gets_the_question_alone(path: str, as_alice: Client, question: str) -> None:
    answer = as_alice.get(question, headers=HTMX)
    assert answer.content.decode().strip().startswith("<section")
    assert "dialog-open" in str(answer.headers)


def test_names_are_shown_and_left_out_as_wished(path: str, as_alice: Client) -> None:
    assert as_alice.post(NAMES, {"names": "yes"}).status_code == 303
    assert "SUMMARY:cli-macbook expires" in Client().get(path).content.decode()
    assert "sees token names and dates" in text_of(as_alice.get(PAGE))
    assert as_alice.post(NAMES, {"names": "no"}).status_code == 303
    assert "cli-macbook" not in Client().get(path).content.decode()
    assert "sees dates and no names" in text_of(as_alice.get(PAGE))


def test_names_of_no_calendar_cannot_be_chosen(as_alice: Client) -> None:
    assert as_alice.post(NAMES, {"names": "yes"}).status_code == 303
    assert CalendarFeed.objects.count() == 0


def test_an_address_can_be_made_with_names(as_alice: Client, alice: User) -> None:
    issue(alice, "cli-macbook")
    path = make(as_alice, names="yes")
    assert "SUMMARY:cli-macbook expires" in Client().get(path).content.decode()


def test_bobs_forms_do_not_touch_alices_address(
    path: str, as_alice: Client, as_bob: Client
) -> None:
    sent = {"made": made(as_alice, REVOKE)}
    for question in (REPLACE, REVOKE, NAMES):
        assert as_bob.post(question, sent).status_code == 303
    assert Client().get(path).status_code == 200
    assert path[-8:-4] not in text_of(as_bob.get(PAGE))


def test_a_stale_proof_is_asked_for_before_an_address_is_made(
    clock: Clock, as_alice: Client
) -> None:
    clock.tick(minutes=16)
    asked = as_alice.post(MAKE, {"names": "yes"})
    assert asked.status_code == 422
    assert CalendarFeed.objects.count() == 0
    answer = as_alice.post(MAKE, {"names": "yes", "proof_for": "POST", "proof_password": PASSWORD})
    assert len(addresses_in(answer)) == 1
    assert CalendarFeed.objects.get().with_names


@pytest.mark.parametrize("question", [REPLACE, NAMES])
def test_a_stale_proof_changes_no_address(
    path: str, as_alice: Client, clock: Clock, question: str
) -> None:
    sent = {"made": CalendarFeed.objects.get().created_at.isoformat(), "names": "yes"}
    clock.tick(minutes=16)
    assert as_alice.post(question, sent).status_code == 422
    assert Client().get(path).status_code == 200
    assert not CalendarFeed.objects.get().with_names


@pytest.mark.parametrize("question", [MAKE, NAMES, REPLACE, REVOKE])
def test_who_is_not_signed_in_signs_in_first(path: str, question: str, alice: User) -> None:
    answer = Client().post(question)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/sign-in")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post(question).status_code == 403
    assert Client().get(path).status_code == 200


def test_revoked_tokens_leave_the_calendar(path: str, alice: User) -> None:
    token = issue(alice, "second").token
    assert Client().get(path).content.count(b"BEGIN:VEVENT") == 2
    lifecycle.revoke(token=token, origin=origin(alice))
    assert Client().get(path).content.count(b"BEGIN:VEVENT") == 1
