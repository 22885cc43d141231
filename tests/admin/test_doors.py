from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from skytells_console.models import User
from tests.admin.conftest import (
    EVENTS,
    POLICY,
    REVOKE,
    REVOKE_SERVICE,
    SERVICES,
    VIEW,
    Signer,
)
from tests.cast import issue, origin
from tokens import relying_parties
from tokens.models import TokenEvent

TOKENS, PEOPLE, LOG = (
    "/admin/tokens/accesstoken/",
    "/admin/skytells_console/user/",
    "/admin/tokens/tokenevent/",
)
PAGES = {
    TOKENS: VIEW,
    f"{TOKENS}export.csv": VIEW,
    f"{TOKENS}{{token}}/change/": VIEW,
    PEOPLE: VIEW,
    f"{PEOPLE}{{alice}}/change/": VIEW,
    "/admin/identify/": VIEW,
    "/admin/revoke/?id={id}": REVOKE,
    "/admin/people/{alice}/deactivate/": REVOKE,
    LOG: EVENTS,
    f"{LOG}export.csv": EVENTS,
    f"{LOG}export.jsonl": EVENTS,
    f"{LOG}{{event}}/change/": EVENTS,
    "/admin/policy/": POLICY,
    "/admin/tokens/service/": SERVICES,
    "/admin/tokens/service/{service}/change/": SERVICES,
    "/admin/services/{service}/revoke/": REVOKE_SERVICE,
}
RIGHTS = [VIEW, REVOKE, EVENTS, POLICY, SERVICES, REVOKE_SERVICE]


@pytest.fixture
def address(alice: User) -> dict[str, object]:
    token = issue(alice).token
    event = TokenEvent.objects.get()
    made = relying_parties.create(name="billing", scopes=["inference"], origin=origin())
    return {
        "token": token.pk,
        "id": token.public_id,
        "alice": alice.pk,
        "event": event.pk,
        "service": made.service.pk,
    }


@pytest.mark.parametrize("page", [*PAGES, "/admin/"])
def test_who_is_not_signed_in_is_sent_to_the_sign_in(
    page: str, address: dict[str, object], client: Client
) -> None:
    answer = client.get(page.format(**address))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/sign-in?next=/admin/")


@pytest.mark.parametrize("page", [*PAGES, "/admin/", "/admin/jsi18n/", "/admin/tokens/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_for_who_is_not_staff_there_is_no_admin(
    page: str, method: str, address: dict[str, object], as_alice: Client
) -> None:
    assert getattr(as_alice, method)(page.format(**address)).status_code == 404


@pytest.mark.parametrize(("page", "right"), PAGES.items())
def test_staff_open_a_page_with_its_right_and_without_it_never(
    page: str, right: str, address: dict[str, object], as_carol: Signer
) -> None:
    page = page.format(**address)
    others = [each for each in RIGHTS if each != right]
    assert as_carol(*others).get(page).status_code == 403
    assert as_carol(*others).post(page).status_code == 403
    assert as_carol(right).get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_superuser_opens_everything(
    page: str, address: dict[str, object], as_root: Client
) -> None:
    assert as_root.get(page.format(**address)).status_code == 200


def test_the_front_page_offers_what_may_be_opened(as_carol: Signer) -> None:
    assert "nothing in it yet" in as_carol().get("/admin/").content.decode()
    offers = as_carol(EVENTS).get("/admin/").content.decode()
    assert LOG in offers
    assert TOKENS not in offers
    assert "/admin/policy/" not in offers


@pytest.mark.parametrize(
    "base", [TOKENS, PEOPLE, LOG, "/admin/tokens/policy/", "/admin/tokens/service/"]
)
@pytest.mark.parametrize("end", ["add/", "{pk}/delete/", "{pk}/history/"])
def test_nothing_is_added_changed_or_removed(
    base: str, end: str, alice: User, as_root: Client
) -> None:
    pk = issue(alice).token.pk
    assert as_root.get(base + end.format(pk=pk)).status_code == 404
    assert as_root.post(base + end.format(pk=pk)).status_code == 404


def test_a_change_sent_to_a_page_that_only_looks_changes_nothing(
    alice: User, as_root: Client
) -> None:
    token = issue(alice).token
    as_root.post(f"{TOKENS}{token.pk}/change/", {"name": "other", "revoked_at": ""})
    as_root.post(f"{PEOPLE}{alice.pk}/change/", {"is_staff": "on", "email": "x@example.com"})
    token.refresh_from_db()
    alice.refresh_from_db()
    assert (token.name, alice.is_staff, alice.email) == ("cli-macbook", False, "alice@example.com")


@pytest.mark.django_db
def test_no_right_to_add_or_change_a_token_can_be_given() -> None:
    names = Permission.objects.filter(
        content_type__app_label="tokens",
        content_type__model__in=["accesstoken", "tokenevent", "service"],
    )
    rights = {VIEW, REVOKE, EVENTS, SERVICES, REVOKE_SERVICE}
    assert set(names.values_list("codename", flat=True)) == rights


def test_django_s_own_accounts_are_not_there(as_root: Client) -> None:
    for path in ("login/", "logout/", "password_change/", "auth/user/", "r/1/1/"):
        assert as_root.get(f"/admin/{path}").status_code == 404


def test_staff_find_the_admin_in_the_settings(as_carol: Signer, as_alice: Client) -> None:
    assert 'href="/admin/"' in as_carol().get("/settings/profile").content.decode()
    assert 'href="/admin/"' not in as_alice.get("/settings/profile").content.decode()


@pytest.mark.parametrize("pk", ["0", "abc", "9" * 30, "-1", "1/2", "%00"])
@pytest.mark.parametrize("base", [TOKENS, PEOPLE, LOG, "/admin/tokens/service/"])
def test_a_row_that_cannot_be_is_not_found(base: str, pk: str, as_root: Client) -> None:
    assert as_root.get(f"{base}{pk}/change/").status_code == 404


@pytest.mark.parametrize("page", [*PAGES, "/admin/"])
def test_pages_need_no_inline_script_or_style(
    page: str, address: dict[str, object], as_root: Client
) -> None:
    answer = as_root.get(page.format(**address))
    if answer["Content-Type"].startswith("text/html"):
        html = answer.content.decode()
        assert "<style" not in html
        assert " style=" not in html
        assert "<script>" not in html
