"""Settings → Profile: what one is called, and in which zone times are shown."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from skytells_console.models import validate_person_name, validate_time_zone
from skytells_console.theme import theme_options
from tokens.secret import redact

MAX_NAME = 120
# The groups that people look for; zones outside of them, such as "US/Pacific", are older names.
_REGIONS = (
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
)


class Zone(NamedTuple):
    """One choice of the list: the name that is stored, and the part of it a person reads."""

    name: str
    label: str


class ProfileForm(forms.Form):
    """Name and time zone, checked by the rules of the model."""

    name = forms.CharField(
        required=False,
        max_length=MAX_NAME,
        error_messages={"max_length": f"Names can be up to {MAX_NAME} characters."},
    )
    time_zone = forms.CharField(
        validators=[validate_time_zone],
        error_messages={"required": "Choose a time zone such as Europe/Berlin or UTC."},
    )

    def clean_name(self) -> str:
        """Return the name when it may be shown on pages and in mails."""
        name = str(self.cleaned_data["name"])
        validate_person_name(name)
        return name


@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show the profile, or save it; the pages that follow show their times in the new zone."""
    user: Any = request.user
    if request.method != "POST":
        first = {"name": user.name, "time_zone": user.time_zone}
        return _page(request, ProfileForm(initial=first))
    form = ProfileForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    user.name = form.cleaned_data["name"]
    user.time_zone = form.cleaned_data["time_zone"]
    user.save(update_fields=["name", "time_zone"])
    messages.success(request, "Profile saved")
    return HttpResponseRedirect(reverse("profile"), status=303)


def _page(request: HttpRequest, form: ProfileForm, *, status: int = 200) -> HttpResponse:
    user: Any = request.user
    typed_zone = redact(str(form["time_zone"].value() or ""))
    context = {
        "form": form,
        "typed_name": redact(str(form["name"].value() or "")),
        "typed_zone": typed_zone,
        "zone_groups": zone_groups(typed_zone),
        "zone_now": timezone.localtime(timezone=user.zone),
        "themes": theme_options(request),
    }
    return render(request, "account/profile.html", context, status=status)


def zone_groups(chosen: str) -> list[tuple[str, list[Zone]]]:
    """Return the zones by region; a chosen one that is in none of them stands first, by itself."""
    known = zoneinfo.available_timezones()
    groups = [(region, _zones_of(region, known)) for region in _REGIONS]
    listed = {zone.name for _, zones in groups for zone in zones} | {"UTC"}
    extra = [Zone(chosen, chosen)] if chosen and chosen not in listed else []
    return [("Everywhere", [Zone("UTC", "UTC"), *extra]), *groups]


def _zones_of(region: str, known: Iterable[str]) -> list[Zone]:
    names = sorted(name for name in known if name.startswith(f"{region}/"))
    return [Zone(name, _readable(name.removeprefix(f"{region}/"))) for name in names]


def _readable(place: str) -> str:
    return place.replace("_", " ").replace("/", ", ")
