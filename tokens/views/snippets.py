"""What to type next, for the places a token goes to; no line of it holds the value."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Snippet:
    """The lines for one place, and what they do."""

    key: str
    title: str
    lines: tuple[str, ...]
    hint: str
    checked: bool = False
    does: str = ""


_READ = "read -rs SKYTELLS_TOKEN"
_PASTE = "Paste when asked, so the token stays out of your shell history."
_OR_LOGIN = f"{_PASTE} On a machine with a browser, `skytells login` makes a token by itself."
_FIRST_LINE = "The first line waits for you to paste, so the token stays out of your shell history."
# The first word found in the token's name chooses what is shown first.
_GUESSES = (
    ("gitlab", "gitlab"),
    ("github", "github"),
    ("cli", "cli"),
    ("laptop", "cli"),
    ("macbook", "cli"),
    ("cron", "shell"),
    ("server", "shell"),
)


def snippets_for(name: str, public_url: str) -> list[Snippet]:
    """Return the ready lines, the ones that fit the token's name chosen."""
    lowered = name.lower()
    guess = next((key for word, key in _GUESSES if word in lowered), "github")
    test = f'curl -H "Authorization: Bearer $SKYTELLS_TOKEN" {public_url}/api/v1/token'
    gitlab = 'printf %s "$SKYTELLS_TOKEN" | glab variable set SKYTELLS_TOKEN --masked'
    all_of_them = (
        ("github", "GitHub Actions", ("gh secret set SKYTELLS_TOKEN",), _PASTE),
        ("cli", "Skytells CLI", ("skytells login --token",), _OR_LOGIN),
        ("shell", "Shell", (_READ, "export SKYTELLS_TOKEN", test), _FIRST_LINE),
        ("gitlab", "GitLab CI", (_READ, gitlab, "unset SKYTELLS_TOKEN"), _FIRST_LINE),
    )
    return [
        Snippet(key, title, lines, hint, checked=key == guess)
        for key, title, lines, hint in all_of_them
    ]


# --- Putting a replacement where a token is already ------------------------------------------------

_GITLAB = (
    _READ,
    'printf %s "$SKYTELLS_TOKEN" | glab variable update SKYTELLS_TOKEN --masked',
    "unset SKYTELLS_TOKEN",
)
_UPDATES = (
    Snippet(
        "gitlab",
        "GitLab CI",
        _GITLAB,
        "Or in GitLab: Settings, CI/CD, Variables. A masked variable does not show up in job logs. "
        "For a group variable, add `--group name`.",
        does="Replace a GitLab CI variable",
    ),
    Snippet(
        "github",
        "GitHub Actions",
        ("gh secret set SKYTELLS_TOKEN",),
        "It asks for the value, and replaces the secret of that name.",
        does="Replace a repository secret",
    ),
    Snippet(
        "cli",
        "Skytells CLI",
        ("skytells login --token",),
        "It asks for the value, and keeps it in place of the old one.",
        does="Sign in with the replacement",
    ),
    Snippet(
        "shell",
        "Shell",
        (_READ, "export SKYTELLS_TOKEN"),
        "The first line waits for you to paste. Programs that run already keep the old value.",
        does="Set it for this shell",
    ),
    Snippet(
        "env",
        ".env file",
        ("grep -n '^SKYTELLS_TOKEN=' .env",),
        "Replace the line that starts with `SKYTELLS_TOKEN=` in an editor, then restart what reads it.",
        does="Find the line to replace",
    ),
)


def updates_for(name: str, chosen: str = "") -> list[Snippet]:
    """Return the lines that put a replacement in the old token's place; none of them holds a value.

    ``chosen`` is the key of the one to show, else the token's name is asked.
    """
    lowered = name.lower()
    guess = next((key for word, key in _GUESSES if word in lowered), "gitlab")
    known = {snippet.key for snippet in _UPDATES}
    shown = chosen if chosen in known else guess
    return [replace(snippet, checked=snippet.key == shown) for snippet in _UPDATES]
