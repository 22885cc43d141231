from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import path

from skytells_console import urls as console_urls
from skytells_console.models import User
from tests.cast import PASSWORD, Clock, sign_in
from tests.views.pages import HTMX, text_of, wish
from tokens.secret import mint

SIGN_IN, RESET = "/account/sign-in", "/account/password/reset"


def forbidden(request: object) -> None:
    raise PermissionDenied


def broken(request: object) -> None:
    raise RuntimeError("something private")


urlpatterns = [
    path("forbidden", forbidden),
    path("broken", broken),
    *console_urls.urlpatterns,
]
handler400, handler403 = console_urls.handler400, console_urls.handler403
handler404, handler500 = console_urls.handler404, console_urls.handler500


@pytest.fixture
def with_faults(settings: Any, as_alice: Client) -> Client:
    settings.ROOT_URLCONF = __name__
    as_alice.raise_request_exception = False
    return as_alice


@pytest.mark.parametrize(
    ("address", "status", "heading"),
    [
        ("/forbidden", 403, "You can’t open this page"),
        ("/broken", 500, "Something broke on our side"),
        ("/nowhere", 404, "There is nothing at this address"),
        ("/settings/tokens/1b4e28ba-2fa1-11d2-883f-0016d3cca427/revoke", 404, "There is nothing"),
    ],
)
def test_each_fault_has_its_page(
    with_faults: Client, address: str, status: int, heading: str
) -> None:
    answer = with_faults.get(address)
    assert answer.status_code == status
    page = text_of(answer)
    assert heading in page
    assert "something private" not in page
    if status != 404:
        assert f"{status}, reference {answer.headers['X-Request-ID']}" in page


def test_the_missing_address_is_named_without_what_must_not_be(client: Client, db: None) -> None:
    value = mint().reveal()
    page = text_of(client.get(f"/settings/{value}"))
    assert "404, /settings/sk_pat_[redacted]" in page
    assert value[7:19] not in page
    assert "<script>" not in client.get("/<script>alert(1)</script>").content.decode()


def test_the_missing_address_is_shown_without_what_no_page_may_hold(
    client: Client, db: None
) -> None:
    page = client.get("/account/%00%1b%E2%80%AE-%C3%B6").content.decode()
    assert "404, /account/\ufffd\ufffd\ufffd-ö" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", page)


def test_a_broken_page_keeps_the_chosen_theme(with_faults: Client) -> None:
    with_faults.cookies["theme"] = "dark"
    assert '<html lang="en" data-theme="dark">' in with_faults.get("/broken").content.decode()


@pytest.mark.parametrize("address", ["/forbidden", "/broken", "/nowhere"])
def test_each_fault_has_the_brand_above_and_the_way_on_below(
    with_faults: Client, address: str
) -> None:
    page = with_faults.get(address).content.decode()
    head, main, foot = (page.index(f'class="alone__{part}"') for part in ("head", "main", "foot"))
    assert head < page.index('class="brand"') < page.index("#brand") < main < foot


def test_a_form_that_is_out_of_date_says_so(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(SIGN_IN, {"login": alice.email, "password": PASSWORD})
    assert answer.status_code == 403
    assert "This form is out of date" in text_of(answer)
    assert 'href="/account/sign-in"' in answer.content.decode()
    assert answer.headers["X-Request-ID"] in text_of(answer)


# --- Too many ------------------------------------------------------------------------------------


def is_refused(answer: Any, seconds: int) -> bool:
    """Say whether an answer is 429 and names a time within the window."""
    return answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= seconds


@pytest.mark.usefixtures("clock")
def test_one_sign_in_too_many_is_429_and_keeps_the_address(client: Client, alice: User) -> None:
    for _ in range(5):
        assert client.post(SIGN_IN, {"login": alice.email, "password": "no"}).status_code == 200
    answer = client.post(SIGN_IN, {"login": alice.email, "password": PASSWORD})
    assert is_refused(answer, 300)
    assert "Too many tries. Wait 5 minutes." in text_of(answer)
    assert f'value="{alice.email}"' in answer.content.decode()


@pytest.mark.usefixtures("clock")
def test_one_reset_mail_too_many_is_429(client: Client, alice: User) -> None:
    for _ in range(3):
        assert client.post(RESET, {"email": alice.email}).status_code == 302
    answer = client.post(RESET, {"email": alice.email})
    assert is_refused(answer, 3600)
    assert "wait an hour" in text_of(answer)


def test_one_place_cannot_ask_for_everybodys_reset(clock: Clock, client: Client, db: None) -> None:
    for number in range(20):
        assert client.post(RESET, {"email": f"p{number}@example.com"}).status_code == 302
    answer = client.post(RESET, {"email": "p21@example.com"})
    assert is_refused(answer, 3600)
    assert "Too many requests" in text_of(answer)
    assert re.search(r"Try again in \d+ minutes?\. Nothing was changed\.", text_of(answer))
    assert client.get(RESET).status_code == 200
    clock.tick(hours=1)
    assert client.post(RESET, {"email": "p21@example.com"}).status_code == 302


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_one_proof_too_many_is_429_and_keeps_what_was_typed(
    clock: Clock, alice: User, headers: dict[str, str]
) -> None:
    client = sign_in(Client(), alice)
    clock.tick(minutes=20)
    sent = wish(proof_password="wrong")
    for _ in range(5):
        assert client.post("/settings/tokens/new", sent, headers=headers).status_code == 422
    answer = client.post("/settings/tokens/new", sent, headers=headers)
    assert is_refused(answer, 300)
    assert 'name="name" value="cli-macbook"' in answer.content.decode()


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_a_reset_that_no_mail_server_takes_says_so(
    client: Client,
    alice: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    email: str,
) -> None:
    def away(message: EmailMessage, fail_silently: bool = False) -> int:
        raise ConnectionRefusedError(f"nobody to take {message.to}")

    monkeypatch.setattr(EmailMessage, "send", away)
    answer = client.post(RESET, {"email": email})
    assert answer.status_code == 503
    assert "The mail server does not take mails right now. Nothing was changed." in text_of(answer)
    assert "A mail could not be sent (ConnectionRefusedError)." in caplog.text
    assert email not in caplog.text
