from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from skytells_console.client_address import client_address

SOCKET = "192.0.2.10"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        # Without a configured proxy the header is what anybody may have written.
        (0, None, SOCKET),
        (0, "203.0.113.5", SOCKET),
        # One proxy wrote the last entry; everything before it is the client's word.
        (1, "203.0.113.5", "203.0.113.5"),
        (1, "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        (1, "127.0.0.1,10.0.0.1 ,  203.0.113.5  ", "203.0.113.5"),
        # Two proxies: the second wrote the first one's address.
        (2, "203.0.113.5, 10.0.0.1", "203.0.113.5"),
        (2, "6.6.6.6, 203.0.113.5, 10.0.0.1", "203.0.113.5"),
        # Fewer entries than proxies: the request took another way, so only the socket counts.
        (2, "203.0.113.5", SOCKET),
        (1, None, SOCKET),
        (1, "", SOCKET),
        (1, "  ", SOCKET),
        # The place of the client holds no address: nothing is known, and nothing is guessed.
        (1, "203.0.113.5,", None),
        (1, "unknown", None),
        # Proxies that write a port, or brackets, are understood; what has neither shape is not.
        (1, "203.0.113.5:1234", "203.0.113.5"),
        (1, "6.6.6.6:1, 203.0.113.5:65535", "203.0.113.5"),
        (1, "[2001:db8::1]", "2001:db8::1"),
        (1, "[2001:db8::1]:443", "2001:db8::1"),
        (1, "[203.0.113.5]:443", "203.0.113.5"),
        (1, "2001:db8::1:443", "2001:db8::1:443"),
        (1, "203.0.113.5:", None),
        (1, "203.0.113.5:123456", None),
        (1, "203.0.113.5:x", None),
        (1, "[2001:db8::1", None),
        (1, "2001:db8::1]:443", None),
        (1, "[]:443", None),
        (1, "[unknown]:443", None),
        (1, ":443", None),
        (1, "203.0.113.5, \x00", None),
        (1, "9" * 10_000, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_only_what_configured_proxies_wrote_is_believed(
    proxies: int, forwarded: str | None, address: str | None
) -> None:
    meta = {"REMOTE_ADDR": SOCKET}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded
    assert client_address(meta, proxies) == address


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("@", None),
        (None, None),
    ],
)
def test_an_address_has_one_spelling(written: str | None, address: str | None) -> None:
    assert client_address({"REMOTE_ADDR": written}, 0) == address


def test_a_socket_without_an_address_gives_none() -> None:
    assert client_address({}, 0) is None
    assert client_address({}, 1) is None


@given(st.text(max_size=60), st.integers(0, 3))
def test_no_header_makes_the_address_change_or_raise_beyond_its_place(
    forwarded: str, proxies: int
) -> None:
    meta = {"REMOTE_ADDR": SOCKET, "HTTP_X_FORWARDED_FOR": f"{forwarded}, 203.0.113.5"}
    assert client_address(meta, 0) == SOCKET
    assert client_address(meta, 1) == "203.0.113.5"
    client_address(meta, proxies)
