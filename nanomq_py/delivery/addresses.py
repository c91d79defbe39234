"""Which servers may be told: a URL that somebody sets must not reach what he could not.

::

    Allowed(())                                   any, but link-local and metadata addresses
    Allowed(("hooks.example.com", "*.corp", "10.1.0.0/16", "192.0.2.7"))      only these

A name is judged again by each address that it has when a connection is made, and the
connection goes to an address that was judged: another answer of the resolver changes nothing.

Source   RFC 3927, RFC 4291 (2.5.5, 2.5.6), RFC 6052, RFC 3056; inet(3) for how an address of
         IPv4 may be written; what Amazon, Google, Azure, Oracle, Alibaba and Scaleway say of
         their metadata
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Link-local addresses, below which clouds answer with credentials, and their other addresses.
_NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128"),
        *("fd00:42::42/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),
    )
)
# An address of IPv4 is at their end: NAT64, and IPv4-compatible ones.
_WRAP = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
_OWN = {IPv6Address("::"), IPv6Address("::1")}


def _plain(text: str) -> Address:
    """Return the address that is meant by one that wraps it. Raises ValueError."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address not in _OWN and any(address in net for net in _WRAP):
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        return address if inner is None else inner
    return address


def _written(host: str) -> str | None:
    """Return the address that a host is, as a resolver reads it; None: it is a name.

    >>> _written("0x7f.1"), _written("2130706433"), _written("::1"), _written("a.example")
    ('127.0.0.1', '127.0.0.1', '::1', None)
    """
    with suppress(ValueError):
        ip_address(host.partition("%")[0])
        return host
    with suppress(OSError, ValueError):
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    return None


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


class Allowed:
    """The hosts that may be told. Empty: any, but for link-local and metadata addresses."""

    def __init__(self, entries: tuple[str, ...]) -> None:
        """Take names, names after ``*.``, addresses and networks.

        An address or a network that is named is allowed, whatever it is.
        """
        found = {entry: _network(entry) for entry in entries}
        self._networks = [network for network in found.values() if network is not None]
        self._names = [entry.lower() for entry, net in found.items() if net is None]
        self._any = not entries

    def _has_name(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return any(
            host.endswith(name[1:]) if name.startswith("*.") else host == name
            for name in self._names
        )

    def refuses_host(self, host: str) -> str:
        """Return why a host is not allowed whatever its addresses; empty: it may be."""
        address = _written(host)
        if address is None:
            if self._any or self._networks or self._has_name(host):
                return ""
            return f"the host {host[:255]!r} is not allowed"
        return self.refuses(host, address)

    def refuses(self, host: str, address: str) -> str:
        """Return why this address of a host is not allowed; empty: it is."""
        plain = _plain(address)
        if any(plain in network for network in self._networks):
            return ""
        if self._any or self._has_name(host):
            if not any(plain in network for network in _NEVER):
                return ""
            return f"{host[:255]}: its address {address} is link-local, or of metadata"
        return f"{host[:255]}: its address {address} is not allowed"
