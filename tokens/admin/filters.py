"""By what the list of tokens is narrowed; each filter is one condition of the models."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from tokens import policy, policy_change, scopes
from tokens.models import Created
from tokens.models.liveness import not_ended_q
from tokens.models.standing import endless_q, last_use_q, never_used_q, status_q, unused_q
from tokens.models.status import UNUSED, Status

_KEYS = {status.key: status for status in Status}
_DAY = timedelta(days=1)


class Choice(SimpleListFilter):
    """A filter whose unknown values narrow nothing."""

    title = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the values and their words."""
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow, if a known value was chosen."""
        chosen = self.value()
        known = {str(value) for value, _ in self.lookup_choices}
        return self.narrow(queryset, chosen, timezone.now()) if chosen in known else queryset

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Return the rows of one value."""
        raise NotImplementedError


class StatusFilter(Choice):
    """The status that the list shows, exactly; needs ``with_rotation``."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every status."""
        return [(status.key, status.label) for status in Status]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Ask for what the shown status rests on."""
        status = _KEYS[chosen]
        narrowed: QuerySet[Any] = rows.filter(status_q(status, now))
        return narrowed.filter(_long_made_q(now)) if status is Status.UNUSED else narrowed


def _long_made_q(now: datetime) -> Q:
    """Return what each unused token fulfils: it was made before it was last used.

    That spares a list, which begins with the newest, all tokens of the last months.
    """
    return Q(created_at__lte=now - UNUSED)


class ScopeFilter(Choice):
    """What a token may do."""

    title = "access"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return "any write" and each scope."""
        return [("writes", "Any write"), *((name, name) for name in scopes.BY_NAME)]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """No scope's name is part of another's, so containment is membership."""
        names = [s.name for s in scopes.SCOPES if s.writes] if chosen == "writes" else [chosen]
        holds = Q(pk__isnull=True)
        for name in names:
            holds |= Q(scopes__contains=name)
        return rows.filter(holds)


class ExpiryFilter(Choice):
    """When a living token ends by its date."""

    title = "expiration"
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return two spans and "never"."""
        return [("7", "In 7 days"), ("90", "In 90 days"), ("never", "No expiration")]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Leave out what has ended already."""
        if chosen == "never":
            return rows.filter(endless_q(now))
        return rows.filter(not_ended_q(now), expires_at__lte=now + int(chosen) * _DAY)


class UseFilter(Choice):
    """When a token was last used."""

    title = "last use"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return spans, and "never" for tokens that have not ended."""
        return [
            ("1", "In 24 hours"),
            ("30", "In 30 days"),
            ("idle", "Not for 90 days"),
            ("never", "Never"),
        ]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Compare the last use; silence counts only while a token could be used."""
        if chosen == "never":
            return rows.filter(never_used_q(now))
        if chosen == "idle":
            return rows.filter(unused_q(now), _long_made_q(now))
        return rows.filter(last_use_q(last_used_at__gt=now - int(chosen) * _DAY))


class ViaFilter(Choice):
    """How a token came to be."""

    title = "origin"
    parameter_name = "via"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every way."""
        return [(str(value), str(label).capitalize()) for value, label in Created.choices]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Compare the stored word."""
        return rows.filter(created_via=chosen)


class PolicyFilter(Choice):
    """What breaks the rules that are in force, whether or not they refuse it already."""

    title = "policy"
    parameter_name = "policy"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the one value."""
        return [("out", "Out of policy")]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Ask the same condition as the policy's preview."""
        return policy_change.outside_to_list(rows, policy.current_rules(), now)
