from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from skytells_console.models import User
from tests.admin.conftest import REVOKE_SERVICE, SERVICES, Signer
from tests.cast import PASSWORD, Clock, issue, origin
from tokens import relying_parties, secret, usage
from tokens.models import Service, TokenEvent
from tokens.origin import Consumer
from tokens.relying_parties import Registered

pytestmark = pytest.mark.usefixtures("clock")
LIST = "/admin/tokens/service/"


@pytest.fixture
def billing(db: None) -> Registered:
    return relying_parties.create(
        name="billing", scopes=["projects.read", "keys.read"], origin=origin()
    )


def page_of(service: Service) -> str:
    return f"{LIST}{service.pk}/change/"


def revocation_of(service: Service) -> str:
    return f"/admin/services/{service.pk}/revoke/"


def ask(owner: User, service: str, clock: Clock) -> None:
    """Have a service's question accepted now."""
    usage.record(
        token_id=issue(owner, f"for-{service}-{clock.now:%d}").token.pk,
        scope="projects.read",
        consumer=Consumer(network="", client="", service=service),
        address=None,
        at=clock.now,
    )


def test_the_list_tells_name_scopes_creation_last_use_and_end(
    billing: Registered, alice: User, as_carol: Signer, clock: Clock
) -> None:
    relying_parties.create(name="search", scopes=["inference"], origin=origin())
    ended = relying_parties.create(name="archive", scopes=["inference"], origin=origin())
    clock.tick(days=2)
    ask(alice, "billing", clock)
    relying_parties.revoke(service=ended.service, origin=origin())
    rows = as_carol(SERVICES).get(LIST).context["cl"].result_list
    assert [(row.name, row.used_on, row.revoked_at) for row in rows] == [
        ("archive", None, clock.now),
        ("billing", clock.now.date(), None),
        ("search", None, None),
    ]
    html = as_carol(SERVICES).get(LIST).content.decode()
    for words in ("billing", "projects.read, keys.read", "25 Nov 2026", "Never"):
        assert words in html


def test_the_last_day_is_the_newest_of_many(
    billing: Registered, alice: User, as_carol: Signer, clock: Clock
) -> None:
    ask(alice, "billing", clock)
    clock.tick(days=3)
    ask(alice, "billing", clock)
    html = as_carol(SERVICES).get(page_of(billing.service)).content.decode()
    assert "26 Nov 2026" in html


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("bil", {"billing"}),
        ("BILL", {"billing"}),
        ("ling", set()),
        ("", {"billing", "search"}),
        ("\0", {"billing", "search"}),
        ("x" * 5000, set()),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_services_are_found_by_the_start_of_their_name(
    word: str, found: set[str], billing: Registered, as_carol: Signer
) -> None:
    relying_parties.create(name="search", scopes=["inference"], origin=origin())
    answer = as_carol(SERVICES).get(LIST, {"q": word})
    assert {row.name for row in answer.context["cl"].result_list} == found


def test_a_service_is_found_by_its_client_id(billing: Registered, as_carol: Signer) -> None:
    answer = as_carol(SERVICES).get(LIST, {"q": billing.service.client_id})
    assert [row.name for row in answer.context["cl"].result_list] == ["billing"]


def test_a_secret_in_the_search_is_sent_away(billing: Registered, as_carol: Signer) -> None:
    answer = as_carol(SERVICES).get(LIST, {"q": billing.secret.reveal()})
    assert (answer.status_code, answer["Location"]) == (302, LIST)


def test_no_page_shows_a_secret_or_its_digest(
    billing: Registered, as_carol: Signer, as_root: Client
) -> None:
    value = billing.secret.reveal()
    digest = secret.digest(value)[1].hex()
    for address in (LIST, page_of(billing.service), revocation_of(billing.service)):
        html = as_root.get(address).content.decode()
        assert value[7:19] not in html
        assert digest[:12] not in html


def test_the_question_changes_nothing(billing: Registered, as_carol: Signer) -> None:
    html = as_carol(REVOKE_SERVICE, SERVICES).get(revocation_of(billing.service)).content.decode()
    assert "Revoke billing?" in html
    assert "cannot be undone" in html
    assert Service.objects.get().revoked_at is None


def test_revoking_holds_on_the_next_question_and_is_remembered(
    billing: Registered, as_carol: Signer, carol: User, clock: Clock
) -> None:
    answer = as_carol(REVOKE_SERVICE, SERVICES).post(revocation_of(billing.service))
    assert (answer.status_code, answer["Location"]) == (303, page_of(billing.service))
    assert relying_parties.authenticate(billing.service.client_id, billing.secret.reveal()) is None
    (event,) = TokenEvent.objects.filter(kind="service.revoked")
    assert (event.door, event.actor_id, event.data["service"]) == ("admin", carol.pk, "billing")


def test_a_repeat_keeps_the_first_time_and_writes_no_second_event(
    billing: Registered, as_carol: Signer, clock: Clock
) -> None:
    client = as_carol(REVOKE_SERVICE, SERVICES)
    client.post(revocation_of(billing.service))
    first = Service.objects.get().revoked_at
    clock.tick(minutes=1)
    for method in (client.post, client.get):
        answer = method(revocation_of(billing.service), follow=True)
        assert "is revoked already" in answer.content.decode()
    assert Service.objects.get().revoked_at == first
    assert TokenEvent.objects.filter(kind="service.revoked").count() == 1


def test_who_may_only_revoke_comes_back_to_the_front_page(
    billing: Registered, as_carol: Signer
) -> None:
    answer = as_carol(REVOKE_SERVICE).post(revocation_of(billing.service))
    assert (answer.status_code, answer["Location"]) == (303, "/admin/")


def test_who_may_only_look_is_offered_no_end(billing: Registered, as_carol: Signer) -> None:
    html = as_carol(SERVICES).get(page_of(billing.service)).content.decode()
    assert "/revoke/" not in html


def test_it_needs_a_fresh_proof(billing: Registered, as_carol: Signer, clock: Clock) -> None:
    client = as_carol(REVOKE_SERVICE)
    clock.tick(minutes=16)
    assert "proof_password" in client.post(revocation_of(billing.service)).content.decode()
    assert Service.objects.get().revoked_at is None
    client.post(revocation_of(billing.service), {"proof_password": PASSWORD, "proof_for": "POST"})
    assert Service.objects.get().revoked_at is not None


@pytest.mark.parametrize("pk", [0, 2**63, 10**30])
def test_a_service_that_cannot_be_is_not_found(pk: int, as_carol: Signer, db: Any) -> None:
    client = as_carol(REVOKE_SERVICE)
    assert client.get(f"/admin/services/{pk}/revoke/").status_code == 404
    assert client.post(f"/admin/services/{pk}/revoke/").status_code == 404


def test_the_number_of_queries_is_constant(
    billing: Registered, alice: User, as_carol: Signer, clock: Clock
) -> None:
    client = as_carol(SERVICES)
    client.get(LIST)
    with CaptureQueriesContext(connection) as few:
        client.get(LIST)
    for number in range(10):
        relying_parties.create(name=f"s{number}", scopes=["inference"], origin=origin())
        ask(alice, f"s{number}", clock)
    with CaptureQueriesContext(connection) as many:
        client.get(LIST)
    assert len(many) == len(few)
