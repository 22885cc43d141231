"""What the API says when no endpoint answered: always JSON, never a page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from tokens.api.answers import refusal


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django itself could not read."""
    return refusal(request, 400, "bad_request", "The request cannot be read. Check how it is sent.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that was forbidden outside the bearer check."""
    return refusal(request, 403, "forbidden", "This is not allowed.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that does not exist; a slash at the end is the usual mistake."""
    return refusal(
        request,
        404,
        "not_found",
        "There is nothing at this address.",
        details="Addresses of the API have no slash at the end."
        if request.path.endswith("/")
        else "",
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when something broke; the details are in the log under the request's id."""
    return refusal(
        request,
        500,
        "server_error",
        "Something broke on our side. Try again, and quote the request id if it stays.",
    )
