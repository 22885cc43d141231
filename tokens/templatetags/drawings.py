"""Tags for the day arc, the plot of use and the skyline, which stand beside the words that say the same.

Every figure is in a presentation attribute and every colour in the stylesheet, behind a class, so that
the pages need no ``style`` and both themes share one drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Literal

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from tokens.insight import DayCount
from tokens.templatetags import crossing, day, plot, skyline as bars
from tokens.templatetags.day import Kind, Life, sun_class

__all__ = [
    "Kind",
    "Life",
    "day_arc",
    "rotation_arc",
    "skyline",
    "skyline_labelled",
    "sun_at",
    "sun_class",
    "use_plot",
]

register = template.Library()


@register.simple_tag
def day_arc(life: Life, size: str) -> SafeString:
    """Draw the day arc in one of its sizes: row, summary, detail, detail-phone."""
    return day.draw(life, day.SIZES[size], timezone.now())


@register.simple_tag
def rotation_arc(phase: crossing.Phase, size: str) -> SafeString:
    """Draw two days that cross, in one of their sizes: crossing, crossing-phone."""
    return crossing.draw(phase, crossing.SIZES[size])


@register.simple_tag
def use_plot(days: Sequence[DayCount], size: str, ended: date | None = None) -> SafeString:
    """Draw thirty days of requests in one of the plot's sizes: detail, detail-phone."""
    return plot.draw(days, plot.SIZES[size], ended)


@register.simple_tag
def legend_mark(kind: Literal["allowed", "refused"]) -> SafeString:
    """Draw one bar of the plot, as its legend shows it."""
    return plot.legend(kind)


@register.filter
def sun_at(life: Life) -> str:
    """Return the class of the label that stands under the sun of the detail page."""
    return sun_class(day.across(life, timezone.now()))


@register.simple_tag
def skyline(scopes: Iterable[str], ended: bool = False) -> SafeString:
    """Draw what a token may do, in grey where it has ended."""
    return bars.draw(scopes, ended=ended)


@register.inclusion_tag("components/skyline_labelled.html")
def skyline_labelled(scopes: Iterable[str]) -> dict[str, Any]:
    """Draw what a token may do with a word under each bar, as the create summary does."""
    return {"bars": bars.labelled(scopes)}
