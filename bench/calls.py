"""The layers of ``GET /api/v1/token`` as calls without arguments; ``bench.layers`` times them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.core.signals import request_finished, request_started
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test.utils import override_settings
from django.urls import get_resolver, path
from django.utils import timezone

from bench.load import spoil
from skytells_console import middleware
from tokens import authentication, secret, usage
from tokens.api import door, endpoints
from tokens.authentication import lookup
from tokens.models import AccessToken
from tokens.origin import Consumer, client_label, network_of

Timed = Callable[[], object]
QUERY = lookup.by_digests(1)
ADDRESS, AGENT = "127.0.0.1", "node"

# Stands in for the console's routes while Django's own part is timed.
urlpatterns = [path("bare", lambda request: JsonResponse({"status": "ok"}))]


class Calls:
    """Calls that take one token after the other, as clients would send them."""

    def __init__(self, values: list[str]) -> None:
        self.values = values
        self.turn = 0
        self.handler = WSGIHandler()
        with override_settings(MIDDLEWARE=[]):
            self.bare_handler = WSGIHandler()
        self.digests = [secret.digest(value)[1] for value in values]
        self.http_request = WSGIRequest(self.environ())

    def layers(self) -> list[tuple[str, Timed]]:
        """Return title and call of each layer: the whole first, then its parts."""
        found = lookup.find_row(self.values[0])
        assert found is not None, "The first token is not in the database."
        return [
            ("**the whole request**, from WSGI to WSGI", self.request),
            ("the whole of `auth/verify`", self.verify),
            ("the whole with a malformed token", self.malformed),
            ("a bare Django view, in this process", self.bare),
            ("Django: signals before and after", self.signals),
            ("Django: request object", lambda: WSGIRequest(self.environ())),
            ("Django: resolver", lambda: get_resolver(settings.API_URLCONF).resolve(self.path)),
            *self.middleware(),
            ("address and clock of the request", lambda: door.facts_of(self.http_request)),
            ("**`authenticate`**, all of it", self.authenticate),
            ("· header and checksum", lambda: authentication._bearer(f"Bearer {self.value()}")),
            ("· digest", lambda: secret.digests(self.value())),
            ("· query and its row", lambda: lookup.find_row(self.value())),
            ("· · query on Django's cursor", self.query),
            ("· · query on the driver itself", self.driver_query()),
            ("· · for comparison: the ORM, with the owner", self.orm_query),
            ("· · row made of the columns", self.row()),
            (
                "· counting the use",
                lambda: authentication._count(found, self.facts(), "", allowed=True),
            ),
            ("· · network of the address", lambda: network_of(ADDRESS)),
            ("· · `usage.record`", self.record),
            ("the answer's JSON", self.answer()),
        ]

    path = "/api/v1/token"

    def close(self) -> None:
        """Forget what was counted and close the connection, so that the database can be dropped."""
        usage.forget_gathered()
        connection.close()

    def value(self) -> str:
        """Return the next token."""
        self.turn = (self.turn + 1) % len(self.values)
        return self.values[self.turn]

    def environ(self, where: str = path) -> dict[str, Any]:
        """Return what gunicorn passes for one request with the next token."""
        return {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": where,
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": ADDRESS,
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_USER_AGENT": AGENT,
            "HTTP_AUTHORIZATION": f"Bearer {self.value()}",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
        }

    def facts(self) -> authentication.Request:
        """Return what the verdict needs to know of a request with the next token."""
        bearer = f"Bearer {self.value()}"
        return authentication.Request(bearer, ADDRESS, AGENT, "", timezone.now(), "")

    def request(self) -> None:
        """Answer one request as gunicorn would have it answered."""
        _answer(self.handler, self.environ())

    def verify(self) -> None:
        """Answer one question of a proxy."""
        asked = {"QUERY_STRING": "scope=projects.read"}
        _answer(self.handler, self.environ("/api/v1/auth/verify") | asked)

    def malformed(self) -> None:
        """Refuse a token with another last digit."""
        environ = self.environ()
        environ["HTTP_AUTHORIZATION"] = f"Bearer {spoil(self.value())}"
        _answer(self.handler, environ)

    def bare(self) -> None:
        """Answer a constant, through Django's own machinery only."""
        settings.ROOT_URLCONF, usual = __name__, settings.ROOT_URLCONF
        try:
            _answer(self.bare_handler, self.environ("/bare"))
        finally:
            settings.ROOT_URLCONF = usual

    def signals(self) -> None:
        """Send what Django sends around each request: it looks after connections and caches."""
        request_started.send(sender=WSGIHandler, environ={})
        request_finished.send(sender=WSGIHandler)

    def middleware(self) -> list[tuple[str, Timed]]:
        """Return each middleware that an API request passes, around nothing."""
        response = HttpResponse()

        def around_nothing(chain: type[Any]) -> Timed:
            made = chain(lambda request: response)
            made.api_response = lambda request: response
            return lambda: made(self.http_request)

        return [
            ("middleware: request id", around_nothing(middleware.RequestIdMiddleware)),
            ("middleware: HEAD", around_nothing(middleware.HeadMiddleware)),
            ("middleware: API door", around_nothing(middleware.ApiDoorMiddleware)),
            ("middleware: API answers", around_nothing(door.ApiAnswerMiddleware)),
        ]

    def authenticate(self) -> authentication.Principal:
        """Go from the header to the caller."""
        return authentication.authenticate(self.facts())

    def query(self) -> Any:
        """Ask the one query through Django's cursor."""
        self.turn = (self.turn + 1) % len(self.digests)
        with connection.cursor() as cursor:
            cursor.execute(QUERY._sql, [self.digests[self.turn]])
            return cursor.fetchone()

    def driver_query(self) -> Timed:
        """Return the same query without Django, prepared on the server where there is one."""
        connection.ensure_connection()
        driver, sql = connection.connection, QUERY._sql
        if connection.vendor == "sqlite":
            sql = sql.replace("%s", "?")
            return lambda: driver.execute(sql, [self.digests[0]]).fetchone()
        from psycopg import Cursor

        # Django switches preparing off, and its own cursor writes the values into the statement.
        driver.prepare_threshold = 0
        return lambda: Cursor(driver).execute(sql, [self.digests[0]]).fetchone()

    def orm_query(self) -> Any:
        """Ask for the token and its owner as a view would without thinking of cost."""
        self.turn = (self.turn + 1) % len(self.digests)
        return AccessToken.objects.select_related("owner").get(digest=self.digests[self.turn])

    def row(self) -> Timed:
        """Return the step that turns the columns into values."""
        found = self.query()
        return lambda: lookup.row_of(found)

    def record(self) -> None:
        """Count one use in memory."""
        usage.record(
            token_id=1,
            scope="",
            consumer=Consumer(network="127.0.0.0/24", client=client_label(AGENT)),
            address=ADDRESS,
            at=timezone.now(),
        )

    def answer(self) -> Timed:
        """Return the endpoint behind the bearer check."""
        request: Any = HttpRequest()
        request.principal = self.authenticate()
        endpoint: Any = endpoints.get_token
        return lambda: endpoint.__wrapped__(request)


def _answer(handler: WSGIHandler, environ: dict[str, Any]) -> None:
    response: Any = handler(environ, lambda status, headers, exc_info=None: None)
    for _ in response:
        pass
    response.close()
