"""What ``openapi.json`` promises, held against what the API really answers."""

from __future__ import annotations

import json
import re
from typing import Any

from django.http import HttpResponse

from tokens.reference import METHODS, document, resolved

# A fault is no promise, and a method without an endpoint is no operation.
OUTSIDE = {405, 500}


def promised() -> set[tuple[str, str, int]]:
    """Return every operation's path, method and status."""
    return {
        (path, method.upper(), int(status))
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
        for status in item[method]["responses"]
    }


def judge(path: str, method: str, response: HttpResponse) -> str:
    """Return what an answer has that the description does not, or "" when all is promised."""
    item = document()["paths"].get(path, {})
    operation = item.get("get" if method == "HEAD" else method.lower())
    if operation is None or response.status_code in OUTSIDE:
        return ""
    where = f"{method} {path} {response.status_code}"
    told = operation["responses"].get(str(response.status_code))
    if told is None:
        return f"{where} is not in openapi.json."
    return "" if method == "HEAD" else _body(response, resolved(told), where)


def _body(response: HttpResponse, told: dict[str, Any], where: str) -> str:
    content = told.get("content")
    if not content:
        return f"{where} has a body." if response.content else ""
    kind = response.headers["Content-Type"]
    if kind not in content:
        return f"{where} is {kind}."
    payload = json.loads(response.content)
    codes = {each["code"] for each in told.get("x-codes", [])}
    code = payload.get("code", payload.get("error"))
    if codes and code not in codes:
        return f"{where} has the code {code}."
    return _fits(payload, content[kind]["schema"], where)


def _fits(value: Any, schema: dict[str, Any], where: str) -> str:
    """Say where ``value`` leaves ``schema``, as far as the description uses JSON Schema."""
    schema = resolved(schema)
    if "anyOf" in schema:
        faults = [_fits(value, each, where) for each in schema["anyOf"]]
        return "" if "" in faults else faults[0]
    allowed = [schema["const"]] if "const" in schema else schema.get("enum", [value])
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fault = ""
    if value not in allowed or (kinds and not any(_is(value, kind) for kind in kinds)):
        fault = f"{where} is {value!r}."
    elif isinstance(value, str) and not _formatted(value, schema.get("format", "")):
        fault = f"{where} is no {schema['format']}."
    elif isinstance(value, list):
        fault = next(filter(None, (_fits(each, schema["items"], where) for each in value)), "")
    elif isinstance(value, dict):
        fault = _object(value, schema, where)
    return fault


def _object(value: dict[str, Any], schema: dict[str, Any], where: str) -> str:
    properties = schema.get("properties", {})
    missing = set(schema.get("required", [])) - value.keys()
    more = value.keys() - properties.keys() if schema.get("additionalProperties") is False else ()
    if missing or more:
        return f"{where} lacks {sorted(missing)} and has {sorted(more)} beyond the description."
    members = (
        _fits(value[name], properties[name], f"{where}, {name},")
        for name in value.keys() & properties.keys()
    )
    return next(filter(None, members), "")


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    kinds: dict[str, type] = {
        "string": str,
        "boolean": bool,
        "object": dict,
        "array": list,
        "null": type(None),
    }
    return isinstance(value, kinds[kind])


def _formatted(value: str, wanted: str) -> bool:
    patterns = {
        "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    }
    return wanted not in patterns or re.fullmatch(patterns[wanted], value) is not None
