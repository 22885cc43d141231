from __future__ import annotations

import copy
import json
import pickle
import re
import string
from collections.abc import Callable

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given, settings as examples, strategies as st
from pytest_django import Settings

from tests.cast import NOON
from tokens import secret
from tokens.apps import TokensConfig
from tokens.lifecycle import Issued
from tokens.models import AccessToken
from tokens.secret import Plaintext

OLD, NEW = "a" * 32, "b" * 32
HEX = "0123456789abcdef"
random_parts = st.text(HEX, min_size=56, max_size=56)


def value_of(random_part: str) -> str:
    checked = secret.PREFIX + random_part
    return checked + secret._checksum(checked)


# --- The format ---------------------------------------------------------------------------------


def test_a_minted_value_is_what_the_cli_accepts() -> None:
    value = secret.mint().reveal()
    assert re.fullmatch(r"sk_pat_[0-9a-f]{64}", value)
    assert len(value) == secret.LENGTH == 71
    assert secret.is_well_formed(value)


def test_no_two_minted_values_are_alike() -> None:
    assert len({secret.mint().reveal() for _ in range(1000)}) == 1000


def test_many_values_are_minted_as_one_is() -> None:
    values = [value.reveal() for value in secret.mint_many(1000)]
    assert len(set(values)) == 1000
    assert all(secret.is_well_formed(value) for value in values)
    # No value begins where another one's digits end.
    assert len({value[start : start + 14] for value in values for start in (7, 21, 35)}) == 3000
    assert secret.mint_many(0) == []


def test_the_checksum_is_the_crc_32_that_other_programs_compute() -> None:
    assert value_of("0" * 56)[-8:] == "8823514e"


@given(random_parts)
@examples(max_examples=20, deadline=None)
def test_every_single_substitution_is_refused(random_part: str) -> None:
    value = value_of(random_part)
    assert secret.is_well_formed(value)
    for position, right in enumerate(value):
        for wrong in set(string.printable + "\uff10\uff53\u017f\u200b\ufffd") - {right}:
            assert not secret.is_well_formed(value[:position] + wrong + value[position + 1 :])


@given(random_parts)
@examples(max_examples=300, deadline=None)
def test_every_transposition_of_neighbours_is_refused(random_part: str) -> None:
    value = value_of(random_part)
    for position in range(len(value) - 1):
        first, second = value[position : position + 2]
        if first != second:
            swapped = value[:position] + second + first + value[position + 2 :]
            assert not secret.is_well_formed(swapped)


def test_no_neighbours_across_the_edge_of_the_checksum_can_hide_a_swap() -> None:
    # The CRC of a changed last character differs in more than the one digit that the swap moves.
    for first in HEX:
        for second in set(HEX) - {first}:
            one, other = (secret._checksum(secret.PREFIX + digit) for digit in (first, second))
            assert one[1:] != other[1:]


@given(st.text(max_size=80))
def test_no_text_makes_the_check_raise(text: str) -> None:
    assert not secret.is_well_formed(text)


VALUE = value_of("0123456789abcde" * 3 + "0123456789a")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("", id="nothing"),
        pytest.param("\0" * 71, id="NULs"),
        pytest.param(VALUE[:-1], id="one character short"),
        pytest.param(VALUE + "0", id="one character long"),
        pytest.param(VALUE + "\n", id="with a line break behind"),
        pytest.param(" " + VALUE, id="with a space before"),
        pytest.param(VALUE[:-1] + "\n", id="with a line break in it"),
        pytest.param(VALUE.upper(), id="upper case"),
        pytest.param(VALUE[:7] + VALUE[7:].upper(), id="upper-case digits"),
        pytest.param(VALUE.replace("_", "-"), id="dashes"),
        pytest.param("sk_live_" + VALUE[7:-1], id="another prefix"),
        pytest.param(VALUE.replace("s", "\uff53", 1), id="a full-width letter"),
        pytest.param(VALUE.replace("0", "\u0660"), id="Arabic digits"),
    ],
)
def test_what_is_not_exactly_a_value_is_refused(wrong: str) -> None:
    assert secret.is_well_formed(VALUE)
    assert not secret.is_well_formed(wrong)


# --- The value on its one way out ---------------------------------------------------------------


def test_a_value_never_shows_where_something_prints_it() -> None:
    plaintext = secret.mint()
    value = plaintext.reveal()
    issued = Issued(AccessToken(name="ci", created_at=NOON), plaintext)
    for shown in (
        str(plaintext),
        repr(plaintext),
        f"{plaintext}",
        f"{plaintext!r:>90}",
        repr([plaintext]),
        repr(issued),
    ):
        assert value[7:19] not in shown
        assert value[11:-4] not in shown
    assert str(plaintext) == f"{value[:11]}…{value[-4:]}"
    assert repr(plaintext) == f"<Plaintext {value[:11]}…{value[-4:]}>"


def test_a_value_cannot_be_stored_by_accident() -> None:
    plaintext = secret.mint()
    for store in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as caught:
            store(plaintext)
        assert plaintext.reveal()[7:] not in str(caught.value)
    assert not hasattr(plaintext, "__dict__")


def test_the_groups_are_the_whole_value_in_pieces_that_can_be_read() -> None:
    plaintext = secret.mint()
    assert "".join(plaintext.groups) == plaintext.reveal()
    assert [len(group) for group in plaintext.groups] == [7] + [8] * 8


def test_a_token_is_written_with_its_first_eleven_and_last_four_characters() -> None:
    assert secret.masked("1a2b", "9f8e") == "sk_pat_1a2b…9f8e"


# --- The peppers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peppers", "signing", "sentence"),
    [
        ("", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (NEW, 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"one:{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"0:{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"-1:{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"32768:{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"²:{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        ("9" * 5000 + f":{NEW}", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"1:{NEW},", 0, "TOKEN_PEPPERS must hold entries such as 1:<64 random hex>."),
        (f"1:{OLD} 01:{NEW}", 0, "TOKEN_PEPPERS holds two peppers with the id 01."),
        ("1:", 0, "The pepper 1 in TOKEN_PEPPERS is shorter than 32 bytes: make a longer one."),
        (
            "1:" + "b" * 31,
            0,
            "The pepper 1 in TOKEN_PEPPERS is shorter than 32 bytes: make a longer one.",
        ),
        (f"1:{NEW}", 2, "TOKEN_PEPPER_ID is 2, but TOKEN_PEPPERS has no such id."),
    ],
)
def test_peppers_that_cannot_be_used_stop_the_start_in_one_sentence(
    settings: Settings, peppers: str, signing: int, sentence: str
) -> None:
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = peppers, signing
    for use in (secret.peppers, lambda: secret.digest("x"), lambda: secret.digests("x")):
        with pytest.raises(ImproperlyConfigured) as caught:
            use()
        assert str(caught.value) == sentence
        assert NEW not in str(caught.value)


def test_the_application_does_not_start_without_a_pepper(settings: Settings) -> None:
    settings.TOKEN_PEPPERS = ""
    with pytest.raises(ImproperlyConfigured):
        TokensConfig.create("tokens").ready()


def test_a_pepper_of_exactly_32_bytes_is_long_enough(settings: Settings) -> None:
    settings.TOKEN_PEPPERS = "1:" + "ä" * 16
    assert secret.peppers().signing_id == 1


@pytest.mark.parametrize("gap", [",", " ", "\n", ",\n  "])
def test_two_peppers_stand_behind_commas_spaces_or_lines(settings: Settings, gap: str) -> None:
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = f"1:{OLD}{gap}2:{NEW}\n", 0
    assert secret.peppers().keys == {1: OLD.encode(), 2: NEW.encode()}


def test_the_highest_pepper_signs_unless_another_is_named(settings: Settings) -> None:
    settings.TOKEN_PEPPERS = f"2:{NEW},1:{OLD}"
    settings.TOKEN_PEPPER_ID = 0
    assert secret.digest("x")[0] == 2
    settings.TOKEN_PEPPER_ID = 1
    assert secret.digest("x")[0] == 1


@pytest.mark.parametrize("signing", [1, 2, 3])
def test_a_look_up_tries_every_pepper_and_the_signing_one_first(
    settings: Settings, signing: int
) -> None:
    value = secret.mint().reveal()
    settings.TOKEN_PEPPERS, settings.TOKEN_PEPPER_ID = f"1:{OLD},2:{NEW},3:{'c' * 32}", signing
    candidates = secret.digests(value)
    assert candidates[0] == secret.digest(value)[1]
    assert len(set(candidates)) == 3
    assert {len(candidate) for candidate in candidates} == {32}


def test_a_digest_depends_on_the_pepper_and_on_every_character(settings: Settings) -> None:
    value = secret.mint().reveal()
    settings.TOKEN_PEPPERS = f"1:{OLD}"
    one = secret.digest(value)[1]
    assert secret.digest(value)[1] == one
    assert secret.digest(value[:-1] + "g")[1] != one
    settings.TOKEN_PEPPERS = f"1:{NEW}"
    assert secret.digest(value)[1] != one


# --- Values where they do not belong ------------------------------------------------------------

EIGHT = secret.PREFIX + "0a1b2c3d"


@pytest.mark.parametrize(
    "text",
    [
        EIGHT,
        EIGHT.upper(),
        EIGHT.title(),
        f"my token is {EIGHT}!",
        f"prefix{EIGHT}suffix",
        EIGHT.replace("0", "\uff10").replace("1", "\uff11"),
        EIGHT.translate({ord(c): ord(c) + 0xFEE0 for c in EIGHT}),
        EIGHT.replace("s", "ⓢ").replace("k", "ⓚ"),
        EIGHT.replace("s", "\u017f"),
        EIGHT.replace("k", "\u212a"),
        EIGHT.replace("a", "\U0001d41a"),
        EIGHT.replace("_0", "_\u034f0"),
        EIGHT.replace("_0", "_\u200b\u00ad0"),
        EIGHT.replace("_0", "_\ufe0f\U000e01000"),
        "\u180b".join(EIGHT),
    ],
)
def test_a_token_is_recognised_from_eight_digits_on_in_any_dress(text: str) -> None:
    assert secret.contains_token(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ci-deploy",
        "sk_pat_",
        EIGHT[:-1],
        "sk_pat_nothexatall",
        "sk-pat-0a1b2c3d",
        "0a1b2c3d" * 8,
    ],
)
def test_what_is_no_token_is_left_alone(text: str) -> None:
    assert not secret.contains_token(text)
    assert secret.redact(text) == text


def test_a_token_is_found_in_a_long_text_without_putting_the_text_in_order(
    only_short_text_is_normalised: None,
) -> None:
    marks = "\u0301\u0327" * 60_000
    assert secret.contains_token(marks + EIGHT + marks)
    assert not secret.contains_token(marks)


@pytest.mark.parametrize("around", ["{}", "key={}!", "00{}ff", "ab{}", "é{}"])
@pytest.mark.parametrize("dress", [str, str.upper, "\u034f".join])
def test_the_digits_alone_are_recognised_by_their_checksum(
    around: str, dress: Callable[[str], str]
) -> None:
    digits = secret.mint().reveal()[7:]
    assert secret.contains_token(around.format(dress(digits)))
    wrong = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    assert not secret.contains_token(around.format(dress(wrong)))


def test_the_digits_alone_are_redacted_and_other_digests_are_not() -> None:
    digits = secret.mint().reveal()[7:]
    assert secret.redact(f"got {digits} and {digits.upper()}.") == (
        "got sk_pat_[redacted] and sk_pat_[redacted]."
    )
    assert secret.redact("0a1b2c3d" * 8) == "0a1b2c3d" * 8


@given(random_parts, st.text(max_size=20), st.text(max_size=20))
def test_no_digit_of_a_value_survives_redaction(part: str, before: str, after: str) -> None:
    redacted = secret.redact(f"{before} {value_of(part)} {after}")
    assert redacted == f"{secret.redact(before)} sk_pat_[redacted] {secret.redact(after)}"


def test_every_value_in_a_line_is_redacted() -> None:
    first, second = secret.mint().reveal(), secret.mint().reveal().upper()
    cut = "sk_pat_[redacted]"
    assert secret.redact(f"{first},{second} {first[:20]}") == f"{cut},{cut} {cut}"


def test_what_wraps_a_value_compares_by_identity() -> None:
    value = secret.mint().reveal()
    assert Plaintext(value) != Plaintext(value)
