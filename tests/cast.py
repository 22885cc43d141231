"""The cast: alice owns, bob must see nothing, carol is staff; and one clock for all of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from skytells_console.models import User
from tokens import lifecycle, usage
from tokens.lifecycle import Issued, Wish
from tokens.origin import Door, Origin

PASSWORD = "correct horse battery"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Clock:
    """The time of the test, which moves only when the test says so."""

    def __init__(self, traveller: time_machine.Coordinates) -> None:
        self._traveller = traveller

    @property
    def now(self) -> datetime:
        return timezone.now()

    def tick(self, **delta: float) -> datetime:
        """Move on by a timedelta's arguments and return the new time."""
        self._traveller.shift(timedelta(**delta))
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield Clock(traveller)


@pytest.fixture
def only_short_text_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail wherever Unicode is asked to put a long text in order, which takes quadratic time."""
    normalise = unicodedata.normalize

    def watched(form: Any, text: str) -> str:
        assert len(text) <= 2000, f"{len(text)} characters are normalised."
        return normalise(form, text)

    monkeypatch.setattr(unicodedata, "normalize", watched)


@pytest.fixture(autouse=True)
def nothing_gathered() -> Iterator[None]:
    usage.forget_gathered()
    yield
    usage.forget_gathered()


def make_user(email: str, **fields: Any) -> User:
    user = User.objects.create_user(email, PASSWORD, **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice@example.com", name="Alice Arden", time_zone="Europe/Berlin")


@pytest.fixture
def bob(db: None) -> User:
    return make_user("bob@example.com", name="Bob Bell")


@pytest.fixture
def carol(db: None) -> User:
    return make_user("carol@example.com", name="Carol Cole", is_staff=True)


def origin(actor: User | None = None, *, at: datetime | None = None, **facts: Any) -> Origin:
    """Return an origin as the browser's door would make it."""
    facts.setdefault("door", Door.BROWSER)
    return Origin(at=at or timezone.now(), actor_id=actor.pk if actor else None, **facts)


def issue(owner: User, name: str = "cli-macbook", **facts: Any) -> Issued:
    """Issue a token through the lifecycle, as every door does."""
    at = facts.pop("at", None) or timezone.now()
    wish = Wish(
        name=name,
        scopes=facts.pop("scopes", ["account.read", "projects.read"]),
        expires_at=facts.pop("expires_at", at + timedelta(days=30)),
        projects=facts.pop("projects", None),
        description=facts.pop("description", ""),
    )
    return lifecycle.issue(owner=owner, wish=wish, origin=origin(owner, at=at), **facts)


def sign_in(client: Client, user: User) -> Client:
    """Sign in with the form, so that the session knows of the proof."""
    answer = client.post("/account/sign-in", {"login": user.email, "password": PASSWORD})
    assert answer.status_code == 302, answer.content
    return client


@pytest.fixture
def as_alice(client: Client, alice: User) -> Client:
    return sign_in(client, alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return sign_in(Client(), bob)


@pytest.fixture
def bearer() -> Callable[[Issued], dict[str, str]]:
    """Return the header with which a client presents a token."""
    return lambda issued: {"Authorization": f"Bearer {issued.plaintext.reveal()}"}
