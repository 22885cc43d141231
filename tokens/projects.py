"""Projects come to be here and nowhere else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from tokens import audit, policy
from tokens.models import Project
from tokens.origin import Origin

MAX_TYPE = 32
INVALID_TYPE = (
    "invalid_type",
    f"A type is up to {MAX_TYPE} letters, digits, dashes and underscores.",
)
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
# Letters that fall apart into no ASCII letter and a mark, and that everybody spells like this.
_SPELT_OUT = str.maketrans({"Æ": "Ae", "æ": "ae", "Ø": "O", "ø": "o", "Œ": "Oe", "œ": "oe"})
_SPELT_OUT |= str.maketrans({"Đ": "D", "đ": "d", "Ł": "L", "ł": "l", "Þ": "Th", "þ": "th"})
_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z", re.ASCII)


class NameTaken(policy.Refused):
    """The person has a project of that name."""


def create(*, owner_id: int, name: str, type: str = "", origin: Origin) -> Project:  # noqa: A002
    """Make a project and return it.

    Raises ``NameTaken`` for a name in use, ``policy.Refused`` for one that cannot be used.
    """
    cleaned = _check_name(name)
    kind = check_type(type)
    with transaction.atomic():
        get_user_model().objects.select_for_update(no_key=True).only("pk").get(pk=owner_id)
        mine = Project.objects.owned_by(owner_id)
        if mine.count() >= settings.PROJECTS_MAX:
            raise policy.Refused(
                "", "too_many_projects", f"You have reached {settings.PROJECTS_MAX} projects."
            )
        key = policy.name_key(cleaned)
        if mine.filter(name_key=key).exists():
            raise NameTaken(
                "name",
                "project_exists",
                f"You already have a project called {cleaned}. Pick another name.",
            )
        project = Project.objects.create(
            owner_id=owner_id,
            name=cleaned,
            name_key=key,
            slug=_free_slug(cleaned, set(mine.values_list("slug", flat=True))),
            type=kind,
            created_at=origin.at,
        )
        audit.record(
            audit.Kind.PROJECT_CREATED,
            origin=origin,
            owner_id=owner_id,
            data={"project": str(project.public_id), "token_id": origin.token_id},
        )
    return project


def check_type(value: str) -> str:
    """Return the type as stored; empty is none. Raises ``policy.Refused`` for anything unreadable."""
    cleaned = value.strip().lower()
    if cleaned and not _TYPE.match(cleaned):
        raise policy.Refused("type", *INVALID_TYPE)
    return cleaned


def _check_name(name: str) -> str:
    if not name.strip():
        raise policy.Refused("name", "name_required", "Give the project a name.")
    return policy.check_name(name, what="The project's name")


def _free_slug(name: str, taken: Iterable[str]) -> str:
    """Return a readable slug that the person does not use yet."""
    # Folding the case writes ß as ss; what is no ASCII letter after that has none to stand for it.
    plain = unicodedata.normalize("NFKD", name.translate(_SPELT_OUT)).casefold()
    ascii_name = plain.encode("ascii", "ignore").decode()
    base = _NOT_SLUG.sub("-", ascii_name).strip("-")[:64].strip("-") or "project"
    slug, number = base, 1
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug
