from __future__ import annotations

import contextvars
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from skytells_console.logging import JsonFormatter, RedactFilter, UtcFormatter, request_id
from tests.server import serving
from tokens import secret

CUT = "sk_pat_[redacted]"


class Log:
    """A logger with the console's own filter and format, and what it wrote."""

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        line = UtcFormatter(settings.LOGGING["formatters"]["line"]["format"])
        self._handler.setFormatter(formatter or line)
        self._handler.addFilter(RedactFilter())
        self.logger = logging.Logger("console.test")  # noqa: LOG001 - nobody else may hear it
        self.logger.addHandler(self._handler)

    @property
    def text(self) -> str:
        return self._stream.getvalue()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def value() -> str:
    return secret.mint().reveal()


@pytest.fixture
def request_seven() -> Iterator[None]:
    reset = request_id.set("seven")
    yield
    request_id.reset(reset)


def raise_chained(value: str) -> None:
    try:
        raise ValueError(f"bad {value}")
    except ValueError as error:
        raise KeyError(value.upper()) from error


def assert_hidden(value: str, text: str) -> None:
    lowered = text.lower()
    assert not any(value[start : start + 12] in lowered for start in range(7, 60))


def test_a_token_in_a_message_is_cut(log: Log, value: str) -> None:
    log.logger.warning(f"got {value} twice: {value}")  # noqa: G004 - the case under test
    assert f"got {CUT} twice: {CUT}\n" in log.text
    assert_hidden(value, log.text)


def test_a_token_in_the_arguments_is_cut_wherever_it_hides(log: Log, value: str) -> None:
    log.logger.warning("got %s and %r", value, {"authorization": [value.upper()]})
    log.logger.warning("got %(token)s", {"token": value})
    assert log.text.count(CUT) == 3
    assert_hidden(value, log.text)


def test_half_a_token_on_either_side_of_the_format_is_cut(log: Log, value: str) -> None:
    log.logger.warning("got sk_pat_%s", value[7:])
    assert_hidden(value, log.text)


def test_a_token_in_a_traceback_is_cut_also_in_the_cause(log: Log, value: str) -> None:
    try:
        raise_chained(value)
    except KeyError:
        log.logger.exception("it failed")
    assert "raise_chained" in log.text
    assert f"ValueError: bad {CUT}" in log.text
    assert f"KeyError: '{CUT}'" in log.text
    assert_hidden(value, log.text)


def test_a_record_is_cut_for_every_handler_after_the_filter(log: Log, value: str) -> None:
    second = logging.StreamHandler(stream := io.StringIO())
    log.logger.addHandler(second)
    try:
        raise_chained(value)
    except KeyError:
        log.logger.exception("got %s", value, stack_info=True)
    assert_hidden(value, stream.getvalue())


@pytest.mark.parametrize("arguments", [(), ("%s",), (1, 2, 3), ({"x": 1},)])
def test_a_message_whose_arguments_do_not_fit_is_logged_and_breaks_nothing(
    log: Log, value: str, arguments: tuple[object, ...]
) -> None:
    log.logger.warning(f"%s %d {value}", *arguments)  # noqa: G004 - the case under test
    assert CUT in log.text
    assert_hidden(value, log.text)


def test_a_line_tells_its_request_and_its_time_in_utc(
    log: Log, request_seven: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.time, "time", lambda: 0.0)
    log.logger.warning("hello")
    assert "WARNING console.test [seven] hello\n" in log.text
    assert (
        UtcFormatter("%(asctime)s").format(logging.makeLogRecord({"created": 0.0, "msecs": 0}))
        == "1970-01-01 00:00:00,000"
    )


def test_a_line_outside_a_request_says_so(log: Log) -> None:
    contextvars.Context().run(log.logger.warning, "hello")
    assert "[-] hello" in log.text


def test_the_console_logs_nowhere_but_through_the_filter() -> None:
    assert settings.LOGGING["root"]["handlers"] == ["stderr"]
    assert settings.LOGGING["handlers"]["stderr"]["filters"] == ["redact"]
    assert not any(logger.get("handlers") for logger in settings.LOGGING["loggers"].values())


# --- JSON ----------------------------------------------------------------------------------------


def test_a_line_of_json_tells_the_same_and_stays_one_line(request_seven: None, value: str) -> None:
    log = Log(JsonFormatter())
    log.logger.warning('got "%s"\nand more', value)
    (line,) = log.text.splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "WARNING",
        "logger": "console.test",
        "request_id": "seven",
        "message": f'got "{CUT}"\nand more',
    }


def test_a_traceback_in_json_is_cut_also_in_the_cause(value: str) -> None:
    log = Log(JsonFormatter())
    try:
        raise_chained(value)
    except KeyError:
        log.logger.exception("it failed", stack_info=True)
    told = json.loads(log.text)
    assert f"ValueError: bad {CUT}" in told["exception"]
    assert "test_logging" in told["stack"]
    assert_hidden(value, log.text)


def test_every_line_of_a_server_is_json_and_none_holds_a_token(tmp_path: Path, value: str) -> None:
    with serving(tmp_path, LOG_FORMAT="json", TRUSTED_PROXY_COUNT="1") as server:
        https = "X-Forwarded-Proto: https"
        # The tables are missing, so that all of these fail and say why.
        server.get(f"/account/sign-in?next={value}", https)
        server.get(f"/{value}?token={value}", https, f"Cookie: __Host-session={value}")
        server.get("/api/v1/user", https, f"Authorization: Bearer {value}")
        server.get("/", f"Host: {value}", https, f"{value}: x")
        server.send(f"GET / {value}\r\n\r\n".encode())
    lines = [json.loads(line) for line in server.log.splitlines()]
    failed = [line for line in lines if line["level"] in {"ERROR", "WARNING"}]
    assert len({line["request_id"] for line in failed}) > 2
    assert any("exception" in line for line in failed)
    assert CUT in server.log
    assert_hidden(value, server.log)
