"""The person who signs in: the e-mail address is the login."""

from __future__ import annotations

import uuid
import zoneinfo
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from tokens.secret import contains_token


def validate_time_zone(name: str) -> None:
    """Raise ``ValidationError`` unless ``name`` is an IANA zone such as Europe/Berlin."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError("Choose a time zone such as Europe/Berlin or UTC.", code="invalid")


def validate_person_name(name: str) -> None:
    """Raise ``ValidationError`` for a name that must not be shown on pages and in mails."""
    if contains_token(name):
        raise ValidationError("The name holds a token. Leave it out.", code="token")
    if not name.isprintable():
        raise ValidationError("The name holds a character that cannot be seen.", code="unreadable")


class UserManager(BaseUserManager["User"]):
    """Makes accounts; the address is kept in lower case, so that one mailbox is one account."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Return a new account; without a password nobody can sign in to it yet."""
        if not email:
            raise ValueError("An account needs an e-mail address.")
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Return a new account that may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """Return the account of an address, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """An account. ``public_id`` never changes and is never given to another person."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField("e-mail address", max_length=254, unique=True)
    name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_whatever_its_case"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The person's time zone; UTC when the stored name is not known on this machine."""
        try:
            return zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return zoneinfo.ZoneInfo("UTC")

    def get_full_name(self) -> str:
        """Return the name, or the address when no name was given."""
        return self.name or self.email

    def get_short_name(self) -> str:
        """Return the first word of the name, or the part of the address before the sign."""
        return (self.name or self.email.partition("@")[0]).split(" ")[0]
