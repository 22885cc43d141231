"""Services that may ask about tokens: they come to be, prove themselves and end here, nowhere else.

A service proves itself with an id and a secret of 256 random bits, stored as a keyed digest as a
token is. Guessing one is out of reach, so nothing counts wrong tries: a count would cost a write and
let a stranger lock a service out.
"""

from __future__ import annotations

import functools
import hmac
import logging
import secrets
from collections.abc import Iterable
from typing import NamedTuple

from django.db import DatabaseError, IntegrityError, transaction

from tokens import audit, policy, scopes as catalogue, secret
from tokens.models import Service
from tokens.models.reading import Columns, FixedSelect
from tokens.origin import Origin

logger = logging.getLogger(__name__)

_COLUMNS = "SELECT id, name, client_id, scopes, pepper_id FROM tokens_service"
_LIVING = " AND revoked_at IS NULL"


class Registered(NamedTuple):
    """A new service and its secret, which exists nowhere else from now on."""

    service: Service
    secret: secret.Plaintext


class RelyingParty(NamedTuple):
    """A service that has proved itself, and the scopes it may ask about."""

    id: int
    name: str
    scopes: frozenset[str]


def create(*, name: str, scopes: Iterable[str], origin: Origin) -> Registered:
    """Register a service that may ask about ``scopes``, and return it with its secret.

    Raises ``policy.Refused`` for a name that is taken or unreadable, and for none or unknown scopes.
    """
    cleaned, about = _check_name(name), _check_scopes(scopes)
    value = secret.mint_for_service()
    pepper_id, digest = secret.digest(value.reveal())
    try:
        with transaction.atomic():
            service = Service.objects.create(
                name=cleaned,
                client_id=f"svc_{secrets.token_hex(8)}",
                secret_digest=digest,
                pepper_id=pepper_id,
                scopes=about,
                created_at=origin.at,
            )
            _remember(audit.Kind.SERVICE_CREATED, service, origin)
    except IntegrityError:
        # Somebody else registered the same name since it was looked for.
        raise _taken(cleaned) from None
    return Registered(service, value)


def revoke(*, service: Service, origin: Origin) -> bool:
    """End the service's right to ask. Return whether this call ended it."""
    with transaction.atomic():
        living = Service.objects.filter(pk=service.pk, revoked_at__isnull=True)
        ended = living.update(revoked_at=origin.at) == 1
        if ended:
            _remember(audit.Kind.SERVICE_REVOKED, service, origin)
    return ended


def authenticate(client_id: str, value: str) -> RelyingParty | None:
    """Return the service that proves itself with an id and a secret, or None.

    The secret alone finds the row, so a wrong id and an unknown one do the same work and say the
    same. One fixed query, as for tokens: introspection is asked as often as they are used.
    """
    if not secret.is_service_secret(value):
        return None
    found = _find(secret.digests(value))
    claimed = client_id.encode("utf-8", "replace")
    if found is None or not hmac.compare_digest(found[2].encode(), claimed):
        return None
    if found[4] != secret.peppers().signing_id:
        _redigest(found[0], value)
    return RelyingParty(found[0], found[1], frozenset(catalogue.split(found[3])))


def _find(digests: list[bytes]) -> Columns | None:
    return _by_digests(len(digests)).row(digests)


@functools.cache
def _by_digests(number: int) -> FixedSelect:
    marks = ", ".join(["%s"] * number)
    return FixedSelect(f"{_COLUMNS} WHERE secret_digest IN ({marks}){_LIVING}")


def _redigest(service_id: int, value: str) -> None:
    """Store the digest under the pepper that signs now; a busy database never refuses a service."""
    pepper_id, digest = secret.digest(value)
    try:
        Service.objects.filter(pk=service_id).update(pepper_id=pepper_id, secret_digest=digest)
    except DatabaseError:
        logger.exception("The digest of service %s could not be renewed.", service_id)


def _check_name(name: str) -> str:
    if not name.strip():
        raise policy.Refused("name", "name_required", "Give the service a name.")
    cleaned = policy.check_name(name, what="The service's name")
    # Uses are kept under the name, so that not even a revoked service's name is given again.
    key = policy.name_key(cleaned)
    if any(key == policy.name_key(each) for each in Service.objects.values_list("name", flat=True)):
        raise _taken(cleaned)
    return cleaned


def _taken(name: str) -> policy.Refused:
    return policy.Refused(
        "name", "service_exists", f"There is or was a service called {name}. Pick another name."
    )


def _check_scopes(names: Iterable[str]) -> str:
    chosen = list(names)
    if not chosen or catalogue.unknown(chosen):
        listed = ", ".join(catalogue.BY_NAME)
        raise policy.Refused(
            "scopes", "unknown_scope", f"Name the scopes it may ask about, out of: {listed}."
        )
    return catalogue.canonical(chosen)


def _remember(kind: audit.Kind, service: Service, origin: Origin) -> None:
    audit.record(
        kind,
        origin=origin,
        data={"service": service.name, "client_id": service.client_id, "scopes": service.scopes},
    )
