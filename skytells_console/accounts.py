"""How allauth is told to behave: no sign-up, limits counted in SQL, one answer for both mistakes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import ResetPasswordForm as AllauthResetPasswordForm
from allauth.core import context
from django import forms
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from skytells_console.client_address import client_address
from tokens import ratelimit


class AccountAdapter(DefaultAccountAdapter):
    """Closes sign-up and counts tries to sign in across all workers."""

    error_messages: ClassVar[dict[str, str]] = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "Email or password is not right.",
        "too_many_login_attempts": "Too many tries. Wait 5 minutes.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are made by an operator with ``manage.py create_user``."""
        return False

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the address for a reset mail.

        allauth would take host and port from the request, which a stranger may choose in part.
        """
        return reset_url(*key.split("-", 1))

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing by toast that the page which follows says anyway."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this try, and refuse it when one try too many was counted.

        The try is counted before the password is looked at: a check that came first would let
        simultaneous tries pass together.
        """
        if not ratelimit.sign_in(_who(credentials), _where(request), now=timezone.now()):
            raise self.validation_error("too_many_login_attempts")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Return the account when the password is right, and take its counted try back."""
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is not None:
            ratelimit.sign_in_succeeded(_who(credentials), _where(request), now=timezone.now())
        return user


class ResetPasswordForm(AllauthResetPasswordForm):
    """Asks for the address to mail a reset link to, a few times an hour."""

    def clean(self) -> dict[str, Any]:
        """Refuse further mails from one place, and to one address, once their limit is reached.

        Both are counted alike for known and unknown addresses, so that nothing can be learned.
        """
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        email = str(cleaned.get("email") or "").lower()
        if email and not ratelimit.password_reset_from(_where(context.request), now=timezone.now()):
            raise forms.ValidationError(
                "Too many reset links were asked for from your network. Wait an hour.",
                code="rate_limited",
            )
        if email and not ratelimit.password_reset_mail(email, now=timezone.now()):
            raise forms.ValidationError(
                "A reset link was sent a few times already. Look in your mail, or wait an hour.",
                code="rate_limited",
            )
        return cleaned


def forgotten_by_the_browser(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let an answer to POST tell the browser to drop what it keeps of this site."""

    @functools.wraps(view)
    def forgetting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if request.method == "POST":
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    return forgetting


def reset_url(uid: str, key: str) -> str:
    """Return the address at which the holder of ``key`` chooses a new password."""
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": key})
    return f"{settings.PUBLIC_URL}{path}"


def _who(credentials: dict[str, Any]) -> str:
    return str(credentials.get("email") or credentials.get("username") or "").strip().lower()


def _where(request: HttpRequest) -> str:
    return client_address(request.META, settings.TRUSTED_PROXY_COUNT) or "unknown"
