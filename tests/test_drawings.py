from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from django.conf import settings
from django.template import Context, Template
from django.test import Client
from hypothesis import given, strategies as st

from skytells_console.models import User
from tests.cast import Clock, issue, origin
from tests.views.pages import LIST
from tokens import lifecycle, scopes
from tokens.insight import DayCount
from tokens.models.status import Status
from tokens.templatetags import day, plot, skyline
from tokens.templatetags.drawings import Kind, Life, sun_class
from tokens.views import rows

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = get_args(Kind)
CSS = (Path(settings.BASE_DIR) / "static/css/console.css").read_text()
# What may stand in an element besides its class: figures, and how a line ends.
GEOMETRY = {
    "cx", "cy", "d", "height", "r", "rx", "stroke-dasharray", "stroke-linecap", "stroke-width",
    "width", "x", "y",
}  # fmt: skip


def life(kind: str = "live", created: float = 50, left: float | None = 40, **more: Any) -> Life:
    """Return the life of a token made some days ago that has some days left."""
    ends = None if left is None else NOW + left * DAY
    return Life(NOW - created * DAY, ends, more.get("ended_at"), kind)  # type: ignore[arg-type]


def drawn(a_life: Life, size: str = "row") -> ET.Element:
    """Return the drawing as a tree; that it can be read is a test of its own."""
    return ET.fromstring(day.draw(a_life, day.SIZES[size], NOW))  # noqa: S314 - of our own making


def classes(drawing: ET.Element) -> list[str]:
    return [name for shape in drawing for name in shape.attrib["class"].split()]


def show(source: str, **context: Any) -> str:
    return Template("{% load drawings %}" + source).render(Context(context))


# --- Geometry ------------------------------------------------------------------------------------


def test_the_elapsed_fraction_is_that_of_the_planned_life() -> None:
    assert day.elapsed(life(created=50, left=40), NOW) == pytest.approx(50 / 90)
    assert day.elapsed(life(created=9, left=21), NOW) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("created", "left", "t"),
    [(0, 90, 0), (90, 0, 1), (40, -3, 1), (-5, 30, 0), (3, -10, 1), (5, -5, 1)],
    ids=["new", "over", "past", "future", "backwards", "no span"],
)
def test_the_fraction_stays_between_rise_and_set(created: float, left: float, t: float) -> None:
    assert day.elapsed(life(created=created, left=left), NOW) == t


def test_an_ended_token_stands_where_it_ended() -> None:
    assert day.elapsed(life("revoked", 60, 40, ended_at=NOW - 10 * DAY), NOW) == 0.5
    before_birth = life("revoked", 60, 40, ended_at=NOW - 70 * DAY)
    assert day.elapsed(before_birth, NOW) == 0


@given(created=st.floats(-1e4, 1e4), left=st.none() | st.floats(-1e4, 1e4))
def test_no_times_leave_the_arc(created: float, left: float | None) -> None:
    for kind in KINDS:
        a_life = life(kind, created, left)
        t = day.elapsed(a_life, NOW)
        assert 0 <= t <= 1
        for size in day.SIZES.values():
            x, y = day.standing(a_life, size, t)
            assert size.x0 <= x <= size.x1
            assert size.yh - size.ry - 0.01 <= y <= size.yh + 0.01


@pytest.mark.parametrize("size", day.SIZES.values(), ids=list(day.SIZES))
def test_the_arc_rises_from_the_horizon_and_sets_on_it(size: day.Size) -> None:
    assert day.on_arc(size, 0) == pytest.approx((size.x0, size.yh))
    assert day.on_arc(size, 1) == pytest.approx((size.x1, size.yh))
    middle = day.on_arc(size, 0.5)
    assert middle == pytest.approx(((size.x0 + size.x1) / 2, size.yh - size.ry))
    for t in (0.1, 0.25, 0.4):
        left, right = day.on_arc(size, t), day.on_arc(size, 1 - t)
        assert left.y == pytest.approx(right.y)
        ellipse = ((left.x - middle.x) / size.rx) ** 2 + ((left.y - size.yh) / size.ry) ** 2
        assert ellipse == pytest.approx(1)


def test_the_sun_of_the_small_arc_stands_where_the_formula_says() -> None:
    sun = drawn(life(created=50, left=40))[-1]
    # x = 5 + 5/9 of 66, y = 28 - 22 * sqrt(1 - (x - 38)² / 33²).
    assert (sun.attrib["cx"], sun.attrib["cy"], sun.attrib["r"]) == ("41.67", "6.14", "4.5")


def test_without_an_end_a_quarter_arc_goes_on_level() -> None:
    drawing = drawn(life("no_expiration", left=None))
    ahead, done, sun = drawing[1], drawing[2], drawing[3]
    assert done.attrib["d"].endswith(f" {sun.attrib['cx']} {sun.attrib['cy']}")
    assert sun.attrib["cy"] == "6"
    assert re.fullmatch(r"M[\d.]+ 6H76", ahead.attrib["d"])
    assert "stroke-dasharray" in ahead.attrib


@pytest.mark.parametrize(
    ("t", "name"),
    [
        (0, "at-20"),
        (0.21, "at-20"),
        (0.24, "at-25"),
        (0.556, "at-55"),
        (0.79, "at-80"),
        (1, "at-80"),
    ],
)
def test_the_label_under_the_sun_keeps_clear_of_both_ends(t: float, name: str) -> None:
    assert sun_class(t) == name


def test_the_stylesheet_knows_every_place_of_the_label() -> None:
    for step in range(101):
        assert f".{sun_class(step / 100)} {{" in CSS
    assert "clamp(40%, var(--at), 60%)" in CSS


def test_the_label_follows_the_sun_of_a_rotation() -> None:
    a_life = life("rotating", created=80, left=20)
    suns = [shape for shape in drawn(a_life, "detail") if shape.attrib["class"] == "draw-sun"]
    assert float(suns[0].attrib["cx"]) / 928 == pytest.approx(day.across(a_life, NOW), abs=0.02)


# --- Kinds ---------------------------------------------------------------------------------------

MARKS = {
    "live": {"draw-elapsed", "draw-sun"},
    "no_expiration": {"draw-elapsed", "draw-sun"},
    "attention": {"draw-attn", "draw-sun", "draw-sun--attn"},
    "never_used": {"draw-elapsed", "draw-ring"},
    "unused": {"draw-elapsed", "draw-behind", "draw-mark--attn"},
    "paused": {"draw-attn", "draw-ring", "draw-ring--attn"},
    "rotating": {"draw-elapsed", "draw-sun", "draw-ring"},
    "replacement_works": {"draw-elapsed", "draw-sun", "draw-sun--ok"},
    "expired": {"draw-ended"},
    "revoked": {"draw-ended"},
    "rotated_out": {"draw-ended"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_marks(kind: str) -> None:
    ended = NOW - DAY if kind in {"revoked", "rotated_out", "expired"} else None
    marks = set(classes(drawn(life(kind, ended_at=ended)))) - {"draw-horizon", "draw-track"}
    assert marks == MARKS[kind]


def test_a_paused_life_is_dashed_in_amber() -> None:
    done = next(s for s in drawn(life("paused")) if s.attrib["class"] == "draw-attn")
    assert done.attrib["stroke-dasharray"] == "5 4"
    rings = {size: drawn(life("paused"), size).find("./circle") for size in ("row", "detail")}
    assert {size: ring.attrib["r"] for size, ring in rings.items() if ring is not None} == {
        "row": "5.5",
        "detail": "9",
    }


def test_a_revoked_life_shows_its_planned_end_only_where_there_is_room() -> None:
    revoked = life("revoked", ended_at=NOW - 5 * DAY)
    assert "draw-track" not in classes(drawn(revoked, "row"))
    ahead = drawn(revoked, "detail")[1]
    assert (ahead.attrib["class"], ahead.attrib["stroke-dasharray"]) == ("draw-track", "3 3")


def test_an_expired_sun_is_below_the_horizon() -> None:
    sun = drawn(life("expired", 33, -3, ended_at=NOW - 3 * DAY))[-1]
    found = re.match(r"M[\d.]+ ([\d.]+)a", sun.attrib["d"])
    assert found
    assert float(found[1]) > day.SIZES["row"].yh


def test_both_suns_of_a_rotation_stand_on_one_now() -> None:
    suns = [shape for shape in drawn(life("rotating")) if shape.tag == "circle"]
    assert len(suns) == 2
    assert len({sun.attrib["cx"] for sun in suns}) == 1
    assert suns[1].attrib["cy"] == "28"


# --- What the pages rely on ----------------------------------------------------------------------


@pytest.mark.parametrize("size", day.SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_geometry_is_in_attributes_and_colour_in_classes(kind: str, size: str) -> None:
    for a_life in (life(kind), life(kind, left=None), life(kind, 0, 0), life(kind, -9, -9)):
        drawing = drawn(a_life, size)
        assert drawing.attrib["aria-hidden"] == "true"
        for shape in drawing:
            assert set(shape.attrib) - {"class"} <= GEOMETRY
            assert not re.search(r"nan|inf|e[+-]", " ".join(shape.attrib.values()))
            for name in shape.attrib["class"].split():
                assert f".{name}" in CSS


@pytest.mark.parametrize(
    ("size", "width", "height"),
    [("row", 76, 34), ("summary", 292, 58), ("detail", 928, 104), ("detail-phone", 326, 84)],
)
def test_each_width_has_a_drawing_of_its_own(size: str, width: int, height: int) -> None:
    svg = show("{% day_arc life size %}", life=life(), size=size)
    drawing = ET.fromstring(svg)  # noqa: S314 - of our own making
    assert drawing.attrib["viewBox"] == f"0 0 {width} {height}"
    assert (drawing.attrib["width"], drawing.attrib["height"]) == (str(width), str(height))
    assert drawing.attrib["class"] == f"arc arc--{size}"


def test_the_two_sizes_of_the_detail_page_are_never_shown_together() -> None:
    rules = re.findall(r"\.arc--(detail(?:-phone)?) {\s*display: (\w+);", CSS)
    assert rules == [("detail-phone", "none"), ("detail", "none"), ("detail-phone", "block")]


# --- The skyline ---------------------------------------------------------------------------------


def bars(svg: str) -> list[tuple[str, str, str]]:
    drawing = ET.fromstring(svg)  # noqa: S314 - of our own making
    return [(bar.attrib["x"], bar.attrib["height"], bar.attrib["class"]) for bar in drawing]


def test_taller_means_more() -> None:
    svg = show(
        "{% skyline names %}", names=["inference", "projects.read", "deployments.write", "stranger"]
    )
    assert bars(svg) == [
        ("0", "9", "draw-read"),
        ("9", "9", "draw-read"),
        ("18", "18", "draw-write"),
        ("27", "2", "draw-none"),
        ("36", "2", "draw-none"),
    ]
    assert 'viewBox="0 0 42 18"' in svg
    assert "style" not in svg


def test_an_ended_skyline_is_grey() -> None:
    held = show("{% skyline names True %}", names=["projects.write", "account.read"])
    assert [css for _, _, css in bars(held)] == [
        "draw-none",
        "draw-past",
        "draw-none",
        "draw-none",
        "draw-past",
    ]


def test_the_bars_stand_in_the_order_of_the_catalogue() -> None:
    assert skyline.levels(scopes.BY_NAME) == [1, 2, 2, 2, 1]
    assert skyline.levels([]) == [0] * 5
    labels = [bar.label for bar in skyline.labelled([])]
    assert labels == ["Inference", "Projects", "Deploy", "Keys", "Account"]


def test_the_labelled_skyline_says_its_levels_and_resources() -> None:
    page = show("{% skyline_labelled names %}", names=["projects.read", "deployments.write"])
    assert page.count("<svg") == 5
    assert page.count("is-held") == 2
    for word in ("write", "read", "Inference", "Deploy"):
        assert f">{word}<" in page
    assert 'class="skywords" aria-hidden="true"' in page
    assert "style=" not in page


# --- The list ------------------------------------------------------------------------------------


def test_every_status_has_a_drawing() -> None:
    assert set(rows._DRAWN) == set(Status)
    assert {*rows._DRAWN.values(), "no_expiration", "replacement_works"} == set(KINDS)


def test_the_list_draws_each_token(clock: Clock, as_alice: Client, alice: User) -> None:
    now = clock.now
    issue(alice, "new", at=now, expires_at=now + 30 * DAY)
    issue(alice, "endless", at=now - DAY, expires_at=None)
    gone = issue(alice, "gone", at=now - 10 * DAY, expires_at=now + 10 * DAY).token
    lifecycle.revoke(token=gone, origin=origin(alice))
    answer = as_alice.get(LIST)
    lives = {row.name: row.life for row in answer.context["rows"]}
    assert {name: each.kind for name, each in lives.items()} == {
        "new": "never_used",
        "endless": "never_used",
        "gone": "revoked",
    }
    assert (lives["gone"].ended_at, lives["gone"].expires_at) == (now, now + 10 * DAY)
    assert (lives["endless"].ended_at, lives["endless"].expires_at) == (None, None)
    page = answer.content.decode()
    assert page.count('class="arc arc--row"') == 3
    assert page.count('class="skyline"') == 3
    assert " style=" not in page


# --- Thirty days of requests ---------------------------------------------------------------------


def plotted(
    counts: dict[int, tuple[int, int]], size: str = "detail", ended: int | None = None
) -> ET.Element:
    """Return the plot of days counted from the left, as a tree."""
    first = NOW.date() - 29 * DAY
    days = [DayCount(first + each * DAY, *counts.get(each, (0, 0))) for each in range(30)]
    end = None if ended is None else first + ended * DAY
    return ET.fromstring(plot.draw(days, plot.SIZES[size], end))  # noqa: S314 - of our own making


def shapes_of(drawing: ET.Element, css: str) -> list[dict[str, str]]:
    return [shape.attrib for shape in drawing if shape.attrib["class"] == css]


@pytest.mark.parametrize(("size", "height"), [("detail", 120), ("detail-phone", 96)])
def test_both_directions_share_one_scale(size: str, height: int) -> None:
    drawing = plotted({0: (300, 0), 1: (150, 0), 29: (0, 100)}, size)
    tall, half = (float(bar["height"]) for bar in shapes_of(drawing, "use__allowed"))
    assert tall == pytest.approx(height * 0.75, abs=0.1)
    assert half == pytest.approx(tall / 2, abs=0.1)
    (refused,) = shapes_of(drawing, "use__refused")
    ordinates = [float(y) for y in re.findall(r"(?:V|M[0-9.]+ |L[0-9.]+ )([0-9.]+)", refused["d"])]
    assert max(ordinates) - min(ordinates) == pytest.approx(height / 4, abs=0.1)
    assert len(shapes_of(drawing, "use__none")) == 27
    assert float(drawing.attrib["height"]) <= height + 10


def test_a_small_number_can_still_be_seen() -> None:
    drawing = plotted({0: (1, 0), 1: (100_000, 0), 2: (0, 1)})
    assert float(shapes_of(drawing, "use__allowed")[0]["height"]) == plot.LEAST_ALLOWED
    assert len(shapes_of(drawing, "use__refused")) == 1
    assert float(drawing.attrib["height"]) > 120 + plot.LEAST_REFUSED


def test_the_end_of_the_token_is_marked_where_the_plot_reaches_it() -> None:
    (end,) = shapes_of(plotted({0: (1, 0)}, ended=10), "use__end")
    assert end["d"].startswith(f"M{10.5 * 928 / 30:g} ")
    assert not shapes_of(plotted({0: (1, 0)}, ended=-5), "use__end")
    assert not shapes_of(plotted({0: (1, 0)}), "use__end")


def test_an_empty_plot_can_be_drawn() -> None:
    assert len(shapes_of(plotted({}), "use__none")) == 30


def test_the_plot_is_geometry_and_classes_alone() -> None:
    for drawing in (plotted({0: (5, 3)}, ended=3), plotted({0: (5, 3)}, "detail-phone")):
        assert drawing.attrib["aria-hidden"] == "true"
        for each in drawing:
            assert set(each.attrib) <= GEOMETRY | {"class", "stroke-linejoin"}
            assert f".{each.attrib['class']}" in CSS
