"""mqtt/: varint, UTF-8, topics, reason codes, decode and encode on golden packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._core_test import ffi, lib
from tests.unit.clib import (
    ENOMEM,
    Exact,
    content,
    fail_each_allocation,
    nothing_leaks,
    slice_of,
)
from tests.vectors.packets import BAD, GOOD


@pytest.mark.spec("MQTT-1.5.5-1")
@given(st.integers(0, 268435455))
def test_varint_reads_what_it_wrote(value: int) -> None:
    to = ffi.new("uint8_t[4]")
    size = lib.nmq_varint_write(to, value) - to
    assert size == lib.nmq_varint_size(value)
    out = ffi.new("uint32_t *")
    exact = Exact(bytes(to[0:size]))
    assert lib.nmq_varint_read(exact.slice, out) == size
    assert out[0] == value


@given(st.binary(max_size=24))
def test_utf8_agrees_with_python(data: bytes) -> None:
    try:
        expected = "\x00" not in data.decode("utf-8")
    except UnicodeDecodeError:
        expected = False
    exact = Exact(data)
    assert lib.nmq_utf8_check(exact.slice) == expected


@given(st.text(max_size=40))
def test_utf8_takes_all_text_but_zero(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    surrogates = any(0xD800 <= ord(c) < 0xE000 for c in text)
    exact = Exact(data)
    assert lib.nmq_utf8_check(exact.slice) == ("\x00" not in text and not surrogates)


FILTERS = {
    b"a": True, b"#": True, b"+": True, b"a/#": True, b"+/a": True, b"/": True, b"//": True,
    b"a/+/b/#": True, b"": False, b"a#": False, b"#/a": False, b"a/#/b": False, b"+a": False,
    b"a+/b": False, b"a" * 65535: True, b"a" * 65536: False, b"$share/g/a": True,
    b"$share/g/#": True, b"$share/g//": True, b"$share/g/": False, b"$share/g": False,
    b"$share//a": False, b"$share/": False, b"$share": True, b"$share/+/a": False,
    b"$share/g#/a": False, b"$shared/x": True,
}  # fmt: skip


@pytest.mark.spec("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-4.7.3-3")
@pytest.mark.spec("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize("text", FILTERS, ids=lambda t: t[:20].decode())
def test_topic_filters(text: bytes) -> None:
    out = ffi.new("nmq_filter *")
    assert (lib.nmq_filter_parse(slice_of(text), out) == 0) == FILTERS[text]


def test_shared_filter_is_taken_apart() -> None:
    out = ffi.new("nmq_filter *")
    text = ffi.from_buffer(b"$share/group/a/+/b")
    assert lib.nmq_filter_parse(slice_of(text), out) == 0
    assert (content(out.group), content(out.filter)) == (b"group", b"a/+/b")


@pytest.mark.parametrize(
    ("topic", "valid"),
    [
        (b"a", True),
        (b"/", True),
        (b"", False),
        (b"a/+", False),
        (b"#", False),
        (b"a b", True),
    ],
)
def test_topic_names(topic: bytes, valid: bool) -> None:
    assert lib.nmq_topic_check(slice_of(topic)) == valid


def test_reason_codes_of_3_1_1() -> None:
    pairs = {0: 0, 0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5, 0x8A: 5, 0x80: 3, 0x97: 3}
    assert {code: lib.nmq_reason_connack_v3(code) for code in pairs} == pairs
    for code in range(lib.NMQ_CONNACK_V3_LAST + 1):
        assert lib.nmq_reason_connack_v3(lib.nmq_reason_of_connack_v3(code)) == code
    assert ffi.string(lib.nmq_reason_text(0x8E)) == b"session taken over"
    assert ffi.string(lib.nmq_reason_text(0x7F)) == b"unknown reason"


def test_a_list_of_filters_is_written_as_it_is_read() -> None:
    out = ffi.new("nmq_buf *")
    options = ffi.new("uint8_t *")
    filter_ = ffi.new("nmq_filter *")
    with nothing_leaks():
        for text, asked in ((b"a/+", 2), (b"$share/g/b", 0x2D)):
            assert lib.nmq_encode_subscription(out, slice_of(text), asked) == 0
        rest = ffi.new("nmq_bytes *", (out.at, out.len))
        for text, asked in ((b"a/+", 2), (b"b", 0x2D)):
            assert lib.nmq_packet_next_subscription(rest, filter_, options)
            assert (content(filter_.filter), options[0]) == (text, asked)
        assert rest.len == 0
        too_long = Exact(b"a" * 65536)
        before = out.len
        assert lib.nmq_encode_subscription(out, too_long.slice, 0) == lib.NMQ_ETOOBIG
        assert out.len == before
        del too_long
        lib.nmq_buf_free(out)


def decode(data: bytes, version: int) -> tuple[int, object, Exact]:
    exact = Exact(data)
    packet = ffi.new("nmq_packet *")
    return lib.nmq_decode(exact.slice, version, packet), packet, exact


@pytest.mark.parametrize("what", GOOD)
def test_good_packet_is_read_and_written_the_same(what: str) -> None:
    version, text, said = GOOD[what]
    data = bytes.fromhex(text)
    took, packet, _keep = decode(data, version)
    assert took == len(data)
    got = {
        "type": packet.type,
        "version": packet.connect.version,
        "qos": packet.publish.qos,
        "packet_id": packet.packet_id,
        "reason": packet.reason_code,
    }
    assert {key: got[key] for key in said} == said
    out = ffi.new("nmq_buf *")
    with nothing_leaks():
        assert lib.nmq_encode(out, version, packet) == 0
        assert bytes(ffi.buffer(out.at, out.len)) == data
        lib.nmq_buf_free(out)


@pytest.mark.parametrize("what", GOOD)
def test_cut_packet_asks_for_more(what: str) -> None:
    version, text, _ = GOOD[what]
    data = bytes.fromhex(text)
    for n in range(len(data)):
        took, _packet, _keep = decode(data[:n], version)
        assert took == 0


@pytest.mark.parametrize("what", BAD)
def test_bad_packet_is_refused_with_its_reason(what: str) -> None:
    version, text, reason = BAD[what]
    took, _packet, _keep = decode(bytes.fromhex(text), version)
    assert took == -reason


def test_connect_gives_its_parts() -> None:
    _, packet, _keep = decode(bytes.fromhex(GOOD["connect with everything"][1]), 0)
    c = packet.connect
    assert (c.has_will, c.will_qos, c.will_retain, c.clean_start) == (True, 1, True, True)
    assert (c.has_user_name, c.has_password) == (True, True)
    parts = (c.client_id, c.will_topic, c.will_payload, c.user_name, c.password)
    assert [content(p) for p in parts] == [b"x", b"w/t", b"hi", b"u", b"p"]
    assert packet.props.number[lib.NMQ_PROP_SESSION_EXPIRY_INTERVAL] == 10
    assert c.will_props.number[lib.NMQ_PROP_WILL_DELAY_INTERVAL] == 5


def test_encode_out_of_memory_leaves_the_buffer_as_it_was() -> None:
    _, packet, _keep = decode(bytes.fromhex(GOOD["publish"][1]), 4)
    out = ffi.new("nmq_buf *")
    rv = fail_each_allocation(
        lambda: lib.nmq_encode(out, 4, packet), lambda: None if out.len == 0 else 1 / 0
    )
    assert rv == 0
    lib.nmq_buf_free(out)
    assert ENOMEM == lib.NMQ_ENOMEM


def test_what_no_packet_can_hold_is_not_written() -> None:
    packet = ffi.new("nmq_packet *")
    packet.type = lib.NMQ_PUBLISH
    long_topic = ffi.from_buffer(b"a" * 70000)
    packet.publish.topic_name = slice_of(long_topic)
    out = ffi.new("nmq_buf *")
    assert lib.nmq_encode(out, 4, packet) == lib.NMQ_ETOOBIG
    assert out.len == 0


@pytest.mark.parametrize(
    "payload_len", [0, 1, 100, 118, 119, 120, 16375, 16376, 16380, 2097140]
)
@pytest.mark.parametrize("qos", [0, 1])
def test_publish_head_fits_its_length(payload_len: int, qos: int) -> None:
    head = ffi.new("nmq_publish_head *")
    topic = ffi.from_buffer(b"a/b/c")
    head.topic_name = slice_of(topic)
    head.version, head.qos, head.packet_id, head.payload_len = 4, qos, 9, payload_len
    size = ffi.new("size_t *")
    n = lib.nmq_encode_publish_head_size(head, size)
    to = ffi.new("uint8_t[]", n)
    assert lib.nmq_encode_publish_head(to, head, size[0]) - to == n
    whole = bytes(to[0:n]) + b"x" * payload_len
    took, packet, _keep = decode(whole, 4)
    assert took == len(whole) == size[0]
    assert packet.publish.payload.len == payload_len
    assert content(packet.publish.topic_name) == b"a/b/c"


@pytest.mark.parametrize(
    ("state", "kind", "may"),
    [("NEW", 1, True), ("NEW", 3, False), ("NEW", 12, False), ("OPEN", 3, True),
     ("OPEN", 1, False), ("OPEN", 2, False), ("OPEN", 13, False), ("CLOSING", 12, False),
     ("DECIDING", 15, False), ("AUTHENTICATING", 15, True), ("AUTHENTICATING", 3, False),
     ("OPEN_DECIDING", 3, False), ("OPEN_AUTHENTICATING", 3, True)],
)  # fmt: skip
def test_packets_allowed_in_each_state(state: str, kind: int, may: bool) -> None:
    types = lib.nmq_conn_state_types(getattr(lib, f"NMQ_CONN_{state}"))
    assert bool(types >> kind & 1) == may
