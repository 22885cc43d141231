"""The screens of the admin that ``bench.admin`` asks for, with examples from the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

TOKENS, EVENTS = "/admin/tokens/accesstoken/", "/admin/tokens/tokenevent/"
PEOPLE, SERVICES = "/admin/skytells_console/user/", "/admin/tokens/service/"
# What the policy's form sends where nothing is limited.
OPEN: dict[str, Any] = {
    "version": "0",
    "no_expiration_allowed": "on",
    "new_tokens_allowed": "on",
    "when": "renewal",
}
STRICT: dict[str, Any] = {
    "version": "0",
    "max_lifetime_days": "90",
    "max_write_lifetime_days": "30",
    "max_live_tokens": "50",
    "revoke_unused_after_days": "90",
    "allowed_networks": "10.0.0.0/16",
    "new_tokens_allowed": "on",
    "when": "renewal",
}


class Screen(NamedTuple):
    """One thing that staff ask for.

    ``sent`` is what a form sends, ``exported`` a file of which the beginning is read; of what is
    ``leafed`` the last page is asked for, too.
    """

    name: str
    path: str
    sent: dict[str, Any] | None = None
    exported: bool = False
    leafed: bool = False


def screens() -> Iterator[Screen]:
    """Yield every screen, with examples from the database."""
    yield Screen("front page", "/admin/")
    yield from _lists()
    yield from _searches()
    yield from _pages()
    yield from _policy()
    yield from _events()
    yield Screen("services", SERVICES)
    yield Screen("services, search", f"{SERVICES}?q=service-1")


def _lists() -> Iterator[Screen]:
    from tokens.admin.token_list import TokenAdmin

    yield Screen("tokens", TOKENS)
    yield Screen("tokens, page 100", f"{TOKENS}?p=100")
    filters: Any = TokenAdmin.list_filter
    for each in filters:
        shown = each(None, {}, None, None)
        for value, _ in shown.lookups(None, None):
            query = f"{shown.parameter_name}={value}"
            yield Screen(f"tokens, {query}", f"{TOKENS}?{query}", leafed=True)
    yield Screen("tokens, two filters", f"{TOKENS}?status=active&scope=writes")
    yield Screen("tokens, three filters", f"{TOKENS}?status=unused&scope=writes&via=device")
    yield Screen("tokens, export begins", f"{TOKENS}export.csv", exported=True)
    query = "status=expiring_soon"
    yield Screen(f"tokens, export of {query} begins", f"{TOKENS}export.csv?{query}", exported=True)


def _searches() -> Iterator[Screen]:
    from tokens.models import AccessToken

    token = AccessToken.objects.select_related("owner").order_by("pk")[1234]
    email = token.owner.email.replace("@", "%40")
    for name, word in (
        ("whole address", email),
        ("start of an address", email[:15]),
        ("start of a common name", "deploy"),
        ("start of a rare name", token.name[:-1]),
        ("a name that is nowhere", "nowhere"),
        ("public id", str(token.public_id)),
        ("last four", token.last4),
    ):
        yield Screen(f"tokens, search: {name}", f"{TOKENS}?q={word}")
    yield Screen("tokens, search and filter", f"{TOKENS}?q=deploy&status=unused")


def _pages() -> Iterator[Screen]:
    from django.db.models import Count

    from skytells_console.models import User
    from tokens.models import AccessToken

    token = AccessToken.objects.filter(activity__isnull=False).order_by("pk")[1234]
    yield Screen("a token", f"{TOKENS}{token.pk}/change/")
    busiest = User.objects.annotate(n=Count("access_tokens")).order_by("-n", "pk")[0]
    yield Screen("people", PEOPLE)
    yield Screen("people, page 20", f"{PEOPLE}?p=20")
    yield Screen("people, search", f"{PEOPLE}?q=person-0001")
    yield Screen(f"a person with {busiest.n} tokens", f"{PEOPLE}{busiest.pk}/change/")
    yield Screen(f"deactivate who has {busiest.n}", f"/admin/people/{busiest.pk}/deactivate/")
    ids = AccessToken.objects.filter(revoked_at__isnull=True).order_by("-pk")[:50]
    asked = "&".join(f"id={each.public_id}" for each in ids)
    yield Screen("revoke 50 selected: the question", f"/admin/revoke/?{asked}")
    sent = {"action": "export_selected", "_selected_action": [each.pk for each in ids]}
    yield Screen("export 50 selected", TOKENS, sent, exported=True)
    yield Screen("identify, last four", "/admin/identify/", {"value": token.last4})
    unknown = _unknown_value()
    yield Screen("identify, a whole value", "/admin/identify/", {"value": unknown})


def _unknown_value() -> str:
    from tokens import secret

    return next(iter(secret.mint_many(1))).reveal()


def _policy() -> Iterator[Screen]:
    from tokens import scopes

    names = list(scopes.BY_NAME)
    yield Screen("policy", "/admin/policy/")
    sent = OPEN | {"allowed_scopes": names}
    yield Screen("policy, preview where nothing is limited", "/admin/policy/", sent)
    sent = STRICT | {"allowed_scopes": names[:-1]}
    yield Screen("policy, preview of every rule", "/admin/policy/", sent)
    sent = OPEN | {"allowed_scopes": names, "max_lifetime_days": "90"}
    yield Screen("policy, preview of a lifetime", "/admin/policy/", sent)


def _events() -> Iterator[Screen]:
    from tokens.admin.events import EventAdmin
    from tokens.models import AccessToken, TokenEvent

    token = AccessToken.objects.select_related("owner").order_by("pk")[1234]
    yield Screen("events", EVENTS)
    yield Screen("events, page 100", f"{EVENTS}?p=100")
    for query in (
        "kind=token.issued",
        "kind=token.revoked",
        "kind=policy.changed",
        "door=browser",
        "door=api",
        "door=admin",
        "since=1",
        "since=30",
        "since=90",
        "kind=token.revoked&door=admin",
        "kind=token.revoked&since=30",
    ):
        yield Screen(f"events, {query}", f"{EVENTS}?{query}")
    assert len(EventAdmin.list_filter) == 3
    day = token.created_at.date()
    for name, word in (
        ("an address", token.owner.email.replace("@", "%40")),
        ("a public id", str(token.public_id)),
        ("a day", str(day)),
        ("nothing that is known", "nowhere"),
    ):
        yield Screen(f"events, search: {name}", f"{EVENTS}?q={word}")
    event = TokenEvent.objects.order_by("-pk")[0]
    yield Screen("an event", f"{EVENTS}{event.pk}/change/")
    yield Screen("events, CSV begins", f"{EVENTS}export.csv", exported=True)
    yield Screen("events, JSON lines begin", f"{EVENTS}export.jsonl", exported=True)
    query = "kind=token.revoked&since=30"
    yield Screen("events, filtered CSV begins", f"{EVENTS}export.csv?{query}", exported=True)
