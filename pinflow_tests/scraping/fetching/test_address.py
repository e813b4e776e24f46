"""Only the open internet may be connected to, in whatever form an address is written."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.scraping.fetching.address import GuardedResolver, check_literal, is_public
from pinflow.scraping.fetching.errors import AddressRefused

PRIVATE = [
    "127.0.0.1",
    "127.255.0.9",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # where clouds keep their credentials
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_wrapping_hides_nothing(address: ipaddress.IPv4Address) -> None:
    wrapped = (f"::ffff:{address}", f"64:ff9b::{address}")
    assert {is_public(one) for one in wrapped} == {is_public(str(address))}


@pytest.mark.parametrize(
    "host", [*PRIVATE[:17], "2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001", "0"]
)
def test_a_host_written_as_an_address_is_refused_in_every_form(host: str) -> None:
    with pytest.raises(AddressRefused, match="not public"):
        check_literal(host, None)


@pytest.mark.parametrize("host", ["example.org", "93.184.216.34", "1e100.net", "bücher.example"])
def test_names_and_public_addresses_pass(host: str) -> None:
    check_literal(host, None)


def test_only_the_host_that_is_ones_own_may_be_anywhere() -> None:
    check_literal("127.0.0.1", "127.0.0.1")
    with pytest.raises(AddressRefused):
        check_literal("127.0.0.2", "127.0.0.1")


def resolve(host: str, own: str | None = None) -> list[str]:
    async def ask() -> list[str]:
        return [one["host"] for one in await GuardedResolver(own).resolve(host, 80, socket.AF_INET)]

    return asyncio.run(ask())


def test_a_name_for_a_private_address_is_refused() -> None:
    with pytest.raises(AddressRefused, match=r"localhost has the address 127\.0\.0\.1"):
        resolve("localhost")
    assert resolve("localhost", own="localhost") == ["127.0.0.1"]


def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("8.8.8.8", "127.0.0.1")
    ]

    async def answer(*_: object, **__: object) -> object:
        return found

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", answer)
    with pytest.raises(AddressRefused):
        resolve("two-faced.example")
