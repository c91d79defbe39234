"""Values that are addresses and networks."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from nanomq_py.config.values.kind import BadValue, Listed, Verbatim

_MAPPED_BITS = 96  # of an IPv6 address, in front of an IPv4 address that is mapped into it


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network that a text names; an address is a network of one.

    A network of IPv4 that is mapped into IPv6 becomes IPv4, as the addresses of clients do.

    Raises   BadValue

    >>> network("192.0.2.9"), network("::ffff:192.0.2.9/120")
    (IPv4Network('192.0.2.9/32'), IPv4Network('192.0.2.0/24'))
    """
    if "%" in text:  # a zone: the core knows peers without one
        raise BadValue
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValue from None
    address = ipaddress.ip_address(text.partition("/")[0])
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is None:
        return found
    if found.prefixlen < _MAPPED_BITS:
        expected = (
            f"a prefix of {_MAPPED_BITS} bits or more for IPv4 that is mapped into IPv6"
        )
        raise BadValue(f"{expected}, such as ::ffff:192.0.2.0/120")
    bits = found.prefixlen - _MAPPED_BITS
    return ipaddress.IPv4Network((address.ipv4_mapped, bits), strict=False)


@dataclass(frozen=True)
class Networks(Listed):
    """Networks and addresses, with commas between. An address becomes a network of one.

    >>> Networks().parse("10.0.0.5, 2001:db8::/32")
    ('10.0.0.5/32', '2001:db8::/32')
    """

    expected: str = (
        "addresses or networks with commas between, such as 10.0.0.5,192.0.2.0/24"
    )

    def parse(self, text: str) -> tuple[str, ...]:
        given = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(str(network(item)) for item in given)


@dataclass(frozen=True)
class Address(Verbatim):
    """An IPv4 or IPv6 address or a host name, without a port; empty for the default."""

    expected: str = "an address to listen on, such as 127.0.0.1 or ::"

    def parse(self, text: str) -> str:
        if not text or re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
            return text
        try:
            return str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            raise BadValue from None
