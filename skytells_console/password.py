"""Settings → Password: the current one, a new one, and every other browser is signed out."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from tokens import ratelimit

# Longer than any passphrase, shorter than what it takes to keep a server busy with hashing.
MAX_PASSWORD = 1024


class PasswordField(forms.CharField):
    """Exactly what was typed: blanks belong to a password."""

    def __init__(self, missing: str) -> None:
        long = f"Passwords can be up to {MAX_PASSWORD} characters."
        super().__init__(
            strip=False,
            max_length=MAX_PASSWORD,
            error_messages={"required": missing, "max_length": long},
        )


class PasswordForm(forms.Form):
    """The current password and, twice, the new one. What was typed is never shown again."""

    current_password = PasswordField("Type your current password.")
    new_password = PasswordField("Type a new password.")
    new_password_again = PasswordField("Type the new password again.")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_new_password(self) -> str:
        """Return the new password when the rules of this console allow it."""
        password = str(self.cleaned_data["new_password"])
        validate_password(password, self.user)
        return password

    def clean(self) -> dict[str, Any]:
        """Compare the two new ones, once both could be read."""
        data = dict(super().clean() or self.cleaned_data)
        again = data.get("new_password_again")
        if again and "new_password" in data and again != data["new_password"]:
            self.add_error("new_password_again", "The two new passwords differ. Type them again.")
        return data


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def change_password(request: HttpRequest) -> HttpResponse:
    """Change the password; this browser stays signed in, every other one does not."""
    user: Any = request.user
    if request.method != "POST":
        return _page(request, PasswordForm(user=user))
    form = PasswordForm(request.POST, user=user)
    if not form.is_valid():
        return _page(request, form, status=422)
    now = timezone.now()
    # Counted before the password is looked at, together with the proofs of the same person.
    if not ratelimit.proof(user.pk, now=now):
        form.add_error("current_password", "Too many tries. Wait 5 minutes.")
        response = _page(request, form, status=429)
        response.headers["Retry-After"] = str(ratelimit.seconds_left(ratelimit.PROOF, now=now))
        return response
    if not user.check_password(form.cleaned_data["current_password"]):
        form.add_error("current_password", "That password is not right. Try again.")
        return _page(request, form, status=422)
    ratelimit.proof_succeeded(user.pk, now=now)
    with transaction.atomic():
        get_adapter(request).set_password(user, form.cleaned_data["new_password"])
        update_session_auth_hash(request, user)
    messages.success(request, "Password changed. Every other browser is signed out.")
    return HttpResponseRedirect(reverse("password"), status=303)


def _page(request: HttpRequest, form: PasswordForm, *, status: int = 200) -> HttpResponse:
    return render(request, "account/password.html", {"form": form}, status=status)
