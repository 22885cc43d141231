"""What every request passes: id, API door, page headers, size, sign-in, HTMX redirects, time zone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.base import BaseHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.module_loading import import_string
from django_htmx.http import HttpResponseClientRedirect

from skytells_console.logging import request_id
from tokens.secret import redact_address

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Gives each request an id of its own, shown in answers and log lines.

    A client's own id is not taken over: it would let a stranger write into the log.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request with its id in ``X-Request-ID``."""
        identifier = os.urandom(8).hex()
        # It stays until the thread's next request, because Django logs an answer of 500 and more
        # after the last middleware has returned.
        request_id.set(identifier)
        request.META["console.request_id"] = identifier
        response = self.get_response(request)
        response.headers["X-Request-ID"] = identifier
        return response


class ApiDoorMiddleware:
    """Hands every path under the API prefix to a second handler with a shorter middleware chain.

    Measured in ``bench/``: sessions, CSRF, messages and page headers cost a bearer request as much
    as its database query, and none of them may act on it.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.api_response = _chain(settings.API_MIDDLEWARE)
        self.prefix = settings.API_PREFIX
        self.pages = f"{settings.API_PAGES}/"

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer API paths from the API's own routes, everything else from the console's."""
        path = request.path_info
        # With the slash, so that an address that only begins like the pages' is the API's.
        if not path.startswith(self.prefix) or f"{path}/".startswith(self.pages):
            return self.get_response(request)
        # The handler makes these routes the current ones when it resolves the path.
        request.urlconf = settings.API_URLCONF
        return self.api_response(request)


def _chain(middleware: list[str]) -> GetResponse:
    handler: Any = BaseHandler()
    # The handler resolves and calls the view; it keeps no view hooks, since none is configured.
    handler._view_middleware = []
    handler._template_response_middleware = []
    handler._exception_middleware = []
    response: Any = convert_exception_to_response(handler._get_response)
    for path in reversed(middleware):
        response = convert_exception_to_response(import_string(path)(response))
    return response  # type: ignore[no-any-return]


class HeadMiddleware:
    """Empties the body of an answer to HEAD, which gunicorn would otherwise log as a fault."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Keep the headers, the length among them, and drop the bytes."""
        response = self.get_response(request)
        if request.method == "HEAD" and isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
            response.content = b""
        return response


class PageHeadersMiddleware:
    """Sends the strict content policy, and ``no-store`` with every page.

    An answer that is no page and whose reader may keep it says so with ``may_be_kept``.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the headers that an answer does not already carry."""
        response = self.get_response(request)
        headers = response.headers
        headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if not getattr(response, "may_be_kept", False):
            headers["Cache-Control"] = "no-store, private"
        return response


class PageCompressionMiddleware(GZipMiddleware):
    """Compresses pages and fragments, but never an answer that may show a value once.

    The length of a compressed answer can betray what stands in it to somebody who chooses another
    part of it and watches the line (BREACH). The CSRF token is masked anew in every answer, Django
    adds a random length to each, and the session cookie does not travel with a stranger's request.
    A token's value stands only in the answer to a POST that succeeded, so those are sent as they
    are; a view that only draws its form again says so with ``compressible``.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Compress where the browser takes it and nothing in the answer is shown once."""
        reads = request.method in {"GET", "HEAD"}
        refuses = response.status_code >= 400
        if reads or refuses or getattr(response, "compressible", False):
            return super().process_response(request, response)
        return response


class BodyBoundMiddleware:
    """Refuses a body that says it is too large, before any of it is read.

    Django bounds the fields of a form, but not the files that come with them, and reads both when
    the CSRF check asks for the form, long before anybody is known to be signed in. A body that does
    not say its length is empty to Django. The API has its own bound.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Raise ``RequestDataTooBig``, which is answered with 413, or go on."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        # A length that is no number counts as none to Django as well; gunicorn refuses it before.
        if length.isascii() and length.isdigit():
            digits = length.lstrip("0")
            bound = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            if len(digits) > len(str(bound)) or int(digits or "0") > bound:
                raise RequestDataTooBig("The body is larger than any form of the console.")
        return self.get_response(request)


class SignInMiddleware(LoginRequiredMiddleware):
    """Sends everybody who is not signed in to the sign-in, and no token with them.

    A link may hold one by mistake; the way back must not carry it into more addresses and logs.
    """

    def handle_no_permission(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseRedirect:
        """Redirect, with the way back in the query."""
        back = redact_address(request.get_full_path())
        sign_in = resolve_url(self.get_login_url(view_func))
        return redirect_to_login(back, sign_in, self.get_redirect_field_name(view_func))


class HtmxRedirectMiddleware:
    """Turns a redirect to the sign-in page into one that htmx follows as a whole page.

    The browser would follow a plain redirect by itself and htmx would swap the sign-in page into
    the middle of the console.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Replace 301, 302, 303 and 307 by ``HX-Redirect`` when htmx asked."""
        response = self.get_response(request)
        if not getattr(request, "htmx", False) or response.status_code not in {301, 302, 303, 307}:
            return response
        client = HttpResponseClientRedirect(response.headers["Location"])
        client.cookies = response.cookies
        return client


class TimeZoneMiddleware:
    """Shows times in the signed-in person's own zone."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Activate the zone for this request only."""
        user = request.user
        if not user.is_authenticated:
            return self.get_response(request)
        with timezone.override(user.zone):
            return self.get_response(request)
