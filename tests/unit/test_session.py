"""store/: message, queue, in flight, outbox and session, sent bytes and all."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import raw
from tests._core_test import ffi, lib
from tests.unit.clib import (
    content,
    fail_each_allocation,
    message,
    message_parts,
    nothing_leaks,
    outbox_bytes,
    slice_of,
)

SENT, QUEUED, FULL = 0, 1, 2
EXPIRED, AWAY, TOO_LARGE = 4, 5, 6


def packets(data: bytes, version: int = 4) -> list[raw.Packet]:
    out, at = [], 0
    while at < len(data):
        size, start = raw.read_varint(data, at + 1)
        out.append(
            raw.cut(data[at] >> 4, data[at] & 15, data[start : start + size], version)
        )
        at = start + size
    return out


class Session:
    """A session with an outbox that can be there or not."""

    def __init__(self, window: int = 4, queue_max: int = 8, version: int = 4) -> None:
        self.at = lib.nmq_session_new(slice_of(b"client"))
        self.at.window, self.at.queue_max, self.at.version = window, queue_max, version
        self.outbox = ffi.new("nmq_outbox *")
        self.here = True

    def free(self) -> None:
        lib.nmq_outbox_reset(self.outbox, 0)
        lib.nmq_session_free(self.at)

    @property
    def out(self) -> Any:
        return self.outbox if self.here else ffi.NULL

    def deliver(
        self,
        payload: bytes = b"x",
        qos: int = 1,
        *,
        identifiers: tuple[int, ...] = (),
        now_ms: int = 0,
        room: int = 0,
        overflow: bool = False,
        **parts: Any,
    ) -> int:
        made = message(b"t", payload, qos=qos, **parts)
        spec = ffi.new("nmq_message_parts *")
        spec.topic_name = lib.nmq_message_topic(made)
        spec.props = lib.nmq_message_props(made)
        spec.payload = lib.nmq_message_payload(made)
        spec.expires_at_ms = made.expires_at_ms
        offer = ffi.new("nmq_offer *")
        ids = ffi.new("uint32_t[]", list(identifiers) or [0])
        offer.parts, offer.message, offer.qos = spec, made, qos
        offer.subscription_ids, offer.subscription_id_count = ids, len(identifiers)
        offer.room, offer.overflow = room, overflow
        try:
            return int(lib.nmq_session_deliver(self.at, self.out, offer, now_ms))
        finally:
            lib.nmq_message_unref(made)

    def acked(self, kind: int, packet_id: int, reason: int = 0) -> int:
        return int(
            lib.nmq_session_acked(self.at, self.outbox, kind, packet_id, reason, 1 << 30, 0)
        )

    def pump(self, room: int = 1 << 30, now_ms: int = 0) -> int:
        return int(lib.nmq_session_pump(self.at, self.outbox, room, now_ms))

    def resume(self) -> int:
        return int(lib.nmq_session_resume(self.at))

    def sent(self) -> list[raw.Packet]:
        return packets(outbox_bytes(self.outbox), self.at.version)


def test_window_then_queue_then_drop() -> None:
    with nothing_leaks():
        s = Session(window=2, queue_max=3)
        assert [s.deliver(b"%d" % n) for n in range(6)] == [SENT] * 2 + [QUEUED] * 3 + [
            FULL
        ]
        assert s.deliver(b"over", overflow=True) == QUEUED
        assert [p.payload for p in s.sent()] == [b"0", b"1"]
        assert s.acked(raw.PUBACK, 1) == 0
        assert [p.payload for p in s.sent()] == [b"2"]
        s.free()


def test_qos0_is_sent_past_the_window_and_lost_while_away() -> None:
    s = Session(window=1)
    s.deliver(qos=1)
    assert s.deliver(b"now", qos=0) == SENT
    s.here = False
    assert s.deliver(b"lost", qos=0) == AWAY
    assert s.deliver(b"kept", qos=1) == QUEUED
    s.free()


def test_qos0_that_waits_for_room_keeps_its_order() -> None:
    s = Session()
    assert s.deliver(b"1", qos=0, room=1) == SENT
    assert s.deliver(b"2", qos=0, room=1) == QUEUED
    assert s.deliver(b"3", qos=0) == QUEUED  # behind what waits already
    assert [p.payload for p in s.sent()] == [b"1"]
    assert s.pump() == 0
    assert [p.payload for p in s.sent()] == [b"2", b"3"]
    s.free()


@pytest.mark.spec("MQTT-4.3.3-1", "MQTT-4.3.3-4", "MQTT-4.3.3-5")
def test_qos2_handshake() -> None:
    with nothing_leaks():
        s = Session()
        s.deliver(b"x", qos=2)
        (first,) = s.sent()
        assert s.acked(raw.PUBACK, first.packet_id) == lib.NMQ_EINVAL  # not its kind
        assert s.acked(raw.PUBCOMP, first.packet_id) == lib.NMQ_EINVAL
        assert s.acked(raw.PUBREC, first.packet_id) == 0
        assert s.acked(raw.PUBREC, first.packet_id) == 0  # again: PUBREL again
        assert [(p.kind, p.packet_id) for p in s.sent()] == [(raw.PUBREL, 1)] * 2
        assert s.acked(raw.PUBCOMP, first.packet_id) == 0
        assert s.at.inflight.count == 0
        s.free()


@pytest.mark.spec("MQTT-4.3.3-4")
def test_pubrec_with_an_error_ends_the_handshake() -> None:
    s = Session(version=5)
    s.deliver(b"x", qos=2)
    s.sent()
    assert s.acked(raw.PUBREC, 1, 0x97) == 0
    assert s.at.inflight.count == 0
    assert s.sent() == []
    s.free()


def test_unknown_pubrec_is_answered() -> None:
    s = Session(version=5)
    assert s.acked(raw.PUBREC, 77) == lib.NMQ_ENOENT
    (answer,) = s.sent()
    assert (answer.kind, answer.packet_id, answer.reason) == (raw.PUBREL, 77, 0x92)
    s.free()


@pytest.mark.spec("MQTT-4.4.0-1", "MQTT-4.6.0-1")
def test_resume_sends_again_in_order_and_within_a_smaller_window() -> None:
    with nothing_leaks():
        s = Session(window=4)
        for n in range(5):
            s.deliver(b"%d" % n, qos=1 + n % 2)
        s.sent()
        s.acked(raw.PUBREC, 2)
        s.sent()
        s.at.window = 1
        assert s.resume() == 0
        assert s.pump() == 0
        assert [(p.kind, p.packet_id, p.dup) for p in s.sent()] == [
            (raw.PUBLISH, 1, True),
            (raw.PUBREL, 2, False),
        ]
        s.acked(raw.PUBACK, 1)
        assert [(p.packet_id, p.dup) for p in s.sent()] == [(3, True)]
        s.acked(raw.PUBCOMP, 2)
        s.acked(raw.PUBACK, 3)
        assert [(p.packet_id, p.dup) for p in s.sent()] == [(4, True)]
        s.acked(raw.PUBREC, 4)
        s.acked(raw.PUBCOMP, 4)
        last = s.sent()
        assert [(p.kind, p.payload) for p in last] == [
            (raw.PUBREL, b""),
            (raw.PUBLISH, b"4"),
        ]
        assert not last[1].dup
        s.free()


def test_resume_skips_what_was_acknowledged_meanwhile() -> None:
    s = Session()
    s.deliver(b"0")
    s.deliver(b"1")
    s.sent()
    s.resume()
    s.acked(raw.PUBACK, 1)
    assert [p.packet_id for p in s.sent()] == [2]
    s.free()


@pytest.mark.spec("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_expired_messages_are_not_sent() -> None:
    with nothing_leaks():
        s = Session(window=1, version=5)
        assert s.deliver(b"old", expires_at_ms=10, now_ms=10) == EXPIRED
        s.deliver(b"first")
        s.deliver(b"dies", expires_at_ms=5_000)
        s.deliver(b"lives", expires_at_ms=9_000)
        s.sent()
        assert lib.nmq_session_acked(s.at, s.outbox, raw.PUBACK, 1, 0, 1 << 30, 6_000) == 0
        (got,) = s.sent()
        assert (got.payload, got.properties) == (b"lives", b"\x02\x00\x00\x00\x03")
        s.free()


@pytest.mark.spec("MQTT-3.1.2-24")
def test_packets_over_the_clients_maximum_are_dropped() -> None:
    with nothing_leaks():
        s = Session(window=1, version=5)
        s.at.packet_max = 30
        assert s.deliver(b"x" * 40, qos=0) == TOO_LARGE
        assert s.deliver(b"x" * 40, qos=1) == TOO_LARGE
        assert s.at.inflight.count == 0
        s.deliver(b"first")
        s.deliver(b"x" * 40)
        s.deliver(b"last")
        s.sent()
        s.acked(raw.PUBACK, s.at.inflight.last_id)
        assert [p.payload for p in s.sent()] == [b"last"]
        s.deliver(b"y" * 20)
        s.at.packet_max = 20
        s.resume()
        s.pump()
        s.free()


def test_subscription_identifiers_travel_with_the_message() -> None:
    with nothing_leaks():
        s = Session(window=1, version=5)
        s.deliver(b"0", identifiers=(1,))
        s.deliver(b"1", identifiers=(1, 200, 3))
        s.deliver(b"2", qos=0, identifiers=(9,))
        s.deliver(b"3", identifiers=(5,))
        got = s.sent()
        s.acked(raw.PUBACK, 1)
        got += s.sent()
        assert [p.properties for p in got] == [
            b"\x0b\x01",
            b"\x0b\x09",
            b"\x0b\x01\x0b\xc8\x01\x0b\x03",
        ]
        s.free()


def test_large_payloads_are_spliced_not_copied() -> None:
    with nothing_leaks():
        s = Session(window=100)
        big = [bytes([n]) * (5000 + n) for n in range(12)]
        for payload in big:
            s.deliver(payload)
            s.deliver(b"small", qos=0)
        assert s.outbox.splice_count == 12
        assert s.outbox.run.len < 1000
        got = [p.payload for p in s.sent()]
        assert got == [x for payload in big for x in (payload, b"small")]
        s.free()


@given(
    st.lists(st.integers(0, 9000), max_size=12), st.lists(st.integers(1, 7000), min_size=1)
)
def test_outbox_sent_in_any_pieces_gives_the_same_bytes(
    sizes: list[int], pieces: list[int]
) -> None:
    with nothing_leaks():
        s = Session(window=100)
        payloads = [bytes([n + 1]) * size for n, size in enumerate(sizes)]
        for payload in payloads:
            s.deliver(payload)
        parts = ffi.new("nmq_bytes[8]")
        out, turn = b"", 0
        while n := lib.nmq_outbox_parts(s.outbox, parts, 8):
            run = b"".join(content(parts[i]) for i in range(n))[
                : pieces[turn % len(pieces)]
            ]
            turn += 1
            out += run
            lib.nmq_outbox_advance(s.outbox, len(run))
        assert [p.payload for p in packets(out)] == payloads
        s.free()


@pytest.mark.spec("MQTT-4.3.3-10")
def test_qos2_identifiers_are_known_until_released() -> None:
    with nothing_leaks():
        s = Session()
        for packet_id in (1, 17, 257, 65535, 4097):
            assert lib.nmq_session_receive(s.at, packet_id) == 1
            assert lib.nmq_session_receive(s.at, packet_id) == 0
        for packet_id in (17, 1, 65535):
            assert lib.nmq_session_released(s.at, packet_id)
            assert not lib.nmq_session_released(s.at, packet_id)
        assert lib.nmq_session_receive(s.at, 17) == 1
        s.free()


# Identifiers that meet in any small table, and others.
IDS = st.integers(1, 65535) | st.sampled_from([1 + 4096 * n for n in range(16)])


@given(st.lists(IDS, max_size=80))
@example([1, 32769])  # they differ in the top bit
def test_id_set_agrees_with_a_set_and_holds_no_more_than_it_has(ids: list[int]) -> None:
    with nothing_leaks():
        before = lib.nmq_mem_held()
        held = ffi.new("nmq_id_set *")
        model: set[int] = set()
        most = 0
        for packet_id in ids:
            if packet_id in model:
                assert lib.nmq_id_set_del(held, packet_id)
                assert not lib.nmq_id_set_del(held, packet_id)
                model.remove(packet_id)
            else:
                assert lib.nmq_id_set_put(held, packet_id) == 0
                model.add(packet_id)
            most = max(most, len(model))
            assert held.count == len(model)
            assert all(lib.nmq_id_set_has(held, i) == (i in model) for i in ids)
            assert lib.nmq_mem_held() - before <= 576 + 16 * len(model)
        assert not lib.nmq_id_set_has(held, 0)
        lib.nmq_id_set_free(held)


def test_id_set_takes_every_identifier_and_shrinks_when_they_go() -> None:
    held = ffi.new("nmq_id_set *")
    with nothing_leaks():
        before = lib.nmq_mem_held()
        for packet_id in range(1, 65536):
            assert lib.nmq_id_set_put(held, packet_id) == 0
        assert all(lib.nmq_id_set_has(held, n) for n in range(1, 65536))
        assert lib.nmq_mem_held() - before <= 65536 * 4 + 64
        for packet_id in range(1, 65536):
            assert lib.nmq_id_set_del(held, packet_id)
        assert lib.nmq_mem_held() - before <= 576
        lib.nmq_id_set_free(held)


def test_id_set_out_of_memory_is_as_it_was() -> None:
    held = ffi.new("nmq_id_set *")
    for packet_id in range(1, 14):
        fail_each_allocation(
            lambda n=packet_id: lib.nmq_id_set_put(held, n),  # type: ignore[misc]
            lambda n=packet_id: None,  # type: ignore[misc]
        )
    assert all(lib.nmq_id_set_has(held, n) for n in range(1, 14))
    lib.nmq_id_set_free(held)


@given(
    st.lists(st.tuples(st.sampled_from(["put", "take", "give"]), IDS), max_size=60),
)
@example([("put", 1), ("put", 32769), ("take", 1), ("give", 1)])
def test_identifiers_taken_over_cost_what_they_are(steps: list[tuple[str, int]]) -> None:
    with nothing_leaks():
        before = lib.nmq_mem_held()
        inflight = ffi.new("nmq_inflight *")
        delivery = ffi.new("nmq_delivery *", {"qos": 1})
        entry = ffi.new("nmq_inflight_entry *", {"state": lib.NMQ_INFLIGHT_PUBCOMP})
        model: dict[int, int] = {}
        most = 0
        for n, (step, packet_id) in enumerate(steps):
            if step == "take":
                taken = lib.nmq_inflight_take(inflight, delivery)
                assert taken.packet_id not in model
                taken.order = n
                model[taken.packet_id] = n
            elif step == "put":
                entry.packet_id, entry.order = packet_id, n
                status = lib.nmq_inflight_put(inflight, entry)
                assert (status == 0) == (packet_id not in model)
                model.setdefault(packet_id, n)
            elif found := lib.nmq_inflight_find(inflight, packet_id):
                assert found.order == model.pop(packet_id)
                lib.nmq_inflight_give(inflight, found)
            most = max(most, len(model))
            assert inflight.count == len(model)
            for number in [*model, packet_id]:
                found = lib.nmq_inflight_find(inflight, number)
                assert (found != ffi.NULL) == (number in model)
                assert found == ffi.NULL or found.order == model[number]
        bound = 8 + 2 * most
        assert lib.nmq_mem_held() - before <= bound * ffi.sizeof("nmq_inflight_entry") + 64
        lib.nmq_inflight_free(inflight)


@pytest.mark.spec("MQTT-2.2.1-4")
@given(st.lists(st.integers(0, 30), max_size=120))
def test_packet_identifiers_in_use_are_never_given_twice(steps: list[int]) -> None:
    inflight = ffi.new("nmq_inflight *")
    delivery = ffi.new("nmq_delivery *", {"qos": 1})
    in_use: OrderedDict[int, None] = OrderedDict()
    for step in steps:
        if step > 20 and in_use:
            packet_id = list(in_use)[step % len(in_use)]
            lib.nmq_inflight_give(inflight, lib.nmq_inflight_find(inflight, packet_id))
            del in_use[packet_id]
        else:
            entry = lib.nmq_inflight_take(inflight, delivery)
            assert entry.packet_id not in in_use
            assert entry.packet_id != 0
            in_use[entry.packet_id] = None
    out = ffi.new("uint16_t **")
    n = lib.nmq_inflight_sorted(inflight, out)
    assert list(out[0][0:n]) == list(in_use)
    lib.nmq_free(out[0])
    lib.nmq_inflight_free(inflight)


def test_identifiers_wrap_around_and_run_out_at_65535() -> None:
    inflight = ffi.new("nmq_inflight *")
    delivery = ffi.new("nmq_delivery *", {"qos": 1})
    ids = {lib.nmq_inflight_take(inflight, delivery).packet_id for _ in range(65535)}
    assert len(ids) == 65535
    assert lib.nmq_inflight_take(inflight, delivery) == ffi.NULL
    lib.nmq_inflight_give(inflight, lib.nmq_inflight_find(inflight, 1234))
    assert lib.nmq_inflight_take(inflight, delivery).packet_id == 1234
    lib.nmq_inflight_free(inflight)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=20),
    st.integers(0, 9),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_queue_is_sifted_in_place(
    given_: list[tuple[int, bool]], turned: int, one: int, two: int
) -> None:
    with nothing_leaks():
        queue = ffi.new("nmq_queue *")
        delivery = ffi.new("nmq_delivery *")
        keep_these = set()
        for _ in range(turned):  # the ring begins somewhere
            push(queue, b"x", 0)
            assert lib.nmq_queue_pop(queue, delivery)
            lib.nmq_delivery_fini(delivery)
        for n, (qos, keep) in enumerate(given_):
            push(queue, b"t/%d" % n, qos)
            keep_these |= {b"t/%d" % n} if keep else set()
        start, end = sorted((min(one, len(given_)), min(two, len(given_))))

        @ffi.callback("bool(void *, const nmq_delivery *)")
        def wanted(arg: Any, d: Any) -> bool:
            return content(lib.nmq_message_topic(d.message)) in keep_these

        dropped = lib.nmq_queue_sift(queue, start, end, wanted, ffi.NULL)
        expected = [
            (b"t/%d" % n, qos)
            for n, (qos, keep) in enumerate(given_)
            if keep or not start <= n < end
        ]
        assert dropped == len(given_) - len(expected)
        assert (queue.count, queue.qos0_count) == (
            len(expected), sum(qos == 0 for _, qos in expected),
        )  # fmt: skip
        got = []
        while lib.nmq_queue_pop(queue, delivery):
            got.append((content(lib.nmq_message_topic(delivery.message)), delivery.qos))
            lib.nmq_delivery_fini(delivery)
        assert got == expected
        assert (queue.bytes, queue.count) == (0, 0)
        lib.nmq_queue_free(queue)


def push(queue: Any, topic: bytes, qos: int) -> None:
    made = ffi.new("nmq_delivery *", {"message": message(topic, qos=qos), "qos": qos})
    assert lib.nmq_queue_push(queue, made) == 0


@pytest.mark.parametrize("user", [None, b"", b"ann"])
def test_message_knows_who_published_it(user: bytes | None) -> None:
    with nothing_leaks():
        peer = ffi.new("nmq_peer *")
        name = (
            ffi.new("nmq_bytes *")[0] if user is None else slice_of(ffi.from_buffer(user))
        )
        origin = lib.nmq_origin_new(slice_of(b"c"), name, peer, 3, 9)
        parts, keep = message_parts(b"m/a", b"x")
        parts.origin = origin
        made = lib.nmq_message_new(parts)
        lib.nmq_origin_unref(origin)  # the message has its own
        assert content(lib.nmq_origin_client_id(made.origin)) == b"c"
        assert content(lib.nmq_origin_user_name(made.origin)) == (user or b"")
        is_none = lib.nmq_origin_user_name(made.origin).at == ffi.NULL
        assert is_none == (user is None)
        lib.nmq_message_unref(made)
        del keep


def filter_of(text: Any) -> Any:
    out = ffi.new("nmq_filter *")
    assert lib.nmq_filter_parse(slice_of(text), out) == 0
    return out


def test_subscription_keeps_its_filter_and_group_apart() -> None:
    s = Session()
    for text, group, filter_ in (
        (b"a/#", b"", b"a/#"),
        (b"$share/g/a/#", b"g", b"a/#"),
        (b"$share/g/$share/h/a", b"g", b"$share/h/a"),
    ):
        keep = ffi.from_buffer(text)
        assert lib.nmq_session_sub_put(s.at, filter_of(keep), 0, 0, True) == 0
        last = ffi.addressof(s.at.subs[s.at.sub_count - 1])
        got = lib.nmq_session_sub_filter(last)
        assert (content(got.group), content(got.filter), content(got.text)) == (
            group, filter_, text,
        )  # fmt: skip
    s.free()


def test_subscriptions_of_a_session_are_listed_once() -> None:
    with nothing_leaks():
        s = Session()
        keep = [ffi.from_buffer(b"a/%d" % n) for n in range(5)]
        for text in keep:
            assert lib.nmq_session_sub_put(s.at, filter_of(text), 0, 0, True) == 0
        assert lib.nmq_session_sub_put(s.at, filter_of(keep[1]), 2, 7, False) == 0
        lib.nmq_session_sub_del(s.at, slice_of(keep[0]))
        lib.nmq_session_sub_del(s.at, slice_of(b"never"))
        subs = s.at.subs[0 : s.at.sub_count]
        assert {content(x.text): (x.options, x.identifier) for x in subs} == {
            b"a/1": (2, 7),
            b"a/2": (0, 0),
            b"a/3": (0, 0),
            b"a/4": (0, 0),
        }
        s.free()


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_delivery_out_of_memory_loses_nothing_else(qos: int, version: int) -> None:
    s = Session(window=1, version=version)
    for here in (True, False):
        s.here = here
        made = message(b"t", b"x" * 5000, qos=qos)
        spec = ffi.new("nmq_message_parts *")
        spec.topic_name = lib.nmq_message_topic(made)
        spec.payload = lib.nmq_message_payload(made)
        ids = ffi.new("uint32_t[]", [1, 2])
        offer = ffi.new(
            "nmq_offer *",
            {"parts": spec, "message": made, "qos": qos, "subscription_ids": ids,
             "subscription_id_count": 2},
        )  # fmt: skip
        for n in range(20):
            live, refs = lib.nmq_mem_live(), made.refs
            lib.nmq_mem_fail_after(n)
            how = lib.nmq_session_deliver(s.at, s.out, offer, 0)
            lib.nmq_mem_fail_after(-1)
            if how in (SENT, QUEUED):
                break
            assert made.refs == refs
            # Tables that grew stay; nothing that belongs to the message does.
            assert lib.nmq_mem_live() <= live + 3
            assert s.at.queue.count == 0
            assert s.at.inflight.count == (0 if here else 1)  # the first one's
        assert how == (SENT if here else QUEUED)
        lib.nmq_message_unref(made)
    s.free()


def test_acknowledgement_out_of_memory_keeps_what_waits() -> None:
    with nothing_leaks():
        s = Session(window=1)
        s.deliver(b"0")
        s.deliver(b"1")
        s.sent()
        lib.nmq_mem_fail_after(0)
        rv = s.acked(raw.PUBACK, 1)
        lib.nmq_mem_fail_after(-1)
        assert rv == lib.NMQ_ENOMEM
        assert s.at.queue.count == 1
        assert s.pump() == 0
        assert [p.payload for p in s.sent()] == [b"1"]
        s.free()


def test_new_session_out_of_memory_is_null() -> None:
    def new() -> int:
        made = lib.nmq_session_new(slice_of(b"client"))
        if made == ffi.NULL:
            return int(lib.NMQ_ENOMEM)
        lib.nmq_session_free(made)
        return 0

    assert fail_each_allocation(new, lambda: None) == 0


def test_resume_out_of_memory_says_so() -> None:
    s = Session()
    s.deliver(b"0")
    s.deliver(b"1")
    assert fail_each_allocation(s.resume, lambda: None) == 0
    s.free()
