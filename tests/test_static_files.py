from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from skytells_console.static_files import StaticFilesMiddleware

# An answer that is closed looks after the connections that the tests before this one left open.
pytestmark = pytest.mark.django_db
MANIFEST = "staticfiles.json"


@pytest.fixture
def folder(tmp_path: Path, settings: SimpleNamespace) -> Path:
    """Return the folder of collected files, with those of the release that serves."""
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = str(tmp_path), False
    collect(tmp_path, "old.1111.css", 1)
    return tmp_path


def collect(folder: Path, name: str, at: int) -> None:
    """Add a file as collectstatic does, which writes the list of all files after them."""
    (folder / name).write_text("a{}")
    (folder / MANIFEST).write_text("{}")
    os.utime(folder / MANIFEST, (at, at))


@pytest.fixture
def status(folder: Path) -> Callable[[str], int]:
    def missing(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=404)

    serve: Any = StaticFilesMiddleware(missing)

    def ask(path: str) -> int:
        with closing(serve(RequestFactory().get(path))) as response:
            return int(response.status_code)

    return ask


def test_a_process_serves_what_a_newer_release_has_collected(
    folder: Path, status: Callable[[str], int]
) -> None:
    assert status("/static/old.1111.css") == 200
    assert status("/static/new.2222.css") == 404
    collect(folder, "new.2222.css", 2)
    assert status("/static/new.2222.css") == 200
    assert status("/static/old.1111.css") == 200
    assert status("/static/other.3333.css") == 404


def test_the_folder_is_read_once_a_collection_and_for_static_files_alone(
    folder: Path, status: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(StaticFilesMiddleware, "add_files", lambda *each, **_: read.append(each))
    for path in ("/static/none.css", "/static/none.css", "/static/old.1111.css", "/none"):
        status(path)
    assert read == []
    collect(folder, "new.2222.css", 2)
    for path in ("/none", "/static/old.1111.css"):
        status(path)
    assert read == []
    for path in ("/static/none.css", "/static/none.css"):
        status(path)
    assert len(read) == 1


def test_a_folder_that_is_not_there_yet_is_no_fault(
    tmp_path: Path, settings: SimpleNamespace
) -> None:
    settings.STATIC_ROOT, settings.WHITENOISE_AUTOREFRESH = str(tmp_path / "static"), False
    with pytest.warns(UserWarning, match="No directory"):
        serve: Any = StaticFilesMiddleware(lambda request: HttpResponse(status=404))
    assert serve(RequestFactory().get("/static/a.css")).status_code == 404


def test_who_asks_while_the_folder_is_read_waits_for_it(
    folder: Path, status: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go = threading.Event(), threading.Event()
    read: Any = StaticFilesMiddleware.add_files

    def slowly(*each: Any, **named: Any) -> None:
        reading.set()
        assert go.wait(5)
        read(*each, **named)

    monkeypatch.setattr(StaticFilesMiddleware, "add_files", slowly)
    collect(folder, "new.2222.css", 2)
    with ThreadPoolExecutor() as people:
        first = people.submit(status, "/static/new.2222.css")
        assert reading.wait(5)
        second = people.submit(status, "/static/new.2222.css")
        wait([second], timeout=0.3)
        go.set()
    assert (first.result(), second.result()) == (200, 200)


def test_a_folder_that_could_not_be_read_is_read_again(
    folder: Path, status: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*each: Any, **named: Any) -> None:
        raise PermissionError

    collect(folder, "new.2222.css", 2)
    with monkeypatch.context() as patched:
        patched.setattr(StaticFilesMiddleware, "add_files", fail)
        with pytest.raises(PermissionError):
            status("/static/new.2222.css")
    assert status("/static/new.2222.css") == 200
