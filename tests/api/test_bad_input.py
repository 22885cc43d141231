from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from tokens.lifecycle import Issued
from tokens.models import Project

Send = Callable[..., Any]
PROJECTS = "/api/v1/cli/projects"
DIGITS = "0123456789abcdef"
KB = 1024

# Bodies that are not a JSON object: each with its status and code.
BODIES: dict[str, tuple[bytes, int, str]] = {
    "10 MB": (b'{"name": "' + b"x" * 10 * KB * KB + b'"}', 413, "body_too_large"),
    "one byte too many": (b'{"name": "shop"}'.ljust(64 * KB + 1), 413, "body_too_large"),
    "100,000 brackets": (b"[" * 100_000, 413, "body_too_large"),
    "60,000 brackets": (b"[" * 60_000, 400, "invalid_json"),
    "60,000 braces": (b'{"a":' * 12_000, 400, "invalid_json"),
    "closed brackets": (b"[" * 30_000 + b"]" * 30_000, 400, "invalid_json"),
    "not UTF-8": (b'{"name": "\xff\xfe"}', 400, "invalid_json"),
    "UTF-16": ('{"name": "shop"}'.encode("utf-16"), 400, "invalid_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"name": "shop"}', 400, "invalid_json"),
    "a surrogate in UTF-8": (b'{"name": "\xed\xa0\x80"}', 400, "invalid_json"),
    "cut short": (b'{"name": "sho', 400, "invalid_json"),
    "two objects": (b'{"name": "a"}{"name": "b"}', 400, "invalid_json"),
    "single quotes": (b"{'name': 'shop'}", 400, "invalid_json"),
    "a comma at the end": (b'{"name": "shop",}', 400, "invalid_json"),
    "a form": (b"name=shop&type=web", 400, "invalid_json"),
    "XML": (b"<name>shop</name>", 400, "invalid_json"),
    "NUL": (b"\0", 400, "invalid_json"),
    "a raw newline in text": (b'{"name": "a\nb"}', 400, "invalid_json"),
    "a number with 5000 digits": (b'{"name": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
    "array": (b'[{"name": "shop"}]', 400, "invalid_json"),
    "empty array": (b"[]", 400, "invalid_json"),
    "text": (b'"name"', 400, "invalid_json"),
    "null": (b"null", 400, "invalid_json"),
    "true": (b"true", 400, "invalid_json"),
    "number": (b"5", 400, "invalid_json"),
    "NaN": (b"NaN", 400, "invalid_json"),
    "empty": (b"", 422, "name_required"),
    "blank": (b" \r\n\t ", 422, "name_required"),
    "empty object": (b"{}", 422, "name_required"),
    "other keys only": (b'{"Name": "shop", "names": "shop"}', 422, "name_required"),
    "the last of two names": (b'{"name": "shop", "name": ""}', 422, "name_required"),
}

# Values of "name" that are refused.
NAMES: dict[str, tuple[Any, str]] = {
    "null": (None, "name_required"),
    "empty": ("", "name_required"),
    "blank": (" \t\n ", "name_required"),
    "no-break space": ("\u00a0", "name_required"),
    "number": (5, "not_text"),
    "fraction": (0.5, "not_text"),
    "NaN": (float("nan"), "not_text"),
    "true": (True, "not_text"),
    "false": (False, "not_text"),
    "list": (["a"], "not_text"),
    "empty list": ([], "not_text"),
    "object": ({"a": 1}, "not_text"),
    "empty object": ({}, "not_text"),
    "65 characters": ("x" * 65, "name_too_long"),
    "10,000 characters": ("x" * 10_000, "name_too_long"),
    "marks without end": ("a" + "\u0301" * 10_000, "name_too_long"),
    "letters that fold long": ("\ufdfa" * 64, "name_too_long"),
    "NUL": ("a\0b", "unprintable"),
    "newline": ("a\nb", "unprintable"),
    "tab": ("a\tb", "unprintable"),
    "terminal escape": ("\x1b[2Jgone", "unprintable"),
    "C1 escape": ("\x9b2Jgone", "unprintable"),
    "bell": ("ding\a", "unprintable"),
    "delete": ("a\x7fb", "unprintable"),
    "right-to-left override": ("exe.\u202egnp", "unprintable"),
    "isolate": ("\u2066abc\u2069", "unprintable"),
    "zero-width space": ("a\u200bb", "unprintable"),
    "byte order mark": ("\ufeffabc", "unprintable"),
    "line separator": ("a\u2028b", "unprintable"),
    "lone surrogate": ("a\ud800b", "unprintable"),
    "swapped surrogates": ("\udc00\ud800", "unprintable"),
    "private use": ("a\ue000b", "unprintable"),
    "not a character": ("a\uffffb", "unprintable"),
    "tag letters": ("a\U000e0041", "unprintable"),
}

TYPES: dict[str, tuple[Any, str]] = {
    "number": (5, "not_text"),
    "true": (True, "not_text"),
    "list": (["web"], "not_text"),
    "object": ({"a": "web"}, "not_text"),
    "space within": ("web app", "invalid_type"),
    "dash first": ("-web", "invalid_type"),
    "33 characters": ("x" * 33, "invalid_type"),
    "marks without end": ("a" + "\u0301" * 10_000, "invalid_type"),
    "slash": ("a/b", "invalid_type"),
    "NUL": ("a\0b", "invalid_type"),
    "not ASCII": ("caf\xe9", "invalid_type"),
    "letter that folds to ASCII": ("\u212aube", ""),
    "HTML": ("<b>", "invalid_type"),
    "newline within": ("a\nb", "invalid_type"),
    "escape": ("\x1b[31m", "invalid_type"),
    "lone surrogate": ("\ud800", "invalid_type"),
}

KEPT = {
    "64 characters": "x" * 64,
    "64 emoji": "\U0001f680" * 64,
    "emoji": "\U0001f680 rocket",
    "flag": "\U0001f1e9\U0001f1ea",
    "accent": "Zoë's café",
    "Arabic": "متجر",
    "Japanese": "日本語",
    "HTML": '<img src=x onerror="alert(1)">',
    "template": "{{ 7 * 7 }} {% now %}",
    "SQL": "'; DROP TABLE tokens_project; --",
    "path": "../../etc/passwd",
    "format": "%s %n {0}",
    "numbers": "12345",
    "the word null": "null",
}


def post(send: Send, token: Issued, **payload: Any) -> Any:
    return send("POST", PROJECTS, token, json.dumps(payload))


@pytest.mark.parametrize(("body", "status", "code"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_object_with_a_name_makes_nothing(
    full: Issued, send: Send, body: bytes, status: int, code: str
) -> None:
    refused = send("POST", PROJECTS, full, body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert not Project.objects.exists()


def test_the_largest_body_is_read(full: Issued, send: Send) -> None:
    assert send("POST", PROJECTS, full, b'{"name": "shop"}'.ljust(64 * KB)).status_code == 201


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "x\0y"])
def test_the_content_type_does_not_matter(full: Issued, send: Send, kind: str) -> None:
    answer = send("POST", PROJECTS, full, b'{"name": "shop"}', content_type=kind)
    assert answer.status_code == 201


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "0x10", "\u00b2", "\u0663", "9" * 5000, " "])
def test_a_length_that_is_no_number_is_refused(full: Issued, send: Send, length: str) -> None:
    refused = send("POST", PROJECTS, full, b'{"name": "shop"}', CONTENT_LENGTH=length)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


def test_a_body_without_a_length_is_refused_and_not_taken_for_empty(
    full: Issued, send: Send
) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    refused = send("POST", PROJECTS, full, b'{"name": "shop"}', **chunked)
    assert (refused.status_code, refused.json()["code"]) == (411, "length_required")


def test_a_large_body_is_not_read_for_a_stranger(db: None, send: Send) -> None:
    assert send("POST", PROJECTS, None, BODIES["10 MB"][0]).status_code == 401


@pytest.mark.parametrize(("name", "code"), NAMES.values(), ids=NAMES)
def test_a_name_that_cannot_be_used_is_refused_with_a_sentence(
    full: Issued, send: Send, name: Any, code: str
) -> None:
    refused = post(send, full, name=name)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert refused.json()["error"].endswith(".")
    assert not Project.objects.exists()


@pytest.mark.parametrize(("kind", "code"), TYPES.values(), ids=TYPES)
def test_a_type_that_cannot_be_used_is_refused_with_a_sentence(
    full: Issued, send: Send, kind: Any, code: str
) -> None:
    answer = post(send, full, name="shop", type=kind)
    assert answer.status_code == (422 if code else 201)
    assert answer.json().get("code", "") == code
    assert Project.objects.count() == (0 if code else 1)


@pytest.mark.parametrize("kind", [None, "", "  "])
def test_an_empty_type_is_none(full: Issued, send: Send, kind: str | None) -> None:
    assert post(send, full, name="shop", type=kind).json()["type"] is None


@pytest.mark.parametrize("query", ["a%20b", "%00", "%ff", "<b>", "x" * 33, "%ED%A0%80", "-"])
def test_a_type_that_cannot_exist_is_refused_in_a_filter(
    full: Issued, send: Send, query: str
) -> None:
    refused = send("GET", f"{PROJECTS}?type={query}", full)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_type")


@pytest.mark.parametrize("name", KEPT.values(), ids=KEPT)
def test_a_name_is_kept_as_it_was_typed(full: Issued, send: Send, name: str) -> None:
    made = post(send, full, name=name)
    assert made.status_code == 201
    assert made.json()["name"] == name
    assert made.headers["Content-Type"] == "application/json"
    assert [each["name"] for each in send("GET", PROJECTS, full).json()["data"]] == [name]


def test_unknown_keys_are_not_taken_over(full: Issued, send: Send, bob: Any) -> None:
    extra = {"id": "1", "slug": "own", "status": "gone", "owner": bob.pk, "owner_id": bob.pk}
    made = post(send, full, name="shop", **extra).json()
    assert (made["slug"], made["status"]) == ("shop", "active")
    assert Project.objects.get().owner_id == full.token.owner_id


# --- A token pasted where it does not belong ----------------------------------------------------


@pytest.mark.parametrize("field", ["name", "type"])
@pytest.mark.parametrize(
    "cut",
    [
        lambda value: value,
        lambda value: value[:64],
        lambda value: value[:32],
        lambda value: value[:15],
        lambda value: value.upper(),
        lambda value: f" {value[:32]} ",
    ],
    ids=["whole", "64 of it", "32 of it", "8 digits", "upper case", "spaces around"],
)
def test_a_pasted_token_is_called_one_and_neither_stored_nor_echoed(
    full: Issued, send: Send, field: str, cut: Callable[[str], str]
) -> None:
    pasted = cut(full.plaintext.reveal())
    refused = post(send, full, **{"name": "shop", field: pasted})
    assert (refused.status_code, refused.json()["code"]) == (422, "contains_token")
    assert pasted.strip()[7:] not in refused.content.decode() + str(refused.headers)
    assert not Project.objects.exists()


def test_a_token_anywhere_else_is_not_echoed(full: Issued, send: Send) -> None:
    value = full.plaintext.reveal()
    answers = [
        send("POST", PROJECTS, full, value),
        send("POST", PROJECTS, full, json.dumps([value])),
        send("GET", f"{PROJECTS}?type={value}", full),
        send("GET", f"{PROJECTS}?type={value[:32]}", full),
        send("GET", f"/api/v1/{value}", full),
        send("POST", PROJECTS, full, json.dumps({"name": "shop", "token": value})),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 422, 200, 404, 201]
    assert not any(value[7:19] in answer.content.decode() for answer in answers)


# --- What nobody thought of ---------------------------------------------------------------------

TEXT = st.one_of(
    st.text(max_size=80),
    # Lone surrogates are no text to hypothesis, and JSON can write them all the same.
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Zs", "Lu"]), max_size=70),
    st.text(DIGITS, min_size=6, max_size=70).map(lambda digits: f"sk_pat_{digits}"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.fixed_dictionaries({}, optional={"name": TEXT | JSON, "type": TEXT | JSON})
fuzzed = hypothesis_settings(
    max_examples=300,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@fuzzed
@given(payload=OBJECTS | JSON)
def test_no_json_breaks_the_endpoint(full: Issued, send: Send, payload: Any) -> None:
    answer = send("POST", PROJECTS, full, json.dumps(payload))
    assert answer.status_code in {201, 400, 409, 422}
    assert answer.json()


@fuzzed
@given(body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_break_the_endpoint(full: Issued, send: Send, body: bytes) -> None:
    answer = send("POST", PROJECTS, full, body)
    assert answer.status_code in {400, 422}
    assert answer.json()


@fuzzed
@given(query=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_filter_breaks_the_endpoint(full: Issued, send: Send, query: bytes) -> None:
    # A server hands raw bytes on as Latin-1, as WSGI asks.
    answer = send("GET", PROJECTS, full, QUERY_STRING=f"type={query.decode('latin-1')}")
    assert answer.status_code in {200, 400, 422}
    assert answer.json()
