"""The core's bans: whom they mean, against what Python's ipaddress says."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.store.banned import BanKind, who_of
from tests._core_test import ffi, lib
from tests.unit.clib import fail_each_allocation, nothing_leaks, slice_of

KINDS = {
    BanKind.CLIENT_ID: lib.NMQ_BAN_CLIENT_ID,
    BanKind.USER_NAME: lib.NMQ_BAN_USER_NAME,
    BanKind.ADDRESS: lib.NMQ_BAN_ADDRESS,
}
FOR_EVER = 0


class Bans:
    """A set of bans of the core."""

    def __init__(self) -> None:
        self.handle = ffi.gc(lib.nmq_bans_new(), lib.nmq_bans_free)

    def put(self, kind: int, who: bytes, until_ms: int = FOR_EVER) -> int:
        return int(lib.nmq_bans_put(self.handle, kind, slice_of(who), until_ms))

    def delete(self, kind: int, who: bytes) -> int:
        return int(lib.nmq_bans_del(self.handle, kind, slice_of(who)))

    def has(self, kind: int, who: bytes, now_ms: int = 1000) -> bool:
        return bool(lib.nmq_bans_has(self.handle, kind, slice_of(who), now_ms))

    def has_peer(self, address: str, now_ms: int = 1000) -> bool:
        return bool(lib.nmq_bans_has_peer(self.handle, peer(address), now_ms))

    def __len__(self) -> int:
        return int(lib.nmq_bans_count(self.handle))


def peer(address: str) -> Any:
    packed = ipaddress.ip_address(address).packed
    read = lib.nmq_peer_ip4 if len(packed) == 4 else lib.nmq_peer_ip6
    return ffi.new("nmq_peer *", read(packed, 4711))


def test_kinds_are_those_of_the_store() -> None:
    assert {int(kind): kind for kind in BanKind} == {c: kind for kind, c in KINDS.items()}
    assert len(BanKind) == lib.NMQ_BAN_KINDS


@pytest.mark.parametrize("kind", [lib.NMQ_BAN_CLIENT_ID, lib.NMQ_BAN_USER_NAME])
def test_a_name_is_banned_until_its_time(kind: int) -> None:
    bans = Bans()
    other = lib.NMQ_BAN_CLIENT_ID + lib.NMQ_BAN_USER_NAME - kind
    assert bans.put(kind, b"pump", 2000) == 0
    assert bans.has(kind, b"pump", 1999)
    assert not bans.has(kind, b"pump", 2000)
    assert not bans.has(kind, b"pum")
    assert not bans.has(kind, b"")
    assert not bans.has(other, b"pump")
    assert bans.put(kind, b"pump") == 0  # in place of the other
    assert bans.has(kind, b"pump", 1 << 50)
    assert len(bans) == 1
    assert bans.delete(kind, b"pump") == 0
    assert bans.delete(kind, b"pump") == lib.NMQ_ENOENT
    assert not bans.has(kind, b"pump")
    assert len(bans) == 0


def test_what_is_no_ban_is_refused() -> None:
    bans = Bans()
    assert bans.put(lib.NMQ_BAN_KINDS, b"x") == lib.NMQ_EINVAL
    assert bans.put(lib.NMQ_BAN_CLIENT_ID, b"") == lib.NMQ_EINVAL
    for text in (
        b"x",
        b"1.2.3.4",
        b"1.2.3.4/33",
        b"1.2.3.4/8,",
        b"1/8",
        b"::/129",
        b"1" * 80,
    ):
        assert bans.put(lib.NMQ_BAN_ADDRESS, text) == lib.NMQ_EADDR, text
        assert bans.delete(lib.NMQ_BAN_ADDRESS, text) == lib.NMQ_ENOENT
    assert len(bans) == 0


# Few bits differ, so that they meet.
V4 = st.builds(lambda n: ipaddress.IPv4Address(n * 0x01010101), st.integers(0, 3))
V6 = st.builds(lambda n: ipaddress.IPv6Address(n << 64 | n), st.integers(0, 3))


@st.composite
def networks(draw: st.DrawFn) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address = draw(V4 | V6)
    bits = draw(st.integers(0, address.max_prefixlen))
    return ipaddress.ip_network((address, bits), strict=False)


@given(st.lists(networks(), max_size=6), st.lists(networks(), max_size=3), V4 | V6)
def test_an_address_is_banned_when_it_is_in_a_network_that_is(
    banned: list[Any], taken_back: list[Any], address: Any
) -> None:
    bans = Bans()
    for each in banned:
        assert bans.put(lib.NMQ_BAN_ADDRESS, str(each).encode()) == 0
    for each in taken_back:
        bans.delete(lib.NMQ_BAN_ADDRESS, str(each).encode())
    left = set(banned) - set(taken_back)
    assert len(bans) == len(left)
    assert bans.has_peer(str(address)) is any(address in each for each in left)


def test_host_bits_of_a_network_do_not_count() -> None:
    bans = Bans()
    assert bans.put(lib.NMQ_BAN_ADDRESS, b"192.0.2.255/25") == 0
    assert bans.has_peer("192.0.2.128")
    assert not bans.has_peer("192.0.2.127")
    assert bans.delete(lib.NMQ_BAN_ADDRESS, b"192.0.2.129/25") == 0


def test_a_peer_without_an_address_is_in_no_network() -> None:
    bans = Bans()
    assert bans.put(lib.NMQ_BAN_ADDRESS, b"0.0.0.0/0") == 0
    assert bans.put(lib.NMQ_BAN_ADDRESS, b"::/0") == 0
    assert not lib.nmq_bans_has_peer(bans.handle, ffi.new("nmq_peer *"), 0)
    assert bans.has_peer("::ffff:192.0.2.1")  # counts as IPv4


def test_an_address_of_ipv4_in_ipv6_is_the_one_that_clients_have() -> None:
    assert who_of(BanKind.ADDRESS, "::ffff:192.0.2.1") == "192.0.2.1/32"


def test_out_of_memory_leaves_them_as_they_were() -> None:
    with nothing_leaks():
        bans = Bans()
        for n in range(300):  # tables grow on the way
            who = b"client%d" % n
            result = fail_each_allocation(
                lambda who=who: bans.put(lib.NMQ_BAN_CLIENT_ID, who),
                lambda n=n: [None for _ in [0] if len(bans) == n or pytest.fail("changed")],
            )
            assert result == 0
            assert len(bans) == n + 1
        assert all(bans.has(lib.NMQ_BAN_CLIENT_ID, b"client%d" % n) for n in range(300))
        ffi.release(bans.handle)
