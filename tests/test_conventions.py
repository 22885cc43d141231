"""The architecture, kept by machine: imports, writers, routes, templates, words, secrets."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands
from django.db import connection
from django.template.loader import get_template
from django.urls import URLPattern, URLResolver, get_resolver

import tokens
from skytells_console.models import User
from tests import writers
from tests.cast import issue
from tokens import scopes
from tokens.models.reading import FixedSelect

ROOT = Path(settings.BASE_DIR)
TEMPLATES = ROOT / "templates"

# The picture of the architecture: a module imports from lines above its own, or beside it.
LAYERS = [
    {"secret", "scopes", "origin"},
    {"models"},
    {"audit", "ratelimit", "policy", "notices"},
    {"lifecycle", "projects", "relying_parties"},
    {"usage", "insight"},
    {"authentication", "device_flow", "policy_change", "reminders", "retention"},
    {"forms", "reauth", "requests", "mailer", "health", "checks", "reference", "diagnosis"},
    {"views", "api", "admin", "management"},
]
DOORS = LAYERS[-1]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# What is shown, and what wires the app together, stands beside the picture.
AROUND = {"apps", "urls", "migrations", "templatetags"}
FROM_CONSOLE = {"skytells_console.client_address"}
# A new password owes a mail, whichever page of the project it was chosen on.
FROM_TOKENS = {"tokens.secret", "tokens.ratelimit", "tokens.notices"}


def shown(path: Path) -> str:
    """Return a file's name as the report of a test shows it."""
    return str(path.relative_to(ROOT))


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted names a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports_of(path) if name.startswith("tokens."))
    return {name[1] for name in names if name[1] in LEVEL}


def modules_of_tokens() -> list[tuple[str, Path]]:
    found = []
    for path in tracked("tokens/*.py"):
        room = path.relative_to(ROOT / "tokens").parts[0].removesuffix(".py")
        if room not in AROUND | {"__init__"}:
            found.append((room, path))
    return found


def test_every_module_has_a_line_in_the_picture() -> None:
    assert {room for room, _ in modules_of_tokens()} <= set(LEVEL)


@pytest.mark.parametrize("path", [path for _, path in modules_of_tokens()], ids=shown)
def test_a_module_imports_only_from_above_or_beside(path: Path) -> None:
    room = path.relative_to(ROOT / "tokens").parts[0].removesuffix(".py")
    for other in rooms_imported(path) - {room}:
        assert LEVEL[other] <= LEVEL[room], f"{path} imports {other}, which stands below it."
        assert not (other in DOORS and room in DOORS), f"{path}: a door imports another door."
        assert LEVEL[room] > 0, f"{path}: a leaf imports {other}."


def test_no_two_rooms_beside_each_other_import_in_a_circle() -> None:
    edges = {(room, other) for room, path in modules_of_tokens() for other in rooms_imported(path)}
    beside = {(a, b) for a, b in edges if a != b and LEVEL[a] == LEVEL[b]}
    assert not {(a, b) for a, b in beside if (b, a) in beside}


def test_the_project_and_the_app_share_only_what_was_agreed() -> None:
    for path in tracked("skytells_console/*.py"):
        if path.name == "urls.py":
            continue
        used = {name for name in imports_of(path) if name.startswith("tokens.")}
        assert all(name.startswith(tuple(FROM_TOKENS)) for name in used), path
    for _, path in modules_of_tokens():
        used = {name for name in imports_of(path) if name.startswith("skytells_console.")}
        commands = "management" in path.parts
        assert commands or all(name.startswith(tuple(FROM_CONSOLE)) for name in used), path


def test_every_table_has_a_writer_and_every_writer_a_table() -> None:
    tables = {model._meta.db_table for model in apps.get_app_config("tokens").get_models()}
    assert tables == set(writers.WRITERS)


SNEAKY = """
def write(pk):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tokens_accesstoken SET name = %s WHERE id = %s", ["x", pk])
def copy():
    with connection.cursor() as cursor, cursor.copy("COPY tokens_accesstoken (name) FROM STDIN"):
        pass
def ask_the_driver(pk):
    connection.connection.execute("DELETE FROM tokens_accesstoken WHERE id = %s", [pk])
"""


def sneaky(name: str) -> Any:
    """Return a function of a module that owns no table."""
    namespace: dict[str, Any] = {"__name__": "tokens.views.sneaky", "connection": connection}
    exec(SNEAKY, namespace)  # noqa: S102 - the stranger needs a module's name of its own
    return namespace[name]


def test_a_stranger_who_writes_is_caught(alice: User) -> None:
    token = issue(alice).token
    with pytest.raises(writers.StrangerError, match=r"belongs to tokens\.lifecycle"):
        sneaky("write")(token.pk)


@pytest.mark.postgresql
def test_a_stranger_who_copies_or_asks_the_driver_is_caught(alice: User) -> None:
    token = issue(alice).token
    with pytest.raises(writers.StrangerError, match=r"belongs to tokens\.lifecycle"):
        sneaky("copy")()
    with pytest.raises(writers.StrangerError, match=r"belongs to tokens\.lifecycle"):
        sneaky("ask_the_driver")(token.pk)


def test_the_driver_itself_is_asked_in_one_module_which_only_reads() -> None:
    """The watch on writers cannot see SQLite's driver, so that who may use it is fixed here."""
    asks = re.compile(
        r"connection\.connection|database\.connection|\.Database\b|import psycopg|sqlite3"
    )
    found = {shown(path) for path in tracked("tokens/*.py") if asks.search(path.read_text())}
    assert found == {"tokens/models/reading.py"}
    with pytest.raises(ValueError, match="SELECT"):
        FixedSelect("UPDATE tokens_accesstoken SET name = 'x' WHERE id = %s")


# --- Routes --------------------------------------------------------------------------------------

# Answer without a sign-in on purpose; everything else asks for a session or for a bearer token.
OPEN_PAGES = {
    "account_login",
    "account_logout",
    # Its own address is the credential.
    "calendar",
    "account_signup",
    "account_inactive",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "healthz",
    "readyz",
    "oauth_server",
    "oauth_resource",
    "security_txt",
}
OPEN_ENDPOINTS = {
    "api-health",
    "api-openapi",
    "api-oauth-device",
    "api-oauth-revoke",
    "api-oauth-token",
}


def routes(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry)
        else:
            yield entry


def test_every_route_is_guarded_or_listed() -> None:
    for route in routes():
        endpoints = getattr(route.callback, "endpoints", None)
        if endpoints is not None:
            open_ones = {name for name, each in endpoints.items() if each.scope is None}
            assert not open_ones or route.name in OPEN_ENDPOINTS, route
        elif not getattr(route.callback, "login_required", True):
            assert route.name in OPEN_PAGES, route


def test_the_api_has_no_slash_at_the_end_and_no_page() -> None:
    api = [route for route in routes() if hasattr(route.callback, "endpoints")]
    assert len(api) >= 4
    for route in api:
        assert str(route.pattern).startswith("api/")
        assert not str(route.pattern).endswith("/")


def test_what_changes_a_token_asks_for_a_fresh_proof() -> None:
    named = {route.name: route.callback for route in routes()}
    guarded = ("create", "device_approve", "resume", "revoke", "revoke_many", "revoke_all")
    guarded += ("rotate_scopes", "rotate_revoke", "rotate_cancel")
    guarded += ("stop", "deactivate", "policy")
    guarded += ("calendar_make", "calendar_names", "calendar_replace")
    for name in guarded:
        callback = named[name]
        while not getattr(callback, "fresh_proof", False):
            assert hasattr(callback, "__wrapped__"), name
            callback = callback.__wrapped__


# --- Templates -----------------------------------------------------------------------------------


def templates(pattern: str = "*.html") -> list[Path]:
    return sorted(TEMPLATES.rglob(pattern))


def test_every_template_can_be_read() -> None:
    for path in templates():
        get_template(str(path.relative_to(TEMPLATES)))


@pytest.mark.parametrize("path", templates("_*.html"), ids=shown)
def test_a_fragment_has_one_root_that_bears_its_name(path: Path) -> None:
    text = re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", path.read_text(), flags=re.S)
    text = re.sub(r"{%\s*load [^%]*%}", "", text).strip()
    assert "{% extends" not in text
    root = re.match(r"<(\w+)[^>]*\bid=\"([\w-]+)\"", text)
    assert root, f"{path.name} does not begin with its root."
    assert root[2] == path.stem
    assert text.endswith(f"</{root[1]}>")
    depth, closes = 0, 0
    for tag in re.finditer(rf"<(/?){root[1]}\b", text):
        depth += -1 if tag[1] else 1
        closes += depth == 0
    assert closes == 1, f"{path.name} has more than one root."


@pytest.mark.parametrize("path", templates("_*.html"), ids=shown)
def test_a_page_includes_its_fragment_once(path: Path) -> None:
    include = f'include "{path.relative_to(TEMPLATES)}"'
    counts = {each.name: each.read_text().count(include) for each in templates()}
    including = {name: count for name, count in counts.items() if count}
    assert list(including.values()) == [1], including
    assert not next(iter(including)).startswith("_")


def elements(path: Path) -> Iterator[str]:
    yield from re.findall(r"<[a-z][^>]*>", re.sub(r"{#.*?#}", "", path.read_text(), flags=re.S))


@pytest.mark.parametrize("path", templates(), ids=shown)
def test_htmx_only_repeats_what_works_without_it(path: Path) -> None:
    for element in elements(path):
        get, post = (re.search(rf'hx-{verb}="([^"]*)"', element) for verb in ("get", "post"))
        if get:
            repeated = "action" if element.startswith("<form") else "href"
            assert f' {repeated}="{get[1]}"' in element, element
        if post:
            assert re.search(rf' (form)?action="{re.escape(post[1])}"', element), element
        if get or post:
            assert "hx-target=" in element, element
            assert "hx-swap=" in element, element


@pytest.mark.parametrize("path", templates(), ids=shown)
def test_every_hx_target_exists_in_the_templates(path: Path) -> None:
    ids = {
        found for each in templates() for found in re.findall(r'\bid="([\w-]+)"', each.read_text())
    }
    for target in re.findall(r'hx-target="#([\w-]+)"', path.read_text()):
        assert target in ids


@pytest.mark.parametrize("path", templates(), ids=shown)
def test_no_template_holds_a_script_a_style_or_a_handler(path: Path) -> None:
    # No content policy reaches a mail, and mail readers know no other styles than those on elements.
    mailed = path.parent.name == "emails"
    for element in elements(path):
        assert not re.match(r"<style\b", element)
        assert mailed or not re.search(r"\sstyle=", element)
        assert not re.search(r"\son[a-z]+=", element)
        assert not (element.startswith("<script") and "src=" not in element)


@pytest.mark.parametrize("path", templates(), ids=shown)
def test_the_word_is_revoke(path: Path) -> None:
    visible = re.sub(r"{[%{#].*?[%}#]}|<[^>]*>", "", path.read_text(), flags=re.S)
    assert not re.search(r"\bdelet", visible, re.IGNORECASE)


# --- The repository ------------------------------------------------------------------------------


def text_files() -> Iterator[tuple[Path, str]]:
    for path in tracked():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_file_holds_a_token_or_names_a_registry() -> None:
    registries = "|".join(("py" + "pi", "python" + "hosted", "npm" + "js", "deb[.]debi" + "an"))
    for path, text in text_files():
        assert not re.search(r"sk_pat_[0-9a-f]{64}", text), path
        assert not re.search(rf"({registries})[.](org|com)", text), path


def test_modules_and_functions_stay_small() -> None:
    for path in tracked("tokens/*.py", "skytells_console/*.py", "dev*.py", "bench/*.py"):
        if "migrations" in path.parts:
            continue
        source = path.read_text()
        assert len(source.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{path}: {node.name} has {length} lines."


def test_no_module_is_a_drawer_for_anything() -> None:
    drawers = {"utils", "helpers", "common", "services", "base", "misc"}
    assert not [path for path in tracked("*.py") if path.stem in drawers]


def test_public_functions_say_what_they_mean() -> None:
    for info in pkgutil.walk_packages(tokens.__path__, "tokens."):
        if ".migrations" in info.name:
            continue
        module = importlib.import_module(info.name)
        assert module.__doc__, info.name
        for name, value in vars(module).items():
            mine = getattr(value, "__module__", None) == info.name and callable(value)
            if mine and not name.startswith("_") and name != "Command":
                assert value.__doc__, f"{info.name}.{name}"


def test_settings_commands_and_scopes_are_documented() -> None:
    documents = "\n".join(path.read_text() for path in tracked("*.md"))
    source = (ROOT / "skytells_console" / "settings.py").read_text()
    names = set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', source))
    assert len(names) > 15
    ours = [name for name, app in get_commands().items() if app in {"tokens", "skytells_console"}]
    for word in [*names, *ours, *scopes.BY_NAME]:
        assert f"`{word}`" in documents or f"`{word} " in documents, f"{word} is not documented."


def test_no_rule_of_the_stylesheet_has_lost_its_end() -> None:
    """A rule that is never closed swallows all that follow it, and a browser does not complain."""
    text = (ROOT / "static/css/console.css").read_text()
    text = re.sub(r"/\*.*?\*/|\"[^\"]*\"", "", text, flags=re.S)
    depth = 0
    for part in re.finditer(r"@layer [a-z]+ {|[{}]", text):
        assert depth == 0 or not part[0].startswith("@layer"), f"{part[0]} stands in another block."
        depth += -1 if part[0] == "}" else 1
        assert depth >= 0
    assert depth == 0


def test_every_class_of_the_stylesheet_is_used() -> None:
    """A class stands in a template, the code or the script, or ends a stem that is filled in there."""
    stylesheet = (ROOT / "static/css/console.css").read_text()
    rules = re.sub(r"/\*.*?\*/|url\([^)]*\)|@media[^{]*", "", stylesheet, flags=re.DOTALL)
    styled = set(re.findall(r"\.(-?[a-zA-Z_][\w-]*)", rules))
    makers = tracked("templates/*.html", "tokens/*.py", "skytells_console/*.py", "static/js/*.js")
    written = "\n".join(path.read_text() for path in makers)
    words = set(re.findall(r"[\w-]+", written)) | {"htmx-request"}
    stems = tuple(set(re.findall(r"([\w-]+-)\{", written)))
    assert [css for css in sorted(styled - words) if not css.startswith(stems)] == []


def test_what_the_security_page_points_at_is_there() -> None:
    page = (ROOT / "docs/security.md").read_text()
    paths = set(re.findall(r"`((?:tests|tokens|skytells_console|deploy)/[\w./]+)`", page))
    assert len(paths) > 30
    assert not sorted(path for path in paths if not (ROOT / path).exists())
