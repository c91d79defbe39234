"""Any bytes: the decoder asks for more, refuses, or reads; and never past the end."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import Exact, nothing_leaks
from tests.vectors.packets import BAD, GOOD

SEEDS = [(v, bytes.fromhex(t)) for v, t, _ in [*GOOD.values(), *BAD.values()]]
VERSION = st.sampled_from([0, 3, 4, 5])


@st.composite
def near_packets(draw: st.DrawFn) -> tuple[int, bytes]:
    """A golden packet with some bytes changed, and its version or another."""
    version, data = draw(st.sampled_from(SEEDS))
    changed = bytearray(data)
    for at, value in draw(
        st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=4)
    ):
        changed[at] = value
    return draw(st.one_of(st.just(version), VERSION)), bytes(changed)


def decode(version: int, data: bytes) -> tuple[int, bytes | None]:
    """Return what was taken, and the packet written again (None where it cannot be)."""
    exact = Exact(data)
    packet = ffi.new("nmq_packet *")
    took = lib.nmq_decode(exact.slice, version, packet)
    assert took <= len(data)
    assert -took in (0, 0x81, 0x82, 0x84, 0x90) or took > 0
    if took <= 0:
        return took, None
    out = ffi.new("nmq_buf *")
    assert lib.nmq_encode(out, version, packet) == 0
    again = bytes(ffi.buffer(out.at, out.len))
    lib.nmq_buf_free(out)
    return took, again


def assert_promise(version: int, data: bytes) -> None:
    with nothing_leaks():
        took, again = decode(version, data)
        if again is not None:
            # What it took from a longer buffer it also takes from no more than those bytes;
            # and what it writes it reads as the same packet.
            assert decode(version, data[:took])[0] == took
            took_again, fixed = decode(version, again)
            assert took_again == len(again)
            assert fixed == again


@given(near_packets())
def test_changed_packets_keep_the_promise(near: tuple[int, bytes]) -> None:
    assert_promise(*near)


@given(VERSION, st.binary(max_size=60))
@example(5, b"\x30\xff\xff\xff\x7f")
def test_any_bytes_keep_the_promise(version: int, data: bytes) -> None:
    assert_promise(version, data)
