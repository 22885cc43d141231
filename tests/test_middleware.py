from __future__ import annotations

import gzip
import io
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.conf import settings
from django.test import Client
from pytest_django import Settings

from skytells_console.logging import request_id
from skytells_console.models import User
from tests.cast import PASSWORD, sign_in
from tests.views.pages import CREATE, HTMX, LIST, create, text_of, tokens_in, wish
from tokens.secret import mint


@pytest.mark.parametrize("path", ["/account/sign-in", LIST, CREATE, "/nowhere", "/account/sign-up"])
def test_every_page_carries_the_strict_policy_and_is_not_cached(
    as_alice: Client, path: str
) -> None:
    headers = as_alice.get(path).headers
    assert headers["Content-Security-Policy"] == settings.CONTENT_SECURITY_POLICY
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "no-store" in headers["Cache-Control"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert len(headers["X-Request-ID"]) == 16


def test_a_request_id_is_never_taken_from_the_client(client: Client, db: None) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": "evil\\n"})
    assert "evil" not in answer.headers["X-Request-ID"]


def test_head_has_no_body_and_the_length_of_get(as_alice: Client) -> None:
    head = as_alice.head("/healthz")
    assert (head.content, head.headers["Content-Length"]) == (b"", "6")


def test_the_api_has_a_chain_of_its_own(client: Client, db: None) -> None:
    answer = client.get("/api/v1/health")
    assert "Content-Security-Policy" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.cookies


@pytest.mark.parametrize("path", ["/api", "/apifoo", "/settings/api/", "//api/v1/token"])
def test_what_only_looks_like_the_api_is_a_page(client: Client, db: None, path: str) -> None:
    assert client.get(path).headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "status"), [("/nowhere", 404), ("/settings/tokens/%FF", 404), ("/%00", 404)]
)
def test_an_unknown_address_is_a_page_of_ours(as_alice: Client, path: str, status: int) -> None:
    answer = as_alice.get(path)
    assert answer.status_code == status
    assert "There is nothing at this address" in text_of(answer)


def test_a_broken_page_says_so_without_details(
    as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("details for the log only")

    monkeypatch.setattr("tokens.views.listing.list_context", break_down)
    as_alice.raise_request_exception = False
    answer = as_alice.get(LIST)
    assert answer.status_code == 500
    assert "Something broke on our side" in text_of(answer)
    assert "details for the log only" not in answer.content.decode()


def test_an_answer_of_503_is_logged_with_its_request_id(
    client: Client, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("tokens.health.faults", lambda: ["It is not well."])
    monkeypatch.setattr(
        "django.core.handlers.base.log_response",
        lambda *_args, **_kwargs: seen.append(request_id.get()),
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert seen == [answer.headers["X-Request-ID"]]


@pytest.mark.parametrize(
    "body", [b"x=" + b"1" * 262_143, b"&".join([b"x=1"] * 1201)], ids=["too large", "too many"]
)
def test_a_form_beyond_the_bounds_is_logged_in_one_line(
    db: None, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    sent = Client().post("/account/sign-in", body, content_type="application/x-www-form-urlencoded")
    assert sent.status_code in {400, 413}
    lines = [each for each in caplog.records if each.name.startswith("django.security.")]
    assert lines
    assert all(each.exc_info is None for each in lines)


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/", 301)])
def test_health_is_told_over_plain_http_too(
    client: Client, db: None, settings: Settings, path: str, status: int
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path).status_code == status


def test_a_host_that_is_not_ours_is_refused(client: Client, db: None) -> None:
    answer = client.get("/account/sign-in", headers={"Host": "evil.example"})
    assert answer.status_code == 400


class Unread(io.BytesIO):
    """A body that nobody may look at."""

    def read(self, *size: Any) -> bytes:
        raise AssertionError("The body was read.")


@pytest.mark.parametrize("path", ["/account/sign-in", "/account/password/reset", "/nowhere"])
@pytest.mark.parametrize("length", ["262145", "10000000", "0" * 5000 + "262145", "9" * 5000])
def test_a_body_that_is_too_large_is_refused_unread(db: None, path: str, length: str) -> None:
    answer = Client(enforce_csrf_checks=True).generic(
        "POST",
        path,
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=length,
        **{"wsgi.input": Unread()},
    )
    assert answer.status_code == 413
    assert "This request makes no sense" in text_of(answer)
    assert answer.headers["Content-Security-Policy"] == settings.CONTENT_SECURITY_POLICY


def test_the_api_has_a_bound_of_its_own(client: Client, db: None) -> None:
    answer = client.generic("POST", "/api/v1/health", b"x", CONTENT_LENGTH="10000000")
    assert answer.status_code == 405


@pytest.mark.parametrize("length", ["", "0", "-1", "x", "\u0663"])
def test_a_length_that_is_none_breaks_nothing(client: Client, db: None, length: str) -> None:
    assert client.generic("POST", "/account/sign-in", CONTENT_LENGTH=length).status_code == 200


def test_a_file_with_a_form_is_read_past_and_touches_no_disk(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("A file was made.")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    monkeypatch.setattr("django.core.files.uploadhandler.BytesIO", refuse)
    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", refuse)
    form = {"login": alice.email, "password": PASSWORD, "file": io.BytesIO(b"x" * 200_000)}
    answer = Client().post("/account/sign-in", form)
    assert answer.headers["Location"] == LIST
    assert list(answer.wsgi_request.FILES) == []


def test_times_are_shown_in_the_persons_own_zone(alice: User, bob: User) -> None:
    assert "Europe/Berlin" in text_of(sign_in(Client(), alice).get(CREATE))
    assert "Your time zone is UTC" in text_of(sign_in(Client(), bob).get(CREATE))


def test_a_fresh_sign_in_leads_to_the_tokens(alice: User) -> None:
    answer = Client().post(
        "/account/sign-in", {"login": "Alice@Example.com", "password": "correct horse battery"}
    )
    assert answer.headers["Location"] == LIST


def test_signing_out_ends_the_session_and_empties_the_browser(as_alice: Client) -> None:
    assert "Clear-Site-Data" not in as_alice.get("/account/sign-out").headers
    answer = as_alice.post("/account/sign-out")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert as_alice.get(LIST).status_code == 302


@pytest.mark.parametrize(
    "next_url",
    ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"],
)
def test_the_sign_in_page_leads_nowhere_else(alice: User, next_url: str) -> None:
    answer = Client().post(
        "/account/sign-in",
        {"login": alice.email, "password": "correct horse battery", "next": next_url},
    )
    assert answer.headers["Location"] == LIST


# --- The way back after the sign-in ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "back"),
    [
        ("name={token}&scopes=projects.read", "?name=sk_pat_%5Bredacted%5D&scopes=projects.read"),
        ("name=%73k_pat_{digits}", "?name=sk_pat_%5Bredacted%5D"),
        ("{token}=1", "?sk_pat_%5Bredacted%5D=1"),
        ("q={digits}", "?q=sk_pat_%5Bredacted%5D"),
        ("q=s%EF%BD%8B_pat_12345678", "?q=sk_pat_%5Bredacted%5D"),
        ("name=a+b&name=%C3%9F&x", "?name=a+b&name=%C3%9F&x"),
    ],
)
def test_no_token_travels_through_the_sign_in(
    client: Client, db: None, query: str, back: str
) -> None:
    value = mint().reveal()
    sent = query.format(token=value, digits=value[7:])
    answer = client.get(f"{CREATE}?{sent}")
    assert answer.status_code == 302
    where = urlsplit(answer.headers["Location"])
    assert where.path == "/account/sign-in"
    assert parse_qs(where.query)["next"] == [f"{CREATE}{back}"]
    assert value[7:] not in unquote(answer.headers["Location"])


# --- Compression ----------------------------------------------------------------------------------

GZIP = {"Accept-Encoding": "gzip, br"}


def test_pages_are_compressed_for_browsers_that_take_it(as_alice: Client) -> None:
    answer = as_alice.get(LIST, headers=GZIP)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert b"Access tokens" in gzip.decompress(answer.content)
    assert "Content-Encoding" not in as_alice.get(LIST).headers


@pytest.mark.parametrize("headers", [GZIP, GZIP | HTMX], ids=["page", "fragment"])
def test_the_answer_that_shows_a_value_is_never_compressed(
    as_alice: Client, headers: dict[str, str]
) -> None:
    shown = create(as_alice, headers=headers)
    assert tokens_in(shown)
    assert "Content-Encoding" not in shown.headers


def test_a_form_that_comes_back_is_compressed(as_alice: Client) -> None:
    refused = create(as_alice, name="", headers=GZIP)
    assert (refused.status_code, refused.headers["Content-Encoding"]) == (422, "gzip")
    drawn = as_alice.post(f"{CREATE}/draft", wish(preset="ci_deploy"), headers=GZIP)
    assert (drawn.status_code, drawn.headers["Content-Encoding"]) == (200, "gzip")


def test_two_compressed_answers_of_one_page_differ_in_length(as_alice: Client) -> None:
    lengths = {len(as_alice.get("/nowhere", headers=GZIP).content) for _ in range(12)}
    assert len(lengths) > 3
