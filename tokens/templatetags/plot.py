"""The plot of thirty days of requests: allowed stand on the horizon, refused hang below it.

Position, fill and shape tell the two apart, and colour only after those. The sentence and the table
beside it say the same, so the drawing itself is hidden from those who listen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Literal, NamedTuple

from django.utils.safestring import SafeString

from tokens.insight import DayCount
from tokens.templatetags.svg import Point, circle, figure, path, picture, shape

BAR_SHARE = 0.58
LEAST_ALLOWED = 3
LEAST_REFUSED = 9
BELOW_LINE = 3
STROKE = 1.5


class Size(NamedTuple):
    """How wide the plot is, how high both directions are together, and how round its bars."""

    css: str
    width: int
    height: int
    radius: float


SIZES = {
    "detail": Size("use__plot use__plot--wide", 928, 120, 2),
    "detail-phone": Size("use__plot use__plot--narrow", 326, 96, 1.5),
}


def draw(days: Sequence[DayCount], size: Size, ended: date | None) -> SafeString:
    """Draw the days, the oldest left; ``ended`` is the day on which the token ended, if it did."""
    allowed, refused = max(day.allowed for day in days), max(day.refused for day in days)
    scale = size.height / max(allowed + refused, 1)
    line = max(allowed * scale, LEAST_ALLOWED if allowed else 0) + 2
    below = BELOW_LINE + max(refused * scale, LEAST_REFUSED) + STROKE if refused else 2
    height = round(line + below + 1)
    shapes = [
        *_end_mark(days, size, ended, height),
        path("use__horizon", f"M0 {figure(line)}H{size.width}", stroke_width=1),
        *_marks(days, size, line, scale),
    ]
    return picture(size.css, size.width, height, shapes)


def legend(kind: Literal["allowed", "refused"]) -> SafeString:
    """Draw one bar on or under a piece of the line."""
    line = 13 if kind == "allowed" else 3
    bar = (
        shape("rect", "use__allowed", x=5, y=3, width=7, height=10, rx=1.5)
        if kind == "allowed"
        else _hanging(5, 5, 7, 9)
    )
    horizon = path("use__horizon", f"M0 {line}H17", stroke_width=1)
    return picture("use__mark", 17, 16, [horizon, bar])


def _marks(days: Sequence[DayCount], size: Size, line: float, scale: float) -> Iterator[SafeString]:
    pitch = size.width / len(days)
    bar = pitch * BAR_SHARE
    for number, day in enumerate(days):
        x = number * pitch + (pitch - bar) / 2
        if day.allowed:
            high = max(day.allowed * scale, LEAST_ALLOWED)
            yield shape(
                "rect", "use__allowed", x=x, y=line - high, width=bar, height=high, rx=size.radius
            )
        if day.refused:
            yield _hanging(x, line + BELOW_LINE, bar, max(day.refused * scale, LEAST_REFUSED))
        if not day.allowed and not day.refused:
            yield circle("use__none", Point(x + bar / 2, line), 1.5)


def _hanging(x: float, top: float, bar: float, deep: float) -> SafeString:
    """Return a hollow bar that ends in a point."""
    tip = min(bar / 3, deep / 2)
    left, right, low = figure(x), figure(x + bar), figure(top + deep - tip)
    d = (
        f"M{left} {figure(top)}H{right}V{low}"
        f"L{figure(x + bar / 2)} {figure(top + deep)}L{left} {low}Z"
    )
    return path("use__refused", d, stroke_width=STROKE, stroke_linejoin="round")


def _end_mark(
    days: Sequence[DayCount], size: Size, ended: date | None, height: int
) -> Iterator[SafeString]:
    pitch = size.width / len(days)
    for number, day in enumerate(days):
        if day.day == ended:
            x = figure((number + 0.5) * pitch)
            yield path("use__end", f"M{x} 0V{height}", stroke_width=1.5, stroke_dasharray="3 4")
