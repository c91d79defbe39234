"""Bridges of the core, driven directly: what crosses, and what becomes of it on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nanomq_py import Broker, Config
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.bridging import (
    BridgeOptions,
    BridgeState,
    BridgeWill,
    Cause,
    DialTls,
    Retain,
    Rule,
)
from nanomq_py.core.options import core_options
from tests import raw
from tests.bridges import BOTH, BRIDGE, Bridge, kept, nothing_more, port_of, take
from tests.certs import Certs
from tests.conftest import StartBroker, free_port, start_on_all_transports
from tests.eventually import eventually_on_loop
from tests.raw import PUBACK, Raw
from tests.test_broker import LOCAL
from tests.test_events import a_second_passes


@pytest.fixture
async def edge() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


@pytest.fixture
async def cloud() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


# --- what crosses


@BOTH
async def test_messages_cross_both_ways_at_their_qos_under_other_topics(
    edge: Broker, cloud: Broker, version: int
) -> None:
    bridge = Bridge(edge, replace(BRIDGE, version=version))
    news = await bridge.up(port_of(cloud))
    assert (news.state, news.session_present) == (BridgeState.UP, False)
    async with (
        cloud.subscribe("edge/#", qos=2) as there,
        edge.subscribe("from/#", qos=2) as here,
    ):
        for n in range(30):
            edge.publish(f"out/{n}", b"%d" % n, qos=n % 3)
            cloud.publish(f"cmd/{n}", b"%d" % n, qos=n % 3)
        went, came = await take(there, 30), await take(here, 30)
    assert [(m.topic_name, m.payload, m.qos) for m in went] == [
        (f"edge/{n}", b"%d" % n, n % 3) for n in range(30)
    ]
    assert [(m.topic_name, m.payload, m.qos) for m in came] == [
        (f"from/cloud/{n}", b"%d" % n, n % 3) for n in range(30)
    ]
    await bridge.rests()
    stats = bridge.stats
    assert (stats.sent, stats.acked, stats.received, stats.dropped) == (30, 20, 30, 0)


@BOTH
async def test_qos_is_at_most_that_of_the_forward(
    edge: Broker, cloud: Broker, version: int
) -> None:
    bridge = Bridge(edge, replace(BRIDGE, forwards=(Rule("n/#", qos=1),), version=version))
    await bridge.up(port_of(cloud))
    async with cloud.subscribe("n/#", qos=2) as there:
        for qos in (0, 1, 2):
            edge.publish("n/x", b"", qos=qos)
        assert [m.qos for m in await take(there, 3)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("rule", "topic", "becomes"),
    [
        (Rule("a/#"), "a/b", "a/b"),
        (Rule("a/#", "a/", "x/y/"), "a/b", "x/y/b"),
        (Rule("a/#", "a/", "x/"), "a", "x"),
        (Rule("a/+/c", "", "x/"), "a/b/c", "x/a/b/c"),
        (Rule("a/+/c", "a/", ""), "a/b/c", "b/c"),
        (Rule("a/+", fixed=True, put_on="all"), "a/b", "all"),
        (Rule("a/b", "a/b", "c"), "a/b", "c"),
    ],
)
async def test_a_topic_is_mapped_both_ways(
    edge: Broker, cloud: Broker, rule: Rule, topic: str, becomes: str
) -> None:
    home = {"edge": edge, "cloud": cloud}
    bridge = Bridge(edge, BridgeOptions("one", "e", (rule,)))
    await bridge.up(port_of(cloud))
    async with cloud.subscribe(becomes, qos=2) as there:
        home["edge"].publish(topic, b"1")
        await take(there, 1)
    bridge.core.end("one")
    back = Bridge(edge, BridgeOptions("two", "e", (), (rule,)))
    await back.up(port_of(cloud))
    async with edge.subscribe(becomes, qos=2) as here:
        home["cloud"].publish(topic, b"1")
        await take(here, 1)


async def test_a_message_that_several_forwards_match_crosses_once_by_the_first(
    edge: Broker, cloud: Broker
) -> None:
    rules = (Rule("a/b", "a/", "x/", qos=0), Rule("a/#", "a/", "y/", qos=2))
    bridge = Bridge(edge, BridgeOptions("one", "e", rules))
    await bridge.up(port_of(cloud))
    async with cloud.subscribe("#", qos=2) as there:
        edge.publish("a/b", b"1", qos=2)
        (message,) = await take(there, 1)
        assert (message.topic_name, message.qos) == ("x/b", 2)
        await nothing_more(cloud, there, "z")


@BOTH
@pytest.mark.parametrize(
    ("retain", "is_kept"), [(Retain.KEEP, 1), (Retain.CLEAR, 0), (Retain.SET, 1)]
)
async def test_retained_messages_cross_as_the_forward_says(
    edge: Broker, cloud: Broker, version: int, retain: Retain, is_kept: int
) -> None:
    edge.publish("n/r", b"r", qos=1, retain=True)  # before there is a bridge
    rule = Rule("n/#", qos=1, retain=retain)
    bridge = Bridge(edge, BridgeOptions("one", "e", (rule,), version=version))
    async with cloud.subscribe("n/#", qos=1) as there:
        await bridge.up(port_of(cloud))
        assert [m.payload for m in await take(there, 1)] == [b"r"]
    await bridge.rests()
    assert await kept(cloud, "n/r") == [b"r"] * is_kept
    edge.publish("n/r", b"", qos=1, retain=True)  # it is cleared there too
    await bridge.rests()
    assert await kept(cloud, "n/r") == []


@BOTH
async def test_what_came_over_a_bridge_does_not_go_back(
    edge: Broker, cloud: Broker, version: int
) -> None:
    """[MQTT-3.8.3-3]; before 5.0 by the top bit of the protocol level."""
    all_of_it = (Rule("t/#", qos=2),)
    bridge = Bridge(edge, BridgeOptions("x", "e", all_of_it, all_of_it, version=version))
    await bridge.up(port_of(cloud))
    for n in range(9):
        edge.publish("t/from-edge", b"%d" % n, qos=n % 3)
        cloud.publish("t/from-cloud", b"%d" % n, qos=n % 3)
    await eventually_on_loop(lambda: bridge.stats.received, 9)
    await bridge.rests()
    async with edge.subscribe("t/#", qos=1) as here:
        cloud.publish("t/last", b"", qos=1)  # behind all that would have come back
        await take(here, 1)
    await bridge.rests()
    assert (bridge.stats.sent, bridge.stats.received) == (9, 10)


async def test_a_message_with_properties_crosses_whole(edge: Broker, cloud: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    await bridge.up(port_of(cloud))
    user = b"\x26\0\1a\0\1b"
    with (
        closing(Raw(port_of(edge), 5).sock) as at_edge,
        closing(Raw(port_of(cloud), 5).sock) as at_cloud,
    ):
        sender, reader = Raw(at_edge, 5), Raw(at_cloud, 5)
        sender.connect("sender")
        reader.connect("reader")
        assert reader.subscribe(("edge/#", 2)) == [2]
        sender.publish("out/x", b"p", qos=1, packet_id=1, properties=user)
        sender.expect(PUBACK)
        got = await asyncio.to_thread(reader.expect, raw.PUBLISH)
    assert (got.topic, got.properties[: len(user)]) == ("edge/x", user)
    assert got.properties[len(user) :].startswith(b"\x26" + raw.text("nanomq-via"))


# --- what waits


@BOTH
async def test_what_waits_is_sent_in_order_without_new_traffic(
    edge: Broker, cloud: Broker, version: int
) -> None:
    bridge = Bridge(edge, replace(BRIDGE, version=version))
    for n in range(1000):
        edge.publish("out/x", b"%d" % n, qos=1 + n % 2)
    edge.publish("out/x", b"at most once", qos=0)
    assert bridge.stats.waiting == 1000
    async with cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port_of(cloud))
        assert [m.payload for m in await take(there, 1000)] == [
            b"%d" % n for n in range(1000)
        ]
    await bridge.rests()
    assert (bridge.stats.dropped, bridge.stats.acked) == (1, 1000)


@pytest.mark.parametrize(
    ("drop_newest", "stays"), [(False, [b"3", b"4", b"5"]), (True, [b"0", b"1", b"2"])]
)
async def test_a_full_queue_drops_the_oldest_or_the_newest(
    edge: Broker, cloud: Broker, drop_newest: bool, stays: list[bytes]
) -> None:
    bridge = Bridge(edge, replace(BRIDGE, queue_max=3, drop_newest=drop_newest))
    for n in range(6):
        edge.publish("out/x", b"%d" % n, qos=1)
    assert (bridge.stats.waiting, bridge.stats.dropped) == (3, 3)
    async with cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port_of(cloud))
        assert [m.payload for m in await take(there, 3)] == stays


async def test_bytes_that_wait_are_bounded(edge: Broker) -> None:
    bridge = Bridge(edge, replace(BRIDGE, queue_max_bytes=100_000))
    for _ in range(100):
        edge.publish("out/x", bytes(10_000), qos=1)
    stats = bridge.stats
    assert stats.waiting_bytes <= 120_000
    assert stats.waiting + stats.dropped == 100


async def test_what_changes_keeps_what_waits(edge: Broker, cloud: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    edge.publish("out/x", b"1", qos=1)
    bridge.put(replace(BRIDGE, client_id="another", keep_alive_s=7))
    edge.publish("out/x", b"2", qos=1)
    async with cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port_of(cloud))
        assert [m.payload for m in await take(there, 2)] == [b"1", b"2"]


async def test_rules_change_while_it_is_up(edge: Broker, cloud: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    await bridge.up(port_of(cloud))
    bridge.put(
        replace(
            BRIDGE,
            forwards=(Rule("other/#", qos=1),),
            subscriptions=(Rule("new/#", qos=1),),
        )
    )
    async with cloud.subscribe("#", qos=2) as there, edge.subscribe("#", qos=2) as here:
        await eventually_on_loop(lambda: cloud.stats().subscriptions, 1 + 1)
        edge.publish("out/x", b"not", qos=1)
        edge.publish("other/x", b"yes", qos=1)
        assert [m.payload for m in await take(there, 1)] == [b"yes"]
        assert [m.payload for m in await take(here, 2)] == [b"not", b"yes"]
        cloud.publish("cmd/x", b"not", qos=1)
        cloud.publish("new/x", b"yes", qos=1)
        assert [m.payload for m in await take(here, 1)] == [b"yes"]
    bridge.look()
    assert bridge.latest is not None
    assert bridge.latest.ups == 1


async def test_an_end_forgets_what_waits(edge: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    edge.publish("out/x", b"1", qos=1)
    bridge.core.end("one")
    with pytest.raises(CoreError):
        bridge.core.end("one")
    with pytest.raises(CoreError):
        assert bridge.stats
    again = Bridge(edge, BRIDGE)
    assert again.stats.waiting == 0


async def test_what_is_older_than_it_may_be_is_not_sent(
    edge: Broker, cloud: Broker
) -> None:
    """But for what is retained, which has no age."""
    bridge = Bridge(edge, replace(BRIDGE, message_expiry_s=1))
    edge.publish("out/x", b"old", qos=1)
    edge.publish("out/kept", b"kept", qos=1, retain=True)
    await a_second_passes(edge)
    await a_second_passes(edge)
    edge.publish("out/x", b"new", qos=1)
    async with cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port_of(cloud))
        assert [m.payload for m in await take(there, 2)] == [b"kept", b"new"]
    assert bridge.stats.dropped == 1


@pytest.mark.parametrize("over", ["tls.url", "websocket.url", "websocket.tls_url", "ipc"])
async def test_a_bridge_goes_over_every_transport(
    edge: Broker,
    start_broker: StartBroker,
    certs: Certs,
    tmp_path: Path,
    over: str,
) -> None:
    cloud = start_on_all_transports(start_broker, certs, tmp_path)
    bridge = Bridge(edge, BRIDGE)
    tls = DialTls("localhost", ca=certs.ca.certfile.read_text()) if "tls" in over else None
    host, port = (
        ("127.0.0.1", cloud.ports[over])
        if over != "ipc"
        else (
            str(tmp_path / "broker.sock"),
            0,
        )
    )
    path = "/mqtt" if "websocket" in over else None
    bridge.core.dial(bridge.number, host, port, tls=tls, path=path)
    await eventually_on_loop(lambda: bridge.stats.state, BridgeState.UP)
    with cloud.raw(5) as reader:
        await asyncio.to_thread(reader.connect, "reader")
        await asyncio.to_thread(reader.subscribe, ("edge/#", 2))
        for n in range(3):
            edge.publish("out/x", bytes(100_000), qos=n)
        got = [await asyncio.to_thread(reader.expect, raw.PUBLISH) for _ in range(3)]
    assert [p.payload for p in got] == [bytes(100_000)] * 3


async def test_a_certificate_that_nobody_knows_is_told(
    edge: Broker, start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    cloud = start_on_all_transports(start_broker, certs, tmp_path)
    bridge = Bridge(edge, BRIDGE)
    tls = DialTls("elsewhere", ca=certs.ca.certfile.read_text())
    bridge.core.dial(bridge.number, "127.0.0.1", cloud.ports["tls.url"], tls=tls)
    news = await bridge.down()
    assert news.cause == Cause.DIAL
    assert "TLS" in news.why


# --- the other broker goes and comes


@BOTH
async def test_a_broker_that_went_gets_what_it_missed(edge: Broker, version: int) -> None:
    port = free_port()
    place = replace(LOCAL, url=f"nmq-tcp://127.0.0.1:{port}")
    bridge = Bridge(edge, replace(BRIDGE, version=version))
    async with Broker(place) as cloud, cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port)
        edge.publish("out/x", b"1", qos=2)
        await take(there, 1)
    news = await bridge.down()
    assert (news.state, news.cause) == (BridgeState.IDLE, Cause.PEER)
    edge.publish("out/x", b"2", qos=2)
    async with Broker(place) as cloud, cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port, ups=2)
        assert [m.payload for m in await take(there, 1)] == [b"2"]


async def test_a_broker_that_is_not_there_is_told(edge: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    bridge.dial(free_port())
    news = await bridge.down()
    assert (news.state, news.cause) == (BridgeState.IDLE, Cause.DIAL)
    assert "refused" in news.why


async def test_it_can_be_hung_up_at_any_moment(edge: Broker, cloud: Broker) -> None:
    bridge = Bridge(edge, BRIDGE)
    for n in range(20):
        bridge.dial(port_of(cloud))
        if n % 2 == 0:
            bridge.core.hang_up(bridge.number)
            assert bridge.stats.state == BridgeState.IDLE
    await eventually_on_loop(lambda: bridge.stats.state, BridgeState.UP)
    bridge.core.hang_up(bridge.number)
    await eventually_on_loop(lambda: cloud.stats().connected, 0)


async def test_its_will_is_sent_when_it_is_cut(edge: Broker, cloud: Broker) -> None:
    will = BridgeWill("edge/1/state", b"gone", 1, retain=True)
    bridge = Bridge(edge, replace(BRIDGE, will=will))
    async with cloud.subscribe("edge/#", qos=2) as there:
        await bridge.up(port_of(cloud))
        cloud.kick("edge-1")
        # DISCONNECT of the server, or a cut: the will goes either way [MQTT-3.14.4-3]
        assert [m.payload for m in await take(there, 1)] == [b"gone"]
    news = await bridge.down()
    assert news.cause == Cause.PEER
    assert news.why.startswith("ended: ")


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "n" * 256},
        {"version": 3},
        {"receive_maximum": 0},
        {"queue_max": 0},
        {"forwards": (Rule("a/#/b"),)},
        {"forwards": (Rule("a/#", "b/"),)},
        {"forwards": (Rule("a/#", "a/", "b/+/"),)},
        {"forwards": (Rule("a/#", qos=3),)},
        {"subscriptions": (Rule("a", fixed=True, put_on=""),)},
        {"will": BridgeWill("a/#")},
        {"version": 4, "client_id": "", "clean_start": False},
        {"version": 4, "password": b"p"},
    ],
)
async def test_options_out_of_their_range_are_refused(
    edge: Broker, bad: dict[str, object]
) -> None:
    with pytest.raises(CoreError):
        edge._core.bridging().put(replace(BRIDGE, **bad))  # type: ignore[arg-type]


def test_a_bridge_that_was_restored_waits_until_it_is_put_or_ended(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    core = Core(core_options(Config()))
    for name in ("stays", "goes"):
        core.bridging().put(replace(BRIDGE, name=name))
    core.publish("out/x", b"1", qos=1, retain=False)
    core.shutdown(0)
    with saved.open("wb") as file:
        assert core.save(file.fileno()) == 2
    core.close()
    core = Core(core_options(Config()))
    try:
        core.restore(saved.read_bytes())
        core.publish("out/x", b"2", qos=1, retain=False)
        bridging = core.bridging()
        number = bridging.put(replace(BRIDGE, name="stays"))
        assert bridging.stats(number).waiting == 2
        assert core.consumers(None, 10).rows == []  # it is no consumer
        assert bridging.end_orphans() == 1
        assert bridging.end_orphans() == 0
        assert bridging.stats(number).waiting == 2
        with pytest.raises(CoreError):
            bridging.end("goes")
    finally:
        core.close()
