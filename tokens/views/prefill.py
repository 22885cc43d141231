"""A create form filled in by its address: what a link may choose, and what it may only ask for."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.http import QueryDict
from django.utils import timezone

from tokens import policy, scopes as catalogue
from tokens.forms import ALL_PROJECTS, CHOSEN_PROJECTS, CUSTOM, NEVER, TokenForm
from tokens.models import Project
from tokens.secret import contains_token

PARAMETERS = ("name", "description", "scopes", "projects", "expires_in")
MOST_TOLD = 8
_DAYS = re.compile(r"[0-9]{1,4}\Z", re.ASCII)


@dataclass(slots=True)
class Prefill:
    """What a link filled in, what it asked for without getting it, and what was left out and why."""

    came: bool = False
    asked: list[catalogue.Scope] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def fill_from(query: QueryDict, form: TokenForm) -> Prefill:
    """Put into the form what the address holds and may choose; the rest is told.

    A link may have been written by somebody else, so it never ticks a scope that writes, and it can
    narrow the projects but not widen them: a project that is unknown leaves none chosen, not all.
    """
    link = Prefill(came=any(query.get(name) for name in PARAMETERS))
    if link.came:
        _texts(query, form, link)
        _scopes(query, form, link)
        _projects(query, form, link)
        _expiry(query, form, link)
        del link.left_out[MOST_TOLD:]
    return link


def _texts(query: QueryDict, form: TokenForm, link: Prefill) -> None:
    checks: list[tuple[str, Callable[[str], object]]] = [
        ("name", policy.check_name),
        (
            "description",
            lambda text: policy.check_text(text, field="description", what="The description"),
        ),
    ]
    for name, check in checks:
        text = query.get(name, "").strip()
        if not text:
            continue
        try:
            check(text)
        except policy.Refused as refused:
            link.left_out.append(f"The {name}. {refused.sentence}")
            continue
        if name == "description" and len(text) > policy.MAX_DESCRIPTION:
            link.left_out.append(
                f"The description. Descriptions can be up to {policy.MAX_DESCRIPTION} characters."
            )
            continue
        form.filled[name] = text


def _scopes(query: QueryDict, form: TokenForm, link: Prefill) -> None:
    names = list(dict.fromkeys(_words(query, "scopes")))
    for name in catalogue.unknown(names):
        link.left_out.append(f"There is no scope called {_quoted(name)}.")
    known = [scope for scope in catalogue.SCOPES if scope.name in names]
    for scope in known:
        if scope.name not in form.rules.allowed_scopes:
            link.left_out.append(f"Your administrator does not allow {scope.name}.")
    allowed = [scope for scope in known if scope.name in form.rules.allowed_scopes]
    link.asked = [scope for scope in allowed if scope.writes]
    ticked = [scope.name for scope in allowed if not scope.writes]
    for resource in catalogue.RESOURCES:
        form.filled[f"level-{resource.key}"] = catalogue.level_of(resource.key, ticked)


def _projects(query: QueryDict, form: TokenForm, link: Prefill) -> None:
    words = list(dict.fromkeys(_words(query, "projects")))
    if not words:
        return
    own: Sequence[Project] = form.own_projects
    by_word = {each.slug: each for each in own} | {str(each.public_id): each for each in own}
    for word in words:
        if word not in by_word:
            link.left_out.append(f"You have no project called {_quoted(word)}.")
    # Without any project there is nothing to choose from, and the form does not ask.
    form.filled["projects_choice"] = CHOSEN_PROJECTS if own else ALL_PROJECTS
    found = [str(by_word[word].public_id) for word in words if word in by_word]
    form.filled.setlist("projects", list(dict.fromkeys(found)))


def _expiry(query: QueryDict, form: TokenForm, link: Prefill) -> None:
    wanted = query.get("expires_in", "").strip()
    if not wanted:
        return
    if wanted == NEVER:
        if form.rules.no_expiration_allowed:
            form.filled["expires"] = NEVER
        else:
            link.left_out.append("No expiration: your administrator asks for one.")
        return
    days = timedelta(days=int(wanted)) if _DAYS.match(wanted) else timedelta(0)
    if wanted in {str(each) for each in policy.PRESET_DAYS}:
        form.filled["expires"] = wanted
    elif timedelta(0) < days <= form.rules.max_lifetime:
        form.filled["expires"] = CUSTOM
        end = timezone.localtime(form.now + days, form.zone)
        form.filled["expires_custom"] = f"{end:%Y-%m-%dT%H:%M}"
    else:
        longest = form.rules.max_lifetime.days
        link.left_out.append(
            f"The expiration. A link can ask for 1 to {longest} days, or for never."
        )


def _words(query: QueryDict, name: str) -> list[str]:
    return [word for value in query.getlist(name) for word in re.split(r"[,\s]+", value) if word]


def _quoted(word: str) -> str:
    """Return a word of the link as it can be shown, or what stands for it."""
    if contains_token(word) or not word.isprintable() or len(word) > policy.MAX_NAME:
        return "that (it cannot be shown)"
    return f"“{word}”"


def empty_form_data(rules: policy.Rules) -> QueryDict:
    """Return what the form holds before anybody touched it."""
    data = QueryDict(mutable=True)
    days = rules.default_days
    data["expires"] = str(days if days in policy.PRESET_DAYS else policy.DEFAULT_DAYS)
    data["projects_choice"] = ALL_PROJECTS
    data["request_id"] = str(uuid.uuid4())
    return data
