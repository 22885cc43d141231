"""What to type next, for the places a token goes to; no line of it holds the value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """The lines for one place, and what they do."""

    key: str
    title: str
    lines: tuple[str, ...]
    hint: str
    checked: bool = False


_READ = "read -rs SKYTELLS_TOKEN"
_PASTE = "Paste when asked, so the token stays out of your shell history."
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
        ("cli", "Skytells CLI", ("skytells login --token",), _PASTE),
        ("shell", "Shell", (_READ, "export SKYTELLS_TOKEN", test), _FIRST_LINE),
        ("gitlab", "GitLab CI", (_READ, gitlab, "unset SKYTELLS_TOKEN"), _FIRST_LINE),
    )
    return [
        Snippet(key, title, lines, hint, checked=key == guess)
        for key, title, lines, hint in all_of_them
    ]
