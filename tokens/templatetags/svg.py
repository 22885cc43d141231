"""SVG by hand: geometry in presentation attributes, colour behind a class, nothing for screen readers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class Point(NamedTuple):
    """A place in a drawing."""

    x: float
    y: float


def figure(value: float) -> str:
    """Return a number as SVG reads it, to the hundredth of a pixel."""
    return f"{round(value, 2):g}"


def shape(name: str, css: str, **geometry: float | str) -> SafeString:
    """Return one element; ``stroke_width`` becomes ``stroke-width``."""
    attributes = {"class": css} | {
        key.replace("_", "-"): value if isinstance(value, str) else figure(value)
        for key, value in geometry.items()
    }
    return format_html("<{}{}/>", name, flatatt(attributes))


def path(css: str, d: str, **more: float | str) -> SafeString:
    """Return a line along ``d``."""
    return shape("path", css, d=d, **more)


def circle(css: str, at: Point, r: float, **more: float | str) -> SafeString:
    """Return a circle around ``at``."""
    return shape("circle", css, cx=at.x, cy=at.y, r=r, **more)


def picture(css: str, width: int, height: int, shapes: Iterable[SafeString]) -> SafeString:
    """Return the whole drawing; the words beside it speak, so it is hidden from those who listen."""
    return format_html(
        '<svg class="{0}" width="{1}" height="{2}" viewBox="0 0 {1} {2}" aria-hidden="true">{3}</svg>',
        css,
        width,
        height,
        format_html_join("", "{}", ((each,) for each in shapes)),
    )
