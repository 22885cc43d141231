"""The pages for what went wrong, in the console's own look and with its own words."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve, reverse

from tokens.secret import redact
from tokens.views.creation import stale_form

MAX_PATH = 120


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer what cannot be read; 413 when it was only too large."""
    status = 413 if isinstance(exception, RequestDataTooBig) else 400
    return render(request, "400.html", status=status)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that the account may not do this, with the number by which the log line is found."""
    return render(request, "403.html", {"reference": _reference(request)}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is nothing, and where; a token that was pasted into the address is not repeated."""
    # No page may hold a control character, and nobody could read it either.
    path = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in request.path
    )
    path = redact(path)[:MAX_PATH]
    return render(request, "404.html", {"path": path}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Say that something broke, asking nothing of what may be broken, such as the session."""
    context = {"request": request, "reference": _reference(request)}
    return HttpResponse(render_to_string("500.html", context), status=500)


def _reference(request: HttpRequest) -> str:
    return str(request.META.get("console.request_id", ""))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that a form is out of date, keeping what was typed where that is safe.

    Only a request that the browser marks as coming from this very site gets its fields back: a
    stranger's page must not be able to fill in a form here.
    """
    user: Any = request.user
    creating = request.path in {reverse("tokens:create"), reverse("tokens:draft")}
    if user.is_authenticated and _same_origin(request) and creating:
        return stale_form(request)
    context = {
        "reload_url": request.path if _is_page(request.path) else None,
        "reference": _reference(request),
    }
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
