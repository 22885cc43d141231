"""Counts requests for Prometheus: an extra, which only exists where ``METRICS_SECRET`` is set."""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Iterator, Mapping

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

Backlog = Callable[[], Mapping[str, tuple[str, float]]]

# Labels are short closed lists: a path or a method of a stranger's making would grow without end.
METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}
REQUESTS = Counter(
    "console_requests", "Requests that were answered.", ["route", "method", "status"]
)
# A verdict takes a few milliseconds, a sign-in some tens of them.
SECONDS = Histogram(
    "console_request_seconds",
    "Seconds until the answer began.",
    ["door"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


class MetricsMiddleware:
    """Counts each request by route, method and status, and how long it took by door."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request and count it."""
        began = time.perf_counter()
        response = self.get_response(request)
        door = "api" if request.path_info.startswith(settings.API_PREFIX) else "page"
        SECONDS.labels(door).observe(time.perf_counter() - began)
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(_route(request), method, response.status_code).inc()
        return response


def metrics_page(backlog: Backlog) -> Callable[[HttpRequest], HttpResponse]:
    """Return the view of ``/metrics``; ``backlog`` is asked about the database at each scrape.

    It answers whoever presents ``METRICS_SECRET`` as a bearer, which Prometheus can do by itself,
    and nobody else: numbers of sign-ins and refusals are of use to an attacker.
    """

    @login_not_required
    @require_safe
    def metrics(request: HttpRequest) -> HttpResponse:
        """Write what all processes of this server counted, in Prometheus' text format."""
        expected = f"Bearer {settings.METRICS_SECRET}".encode()
        presented = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(presented, expected):
            challenge = {"WWW-Authenticate": 'Bearer realm="metrics"'}
            return HttpResponse("Present METRICS_SECRET.\n", status=401, headers=challenge)
        now = CollectorRegistry()
        now.register(_Gauges(backlog))
        text = generate_latest(_counted()) + generate_latest(now)
        return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)

    return metrics


class _Gauges(Collector):
    """What is true at this moment, asked once for a scrape and not once for each process."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, (meaning, value) in self._backlog().items():
            yield GaugeMetricFamily(f"console_{name}", meaning, value=value)

    def describe(self) -> list[GaugeMetricFamily]:
        # Otherwise registering would ask the database as well.
        return []


def _counted() -> CollectorRegistry:
    # Under gunicorn every process counts in a file of its own, and whichever is asked adds them up.
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _route(request: HttpRequest) -> str:
    if request.resolver_match is not None:
        return request.resolver_match.view_name
    return "static" if request.path_info.startswith(settings.STATIC_URL) else "none"
