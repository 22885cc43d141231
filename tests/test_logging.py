from __future__ import annotations

import contextvars
import io
import logging
from collections.abc import Iterator

import pytest
from django.conf import settings

from skytells_console.logging import RedactFilter, UtcFormatter, request_id
from tokens import secret

CUT = "sk_pat_[redacted]"


class Log:
    """A logger with the console's own filter and format, and what it wrote."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(UtcFormatter(settings.LOGGING["formatters"]["line"]["format"]))
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
