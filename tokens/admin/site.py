"""The admin site: allauth's sign-in, staff only, and only the pages that this package names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, reverse

from tokens.admin.events import EventAdmin
from tokens.admin.identifying import identify
from tokens.admin.people import PersonAdmin, deactivate
from tokens.admin.policy import policy_form
from tokens.admin.revoking import revoke_tokens
from tokens.admin.rights import (
    EVENTS,
    POLICY,
    REVOKE,
    REVOKE_SERVICE,
    SERVICES,
    TOKENS,
    required,
)
from tokens.admin.service_list import ServiceAdmin, revoke_service
from tokens.admin.token_list import TokenAdmin
from tokens.models import AccessToken, Service, TokenEvent

AnyView = Callable[..., HttpResponseBase]

# What the front page offers: a name, an address, a sentence, and the right that it needs.
_OFFERS = (
    ("Tokens", "admin:tokens_accesstoken_changelist", "Find, read, revoke and export.", TOKENS),
    ("Identify a token", "admin:identify", "Paste a value and learn whose it is.", TOKENS),
    ("People", "admin:skytells_console_user_changelist", "All tokens of one person.", TOKENS),
    ("Services", "admin:tokens_service_changelist", "Who may ask about tokens.", SERVICES),
    ("Events", "admin:tokens_tokenevent_changelist", "What happened, and who did it.", EVENTS),
    ("Token policy", "admin:policy", "The rules for all tokens.", POLICY),
)


class ConsoleAdminSite(AdminSite):
    """Django's admin without its own accounts: no sign-in, no password page, no add, no change."""

    site_title = "Skytells Console"
    site_header = "Skytells Console"
    index_title = "Admin"
    enable_nav_sidebar = False
    site_url = None
    final_catch_all_view = False

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Answer 404 to who is signed in and not staff: for them these pages do not exist."""
        inner = super().admin_view(view, cacheable)

        @functools.wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **captured: Any) -> HttpResponseBase:
            if not self.has_permission(request):
                raise Http404
            answer: HttpResponseBase = inner(request, *args, **captured)
            return answer

        return guarded

    def get_urls(self) -> list[Any]:
        """Return only what is used, so that no page is left that nobody looks after."""
        front: list[URLPattern | URLResolver] = [
            path("", self.admin_view(self.index), name="index"),
            path("jsi18n/", self.admin_view(self.i18n_javascript, cacheable=True), name="jsi18n"),
            path("revoke/", self._own(revoke_tokens, REVOKE), name="stop"),
            path("identify/", self._own(identify, TOKENS), name="identify"),
            path("policy/", self._own(policy_form, POLICY), name="policy"),
            path("people/<int:pk>/deactivate/", self._own(deactivate, REVOKE), name="deactivate"),
            path(
                "services/<int:pk>/revoke/",
                self._own(revoke_service, REVOKE_SERVICE),
                name="revoke_service",
            ),
        ]
        for model, shown in self._registry.items():
            meta = model._meta
            front.append(path(f"{meta.app_label}/{meta.model_name}/", include(shown.urls)))
        front.append(path("<slug:app_label>/", self.admin_view(self.app_index), name="app_list"))
        return front

    def _own(self, view: AnyView, right: str) -> Any:
        return self.admin_view(required(right)(view))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Offer what this person may open."""
        offers = [
            {"name": name, "url": reverse(address), "about": about}
            for name, address, about, right in _OFFERS
            if request.user.has_perm(right)
        ]
        return super().index(request, {**(extra_context or {}), "offers": offers})

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Lead to the front page, which is the only index."""
        if app_label not in {model._meta.app_label for model in self._registry}:
            raise Http404
        return HttpResponseRedirect(reverse("admin:index"))


site = ConsoleAdminSite(name="admin")
site.disable_action("delete_selected")
site.register(AccessToken, TokenAdmin)
site.register(TokenEvent, EventAdmin)
site.register(Service, ServiceAdmin)
site.register(get_user_model(), PersonAdmin)
