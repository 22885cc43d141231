"""The banner over the pages that are not about tokens themselves."""

from __future__ import annotations

from typing import Any

from django import template

from tokens.views.banners import site_banner

register = template.Library()


@register.inclusion_tag("components/site_banner.html", takes_context=True, name="site_banner")
def site_banner_tag(context: dict[str, Any]) -> dict[str, Any]:
    """Show what of the person's tokens needs a look, or nothing."""
    request = context["request"]
    return {
        "banner": site_banner(request),
        "request": request,
        "csrf_token": context.get("csrf_token"),
    }
