"""The day arc: a token rises when it is made, crosses the sky, and sets when it ends.

Each width has figures of its own, so that strokes never scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Literal, NamedTuple

from django.utils.safestring import SafeString

from tokens.templatetags.svg import Point, circle, figure, path, picture

Kind = Literal[
    "live",
    "attention",
    "never_used",
    "unused",
    "no_expiration",
    "paused",
    "rotating",
    "replacement_works",
    "expired",
    "revoked",
    "rotated_out",
]

# Where the sun of a token without an end stands: at the top of its quarter arc, from then on level.
ENDLESS = 0.41
# What a rotation leaves of the old day, in width and height, to make room for the replacement's.
OLD_DAY = (0.68, 0.91)


@dataclass(frozen=True, slots=True)
class Life:
    """The times of one token, and what is worth drawing about it."""

    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    kind: Kind


class Size(NamedTuple):
    """The figures of one width: the arc from ``x0`` to ``x1`` over the horizon ``yh``, ``ry`` high."""

    name: str
    width: int
    height: int
    x0: float
    x1: float
    yh: float
    ry: float
    sun: float
    ring: float
    rise: float
    large: bool = False

    @property
    def rx(self) -> float:
        """Half the width of the arc."""
        return (self.x1 - self.x0) / 2


SIZES = {
    size.name: size
    for size in (
        Size("row", 76, 34, 5, 71, 28, 22, sun=4.5, ring=5.5, rise=33),
        Size("summary", 292, 58, 10, 282, 44, 32, sun=7, ring=9, rise=40),
        Size("detail", 928, 104, 10, 918, 90, 78, sun=7, ring=9, rise=86, large=True),
        Size("detail-phone", 326, 84, 10, 316, 70, 58, sun=7, ring=9, rise=66, large=True),
    )
}


# --------------------------------------------------------------------------------------------- geometry


def elapsed(life: Life, now: datetime) -> float:
    """Return how much of the planned life has passed, from 0 to 1, at its end or else at ``now``."""
    if life.expires_at is None:
        return ENDLESS
    span = life.expires_at - life.created_at
    if span <= timedelta(0):
        return 1.0
    passed = (life.ended_at or now) - life.created_at
    return min(max(passed / span, 0.0), 1.0)


def across(life: Life, now: datetime) -> float:
    """Return how far along the whole width the sun stands, from 0 to 1."""
    t = elapsed(life, now)
    return t * OLD_DAY[0] if DAYS.get(life.kind) is _two_suns else t


def on_arc(size: Size, t: float) -> Point:
    """Return the place of ``t`` on the arc, whose ends lie on the horizon."""
    x = size.x0 + t * (size.x1 - size.x0)
    from_centre = (x - size.x0) / size.rx - 1
    return Point(x, size.yh - size.ry * sqrt(max(0.0, 1 - from_centre**2)))


def standing(life: Life, size: Size, t: float) -> Point:
    """Return where the sun stands: on the arc, or level at its height where no end is planned."""
    at = on_arc(size, t)
    return at if life.expires_at else Point(at.x, size.yh - size.ry)


def arc(size: Size, t: float) -> str:
    """Return the path from sunrise to ``t``.

    It goes through the top, since the one ellipse through two points that lie nearly its whole width
    apart would move with the last decimal.
    """
    stops = [on_arc(size, 0.5)] if t > 0.5 else []
    stops.append(on_arc(size, t))
    return f"M{figure(size.x0)} {figure(size.yh)}" + "".join(
        f"A{figure(size.rx)} {figure(size.ry)} 0 0 1 {figure(x)} {figure(y)}" for x, y in stops
    )


def quarter(start: Point, end: Point) -> str:
    """Return the path that rises from ``start`` and is level when it reaches ``end``."""
    x, y, to_x, to_y = map(figure, (*start, *end))
    return f"M{x} {y}A{figure(end.x - start.x)} {figure(start.y - end.y)} 0 0 1 {to_x} {to_y}"


def sun_class(t: float) -> str:
    """Return the class that sets a label under the sun, in steps of 5 % and clear of both ends.

    On phones the stylesheet keeps the label between 40 % and 60 %.
    """
    return f"at-{min(max(round(t * 20) * 5, 20), 80)}"


# ------------------------------------------------------------------------------------------------ marks


def _sun(size: Size, at: Point) -> list[SafeString]:
    # The stroke has the colour behind the drawing and parts the sun from its arc.
    return [circle("draw-sun", at, size.sun, stroke_width=2)]


def _amber_sun(size: Size, at: Point) -> list[SafeString]:
    return [circle("draw-sun draw-sun--attn", at, size.sun, stroke_width=2)]


def _hollow_sun(size: Size, at: Point) -> list[SafeString]:
    return [circle("draw-ring", at, size.sun, stroke_width=1.5)]


def _crescent(size: Size, at: Point) -> list[SafeString]:
    scale = size.sun / 4.5
    tip, foot = Point(-1.1, -5.3), Point(5.0, 2.2)
    outer, inner = figure(5.4 * scale), figure(5.0 * scale)
    line = (
        f"M{figure(at.x + tip.x * scale)} {figure(at.y + tip.y * scale)}"
        f"A{outer} {outer} 0 1 0 {figure(at.x + foot.x * scale)} {figure(at.y + foot.y * scale)}"
        f"A{inner} {inner} 0 0 1 {figure(at.x + tip.x * scale)} {figure(at.y + tip.y * scale)}z"
    )
    return [circle("draw-behind", at, 6.5 * scale), path("draw-mark--attn", line)]


def _pause(size: Size, at: Point) -> list[SafeString]:
    aside, half = size.ring * 0.29, size.ring * 0.38
    bars = "".join(
        f"M{figure(x)} {figure(at.y - half)}v{figure(2 * half)}"
        for x in (at.x - aside, at.x + aside)
    )
    width = 2 if size.large else 1.25
    return [
        circle("draw-ring draw-ring--attn", at, size.ring, stroke_width=1.5),
        path("draw-attn", bars, stroke_width=width, stroke_linecap="round"),
    ]


def _needle(size: Size, at: Point, gap: float) -> list[SafeString]:
    if not size.large or at.y + gap >= size.yh:
        return []
    line = f"M{figure(at.x)} {figure(at.y + gap)}V{figure(size.yh)}"
    return [path("draw-track", line, stroke_dasharray="2 3")]


# ------------------------------------------------------------------------------------------------- days


def _done(life: Life, size: Size, t: float) -> str:
    if life.expires_at:
        return arc(size, t)
    return quarter(Point(size.x0, size.yh), standing(life, size, t))


def _ahead(life: Life, size: Size, t: float, *, dashed: bool = False) -> SafeString:
    # The arc still to come runs under the part that has passed; a life without an end goes on level.
    if life.expires_at is None:
        at, gap = standing(life, size, t), size.sun + 3
        line = f"M{figure(at.x + gap)} {figure(at.y)}H{size.width}"
    else:
        line = arc(size, 1)
    dashes = {"stroke_dasharray": "3 3"} if dashed or life.expires_at is None else {}
    return path("draw-track", line, stroke_width=1.5, **dashes)


def _day(life: Life, size: Size, t: float) -> list[SafeString]:
    at = standing(life, size, t)
    css = "draw-attn" if life.kind in {"attention", "paused"} else "draw-elapsed"
    dashes = {"stroke_dasharray": "5 4"} if life.kind == "paused" else {}
    done = path(css, _done(life, size, t), stroke_width=2, stroke_linecap="round", **dashes)
    return [
        _ahead(life, size, t),
        done,
        *_needle(size, at, size.sun + 3),
        *MARKS[life.kind](size, at),
    ]


def _set(life: Life, size: Size, t: float) -> list[SafeString]:
    r = size.sun + 0.5
    x, y = min(size.x1, size.width - r - 0.75) - r, size.yh + 2.5
    sun = f"M{figure(x)} {figure(y)}a{figure(r)} {figure(r)} 0 0 0 {figure(2 * r)} 0"
    return [
        path("draw-track", arc(size, 1), stroke_width=1.5, stroke_dasharray="3 3"),
        path("draw-ended", sun, stroke_width=1.5, stroke_linecap="round"),
    ]


def _cut(life: Life, size: Size, t: float) -> list[SafeString]:
    at, reach = standing(life, size, t), size.sun * 2 / 3
    left, right, top, foot = map(figure, (at.x - reach, at.x + reach, at.y - reach, at.y + reach))
    cross = f"M{left} {top}L{right} {foot}M{right} {top}L{left} {foot}"
    shapes = [path("draw-ended", _done(life, size, t), stroke_width=1.5)]
    if size.large:
        shapes.insert(0, _ahead(life, size, t, dashed=True))
        shapes.append(circle("draw-behind", at, 10))
        shapes += _needle(size, at, 8)
    shapes.append(path("draw-ended", cross, stroke_width=1.75, stroke_linecap="round"))
    return shapes


def _two_suns(life: Life, size: Size, t: float) -> list[SafeString]:
    width, height = OLD_DAY
    old = size._replace(
        x1=size.x0 + width * (size.x1 - size.x0), ry=size.ry * height, sun=size.sun - 0.5
    )
    at = standing(life, old, t)
    rising = Point(at.x, size.yh)
    replacement = quarter(rising, Point(size.x1, size.yh - size.rise))
    works = life.kind == "replacement_works"
    mark = "draw-sun draw-sun--ok" if works else "draw-ring"
    return [
        path("draw-track", replacement, stroke_width=1.5, stroke_dasharray="3 3"),
        *_day(life, old, t),
        circle(mark, rising, old.sun, stroke_width=1.5),
    ]


MARKS: dict[str, Callable[[Size, Point], list[SafeString]]] = {
    "live": _sun,
    "no_expiration": _sun,
    "rotating": _sun,
    "replacement_works": _sun,
    "attention": _amber_sun,
    "never_used": _hollow_sun,
    "unused": _crescent,
    "paused": _pause,
}
DAYS: dict[str, Callable[[Life, Size, float], list[SafeString]]] = {
    "rotating": _two_suns,
    "replacement_works": _two_suns,
    "expired": _set,
    "revoked": _cut,
    "rotated_out": _cut,
}


def draw(life: Life, size: Size, now: datetime) -> SafeString:
    """Return the drawing of ``life`` as it stands at ``now``."""
    # Half a pixel below the feet of the arc, the hairline of the horizon is sharp.
    horizon = path("draw-horizon", f"M0 {figure(size.yh + 0.5)}H{size.width}")
    day = DAYS.get(life.kind, _day)(life, size, elapsed(life, now))
    return picture(f"arc arc--{size.name}", size.width, size.height, [horizon, *day])
