"""The API reference: one endpoint open at a time, each at an address of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tokens import reference, scopes
from tokens.reference import Operation
from tokens.secret import redact

MAX_SEARCH = 100
_BEARER = "Authorization: Bearer $SKYTELLS_TOKEN"


@dataclass(frozen=True, slots=True)
class Example:
    """How to ask, in one language; no line holds a value."""

    title: str
    lines: tuple[str, ...]
    prompt: bool = False


@require_safe
def api_reference(request: HttpRequest, operation: str = "") -> HttpResponse:
    """Show what a token can call; with ``operation``, that endpoint open, else the first one."""
    words = redact(request.GET.get("q", ""))[:MAX_SEARCH].strip()
    found = reference.matching(words)
    shown = [each for section in found for each in section.operations]
    known = {each.key for section in reference.sections() for each in section.operations}
    if operation and operation not in known:
        raise Http404
    opened = next((each for each in shown if each.key == operation), None)
    if opened is None and shown and not operation:
        opened = shown[0]
    context = {
        "sections": found,
        "opened": opened,
        "examples": examples(opened, settings.PUBLIC_URL) if opened else [],
        "scopes": scopes.SCOPES,
        "words": words,
    }
    return render(request, "reference/reference.html", context)


def examples(operation: Operation, address: str) -> list[Example]:
    """Return how to ask with curl and with Python's ``requests``."""
    query = urlencode(operation.example_query)
    url = f"{address}{operation.path}{'?' if query else ''}{query}"
    return [
        Example("curl", _curl(operation, url), prompt=True),
        Example("Python", _python(operation, url)),
    ]


def _curl(operation: Operation, url: str) -> tuple[str, ...]:
    parts = ["curl -sS"]
    if operation.method not in {"GET", "POST"}:
        parts[0] += f" -X {operation.method}"
    if _proves_as_a_service(operation):
        parts.append('-u "$CLIENT_ID:$CLIENT_SECRET"')
    elif _sends_a_bearer(operation):
        parts.append(f'-H "{_BEARER}"')
    if operation.body_type == reference.FORM:
        parts += [f'-d "{name}={value}"' for name, value in operation.example_body.items()]
    elif operation.body_type:
        parts += [
            '-H "Content-Type: application/json"',
            f"-d '{_json(operation.example_body)}'",
        ]
    parts.append(f'"{url}"')
    *most, last = parts
    return tuple(
        [f"{'    ' if number else ''}{part} \\" for number, part in enumerate(most)]
        + [f"    {last}"]
    )


def _python(operation: Operation, url: str) -> tuple[str, ...]:
    lines = [f'    "{url}",']
    if _proves_as_a_service(operation):
        lines.append('    auth=(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]),')
    elif _sends_a_bearer(operation):
        lines.append('    headers={"Authorization": f"Bearer {os.environ[\'SKYTELLS_TOKEN\']}"},')
    if operation.body_type == reference.FORM:
        pairs = ", ".join(
            f'"{name}": {_python_value(value)}' for name, value in operation.example_body.items()
        )
        lines.append(f"    data={{{pairs}}},")
    elif operation.body_type:
        lines.append(f"    json={_json(operation.example_body)},")
    needs_environment = any("os.environ" in line for line in lines)
    shown = "answer.json()" if operation.answer else "dict(answer.headers)"
    return (
        *(("import os", "") if needs_environment else ()),
        "import requests",
        "",
        f"answer = requests.{operation.method.lower()}(",
        *lines,
        ")",
        f"print(answer.status_code, {shown})",
    )


def _json(body: dict[str, Any]) -> str:
    # As it is read: an ellipsis stands for what only the reader has.
    return json.dumps(body, ensure_ascii=False)


def _python_value(value: str) -> str:
    return f'os.environ["{value[1:]}"]' if value.startswith("$") else json.dumps(value)


def _proves_as_a_service(operation: Operation) -> bool:
    return operation.needs == "a service"


def _sends_a_bearer(operation: Operation) -> bool:
    return operation.needs not in {"a service", "the token itself", "no token"}
