"""How allauth is told to behave: no sign-up, limits counted in SQL, one answer for both mistakes."""

from __future__ import annotations

import functools
import logging
import smtplib
from collections.abc import Callable
from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import ResetPasswordForm as AllauthResetPasswordForm
from allauth.core import context
from django import forms
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from skytells_console.client_address import client_address
from tokens import notices, ratelimit

logger = logging.getLogger(__name__)


class MailFailed(Exception):  # noqa: N818 - told to the person, not a fault of the program
    """The mail that a page promised could not be sent."""


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

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send a mail that somebody waits for; raise ``MailFailed`` when the server does not take it."""
        try:
            super().send_mail(*args, **kwargs)
        except (OSError, smtplib.SMTPException) as error:
            # What a server answers may hold an address, so only the kind of the fault is written down.
            logger.warning("A mail could not be sent (%s).", type(error).__name__)
            raise MailFailed from None

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this try, and refuse it when one try too many was counted.

        The try is counted before the password is looked at: a check that came first would let
        simultaneous tries pass together.
        """
        if not ratelimit.sign_in(_who(credentials), _where(request), now=timezone.now()):
            _note_limit(request, ratelimit.SIGN_IN_FROM_ONE_PLACE)
            raise self.validation_error("too_many_login_attempts")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Return the account when the password is right, and take its counted try back."""
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if user is not None:
            ratelimit.sign_in_succeeded(_who(credentials), _where(request), now=timezone.now())
        return user

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Change the password and owe the mail about it, together or not at all."""
        with transaction.atomic():
            super().set_password(user, password)
            notices.password_changed(user.pk, at=timezone.now(), address=_where(context.request))


class ResetPasswordForm(AllauthResetPasswordForm):
    """Asks for the address to mail a reset link to, a few times an hour."""

    def clean(self) -> dict[str, Any]:
        """Refuse further mails to one address once its limit is reached.

        Known and unknown addresses are counted alike, so that nothing can be learned.
        """
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        email = str(cleaned.get("email") or "").lower()
        if email and not ratelimit.password_reset_mail(email, now=timezone.now()):
            _note_limit(context.request, ratelimit.RESET_MAIL)
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


def says_when_to_retry(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer 429 and when to try again, where a form of the view said that a limit was reached.

    The page stays the form with its sentence and what was typed, which helps more than a bare refusal.
    """

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        seconds = getattr(request, "retry_after", 0)
        if seconds:
            response.status_code = 429
            response.headers["Retry-After"] = str(seconds)
        return response

    return answer


def says_when_mail_fails(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Say that no mail went out, instead of a promise or of a page about a broken console."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except MailFailed:
            return render(request, "account/mail_failed.html", status=503)

    return answer


def limited_by_place(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Refuse the whole request once one place has asked too often, for whichever accounts."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        now = timezone.now()
        if request.method != "POST" or ratelimit.password_reset_asked(_where(request), now=now):
            return view(request, *args, **kwargs)
        seconds = ratelimit.seconds_left(ratelimit.RESET_FROM_ONE_PLACE, now=now)
        response = render(request, "429.html", {"minutes": -(-seconds // 60)}, status=429)
        response.headers["Retry-After"] = str(seconds)
        return response

    return answer


def _note_limit(request: HttpRequest, limit: ratelimit.Limit) -> None:
    request.retry_after = ratelimit.seconds_left(limit, now=timezone.now())  # type: ignore[attr-defined]


def _who(credentials: dict[str, Any]) -> str:
    return str(credentials.get("email") or credentials.get("username") or "").strip().lower()


def _where(request: HttpRequest) -> str:
    return client_address(request.META, settings.TRUSTED_PROXY_COUNT) or "unknown"
