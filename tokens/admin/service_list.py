"""Services that may ask about tokens: looked at and revoked, never made, removed or shown a secret of."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods

from tokens import relying_parties, secret
from tokens.admin.pages import page
from tokens.admin.rights import REVOKE_SERVICE, SERVICES, LookOnlyAdmin, admin_origin
from tokens.models import Service, TokenUse
from tokens.reauth import Purpose, fresh_proof_required
from tokens.templatetags.console_ui import day

REVOKING = Purpose(
    "Revoking a service needs a fresh check.",
    "Confirm and go on",
    lambda request: ("revoke a service that asks about tokens", ""),
)


class ServiceAdmin(LookOnlyAdmin):
    """All services, by name."""

    right = SERVICES
    list_display = ("name", "client_id", "about", "created", "used", "state")
    list_display_links = ("name",)
    ordering = ("name",)
    sortable_by = ()
    search_fields = ("name",)
    search_help_text = "Start of the name, or the client id"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return all services, each with the last day on which a token was accepted for it."""
        return _with_use().order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Narrow by the start of the name or by the whole client id."""
        word = search_term.strip().replace("\0", "")
        found = Q(name__istartswith=word) | Q(client_id=word)
        return (queryset.filter(found) if word else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, unless a value was pasted into its search."""
        if secret.contains_token(request.GET.get("q", "")):
            messages.error(request, "Search by a name or a client id: a secret is never asked for.")
            return HttpResponseRedirect(reverse("admin:tokens_service_changelist"))
        return super().changelist_view(request, {**(extra_context or {}), "title": "Services"})

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show one service."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            raise Http404
        service = get_object_or_404(_with_use(), pk=int(object_id))
        may_revoke = request.user.has_perm(REVOKE_SERVICE) and service.revoked_at is None
        context = {
            "service": service,
            "scopes": service.scopes.split(),
            "last_day": last_day(service.used_on),
            "may_revoke": may_revoke,
        }
        return page(request, "service", service.name, context)

    @admin.display(description="Scopes")
    def about(self, service: Service) -> str:
        """Show the scopes that it may ask about."""
        return ", ".join(service.scopes.split())

    @admin.display(description="Created")
    def created(self, service: Service) -> SafeString:
        """Show the day."""
        return day(service.created_at)

    @admin.display(description="Last used")
    def used(self, service: Any) -> str:
        """Show the last day with an accepted token."""
        return last_day(service.used_on)

    @admin.display(description="Revoked")
    def state(self, service: Service) -> SafeString | str:
        """Show since when it may not ask any more."""
        return day(service.revoked_at) if service.revoked_at else "–"


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(REVOKING)
def revoke_service(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then end the service's right to ask; a repeat finds it done."""
    service = get_object_or_404(_with_use(), pk=pk) if pk < 2**63 else None
    if service is None:
        raise Http404
    back = HttpResponseRedirect(_address(request, service), status=303)
    if service.revoked_at is not None:
        messages.info(request, f"{service.name} is revoked already.")
        return back
    if request.method != "POST":
        context = {"service": service, "last_day": last_day(service.used_on)}
        return page(request, "revoke_service", f"Revoke {service.name}?", context)
    if relying_parties.revoke(service=service, origin=admin_origin(request)):
        messages.success(request, f"{service.name} is revoked. Its next question is refused.")
    else:
        messages.info(request, f"{service.name} is revoked already.")
    return back


def last_day(used_on: date | None) -> str:
    """Return in words when a token was last accepted for a service; days are UTC's."""
    return f"{used_on:%-d %b %Y}" if used_on else "Never"


def _with_use() -> QuerySet[Any]:
    # The second condition says no more than the first one, and is what the index is made for.
    uses = TokenUse.objects.filter(service=OuterRef("name"), service__gt="").order_by("-day")
    return Service.objects.annotate(used_on=Subquery(uses.values("day")[:1]))


def _address(request: HttpRequest, service: Service) -> str:
    """Return the service's page for those who may read it, and the front page for others."""
    if request.user.has_perm(SERVICES):
        return reverse("admin:tokens_service_change", args=[service.pk])
    return reverse("admin:index")
