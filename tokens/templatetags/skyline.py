"""The skyline: five bars for the five resources, taller means more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django.utils.safestring import SafeString

from tokens import scopes as catalogue
from tokens.templatetags.svg import picture, shape

PITCH = 9
WIDTH = 6
HEIGHTS = (2, 9, 18)
COLOURS = ("draw-none", "draw-read", "draw-write")

# The labelled version of the create page, where people learn to read the small one.
LABELLED_WIDTH = 26
LABELLED_HEIGHTS = (3, 22, 44)
SHORT = {"deployments": "Deploy", "keys": "Keys"}


class LabelledBar(NamedTuple):
    """One bar with the word under it."""

    label: str
    held: bool
    drawing: SafeString


def levels(names: Iterable[str]) -> list[int]:
    """Return the height for each resource: 0 nothing, 1 read or run, 2 write."""
    held = [catalogue.BY_NAME[name] for name in names if name in catalogue.BY_NAME]
    return [
        max((1 + scope.writes for scope in held if scope.resource == resource.key), default=0)
        for resource in catalogue.RESOURCES
    ]


def draw(names: Iterable[str], *, ended: bool) -> SafeString:
    """Return the five bars, in grey where the token can do nothing any more."""
    bars = [
        _bar(place * PITCH, WIDTH, HEIGHTS, level, ended=ended)
        for place, level in enumerate(levels(names))
    ]
    return picture("skyline", PITCH * len(bars) - (PITCH - WIDTH), HEIGHTS[-1], bars)


def labelled(names: Iterable[str]) -> list[LabelledBar]:
    """Return the five bars one by one, each with its word."""
    return [
        LabelledBar(
            SHORT.get(resource.key, resource.title),
            level > 0,
            picture(
                "skywords__bar",
                LABELLED_WIDTH,
                LABELLED_HEIGHTS[-1],
                [_bar(0, LABELLED_WIDTH, LABELLED_HEIGHTS, level, ended=False)],
            ),
        )
        for resource, level in zip(catalogue.RESOURCES, levels(names), strict=True)
    ]


def _bar(x: int, width: int, heights: tuple[int, ...], level: int, *, ended: bool) -> SafeString:
    height, top = heights[level], heights[-1]
    css = "draw-past" if ended and level else COLOURS[level]
    return shape("rect", css, x=x, y=top - height, width=width, height=height, rx=width // 12 or 1)
