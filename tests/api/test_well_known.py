from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import resolve

from tests.cast import Clock
from tokens.scopes import BY_NAME

SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"
SECURITY = "/.well-known/security.txt"
ADDRESS = "https://console.example.com"


@pytest.fixture(autouse=True)
def installation(settings: Any) -> Any:
    settings.PUBLIC_URL = ADDRESS
    settings.SECURITY_CONTACT = ["mailto:security@example.com", "https://example.com/report"]
    return settings


def test_the_server_describes_itself_as_rfc_8414_asks(client: Client) -> None:
    answer = client.get(SERVER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "issuer": ADDRESS,
        "device_authorization_endpoint": f"{ADDRESS}/api/oauth/device",
        "token_endpoint": f"{ADDRESS}/api/oauth/token",
        "token_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": f"{ADDRESS}/api/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
        ],
        "revocation_endpoint": f"{ADDRESS}/api/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [
            "none",
            "client_secret_basic",
            "client_secret_post",
        ],
        "grant_types_supported": ["urn:ietf:params:oauth:grant-type:device_code"],
        "response_types_supported": ["none"],
        "scopes_supported": list(BY_NAME),
        "service_documentation": f"{ADDRESS}/api/docs",
        "ui_locales_supported": ["en"],
    }


def test_the_issuer_is_where_the_document_was_found(client: Client) -> None:
    """RFC 8414, 3.3: a client compares them and stops when they differ."""
    told = client.get(SERVER).json()
    assert told["issuer"] == ADDRESS
    assert not [name for name, value in told.items() if value in ([], "", None)]


def test_the_resource_describes_itself_as_rfc_9728_asks(client: Client) -> None:
    answer = client.get(RESOURCE)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "resource": ADDRESS,
        "authorization_servers": [ADDRESS],
        "scopes_supported": list(BY_NAME),
        "bearer_methods_supported": ["header"],
        "resource_name": "Skytells Console",
        "resource_documentation": f"{ADDRESS}/api/docs",
    }


@pytest.mark.parametrize(
    "name",
    [
        "device_authorization_endpoint",
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
    ],
)
def test_what_the_document_names_is_there(client: Client, name: str) -> None:
    path = urlsplit(client.get(SERVER).json()[name]).path
    assert "POST" in resolve(path).func.endpoints


def test_a_fault_can_be_reported_as_rfc_9116_asks(client: Client, clock: Clock) -> None:
    answer = client.get(SECURITY)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content.decode().splitlines() == [
        "Contact: mailto:security@example.com",
        "Contact: https://example.com/report",
        "Expires: 2027-05-22T00:00:00Z",
        f"Canonical: {ADDRESS}/.well-known/security.txt",
        "Preferred-Languages: en",
    ]


def test_an_installation_without_a_contact_has_no_such_file(
    client: Client, installation: Any
) -> None:
    installation.SECURITY_CONTACT = []
    assert client.get(SECURITY).status_code == 404


@pytest.mark.parametrize("path", [SERVER, RESOURCE, SECURITY])
def test_the_files_are_open_read_only_and_need_neither_query_nor_cookie(
    client: Client, path: str, django_assert_num_queries: Any, db: None
) -> None:
    with django_assert_num_queries(0):
        answer = client.get(path)
    assert answer.status_code == 200
    assert not answer.cookies
    assert client.head(path).content == b""
    assert client.post(path).status_code == 405
    assert client.get(f"{path}/").status_code == 404


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("SECURITY_CONTACT", "security@example.com", "must hold addresses such as mailto:"),
        ("SECURITY_CONTACT", "http://example.com", "must hold addresses such as mailto:"),
        ("SECURITY_CONTACT", "mailto:a@example.com\nExpires: x", "must hold addresses such as"),
        ("SECURITY_CONTACT_DAYS", "366", "must be a whole number from 1 to 365"),
        ("SECURITY_CONTACT_DAYS", "0", "must be a whole number from 1 to 365"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(name: str, value: str, fault: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import skytells_console.settings"],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert f"  - {name} {fault}" in ran.stderr
