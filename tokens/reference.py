"""The API as ``openapi.json`` describes it, read for people: the file is the only place that says so."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "openapi.json"
METHODS = ("get", "post", "put", "patch", "delete")
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_WORDS = {"string": "text", "boolean": "true or false", "object": "object", "integer": "integer"}
_FORMATS = {"uuid": "id", "date-time": "time"}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, a member of a body or a header: its name, its type in words, and its meaning."""

    name: str
    type: str
    meaning: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to say no: the status, the code for programs, and what it means."""

    status: str
    code: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address."""

    key: str
    method: str
    path: str
    summary: str
    description: str
    needs: str
    counts_as_use: str
    query: tuple[Field, ...]
    example_query: tuple[tuple[str, str], ...]
    body: tuple[Field, ...]
    body_type: str
    example_body: dict[str, Any]
    status: str
    answer: str
    headers: tuple[Field, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Operations that belong together."""

    title: str
    operations: tuple[Operation, ...]


@functools.cache
def text() -> str:
    """Return the description as it stands in its file."""
    return FILE.read_text(encoding="utf-8")


@functools.cache
def document() -> dict[str, Any]:
    """Return the description, parsed."""
    parsed: dict[str, Any] = json.loads(text())
    return parsed


@functools.cache
def sections() -> tuple[Section, ...]:
    """Return all operations in the order of the file's tags."""
    found: dict[str, list[Operation]] = {tag["name"]: [] for tag in document()["tags"]}
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                found[item[method]["tags"][0]].append(_operation(path, method, item[method]))
    return tuple(Section(title, tuple(operations)) for title, operations in found.items())


def matching(words: str) -> list[Section]:
    """Return the sections with the operations that hold every one of the words somewhere."""
    wanted = words.lower().split()
    found = []
    for section in sections():
        kept = tuple(
            each for each in section.operations if all(word in _haystack(each) for word in wanted)
        )
        if kept:
            found.append(Section(section.title, kept))
    return found


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return what a part of the document refers to, or the part itself."""
    if "$ref" not in part:
        return part
    target: dict[str, Any] = document()
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def _haystack(operation: Operation) -> str:
    words = (operation.method, operation.path, operation.summary, operation.needs)
    return " ".join(words).lower()


def _operation(path: str, method: str, told: dict[str, Any]) -> Operation:
    responses = {status: resolved(each) for status, each in told["responses"].items()}
    status = min(responses)
    parameters = told.get("parameters", [])
    body_type, body = _body(told)
    return Operation(
        key=told["operationId"],
        method=method.upper(),
        path=path,
        summary=told["summary"],
        description=told["description"],
        needs=told["x-needs"],
        counts_as_use=told["x-counts-as-use"],
        query=tuple(
            Field(each["name"], _type(each["schema"]), each["description"], each["required"])
            for each in parameters
        ),
        # The first parameter is enough to see how it is written.
        example_query=tuple((each["name"], each["example"]) for each in parameters[:1]),
        body=_fields(resolved(body.get("schema", {}))),
        body_type=body_type,
        example_body=body.get("example", {}),
        status=status,
        answer=_example(responses[status]),
        headers=tuple(
            Field(name, _type(resolved(each)["schema"]), resolved(each)["description"])
            for name, each in responses[status].get("headers", {}).items()
        ),
        refusals=tuple(
            Refusal(status, code["code"], code["meaning"])
            for status, each in sorted(responses.items())
            for code in each.get("x-codes", [])
        ),
    )


def _body(told: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    content = told.get("requestBody", {}).get("content", {})
    return next(iter(content.items()), ("", {}))


def _example(response: dict[str, Any]) -> str:
    example = response.get("content", {}).get(JSON, {}).get("example")
    return "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)


def _fields(schema: dict[str, Any]) -> tuple[Field, ...]:
    needed = schema.get("required", [])
    return tuple(
        Field(name, _type(each), each.get("description", ""), name in needed)
        for name, each in schema.get("properties", {}).items()
    )


def _type(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "string")
    kind = next(each for each in ([kinds] if isinstance(kinds, str) else kinds) if each != "null")
    if kind == "array":
        return f"array of {_type(schema['items'])}s"
    if "enum" in schema:
        return "scope"
    return _FORMATS.get(schema.get("format", ""), _WORDS[kind])
