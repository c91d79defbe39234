"""Brokers that bridge to each other: what goes round ends (csrc/route/trail.h)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace

import pytest

from nanomq_py import Broker
from nanomq_py.broker import Tap
from nanomq_py.core.bridging import BridgeOptions, BridgeState, Rule
from tests import raw
from tests.bridges import IN, OUT, Bridge, Remote, nothing_more, port_of, read, take
from tests.eventually import eventually_on_loop
from tests.raw import PUBACK, PUBLISH, Raw
from tests.test_broker import LOCAL

ALL = (Rule("t/#", qos=2),)
IDS = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
async def brokers() -> AsyncIterator[list[Broker]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Broker(LOCAL)) for _ in range(3)]


async def both_ways(here: Broker, there: Broker, name: str) -> Bridge:
    """A bridge that sends and receives the same topics."""
    bridge = Bridge(here, BridgeOptions(name, name, ALL, ALL, version=5))
    await bridge.up(port_of(there))
    return bridge


async def rest(*bridges: Bridge, figures: list[tuple[int, int, int, int]]) -> None:
    """Each way that a message goes has ended, and how is counted.

    figures  of each: sent, not sent, received, of those not taken
    """

    def now() -> list[tuple[int, int, int, int]]:
        stats = [bridge.stats for bridge in bridges]
        return [(s.sent, s.dropped, s.received, s.refused) for s in stats]

    await eventually_on_loop(now, figures)
    for bridge in bridges:
        await bridge.rests()
    assert now() == figures


async def heard(broker: Broker, tap: Tap) -> list[bytes]:
    """Return what the tap has so far."""
    broker.publish("end", b"")
    got = []
    while (message := (await take(tap, 1))[0]).topic_name != "end":
        got.append(message.payload)
    return got


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_two_brokers_that_bridge_to_each_other_settle(
    brokers: list[Broker], qos: int
) -> None:
    one, two, _ = brokers
    bridges = await both_ways(one, two, "one"), await both_ways(two, one, "two")
    async with one.subscribe("#", qos=2) as at_one, two.subscribe("#", qos=2) as at_two:
        one.publish("t/a", b"from one", qos=qos)
        two.publish("t/b", b"from two", qos=qos)
        await rest(*bridges, figures=[(1, 1, 2, 1)] * 2)
        # once for each bridge that carries it there, and never back
        assert sorted(await heard(one, at_one)) == [b"from one", b"from two", b"from two"]
        assert sorted(await heard(two, at_two)) == [b"from one", b"from one", b"from two"]


async def test_a_retained_message_settles_too(brokers: list[Broker]) -> None:
    one, two, _ = brokers
    one.publish("t/r", b"r", qos=1, retain=True)
    first = await both_ways(one, two, "one")
    await eventually_on_loop(lambda: first.stats.acked, 1)
    second = await both_ways(two, one, "two")
    async with two.subscribe("t/#", qos=1) as at_two:
        await take(at_two, 1)
        await eventually_on_loop(
            lambda: (first.stats.received, first.stats.refused), (1, 1)
        )
        await second.rests()
        # what was retained there is not sent: it was here, or is the bridge's own by then
        assert (first.stats.sent, second.stats.sent, second.stats.received) == (1, 0, 1)
    async with one.subscribe("#", qos=1) as at_one:
        assert await heard(one, at_one) == [b"r"]


async def test_a_chain_of_three_carries_from_end_to_end(brokers: list[Broker]) -> None:
    first, middle, last = brokers
    bridges = await both_ways(first, middle, "a"), await both_ways(middle, last, "b")
    async with first.subscribe("#", qos=2) as at_first, last.subscribe("#") as at_last:
        first.publish("t/a", b"there", qos=1)
        last.publish("t/b", b"back", qos=1)
        await rest(*bridges, figures=[(1, 0, 1, 0)] * 2)
        assert sorted(await heard(first, at_first)) == [b"back", b"there"]
        assert sorted(await heard(last, at_last)) == [b"back", b"there"]


async def test_a_ring_of_three_settles(brokers: list[Broker]) -> None:
    bridges = [
        await both_ways(here, there, f"b{n}")
        for n, (here, there) in enumerate(
            zip(brokers, [*brokers[1:], brokers[0]], strict=True)
        )
    ]
    async with brokers[0].subscribe("#", qos=2) as origin, brokers[1].subscribe("#") as tap:
        brokers[0].publish("t/a", b"x", qos=1)
        await rest(*bridges, figures=[(1, 0, 1, 1), (1, 0, 1, 0), (0, 1, 1, 0)])
        assert await heard(brokers[0], origin) == [b"x"]
        assert len(await heard(brokers[1], tap)) == 2  # one way round and the other


def via(*ids: str) -> bytes:
    return b"\x26" + raw.text("nanomq-via") + raw.text("".join(ids))


async def test_each_says_who_it_is_and_what_has_passed_it_does_not_go_there() -> None:
    async with Broker(LOCAL) as edge:
        remote = Remote(5)
        bridge = Bridge(edge, BridgeOptions("one", "e", OUT, IN, version=5))
        bridge.dial(remote.port)
        conn, connect = await remote.accept()
        at = connect.body.index(raw.text("nanomq-via")) + len(raw.text("nanomq-via")) + 2
        own = connect.body[at : at + 16].decode()
        conn.send(remote.connack(properties=via(IDS[0])))
        await read(conn, raw.SUBSCRIBE)
        with closing(Raw(port_of(edge), 5).sock) as sock:
            sender = Raw(sock, 5)
            sender.connect("sender")
            user = b"\x26\0\1a\0\1b"
            for n, trail in enumerate(
                (via(IDS[0]), via(own), via(*IDS[1:] * 8), via(*IDS[1:] * 7)), start=1
            ):
                sender.publish(
                    f"out/{n}", qos=1, packet_id=n, properties=user + trail + user
                )
                sender.expect(PUBACK)
            got = await read(conn, PUBLISH)  # the others do not go
        assert got.topic == "edge/4"
        assert got.properties == user + user + via(*IDS[1:] * 7, own)
        async with edge.subscribe("from/#", qos=1) as here:
            for n, trail in enumerate((via(own), via(*IDS[1:] * 8), via(IDS[1])), start=1):
                conn.send(raw.publish(f"cmd/{n}", b"", qos=0, version=5, properties=trail))
            (message,) = await take(here, 1)
            assert message.topic_name == "from/cloud/3"
            await nothing_more(edge, here, "from/end")
        await eventually_on_loop(lambda: bridge.stats.refused, 2)
        remote.close()


async def test_what_fits_without_the_property_goes_to_another_make_without_it(
    brokers: list[Broker],
) -> None:
    """Its limit counts the property; what is within 31 bytes of it is not lost for that."""
    edge, remote = brokers[0], Remote(5)
    bridge = Bridge(edge, BridgeOptions("one", "e", OUT))
    bridge.dial(remote.port)
    conn = await remote.let_in(properties=b"\x27" + (200).to_bytes(4, "big"))
    head = len(raw.publish("edge/x", b"", qos=1, packet_id=1, version=5))
    for size, has_it in ((200 - head - 31 - 1, True), (200 - head - 1, False)):
        edge.publish("out/x", bytes(size), qos=1)
        got = await read(conn, PUBLISH)
        conn.send(raw.ack(PUBACK, got.packet_id))
        assert (len(got.payload), b"nanomq-via" in got.properties) == (size, has_it)
    edge.publish("out/x", bytes(201 - head), qos=1)
    await eventually_on_loop(lambda: bridge.stats.dropped, 1)
    remote.close()


async def test_between_these_brokers_the_property_counts_for_no_limit() -> None:
    """What has the size of the limit crosses a bridge that sends, and one that receives."""
    config = replace(LOCAL, max_packet_size=1)
    head = len(raw.publish("t/a", bytes(900), qos=1, packet_id=1, version=5)) - 900
    async with Broker(config) as first, Broker(config) as middle, Broker(config) as last:
        sends = Bridge(first, BridgeOptions("a", "a", ALL))
        await sends.up(port_of(middle))
        receives = Bridge(last, BridgeOptions("b", "b", (), ALL))
        await receives.up(port_of(middle))
        with closing(Raw(port_of(first), 5).sock) as sock:
            sender = Raw(sock, 5)
            sender.connect("sender")
            async with last.subscribe("#", qos=1) as at_last:
                sender.publish("t/a", bytes(1024 - head), qos=1, packet_id=1)
                (message,) = await take(at_last, 1)
        assert len(message.payload) == 1024 - head
        assert (sends.stats.dropped, receives.stats.state) == (0, BridgeState.UP)


async def test_a_broker_says_who_it_is_to_bridges_alone() -> None:
    async with Broker(LOCAL) as broker:
        for properties, says in ((b"", False), (via(IDS[0]), True)):
            with closing(Raw(port_of(broker), 5).sock) as sock:
                connack = Raw(sock, 5).connect("c", properties=properties)
                assert (b"nanomq-via" in connack.body) is says
