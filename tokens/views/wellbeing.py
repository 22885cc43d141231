"""Two addresses for load balancers: whether the process is alive, and whether it can serve."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from tokens import health


@login_not_required
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer without touching anything."""
    return HttpResponse("alive\n", content_type="text/plain; charset=utf-8")


@login_not_required
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when database, migrations and triggers are as they must be, else 503 and why."""
    faults = health.faults()
    text = "\n".join(faults or ["ready"]) + "\n"
    return HttpResponse(
        text, status=503 if faults else 200, content_type="text/plain; charset=utf-8"
    )
