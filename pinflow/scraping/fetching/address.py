"""Which addresses may be connected to. The check is made on the very address that the connection goes to."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pinflow.scraping.fetching.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits


def is_public(text: str) -> bool:
    """True for an address of the open internet, also where one kind of address wraps another.

    Raises `ValueError` for what is no IP address.
    """
    address = _unwrapped(ipaddress.ip_address(text.partition("%")[0]))
    return address.is_global and not address.is_multicast


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside a mapped, 6to4 or NAT64 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


class GuardedResolver(AbstractResolver):
    """Resolves host names, and gives out an answer only where all of it may be connected to.

    The connection goes to the addresses given out, so a name cannot change its mind in between. `own_host` is
    the one host that may be anywhere: the collection's `base_url` names it.
    """

    def __init__(self, own_host: str | None) -> None:
        self._own_host = own_host
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The host's addresses. Raises `AddressRefused`, or `OSError` for an unknown name."""
        found = await self._resolver.resolve(host, port, family)
        check(host, (one["host"] for one in found), self._own_host)
        return found

    async def close(self) -> None:
        """Nothing to close."""
        await self._resolver.close()


def check(host: str, addresses: Iterable[Any], own_host: str | None) -> None:
    """Raise `AddressRefused` where an address of the host is not public and the host is not our own."""
    if host.lower() == own_host:
        return
    for address in addresses:
        if not is_public(address):
            raise AddressRefused(
                f"{host} has the address {address}, which is not public: only a host that `base_url` names "
                "may have one"
            )


def check_literal(host: str, own_host: str | None) -> None:
    """The same for a host written as an address, in whatever form the system's resolver would take it:
    `127.0.0.1`, `2130706433`, `0x7f.1`, `::ffff:127.0.0.1`. Names pass: they are checked when resolved."""
    try:
        check(host, [str(ipaddress.ip_address(host))], own_host)
        return
    except ValueError:
        pass
    try:
        address = socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return
    check(host, [address], own_host)
