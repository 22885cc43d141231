"""The pages for what went wrong, in the console's own look and with its own words."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse

from tokens.views.creation import stale_form


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what cannot be read; 413 when it was only too large."""
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    return render(request, "400.html", status=status)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that a form is out of date, keeping what was typed where that is safe.

    Only a request that the browser marks as coming from this very site gets its fields back: a
    stranger's page must not be able to fill in a form here.
    """
    user: Any = request.user
    creating = request.path in {reverse("tokens:create"), reverse("tokens:draft")}
    if user.is_authenticated and _same_origin(request) and creating:
        return stale_form(request)
    context = {"reload_url": request.path if _is_page(request.path) else None}
    return render(request, "403_csrf.html", context, status=403)


def _same_origin(request: HttpRequest) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("Origin") or request.headers.get("Referer") or ""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (parts.scheme, parts.netloc) == (request.scheme, request.get_host())


def _is_page(path: str) -> bool:
    try:
        return bool(resolve(path))
    except Resolver404:
        return False
