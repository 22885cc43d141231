"""Which scopes exist, what they mean, and which bundles are offered; the catalogue of the public CLI.

A scope grants exactly itself: ``projects.write`` does not include ``projects.read``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Scope(NamedTuple):
    """One permission: its name on the wire, its meaning in a sentence, and where it stands."""

    name: str
    meaning: str
    resource: str
    writes: bool


class Resource(NamedTuple):
    """What scopes are about, in the order the pages show."""

    key: str
    title: str
    hint: str


class Level(NamedTuple):
    """How much power over one resource: its key in a form, its words, and the scopes it grants."""

    key: str
    title: str
    scopes: frozenset[str]


class Preset(NamedTuple):
    """A named bundle of scopes to start from."""

    key: str
    title: str
    hint: str
    scopes: frozenset[str]


RESOURCES = (
    Resource("inference", "Inference", "Run inference requests"),
    Resource("projects", "Projects", "Project information"),
    Resource("deployments", "Deployments", "Deployments and their logs"),
    Resource("keys", "API keys", "Skytells API keys"),
    Resource("account", "Account", "Account information"),
)

SCOPES = (
    Scope("inference", "Run inference requests", "inference", writes=False),
    Scope("projects.read", "Read project information", "projects", writes=False),
    Scope("projects.write", "Create and modify projects", "projects", writes=True),
    Scope("deployments.read", "View deployments and logs", "deployments", writes=False),
    Scope("deployments.write", "Trigger and manage deployments", "deployments", writes=True),
    Scope("keys.read", "View API keys", "keys", writes=False),
    Scope("keys.write", "Create and manage API keys", "keys", writes=True),
    Scope("account.read", "Read account information", "account", writes=False),
)

NO_LEVEL = "none"
BY_NAME = {scope.name: scope for scope in SCOPES}
_ORDER = {scope.name: position for position, scope in enumerate(SCOPES)}

PRESETS = (
    Preset(
        "cli",
        "CLI default",
        "What the CLI asks for",
        frozenset({"inference", "projects.read", "deployments.read", "account.read"}),
    ),
    Preset(
        "ci",
        "CI deploy",
        "Trigger deployments",
        frozenset({"projects.read", "deployments.read", "deployments.write"}),
    ),
    Preset(
        "read",
        "Read-only",
        "Look, never change",
        frozenset({"projects.read", "deployments.read", "account.read"}),
    ),
)


def canonical(names: Iterable[str]) -> str:
    """Return the names once each, in catalogue order, joined by spaces: the stored form.

    Raises ``KeyError`` for a name that is not in the catalogue.
    """
    return " ".join(sorted(set(names), key=_ORDER.__getitem__))


def split(stored: str) -> tuple[str, ...]:
    """Return the names of the stored form."""
    return tuple(stored.split())


def unknown(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that the catalogue does not hold."""
    return [name for name in names if name not in BY_NAME]


def bundle_title(names: Iterable[str]) -> str:
    """Return the words for a set of scopes: a preset's title, one resource's name, or "Custom"."""
    held = frozenset(names)
    for preset in PRESETS:
        if preset.scopes == held:
            return preset.title
    resources = {BY_NAME[name].resource for name in held if name in BY_NAME}
    if len(resources) == 1:
        title = next(resource.title for resource in RESOURCES if resource.key in resources)
        return f"{title} only"
    return "Custom"


def levels(resource: str) -> list[Level]:
    """Return the levels that exist for a resource, the least first; "none" is always the first."""
    mine = [scope for scope in SCOPES if scope.resource == resource]
    reads = frozenset(scope.name for scope in mine if not scope.writes)
    writes = frozenset(scope.name for scope in mine if scope.writes)
    found = [Level(NO_LEVEL, "None", frozenset())]
    found.append(
        Level("run", "Run", reads) if resource == "inference" else Level("read", "Read", reads)
    )
    if writes:
        found += [Level("readwrite", "Read and write", reads | writes)]
        found += [Level("write", "Write only", writes)]
    return found


def level_of(resource: str, names: Iterable[str]) -> str:
    """Return the key of the level that a set of scopes makes for a resource."""
    held = {name for name in names if name in BY_NAME and BY_NAME[name].resource == resource}
    return next((level.key for level in levels(resource) if level.scopes == held), NO_LEVEL)
