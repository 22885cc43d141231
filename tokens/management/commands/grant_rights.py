"""``manage.py grant_rights``: say which rights a person has in the admin; the rest is taken."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management.base import CommandError
from django.db import transaction
from django.db.models import Q, QuerySet

from tokens import audit
from tokens.management.operation import Operation
from tokens.models.rights import BY_NAME
from tokens.origin import Origin


class Change(NamedTuple):
    """What a person held before, and holds now."""

    before: list[str]
    after: list[str]
    was_staff: bool

    @property
    def is_one(self) -> bool:
        """Whether anything is different now."""
        return (self.before, self.was_staff) != (self.after, bool(self.after))


class Command(Operation):
    """Makes the rights what was named, so that running it again changes nothing."""

    help = (
        "Give a person exactly these rights in the admin and take every other one. Whoever has a "
        "right is staff; with --none the person is not any more. It counts from the next request on."
    )
    changes = "nobody's rights change"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the person and the rights."""
        super().add_arguments(parser)
        parser.add_argument("email")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--rights", type=_rights, help=f"separated by commas, out of: {', '.join(BY_NAME)}"
        )
        which.add_argument("--none", action="store_true", help="take every right")

    def handle(self, *args: Any, **options: Any) -> None:
        """Change the rights, and print what was granted and taken."""
        wanted: list[str] = options["rights"] or []
        change = _set_rights(
            options["email"], wanted, origin=self.origin(), dry_run=options["dry_run"]
        )
        facts = {
            "account": options["email"].strip().lower(),
            "changed": change.is_one,
            "staff": bool(change.after),
            "rights": _listed(change.after),
            "granted": _listed([each for each in change.after if each not in change.before]),
            "taken": _listed([each for each in change.before if each not in change.after]),
        }
        self.answer(facts, options)


def _rights(text: str) -> list[str]:
    """Return the rights of an option, in one order and each once."""
    asked = {each.strip() for each in text.split(",")}
    if not asked <= BY_NAME.keys():
        raise ArgumentTypeError(f"must be one or more of {', '.join(BY_NAME)}, separated by commas")
    return [name for name in BY_NAME if name in asked]


def _listed(rights: list[str]) -> str:
    return ", ".join(rights) or "none"


def _set_rights(email: str, wanted: list[str], *, origin: Origin, dry_run: bool) -> Change:
    """Make the rights what was wanted, with one event if that is a change."""
    with transaction.atomic():
        person = _person(email)
        _check(person, wanted)
        held: QuerySet[Permission] = person.user_permissions.filter(_ours())
        codes = {f"tokens.{code}" for code in held.values_list("codename", flat=True)}
        before = [name for name, right in BY_NAME.items() if right in codes]
        change = Change(before, wanted, person.is_staff)
        if change.is_one and not dry_run:
            person.user_permissions.remove(*held)
            person.user_permissions.add(*_permissions(wanted))
            person.is_staff = bool(wanted)
            person.save(update_fields=["is_staff"])
            data = {"rights": wanted, "before": before, "staff": person.is_staff}
            audit.record(audit.Kind.RIGHTS_CHANGED, origin=origin, owner_id=person.pk, data=data)
    return change


def _person(email: str) -> Any:
    """Hold and return the account of an address."""
    people = get_user_model()._default_manager.select_for_update(no_key=True)
    person = people.filter(email__iexact=email.strip()).first()
    if person is None:
        raise CommandError(f"There is no account for {email.strip()}. Make one with create_user.")
    return person


def _check(person: Any, wanted: list[str]) -> None:
    if person.is_superuser:
        raise CommandError(
            f"{person.email} is a superuser, who has every right whatever is granted or taken. "
            "Nothing was changed."
        )
    if wanted and not person.is_active:
        raise CommandError(f"{person.email} is deactivated and gets no rights. Use --none.")


def _ours() -> Q:
    codes = [right.partition(".")[2] for right in BY_NAME.values()]
    return Q(content_type__app_label="tokens", codename__in=codes)


def _permissions(names: list[str]) -> list[Permission]:
    wanted = {BY_NAME[name] for name in names}
    rows = Permission.objects.filter(_ours()).select_related("content_type")
    found = [each for each in rows if f"tokens.{each.codename}" in wanted]
    if len(found) != len(wanted):
        raise CommandError("This database knows no such rights yet. Run manage.py migrate first.")
    return found
