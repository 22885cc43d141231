"""Two days that cross: the old token's sun goes down while its replacement's comes up.

Every place is a share of the width or of the height over the horizon, so that both sizes are the same
picture and neither is scaled.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal, NamedTuple

from django.utils.safestring import SafeString

from tokens.templatetags.svg import Point, circle, figure, path, picture

Phase = Literal["waiting", "works", "finished"]
# Where "now" stands, and where the old day's middle lies, as shares of the width.
NOW, MIDDLE = 0.47, 0.03
# How far the old day reaches: it has longer to go while nothing uses the replacement yet.
OLD_END = {"waiting": 0.55, "works": 0.498, "finished": 0.498}
# Where the replacement's day begins and is at its height, once it has been seen working.
NEW_START, NEW_TOP = 0.306, 0.80


class Size(NamedTuple):
    """The figures of one width: the horizon at ``yh``, the top of both days at ``top``."""

    name: str
    width: int
    height: int
    yh: float
    top: float
    sun: float

    def at(self, x: float, middle: float, reach: float) -> Point:
        """Return the place over ``x`` on an arc around ``middle`` that reaches as far as ``reach``."""
        share = min(abs(x - middle) / reach, 1.0)
        return Point(x * self.width, self.yh - (self.yh - self.top) * sqrt(1 - share**2))

    def arc(self, start: Point, end: Point, reach: float) -> str:
        """Return the path along an arc, from left to right."""
        rx, ry = figure(reach * self.width), figure(self.yh - self.top)
        x, y, to_x, to_y = map(figure, (*start, *end))
        return f"M{x} {y}A{rx} {ry} 0 0 1 {to_x} {to_y}"


SIZES = {
    size.name: size
    for size in (
        Size("crossing", 644, 124, 112, 30, 7),
        Size("crossing-phone", 326, 112, 100, 26, 7),
    )
}


def draw(phase: Phase, size: Size) -> SafeString:
    """Return the drawing of a rotation as it stands."""
    horizon = path("draw-horizon", f"M0 {figure(size.yh + 0.5)}H{size.width}")
    now = NOW * size.width
    needle = path(
        "draw-track", f"M{figure(now)} {figure(size.top - 16)}V{figure(size.yh)}", stroke_dasharray="2 3"
    )  # fmt: skip
    shapes = [horizon, needle, *_old_day(phase, size), *_new_day(phase, size)]
    return picture(f"arc arc--{size.name}", size.width, size.height, shapes)


def _old_day(phase: Phase, size: Size) -> list[SafeString]:
    reach = OLD_END[phase] - MIDDLE
    start, at = size.at(0, MIDDLE, reach), size.at(NOW, MIDDLE, reach)
    end = Point(OLD_END[phase] * size.width, size.yh)
    done = size.arc(start, at, reach)
    if phase == "finished":
        r = 5
        cross = (
            f"M{figure(at.x - r)} {figure(at.y - r)}l{2 * r} {2 * r}m0 -{2 * r}l-{2 * r} {2 * r}"
        )
        return [
            path("draw-ended", done, stroke_width=1.5),
            circle("draw-behind", at, 9),
            path("draw-ended", cross, stroke_width=1.75, stroke_linecap="round"),
        ]
    return [
        path("draw-track", size.arc(at, end, reach), stroke_width=1.5),
        path("draw-elapsed", done, stroke_width=2, stroke_linecap="round"),
        circle("draw-sun", at, size.sun, stroke_width=2),
    ]


def _new_day(phase: Phase, size: Size) -> list[SafeString]:
    if phase == "waiting":
        rising, reach = Point(NOW * size.width, size.yh), 1 - NOW
        ahead = size.arc(rising, Point(size.width, size.top), reach)
        return [
            path("draw-track", ahead, stroke_width=1.5, stroke_dasharray="3 3"),
            circle("draw-halo draw-pulse", rising, 15),
            circle("draw-ring", rising, size.sun, stroke_width=1.5),
        ]
    reach = NEW_TOP - NEW_START
    start, at = Point(NEW_START * size.width, size.yh), size.at(NOW, NEW_TOP, reach)
    ahead = size.arc(at, size.at(1, NEW_TOP, reach), reach)
    return [
        path("draw-track", ahead, stroke_width=1.5, stroke_dasharray="3 3"),
        path("draw-new", size.arc(start, at, reach), stroke_width=2, stroke_linecap="round"),
        path("draw-new", _rays(at), stroke_width=1.75, stroke_linecap="round"),
        circle("draw-sun draw-sun--ok", at, size.sun + 0.5, stroke_width=2),
    ]


def _rays(at: Point) -> str:
    """Return five short lines around the upper half of the sun."""
    directions = ((-1, -0.27), (-0.6, -0.8), (0, -1), (0.6, -0.8), (1, -0.27))
    return "".join(
        f"M{figure(at.x + 12 * x)} {figure(at.y + 12 * y)}L{figure(at.x + 18 * x)} {figure(at.y + 18 * y)}"
        for x, y in directions
    )
