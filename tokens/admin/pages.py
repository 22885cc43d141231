"""What every page of the admin has around it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

BRAND = "Skytells Console"


def page(
    request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Answer with one page of the admin, in the same frame as its lists."""
    around = {
        "site_title": BRAND,
        "site_header": BRAND,
        "has_permission": True,
        "is_popup": False,
        "is_nav_sidebar_enabled": False,
        "title": title,
    }
    return render(request, f"admin/{template}.html", around | context, status=status)
