"""The six rights of staff, and the shape of a page that only looks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from tokens.admin.paging import BoundedList, BoundedPaginator
from tokens.models.rights import EVENTS, POLICY, REVOKE, REVOKE_SERVICE, SERVICES, TOKENS
from tokens.origin import Door, Origin
from tokens.requests import browser_origin

__all__ = [
    "EVENTS",
    "POLICY",
    "REVOKE",
    "REVOKE_SERVICE",
    "SERVICES",
    "TOKENS",
    "LookOnlyAdmin",
    "admin_origin",
    "required",
]

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


def required(
    *rights: str,
) -> Callable[[Callable[..., HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """Guard a view: 403 for staff who lack one of the rights."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def guarded(request: HttpRequest, **captured: Any) -> HttpResponseBase:
            if not all(request.user.has_perm(right) for right in rights):
                raise PermissionDenied
            return view(request, **captured)

        return guarded

    return decorate


def admin_origin(request: HttpRequest) -> Origin:
    """Return who is acting in the admin, from where, and when."""
    return replace(browser_origin(request), door=Door.ADMIN)


class LookOnlyAdmin(ModelAdmin):
    """A list and a page for each row; no way to add, change or remove one, whatever the rights."""

    right = ""
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:
        """Use the list that stops counting."""
        return BoundedList

    def get_urls(self) -> list[Any]:
        """Return the two pages."""
        info = self.opts.app_label, self.opts.model_name
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="{}_{}_changelist".format(*info)),
            path(
                "<path:object_id>/change/",
                view(self.change_view),
                name="{}_{}_change".format(*info),
            ),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the one right that this list needs."""
        return request.user.has_perm(self.right)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the list to whom it would open."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Nobody adds anything here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a row here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody removes a row here."""
        return False
