"""The list of events: read, narrowed and exported, never changed."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.safestring import SafeString

from tokens import audit
from tokens.admin.exporting import csv_of_events, lines_of_events
from tokens.admin.filters import Choice
from tokens.admin.pages import page
from tokens.admin.paging import BoundedList
from tokens.admin.rights import EVENTS, LookOnlyAdmin
from tokens.models import EventDetail, TokenEvent
from tokens.origin import Door
from tokens.templatetags.console_ui import instant

_DAYS = ("1", "7", "30", "90")


class KindFilter(Choice):
    """What happened."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every kind, in words."""
        return [(str(kind), in_words(kind)) for kind in audit.Kind]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Compare the stored word."""
        return rows.filter(kind=chosen)


class DoorFilter(Choice):
    """Through which door."""

    title = "door"
    parameter_name = "door"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every door."""
        return [(str(door), str(door).capitalize()) for door in Door]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Compare the stored word."""
        return rows.filter(door=chosen)


class SinceFilter(Choice):
    """Since when."""

    title = "date"
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return spans that end now; a day of its own is typed into the search."""
        return [(n, "In 24 hours" if n == "1" else f"In {n} days") for n in _DAYS]

    def narrow(self, rows: QuerySet[Any], chosen: str, now: datetime) -> QuerySet[Any]:
        """Compare the instant."""
        return rows.filter(at__gt=now - timedelta(days=int(chosen)))


class NamedList(BoundedList):
    """A page of events whose people are read together."""

    def get_results(self, request: HttpRequest) -> None:
        """Read one page, then its people with one query."""
        super().get_results(request)
        self.result_list = named(list(self.result_list))


class EventAdmin(LookOnlyAdmin):
    """All events, newest first."""

    right = EVENTS
    list_display = ("when", "what", "owner", "actor", "through", "token")
    list_display_links = ("when",)
    list_filter = (KindFilter, DoorFilter, SinceFilter)
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("kind",)
    search_help_text = "Address of the owner or actor, public id of a token, or a day as 2026-11-23"

    def get_urls(self) -> list[Any]:
        """Return the pages of every list, and the exports."""
        view = self.admin_site.admin_view
        return [
            path("export.csv", view(self.as_csv), name="events_csv"),
            path("export.jsonl", view(self.as_lines), name="events_lines"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NamedList]:
        """Use the list that knows its people."""
        return NamedList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Narrow by a token, a person or a day; anything else matches nothing."""
        word = search_term.strip().replace("\0", "")
        return (queryset.filter(_matching(word)) if word else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list with the addresses of its exports."""
        query = f"?{request.GET.urlencode()}" if request.GET else ""
        more = {
            "title": "Events",
            "export_url": reverse("admin:events_csv") + query,
            "lines_url": reverse("admin:events_lines") + query,
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show one event with its details."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            raise Http404
        event = TokenEvent.objects.filter(pk=int(object_id)).first()
        if event is None:
            raise Http404
        context = {
            "event": named([event])[0],
            "what": in_words(event.kind),
            "detail": EventDetail.objects.filter(pk=event.pk).first(),
            "data": json.dumps(event.data, indent=2, sort_keys=True),
        }
        return page(request, "event", f"Event {event.pk}", context)

    def as_csv(self, request: HttpRequest) -> Any:
        """Send what the filters match to a spreadsheet."""
        return csv_of_events(self._matched(request))

    def as_lines(self, request: HttpRequest) -> Any:
        """Send what the filters match to a program."""
        return lines_of_events(self._matched(request))

    def _matched(self, request: HttpRequest) -> QuerySet[TokenEvent]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found: QuerySet[TokenEvent] = self.get_changelist_instance(request).get_queryset(request)
        return found

    @admin.display(description="When")
    def when(self, event: TokenEvent) -> SafeString:
        """Show the minute."""
        return instant(event.at)

    @admin.display(description="What")
    def what(self, event: TokenEvent) -> str:
        """Show the kind in words."""
        return in_words(event.kind)

    @admin.display(description="Owner")
    def owner(self, event: Any) -> str:
        """Show whose token it was about."""
        return str(event.owner_email or "–")

    @admin.display(description="By")
    def actor(self, event: Any) -> str:
        """Show who did it."""
        return str(event.actor_email or "–")

    @admin.display(description="Door")
    def through(self, event: TokenEvent) -> str:
        """Show through which door."""
        return event.door

    @admin.display(description="Token")
    def token(self, event: Any) -> str:
        """Show the public id; the list's search takes it."""
        return str(event.token_public_id or "–")


def in_words(kind: str) -> str:
    """Return a kind as people read it: ``token.first_used`` is "Token first used"."""
    return kind.replace(".", " ").replace("_", " ").capitalize()


def named(events: list[Any]) -> list[Any]:
    """Give each event the addresses of its people, which rows refer to without a foreign key."""
    ids = {each for event in events for each in (event.owner_id, event.actor_id) if each}
    people = get_user_model()._default_manager.filter(pk__in=ids)
    emails = dict(people.values_list("pk", "email"))
    for event in events:
        event.owner_email = emails.get(event.owner_id, "")
        event.actor_email = emails.get(event.actor_id, "")
        event.words = in_words(event.kind)
    return events


def _matching(word: str) -> Q:
    try:
        return Q(token_public_id=uuid.UUID(word))
    except ValueError:
        pass
    if "@" in word:
        found = get_user_model()._default_manager.filter(email__istartswith=word).values("pk")
        return Q(owner_id__in=found) | Q(actor_id__in=found)
    found_day = _day(word)
    if found_day is None:
        return Q(pk__isnull=True)
    begins = datetime.combine(found_day, time(), tzinfo=timezone.get_current_timezone())
    begins = begins.astimezone(UTC)
    return Q(at__gte=begins, at__lt=begins + timedelta(days=1))


def _day(word: str) -> date | None:
    try:
        found = parse_date(word)
    except ValueError:
        return None
    # The calendar's first and last day have no other zone to be put into.
    return found if found and 1 < found.year < 9999 else None
