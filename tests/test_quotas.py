"""Bounds of the broker's stock: what is over them is refused, said, and counted."""

from __future__ import annotations

import pytest

from tests import raw
from tests.conformance.flows import kept, modern
from tests.eventually import eventually
from tests.raw import Raw
from tests.test_limits import limited

pytestmark = pytest.mark.timeout(60)

WILL_MAX = 1 << 18


@modern
async def test_one_session_too_many_is_refused(version: int) -> None:
    async with limited(max_sessions="2") as (broker, port):
        with Raw(port, version) as a, Raw(port, version) as b, Raw(port, version) as c:
            a.connect("a", **kept(version))
            b.connect("b")
            assert c.connect("c").reason == (0x97 if version == 5 else 3)
            with Raw(port, version) as again, Raw(port, version) as fresh:
                assert again.connect("a", **kept(version)).reason == 0  # has one
                assert fresh.connect("a").reason == 0  # in place of it
            b.leave()
        assert broker.stats().refused_sessions == 1
        eventually(lambda: broker.stats().clients < 2)
        with Raw(port, version) as c:
            assert c.connect("c").reason == 0


async def test_retained_messages_are_bounded_in_number() -> None:
    async with limited(max_retained_messages="2", sys_interval="0") as (broker, port):
        with Raw(port, 5) as p, Raw(port, 5) as sub, Raw(port, 4) as old:
            p.connect("p")
            old.connect("old")
            sub.connect("sub")
            sub.subscribe(("#", 0))
            for n, topic in enumerate(("a", "b"), 1):
                p.publish(topic, b"1", qos=1, packet_id=n, retain=True)
                assert p.expect(raw.PUBACK).reason == 0
                assert sub.expect(raw.PUBLISH).topic == topic
            for qos, answer in ((1, raw.PUBACK), (2, raw.PUBREC)):
                p.publish("c", b"1", qos=qos, packet_id=9, retain=True)
                assert p.expect(answer).reason == 0x97
            sub.assert_silent()  # what was refused goes nowhere
            p.publish("c", b"qos 0", retain=True)
            assert sub.expect(raw.PUBLISH).payload == b"qos 0"  # but is not kept
            old.publish("c", b"old", qos=1, packet_id=1, retain=True)
            old.expect(raw.PUBACK)
            assert sub.expect(raw.PUBLISH).payload == b"old"
            assert broker.stats().retained == 2
            assert broker.stats().refused_retained == 4
            p.publish("a", b"larger", qos=1, packet_id=3, retain=True)  # in place of one
            assert p.expect(raw.PUBACK).reason == 0
            p.publish("b", b"", qos=1, packet_id=4, retain=True)  # removes one
            p.expect(raw.PUBACK)
            p.publish("c", b"1", qos=2, packet_id=9, retain=True)  # a new message now
            assert p.expect(raw.PUBREC).reason == 0
            assert broker.stats().retained == 2


async def test_retained_messages_are_bounded_in_bytes() -> None:
    async with limited(max_retained_bytes="4KB", sys_interval="0") as (broker, port):
        with Raw(port, 5) as p:
            p.connect("p")

            def put(topic: str, size: int) -> int:
                p.publish(topic, bytes(size), qos=1, packet_id=1, retain=True)
                return p.expect(raw.PUBACK).reason

            assert put("a", 3000) == 0x10
            assert put("b", 3000) == 0x97
            assert put("a", 4000) == 0x97  # larger, and too large
            assert put("a", 2000) == 0x10
            assert put("b", 1000) == 0x10
            assert put("a", 0) == 0x10
            assert put("c", 2000) == 0x10
        assert broker.stats().refused_retained == 2


async def test_will_over_the_bound_of_retained_messages_is_sent_and_not_kept() -> None:
    async with limited(max_retained_messages="1", sys_interval="0") as (broker, port):
        with Raw(port, 5) as p, Raw(port, 5) as sub, Raw(port, 5) as dies:
            p.connect("p")
            p.publish("a", b"1", qos=1, packet_id=1, retain=True)
            p.expect(raw.PUBACK)
            sub.connect("sub")
            sub.subscribe(("will", 0))
            dies.connect("dies", will=("will", b"gone", 0, True))
            dies.sock.close()
            assert sub.expect(raw.PUBLISH).payload == b"gone"
        assert broker.stats().retained == 1


async def test_the_brokers_own_topics_are_not_bounded() -> None:
    async with limited(max_retained_messages="1", sys_interval="0") as (broker, _):
        for n in range(3):
            broker.publish(f"own/{n}", b"1", retain=True)
        assert broker.stats().retained == 3


@modern
async def test_client_identifiers_are_bounded(version: int) -> None:
    async with limited(max_clientid_length="10") as (broker, port):
        with Raw(port, version) as a, Raw(port, version) as b:
            assert a.connect("1234567890").reason == 0
            assert b.connect("12345678901").reason == (0x85 if version == 5 else 2)
        assert broker.stats().refused_client_ids == 1


async def test_connect_packet_is_bounded_besides_its_will() -> None:
    async with limited(max_connect_size="1KB") as (broker, port):
        with Raw(port, 5) as a, Raw(port, 5) as b, Raw(port, 4) as c:
            will = ("w", bytes(60_000), 1, False)
            assert a.connect("a", will=will, user="u", password=bytes(500)).reason == 0
            assert b.connect("b", user="u", password=bytes(1100)).reason == 0x95
            c.send(raw.connect("c", user="u", password=bytes(1100)))
            assert c.expect(raw.CONNACK).reason == 3
        assert broker.stats().connects_too_large == 2


async def test_strangers_packet_is_refused_before_it_is_read() -> None:
    async with limited() as (broker, port):
        with Raw(port) as stranger:
            stranger.send(b"\x10" + raw.varint(WILL_MAX + (64 << 10) + 1))
            assert stranger.read_until_closed() == []
        assert broker.stats().connects_too_large == 1


async def test_keep_alive_is_bounded_where_the_client_can_be_told() -> None:
    async with limited(max_keepalive="100") as (broker, port):
        told = b"\x13\x00\x64"
        with Raw(port, 5) as a, Raw(port, 5) as b, Raw(port, 5) as c, Raw(port, 4) as d:
            assert told not in a.connect("a", keep_alive=100).properties
            assert told in b.connect("b", keep_alive=101).properties
            assert told in c.connect("c", keep_alive=0).properties
            d.connect("d", keep_alive=0)
            clients = (await broker.clients()).rows
            alive = {client.client_id: client.keep_alive_s for client in clients}
        assert alive == {"a": 100, "b": 100, "c": 100, "d": 0}
        assert broker.stats().keep_alives_lowered == 2


@modern
async def test_shared_subscriptions_of_one_client(version: int) -> None:
    async with limited(max_groups_per_client="2") as (broker, port):
        refused = 0x97 if version == 5 else 0x80
        with Raw(port, version) as c:
            c.connect("c")
            assert c.subscribe(("$share/g/a", 0), ("$share/h/a", 1)) == [0, 1]
            assert c.subscribe(("$share/g/b", 0), ("plain", 0)) == [refused, 0]
            assert c.subscribe(("$share/g/a", 1)) == [1]  # one that it has
            c.send(raw.unsubscribe(1, "$share/h/a", version=version))
            c.expect(raw.UNSUBACK)
            assert c.subscribe(("$share/g/b", 0), ("$share/g/c", 0)) == [0, refused]
        assert broker.stats().refused_groups == 2


@modern
@pytest.mark.parametrize("kind", [raw.SUBSCRIBE, raw.UNSUBSCRIBE])
async def test_filters_of_one_packet(version: int, kind: int) -> None:
    async with limited(max_filters_per_packet="10") as (broker, port):
        with Raw(port, version) as c:
            c.connect("c")

            def send(count: int) -> None:
                names = [f"f{n}" for n in range(count)]
                if kind == raw.SUBSCRIBE:
                    filters = [(name, 0) for name in names]
                    c.send(raw.subscribe(1, *filters, version=version))
                else:
                    c.send(raw.unsubscribe(1, *names, version=version))

            send(10)
            c.expect(kind + 1)
            send(11)
            if version == 5:
                assert c.expect(raw.DISCONNECT).reason == 0x97
            assert c.read_until_closed() == []
        assert broker.stats().refused_filters == 1


async def test_default_bound_of_filters_in_a_packet() -> None:
    async with limited() as (broker, port):
        with Raw(port, 5) as c:
            c.connect("c")
            c.send(raw.subscribe(1, *[("f", 0)] * 10_001, version=5))
            assert c.expect(raw.DISCONNECT).reason == 0x97
        assert broker.stats().subscriptions == 0
