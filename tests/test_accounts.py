from __future__ import annotations

import io
import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import check_password, make_password
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from pytest_django import Settings

from skytells_console.models import User
from tests.cast import PASSWORD, Clock, make_user
from tokens import secret

SIGN_IN, RESET, SIGN_UP = "/account/sign-in", "/account/password/reset", "/account/sign-up"
WRONG, TOO_MANY = "Email or password is not right.", "Too many tries. Wait 5 minutes."
BETTER = "a much better battery"


def try_to_sign_in(email: str, password: str = PASSWORD, **extra: str) -> Any:
    return Client(**extra).post(SIGN_IN, {"login": email, "password": password})


def is_signed_in(answer: Any) -> bool:
    return answer.status_code == 302 and "_auth_user_id" in answer.client.session


def ask_for_reset(email: str) -> Any:
    return Client().post(RESET, {"email": email})


def manage(*command: str, typed: str = "", monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    if monkeypatch:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


# --- Sign-in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["alice@example.com", "Alice@Example.com", "ALICE@EXAMPLE.COM", " alice@example.com "]
)
def test_a_person_signs_in_with_the_address_in_any_case(
    clock: Clock, alice: User, typed: str
) -> None:
    answer = try_to_sign_in(typed)
    assert is_signed_in(answer)
    assert answer.client.session["_auth_user_id"] == str(alice.pk)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alice@example.com", "wrong"),
        ("alice@example.com", PASSWORD.upper()),
        ("alice@example.com", PASSWORD + "x" * 5000),
        ("nobody@example.com", PASSWORD),
        ("bob@example.com", "wrong"),
    ],
    ids=["wrong", "case", "long", "nobody", "somebody else"],
)
def test_a_wrong_password_and_an_unknown_address_get_one_answer(
    clock: Clock, alice: User, bob: User, email: str, password: str
) -> None:
    answer = try_to_sign_in(email, password)
    assert not is_signed_in(answer)
    assert WRONG in answer.content.decode()
    assert password not in answer.content.decode()


@pytest.mark.parametrize("email", ["", "alice", "a\x00b@example.com", "x" * 10_000, "alice@"])
def test_what_is_no_address_signs_nobody_in(clock: Clock, alice: User, email: str) -> None:
    answer = try_to_sign_in(email)
    assert answer.status_code in {200, 422}
    assert not is_signed_in(answer)


def test_a_disabled_person_does_not_get_in(clock: Clock, alice: User) -> None:
    alice.is_active = False
    alice.save()
    assert "_auth_user_id" not in try_to_sign_in(alice.email).client.session


def test_the_sixth_try_is_refused_even_with_the_right_password(clock: Clock, alice: User) -> None:
    for _ in range(5):
        assert WRONG in try_to_sign_in(alice.email, "wrong").content.decode()
    answer = try_to_sign_in(alice.email.upper())
    assert not is_signed_in(answer)
    assert TOO_MANY in answer.content.decode()
    clock.tick(minutes=5)
    assert is_signed_in(try_to_sign_in(alice.email))


def test_the_fifth_try_may_still_be_the_right_one(clock: Clock, alice: User) -> None:
    for _ in range(4):
        try_to_sign_in(alice.email, "wrong")
    for _ in range(3):
        assert is_signed_in(try_to_sign_in(alice.email))
    try_to_sign_in(alice.email, "wrong")
    assert not is_signed_in(try_to_sign_in(alice.email))


def test_an_unknown_address_is_limited_alike_so_that_nothing_can_be_learned(
    clock: Clock, alice: User
) -> None:
    for _ in range(5):
        try_to_sign_in("nobody@example.com", "wrong")
    assert TOO_MANY in try_to_sign_in("nobody@example.com", "wrong").content.decode()
    assert is_signed_in(try_to_sign_in(alice.email))


def test_a_stranger_cannot_lock_a_person_out_nor_forge_other_places(
    clock: Clock, alice: User
) -> None:
    for number in range(6):
        try_to_sign_in(alice.email, "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert TOO_MANY in try_to_sign_in(alice.email).content.decode()
    assert is_signed_in(try_to_sign_in(alice.email, REMOTE_ADDR="198.51.100.7"))


# --- Sign-up ------------------------------------------------------------------------------------


def test_nobody_can_make_an_account_on_a_page(clock: Clock, db: None) -> None:
    form = {"email": "eve@example.com", "password1": BETTER, "password2": BETTER}
    for answer in (Client().get(SIGN_UP), Client().post(SIGN_UP, form)):
        assert answer.status_code == 200
        assert "account/signup_closed.html" in [template.name for template in answer.templates]
    assert not User.objects.exists()


# --- A forgotten password -----------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["alice@example.com", "ALICE@example.com"])
def test_a_reset_mail_leads_to_a_new_password(clock: Clock, alice: User, typed: str) -> None:
    assert ask_for_reset(typed).status_code == 302
    (message,) = mail.outbox
    assert message.to == ["alice@example.com"]
    link = re.search(r"http://\S+(/account/password/reset/key/\S+)", message.body)
    assert link is not None
    choose_a_password(link[1])
    assert is_signed_in(try_to_sign_in(alice.email, BETTER))
    assert not is_signed_in(try_to_sign_in(alice.email))


def choose_a_password(link: str) -> None:
    client = Client()
    form = client.get(link)
    assert form.status_code == 302
    done = client.post(form.url, {"password1": BETTER, "password2": BETTER})
    assert done.status_code == 302
    # The link is spent: a second visit shows no form that would take a password.
    assert Client().get(link).status_code == 200


def test_an_unknown_address_gets_the_same_page_and_a_mail_that_says_so(
    clock: Clock, alice: User
) -> None:
    known, unknown = ask_for_reset(alice.email), ask_for_reset("nobody@example.com")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)
    assert mail.outbox[1].to == ["nobody@example.com"]
    assert "There is no Skytells Console account" in mail.outbox[1].body
    assert "/key/" not in mail.outbox[1].body


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_the_fourth_reset_mail_of_an_hour_is_not_sent(
    clock: Clock, alice: User, email: str
) -> None:
    for typed in (email, email.upper(), email):
        ask_for_reset(typed)
    answer = ask_for_reset(email)
    assert "Look in your mail, or wait an hour." in answer.content.decode()
    assert len(mail.outbox) == 3
    clock.tick(hours=1)
    ask_for_reset(email)
    assert len(mail.outbox) == 4


def test_one_place_asks_for_twenty_reset_mails_an_hour_and_learns_nothing(
    clock: Clock, alice: User
) -> None:
    for number in range(20):
        assert ask_for_reset(f"person{number}@example.com").status_code == 302
    known, unknown = ask_for_reset(alice.email), ask_for_reset("nobody@example.com")
    for answer in (known, unknown):
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "3600"
        assert "Too many requests" in answer.content.decode()
    assert len(mail.outbox) == 20
    # What the place was refused is not counted against the address.
    elsewhere = Client(REMOTE_ADDR="198.51.100.7")
    for _ in range(3):
        assert elsewhere.post(RESET, {"email": alice.email}).status_code == 302
    clock.tick(hours=1)
    assert ask_for_reset(alice.email).status_code == 302


@pytest.mark.parametrize("host", ["testserver:8443", "localhost", "127.0.0.1:1"])
def test_the_mailed_link_leads_to_the_public_address_whatever_the_request_says(
    clock: Clock, alice: User, settings: Settings, host: str
) -> None:
    settings.PUBLIC_URL = "https://console.example.com"
    Client().post(RESET, {"email": alice.email}, headers={"Host": host})
    assert "\nhttps://console.example.com/account/password/reset/key/" in mail.outbox[0].body
    assert host not in mail.outbox[0].body


@pytest.mark.parametrize("email", ["", "alice", "a\x00@example.com", "x" * 10_000])
def test_what_is_no_address_gets_no_mail(clock: Clock, alice: User, email: str) -> None:
    assert ask_for_reset(email).status_code == 200
    assert mail.outbox == []


# --- manage.py create_user ----------------------------------------------------------------------


def test_an_operator_makes_an_account_that_can_sign_in(clock: Clock, db: None) -> None:
    said = manage(
        "create_user", " Dora@Example.com", "--name", "Dora", "--time-zone", "Asia/Tokyo",
        "--staff", "--random-password",
    )  # fmt: skip
    user = User.objects.get()
    assert (user.email, user.name, user.time_zone) == ("dora@example.com", "Dora", "Asia/Tokyo")
    assert (user.is_staff, user.is_superuser) == (True, False)
    address = EmailAddress.objects.get()
    assert (address.email, address.verified, address.primary) == (user.email, True, True)
    account, password = said.splitlines()
    assert account == "Account: dora@example.com"
    assert is_signed_in(try_to_sign_in(user.email, password.removeprefix("Password: ")))


def test_a_password_may_come_through_a_pipe_and_is_not_printed(
    clock: Clock, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = manage(
        "create_user", "dora@example.com", typed=f"{BETTER}\nmore\n", monkeypatch=monkeypatch
    )
    assert said == "Account: dora@example.com\n"
    assert User.objects.get().check_password(BETTER)


def test_an_account_may_be_made_only_where_there_is_none(db: None) -> None:
    for email in ("dora@example.com", "eve@example.com"):
        manage("create_user", email, "--random-password", "--if-none")
    assert User.objects.get().email == "dora@example.com"


@pytest.mark.parametrize(
    ("arguments", "typed", "sentence"),
    [
        (["not an address"], BETTER, "Enter a valid email address."),
        ([""], BETTER, "This field cannot be blank."),
        (["a\x00@example.com"], BETTER, "Enter a valid email address."),
        (["a@" + "x." * 140 + "com"], BETTER, "at most 254 characters"),
        (["alice@example.com"], BETTER, "There is an account for alice@example.com already."),
        (["ALICE@Example.com"], BETTER, "There is an account for alice@example.com already."),
        (["dora@example.com", "--time-zone", "Mars"], BETTER, "Choose a time zone such as"),
        (["dora@example.com", "--time-zone", "../etc"], BETTER, "Choose a time zone such as"),
        (["dora@example.com", "--name", "x" * 121], BETTER, "at most 120 characters"),
        (["dora@example.com", "--name", "a\x00b"], BETTER, "a character that cannot be seen"),
        (["dora@example.com", "--name", "a\u202eb"], BETTER, "a character that cannot be seen"),
        (["dora@example.com", "--name", secret.PREFIX + "0" * 20], BETTER, "holds a token"),
        (["dora@example.com"], "", "This password is too short."),
        (["dora@example.com"], "tiny", "This password is too short."),
        (["dora@example.com"], "password1234", "This password is too common."),
        (["dora@example.com"], "dora@example.com", "too similar to the e-mail address."),
    ],
    ids=[f"row {number}" for number in range(16)],
)
def test_a_wrong_command_ends_in_a_sentence_and_makes_nothing(
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    typed: str,
    sentence: str,
) -> None:
    with pytest.raises(CommandError) as caught:
        manage("create_user", *arguments, typed=typed + "\n", monkeypatch=monkeypatch)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not typed or typed in arguments or typed not in str(caught.value)
    assert list(User.objects.all()) == [alice]
    assert EmailAddress.objects.count() == 1


def test_an_account_made_meanwhile_is_told_in_the_same_sentence(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_first(*_: Any) -> None:
        make_user("dora@example.com")

    monkeypatch.setattr(
        "skytells_console.management.commands.create_user.validate_password", make_first
    )
    with pytest.raises(CommandError, match="There is an account for dora@"):
        manage("create_user", "dora@example.com", "--random-password")
    assert User.objects.count() == 1


def test_passwords_that_differ_are_asked_for_again(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([BETTER, BETTER + "x"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        "skytells_console.management.commands.create_user.getpass", lambda _: next(typed)
    )
    with pytest.raises(CommandError, match="The two passwords differ"):
        manage("create_user", "dora@example.com")
    assert not User.objects.exists()


# --- manage.py reset_link -----------------------------------------------------------------------


def test_an_operator_prints_a_link_that_works_once(
    clock: Clock, alice: User, settings: Settings
) -> None:
    said = manage("reset_link", " ALICE@example.com ").strip()
    assert said.startswith(f"{settings.PUBLIC_URL}/account/password/reset/key/")
    choose_a_password(said.removeprefix(settings.PUBLIC_URL))
    assert is_signed_in(try_to_sign_in(alice.email, BETTER))


def test_a_link_ends_after_an_hour(clock: Clock, alice: User, settings: Settings) -> None:
    path = manage("reset_link", alice.email).strip().removeprefix(settings.PUBLIC_URL)
    clock.tick(hours=1, seconds=1)
    assert Client().get(path).status_code == 200


@pytest.mark.parametrize(
    "email", ["", "nobody@example.com", "not an address", "%", "a\udcff@x.y", "x" * 10_000]
)
def test_a_link_for_nobody_is_refused_in_a_sentence(alice: User, email: str) -> None:
    with pytest.raises(CommandError, match=r"^There is no active account with this address\.$"):
        manage("reset_link", email)


def test_a_disabled_person_gets_no_link(alice: User) -> None:
    alice.is_active = False
    alice.save()
    with pytest.raises(CommandError, match="no active account"):
        manage("reset_link", alice.email)


# --- What is stored -----------------------------------------------------------------------------


def test_an_address_is_one_account_whatever_its_case(alice: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Alice@EXAMPLE.com", PASSWORD)
    # The database itself refuses it too, whichever way a row comes in.
    for email in ("ALICE@example.com", "alice@example.com"):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.bulk_create([User(email=email)])
    assert User.objects.get_by_natural_key("Alice@Example.COM") == alice


def test_an_account_needs_an_address(db: None) -> None:
    with pytest.raises(ValueError, match="needs an e-mail address"):
        User.objects.create_user("")


def test_an_account_without_a_password_cannot_sign_in(clock: Clock, db: None) -> None:
    user = User.objects.create_user("dora@example.com")
    assert not user.has_usable_password()
    assert not is_signed_in(try_to_sign_in(user.email, ""))


def test_passwords_are_hashed_with_argon2id_at_the_cost_that_was_decided(
    settings: Settings,
) -> None:
    from skytells_console import settings as real  # noqa: PLC0415 - the tests' own are cheaper

    settings.PASSWORD_HASHERS = real.PASSWORD_HASHERS
    encoded = make_password(PASSWORD)
    assert encoded.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert check_password(PASSWORD, encoded)
    assert not check_password(PASSWORD + " ", encoded)
    assert PASSWORD not in encoded


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("Europe/Berlin", "Europe/Berlin"), ("UTC", "UTC"), ("Mars/Base", "UTC"), ("../x", "UTC")],
)
def test_a_zone_this_machine_does_not_know_is_utc(stored: str, shown: str) -> None:
    assert str(User(time_zone=stored).zone) == shown


def test_a_person_without_a_name_is_called_by_the_address() -> None:
    assert User(email="alice@example.com").get_full_name() == "alice@example.com"
    assert User(email="alice@example.com").get_short_name() == "alice"
    assert User(email="a@example.com", name="Alice Arden").get_short_name() == "Alice"
