"""The list of all tokens: found by whose, what and when, stopped or exported from there."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tokens import secret
from tokens.admin.exporting import csv_of_tokens
from tokens.admin.filters import (
    ExpiryFilter,
    PolicyFilter,
    ScopeFilter,
    StatusFilter,
    UseFilter,
    ViaFilter,
)
from tokens.admin.people import called_q
from tokens.admin.rights import REVOKE, TOKENS, LookOnlyAdmin
from tokens.admin.token_page import token_page
from tokens.models import AccessToken
from tokens.models.standing import with_rotation
from tokens.models.status import status_of
from tokens.scopes import BY_NAME
from tokens.templatetags.console_ui import day, relative_tag, tid

_FEW_OWNERS = 1_000
_VALUE_IN_SEARCH = (
    "That looks like a token's value, which must not stand in an address. Identify it here instead."
)


class TokenAdmin(LookOnlyAdmin):
    """All tokens, newest first, fifty a page."""

    right = TOKENS
    list_display = (
        "who",
        "named",
        "value",
        "status",
        "access",
        "created",
        "expires",
        "last_used",
    )
    list_display_links = ("named",)
    list_filter = (StatusFilter, ScopeFilter, ExpiryFilter, UseFilter, ViaFilter, PolicyFilter)
    list_select_related = ("owner", "activity")
    ordering = ("-created_at", "-id")
    sortable_by = ()
    search_fields = ("name",)
    search_help_text = "Start of the name or of its owner's, address, public id, or last four"
    actions = ("revoke_selected", "export_selected")

    def get_urls(self) -> list[Any]:
        """Return the pages of every list, and the export."""
        export = self.admin_site.admin_view(self.export)
        return [path("export.csv", export, name="tokens_export"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessToken]:
        """Return all tokens, each with whether it is being rotated."""
        return with_rotation(AccessToken.objects.all(), timezone.now()).order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Narrow by what was typed; each kind of word asks its own index."""
        word = search_term.strip().replace("\0", "")
        return (queryset.filter(_matching(word)) if word else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, unless a value was pasted into its search."""
        if secret.contains_token(request.GET.get("q", "")):
            messages.error(request, _VALUE_IN_SEARCH)
            return HttpResponseRedirect(reverse("admin:identify"))
        more = {"title": "Access tokens", "export_url": _export_url(request)}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show one token."""
        return token_page(request, object_id)

    def export(self, request: HttpRequest) -> Any:
        """Send all that the filters and the search match."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_changelist_instance(request).get_queryset(request)
        return csv_of_tokens(found)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whether this person may stop tokens."""
        return request.user.has_perm(REVOKE)

    @admin.action(description="Revoke selected tokens…", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Lead to the question that says who would break."""
        ids = [("id", str(each)) for each in _chosen(request, queryset, "public_id")]
        return HttpResponseRedirect(f"{reverse('admin:stop')}?{urlencode(ids)}", status=303)

    @admin.action(description="Export selected as CSV")
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Send the chosen tokens."""
        return csv_of_tokens(queryset.filter(pk__in=_chosen(request, queryset, "pk")))

    @admin.display(description="Owner")
    def who(self, token: AccessToken) -> SafeString:
        """Show whose it is: the name, which is no key, over the address, which is one."""
        owner = token.owner
        local, at, domain = owner.email.rpartition("@")
        address = format_html("{}<wbr>{}{}", local, at, domain)
        if not owner.name:
            return address
        return format_html('{}<span class="under">{}</span>', owner.name, address)

    @admin.display(description="Name")
    def named(self, token: AccessToken) -> str:
        """Show the name, which leads to the token's page."""
        return token.name

    @admin.display(description="Value")
    def value(self, token: AccessToken) -> SafeString:
        """Show the masked value."""
        return tid(token.masked)

    @admin.display(description="Status")
    def status(self, token: Any) -> str:
        """Show the status as the owner sees it."""
        activity = getattr(token, "activity", None)
        status = status_of(
            token.liveness(),
            activity.last_used_at if activity else None,
            timezone.now(),
            rotating=token.rotating,
        )
        return render_to_string("components/badge.html", {"status": status})

    @admin.display(description="Scopes")
    def access(self, token: AccessToken) -> SafeString:
        """Show how many scopes, and how many of them write; the names on demand."""
        names = token.scope_names
        writes = sum(BY_NAME[name].writes for name in names)
        many = "1 scope" if len(names) == 1 else f"{len(names)} scopes"
        kinds = {0: "no writes", 1: "1 write"}.get(writes, f"{writes} writes")
        return format_html('{}<span class="under">{}</span>', many, kinds)

    @admin.display(description="Created")
    def created(self, token: AccessToken) -> SafeString:
        """Show the day."""
        return day(token.created_at)

    @admin.display(description="Expires")
    def expires(self, token: AccessToken) -> SafeString:
        """Show the day, or that there is none."""
        if token.expires_at is None:
            return format_html('<span class="warn">{}</span>', "No expiration")
        return day(token.expires_at)

    @admin.display(description="Last used")
    def last_used(self, token: AccessToken) -> SafeString | str:
        """Show how long ago."""
        activity = getattr(token, "activity", None)
        return relative_tag(activity.last_used_at) if activity else "Never"


def _matching(word: str) -> Q:
    try:
        return Q(public_id=uuid.UUID(word))
    except ValueError:
        pass
    people = get_user_model()._default_manager
    if "@" in word:
        # Whole addresses are looked up most, and are quick where nothing else is looked for.
        whole = Exact(Lower("email"), Lower(Value(word)))
        owner = people.filter(whole).values_list("pk", flat=True).first()
        if owner is not None:
            return Q(owner_id=owner)
    owners = people.filter(called_q(word)).values_list("pk", flat=True)
    few = list(owners[: _FEW_OWNERS + 1])
    # By their ids the database finds them fast; of more people than that a page fills soon.
    owned = Q(owner_id__in=few if len(few) <= _FEW_OWNERS else owners)
    named = owned | Q(name__istartswith=word)
    return named | Q(last4=word.lower()) if len(word) == 4 else named


def _chosen(request: HttpRequest, rows: QuerySet[Any], field: str) -> list[Any]:
    """Return one field of the ticked rows; what was not on the page is never among them."""
    ticked = [text for text in request.POST.getlist("_selected_action") if text.isdigit()]
    return list(rows.filter(pk__in=ticked[:100]).values_list(field, flat=True))


def _export_url(request: HttpRequest) -> str:
    address = reverse("admin:tokens_export")
    return f"{address}?{request.GET.urlencode()}" if request.GET else address
