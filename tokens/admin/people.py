"""People and their tokens: found by address, shown on one page, and switched off with all they hold."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tokens import audit, secret
from tokens.admin.identifying import standing
from tokens.admin.pages import page
from tokens.admin.revoking import Doomed, doomed_of, end
from tokens.admin.rights import REVOKE, TOKENS, LookOnlyAdmin, admin_origin
from tokens.forms import RevokeForm
from tokens.models import AccessToken, RevokeKind
from tokens.models.liveness import not_ended_q
from tokens.models.standing import with_rotation
from tokens.origin import Origin
from tokens.reauth import Purpose, fresh_proof_required

_SHOWN = 75
DEACTIVATING = Purpose(
    "Deactivating an account needs a fresh check.",
    "Confirm and deactivate",
    lambda request: ("deactivate an account and revoke its tokens", ""),
)


class LeaveForm(RevokeForm):
    """Why a person's account ends; the tick is for what would stop."""

    not_ticked = "Tick this to stop what is in use, or keep the account."


class PersonAdmin(LookOnlyAdmin):
    """All accounts, by address."""

    right = TOKENS
    list_display = ("email", "name", "state", "joined")
    list_display_links = ("email",)
    ordering = ("email",)
    sortable_by = ()
    search_fields = ("email",)
    search_help_text = "Start of the address or of the name"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Narrow by the start of the address or of the name."""
        word = search_term.strip().replace("\0", "")
        return (queryset.filter(called_q(word)) if word else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its name."""
        if secret.contains_token(request.GET.get("q", "")):
            return HttpResponseRedirect(reverse("admin:identify"))
        return super().changelist_view(request, {**(extra_context or {}), "title": "People"})

    def change_view(self, request: HttpRequest, object_id: str, *_: Any, **__: Any) -> HttpResponse:
        """Show one person with all tokens."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if not (object_id.isascii() and object_id.isdigit() and len(object_id) < 19):
            raise Http404
        return _person_page(request, int(object_id))

    @admin.display(description="Account")
    def state(self, person: Any) -> str:
        """Show whether the account works."""
        return "Active" if person.is_active else "Deactivated"

    @admin.display(description="Since")
    def joined(self, person: Any) -> str:
        """Show the day of the account's beginning."""
        return f"{person.date_joined:%-d %b %Y}"


def called_q(word: str) -> Q:
    """Return the condition for people whose address or name begins with a word."""
    return Q(email__istartswith=word) | Q(name__istartswith=word)


def _person_page(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(get_user_model(), pk=pk)
    rows = with_rotation(AccessToken.objects.owned_by(person), timezone.now())
    found = list(rows.select_related("owner", "activity").newest_first()[: _SHOWN + 1])
    context = {
        "person": person,
        "lines": [{"token": each, "status": standing(each)} for each in found[:_SHOWN]],
        "more": len(found) > _SHOWN,
        "may_deactivate": request.user.has_perm(REVOKE) and _may_switch_off(request, person),
    }
    return page(request, "person", person.email, context)


def _may_switch_off(request: HttpRequest, person: Any) -> bool:
    """Nobody switches off their own account, and only a superuser another superuser's."""
    actor: Any = request.user
    return person.pk != actor.pk and (actor.is_superuser or not person.is_superuser)


@require_http_methods(["GET", "HEAD", "POST"])
@fresh_proof_required(DEACTIVATING)
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then switch the account off and end all its tokens; a repeat finds nothing left to do."""
    person = get_object_or_404(get_user_model(), pk=pk)
    if not _may_switch_off(request, person):
        raise PermissionDenied
    doomed = _doomed(person)
    if request.method != "POST":
        return _question(request, person, doomed, LeaveForm())
    stops = any(each.breakage.breaks_somebody for each in doomed)
    form = LeaveForm(request.POST, stops_somebody=stops)
    if not form.is_valid():
        form.show_again()
        return _question(request, person, doomed, form, status=422)
    ended = _switch_off(person, admin_origin(request), form.cleaned_data["reason"])
    many = "1 token" if ended == 1 else f"{ended} tokens"
    messages.success(request, f"{person.email} is deactivated. {many} revoked.")
    address = reverse("admin:skytells_console_user_change", args=[person.pk])
    return HttpResponseRedirect(address, status=303)


def _doomed(person: Any) -> list[Doomed]:
    now = timezone.now()
    mine = AccessToken.objects.owned_by(person).filter(not_ended_q(now)).select_related("owner")
    return doomed_of(list(mine), now)


def _switch_off(person: Any, origin: Origin, reason: str) -> int:
    """Switch the account off and end its tokens, together; return how many tokens ended."""
    with transaction.atomic():
        # First the account: whoever issues a token holds its row, and none comes after this.
        people = get_user_model()._default_manager
        people.select_for_update(no_key=True).get(pk=person.pk)
        if people.filter(pk=person.pk, is_active=True).update(is_active=False):
            audit.record(audit.Kind.ACCOUNT_DEACTIVATED, origin=origin, owner_id=person.pk)
        return end(_doomed(person), origin, RevokeKind.ADMIN, reason)


def _question(
    request: HttpRequest, person: Any, doomed: list[Doomed], form: LeaveForm, status: int = 200
) -> HttpResponse:
    busy = sum(line.breakage.breaks_somebody for line in doomed)
    context = {
        "person": person,
        "doomed": doomed[:_SHOWN],
        "others": max(len(doomed) - _SHOWN, 0),
        "form": form,
        "busy": busy,
    }
    return page(request, "deactivate", f"Deactivate {person.email}?", context, status)
