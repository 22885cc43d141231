from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from tokens.templatetags import console_ui

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=47, minutes=59), "47 hours ago"),
        (timedelta(hours=48), "2 days ago"),
        (timedelta(days=118), "118 days ago"),
        (timedelta(days=364), "364 days ago"),
        (timedelta(days=365), "23 Nov 2025"),
        (timedelta(seconds=-30), "in less than a minute"),
        (timedelta(days=-5), "in 5 days"),
    ],
)
def test_times_are_told_as_people_tell_them(distance: timedelta, words: str) -> None:
    assert console_ui.relative(NOW - distance, NOW) == words


def test_an_instant_is_shown_in_the_persons_zone_with_its_name() -> None:
    with timezone.override("Europe/Berlin"):
        assert ">23 Nov 2026, 13:00 CET</time>" in console_ui.instant(NOW)
        assert 'datetime="2026-11-23T12:00:00Z"' in console_ui.instant(NOW)


def test_a_zone_without_letters_says_its_distance() -> None:
    assert console_ui.zone_words(NOW, ZoneInfo("America/Sao_Paulo")) == "UTC-03"


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Maya Lindqvist", "ML"), ("bob@example.com", "B"), ("Łukasz", "Ł"), ("", ""), ("_", "")],
)
def test_initials_are_at_most_two(name: str, letters: str) -> None:
    assert console_ui.initials(name) == letters


def test_what_a_name_holds_is_escaped() -> None:
    assert "<b>x" not in console_ui.tid("<b>x…y")
