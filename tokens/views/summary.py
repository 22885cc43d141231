"""What the token that is being made will be able to do, what a leak would cost, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tokens import scopes as catalogue
from tokens.forms import NEVER, TokenForm
from tokens.templatetags.drawings import Life
from tokens.views.instants import utc_words

# The most severe first. What a leak adds to the first sentence is said shorter.
_LEAKS = (
    (
        "keys.write",
        "make API keys that keep working after you revoke this token",
        "make API keys that outlive this token",
    ),
    (
        "deployments.write",
        "deploy to {where}, and read its logs, until you revoke it",
        "deploy to {where}",
    ),
    ("projects.write", "create and change projects as you", "create and change projects as you"),
    (
        "inference",
        "run inference on your account’s bill",
        "run inference on your account’s bill",
    ),
    ("keys.read", "see which API keys you have", "see which API keys you have"),
)
_SEVERITY = ("keys", "deployments", "projects", "inference", "account")
_LACKED = {
    "inference": "inference",
    "projects": "project",
    "deployments": "deployment",
    "keys": "API key",
    "account": "account",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """The words beside the form."""

    scopes: tuple[str, ...]
    can: list[str]
    cannot: str
    projects: str
    leaks: list[str]
    not_for_the_cli: bool
    ends: str
    expires_at: datetime | None
    utc: str
    life: Life


def summary_of(form: TokenForm) -> Summary:
    """Return what the form says so far; call it after validation, whatever that found."""
    scopes = tuple(form.cleaned_data.get("scopes") or ())
    projects = form.cleaned_data.get("projects")
    expires_at: datetime | None = form.cleaned_data.get("expires_at")
    broken = form.has_error("expires") or form.has_error("expires_custom")
    ends = "invalid" if broken else "never" if form.data.get("expires") == NEVER else "at"
    return Summary(
        scopes=scopes,
        can=_can(scopes),
        cannot=_cannot(scopes),
        projects=_where(projects) if projects else "",
        leaks=leak_sentences(scopes, _where(projects)),
        not_for_the_cli=bool(scopes) and "projects.read" not in scopes,
        ends=ends,
        expires_at=expires_at if ends == "at" else None,
        utc=utc_words(expires_at, form.zone) if expires_at else "",
        life=Life(form.now, expires_at or form.now + timedelta(days=30), None, "never_used"),
    )


def leak_sentences(scopes: Sequence[str], where: str) -> list[str]:
    """Return what a thief could do, the most severe first, in at most two sentences."""
    if not scopes:
        return []
    found = [(name, first, also) for name, first, also in _LEAKS if name in scopes]
    if not found:
        return ["Whoever holds it can look, but not change anything."]
    name, first, _ = found[0]
    if name == "deployments.write" and "deployments.read" not in scopes:
        first = first.replace(", and read its logs,", "")
    sentences = [f"Whoever holds it can {first.format(where=where)}."]
    if found[1:]:
        sentences.append(f"They can also {found[1][2].format(where=where)}.")
    return sentences


def _where(projects: Sequence[object] | None) -> str:
    if not projects:
        return "any project you can deploy to"
    return (
        "the project you chose" if len(projects) == 1 else f"the {len(projects)} projects you chose"
    )


def _can(scopes: Sequence[str]) -> list[str]:
    held = [scope for scope in catalogue.SCOPES if scope.name in scopes]
    held.sort(key=lambda scope: (_SEVERITY.index(scope.resource), not scope.writes))
    return [scope.meaning for scope in held]


def _cannot(scopes: Sequence[str]) -> str:
    held = {catalogue.BY_NAME[name].resource for name in scopes}
    lacked = [_LACKED[resource.key] for resource in catalogue.RESOURCES if resource.key not in held]
    if not lacked:
        return ""
    if not held:
        return "Nothing yet"
    listed = " or ".join([", ".join(lacked[:-1]), lacked[-1]] if lacked[1:] else lacked)
    return f"No {listed} access"
