from __future__ import annotations

import dataclasses
import ipaddress

import pytest
from hypothesis import given, strategies as st

from tests.cast import NOON
from tokens.models import TokenUse
from tokens.origin import (
    MAX_CONSUMER_NAME,
    Consumer,
    Door,
    Origin,
    client_label,
    consumer_name,
    network_of,
)


def test_an_origin_cannot_be_changed_on_its_way() -> None:
    origin = Origin(at=NOON, door=Door.BROWSER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        origin.actor_id = 7  # type: ignore[misc]


def test_an_origin_is_named_field_by_field() -> None:
    with pytest.raises(TypeError):
        Origin(NOON, Door.API)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        ("node", "Node.js client"),
        ("undici", "Node.js client"),
        ("curl/8.5.0", "curl"),
        ("CURL/8", "curl"),
        ("python-requests/2.32.3", "Python requests"),
        ("python-httpx/0.27", "Python httpx"),
        ("Python-urllib/3.11", "Python urllib"),
        ("Python/3.11 aiohttp/3.9", "Python aiohttp"),
        ("Go-http-client/2.0", "Go client"),
        ("axios/1.7.2", "Node.js axios"),
        ("Mozilla/5.0 (X11; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox"),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge"),
        ("Mozilla/5.0 AppleWebKit/537.36 Chrome/126.0 Safari/537.36", "Chrome"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605 Version/17 Safari/605.1", "Safari"),
        ("", "other"),
        ("Something/1.0 (by nobody)", "other"),
        ("x" * 256 + "curl", "other"),
        ("\x00\u202e<script>", "other"),
    ],
)
def test_a_client_has_a_label_from_a_closed_list(user_agent: str, label: str) -> None:
    assert client_label(user_agent) == label


@given(st.text(max_size=400))
def test_no_user_agent_gets_into_a_label(user_agent: str) -> None:
    assert len(client_label(user_agent)) <= TokenUse._meta.get_field("client").max_length
    assert user_agent == "" or client_label(user_agent).isprintable()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("255.255.255.255", "255.255.255.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::1", "::/48"),
        (None, "unknown"),
        ("", "unknown"),
        ("203.0.113", "unknown"),
        ("203.0.113.77:443", "unknown"),
        ("fe80::1%eth0/../x", "unknown"),
        ("'; --", "unknown"),
    ],
)
def test_an_address_belongs_to_a_network(address: str | None, network: str) -> None:
    assert network_of(address) == network


@given(st.ip_addresses())
def test_an_address_lies_in_its_network_which_fits_its_column(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    network = network_of(str(address))
    assert address in ipaddress.ip_network(network)
    assert len(network) <= TokenUse._meta.get_field("network").max_length


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("nightly-backup", "nightly-backup"),
        ("  nightly backup  ", "nightly backup"),
        ("nightly\x00\n\tbackup\x7f", "nightlybackup"),
        ("n\u202eightly\u200b", "nightly"),
        ("naïve", "nave"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("x" * 500, "x" * MAX_CONSUMER_NAME),
        ("\u3000", ""),
        ("", ""),
    ],
)
def test_a_consumer_name_keeps_what_can_be_read(header: str, name: str) -> None:
    assert consumer_name(header) == name


@given(st.text(max_size=300))
def test_any_consumer_name_fits_its_column(header: str) -> None:
    name = consumer_name(header)
    assert name.isascii()
    assert name == "" or name.isprintable()
    assert len(name) <= TokenUse._meta.get_field("consumer_name").max_length


def test_consumers_with_the_same_facts_are_the_same_consumer() -> None:
    assert Consumer("203.0.113.0/24", "curl") == Consumer("203.0.113.0/24", "curl")
    assert Consumer("203.0.113.0/24", "curl", "ci") != Consumer("203.0.113.0/24", "curl")
