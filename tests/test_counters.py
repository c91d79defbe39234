"""What the broker counts, of packets and messages and of each client: each thing is done, and
its counter looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.declared_events import Why
from nanomq_py.core.options import core_options
from tests import raw
from tests.raw import Raw

LOCAL = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))


class Counted(Raw):
    """Counts bytes."""

    sent = got = 0

    def send(self, *packets: bytes) -> None:
        super().send(*packets)
        self.sent += sum(map(len, packets))

    def _fill(self) -> None:
        before = len(self._in)
        super()._fill()
        self.got += len(self._in) - before


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as broker:
        yield broker


async def comes(found: Callable[[], object], expected: object) -> None:
    """Wait until it is so: what a client has got may be counted a moment later."""
    deadline = time.monotonic() + 10
    while found() != expected and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert found() == expected


def flow_in(c: Raw) -> None:
    """Send a packet of each type that a client has, and messages at each QoS."""
    c.connect("in")
    c.subscribe(("none", 0))
    c.publish("a", b"0")
    c.publish("a", b"1", qos=1, packet_id=1)
    c.expect(raw.PUBACK)
    c.publish("a", b"2", qos=2, packet_id=2)
    c.expect(raw.PUBREC)
    c.send(raw.ack(raw.PUBREL, 2))
    c.expect(raw.PUBCOMP)
    c.ping()
    c.send(raw.unsubscribe(3, "none", version=c.version))
    c.expect(raw.UNSUBACK)


IN = {
    "connect_in": 1, "subscribe_in": 1, "messages_qos0_in": 1, "messages_qos1_in": 1,
    "messages_qos2_in": 1, "pubrel_in": 1, "pingreq_in": 1, "unsubscribe_in": 1,
    "connack_out": 1, "suback_out": 1, "puback_out": 1, "pubrec_out": 1, "pubcomp_out": 1,
    "pingresp_out": 1, "unsuback_out": 1,
}  # fmt: skip


def changed(before: dict[str, int], broker: Broker, names: object) -> dict[str, int]:
    after = asdict(broker.stats())
    return {n: after[n] - before[n] for n in names}  # type: ignore[attr-defined]


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_each_packet_of_a_client_is_counted_by_its_type(
    broker: Broker, version: int
) -> None:
    before = asdict(broker.stats())
    with Raw(broker.ports["url"], version) as c:
        await asyncio.to_thread(flow_in, c)
        c.send(raw.disconnect(version))
        c.read_until_closed()
    expected = {**IN, "disconnect_in": 1}
    every = [n for n in before if n.endswith(("_in", "_out"))]
    expected |= {
        "packets_in": sum(n for name, n in expected.items() if name.endswith("_in")),
        "packets_out": sum(n for name, n in expected.items() if name.endswith("_out")),
        "messages_in": 3,
        "payload_in": 3,
    }
    whole = {n: expected.get(n, 0) for n in every if not n.startswith("bytes_")}
    await comes(lambda: changed(before, broker, whole), whole)


@pytest.mark.parametrize("version", [4, 5])
async def test_each_packet_to_a_client_is_counted_by_its_type(
    broker: Broker, version: int
) -> None:
    with Raw(broker.ports["url"], version) as c:
        c.connect("out")
        c.subscribe(("a", 2))
        before = asdict(broker.stats())
        for qos in range(3):
            broker.publish("a", b"12", qos=qos)
        at_0, at_1, at_2 = (c.expect(raw.PUBLISH) for _ in range(3))
        assert [p.qos for p in (at_0, at_1, at_2)] == [0, 1, 2]
        c.send(raw.ack(raw.PUBACK, at_1.packet_id), raw.ack(raw.PUBREC, at_2.packet_id))
        c.expect(raw.PUBREL)
        c.send(raw.ack(raw.PUBCOMP, at_2.packet_id))
        c.ping()
        expected = {
            "messages_qos0_out": 1, "messages_qos1_out": 1, "messages_qos2_out": 1,
            "messages_out": 3, "payload_out": 6, "puback_in": 1, "pubrec_in": 1,
            "pubrel_out": 1, "pubcomp_in": 1, "pingreq_in": 1, "pingresp_out": 1,
            "packets_in": 4, "packets_out": 5, "messages_in": 0,
        }  # fmt: skip
        await comes(lambda: changed(before, broker, expected), expected)


async def test_disconnect_of_the_broker_and_auth_are_counted(broker: Broker) -> None:
    with Raw(broker.ports["url"], 5) as first, Raw(broker.ports["url"], 5) as second:
        first.connect("same")
        before = asdict(broker.stats())
        second.connect("same")
        assert first.expect(raw.DISCONNECT).reason == 0x8E
        second.send(raw.packet(raw.AUTH))  # no method: refused
        second.read_until_closed()
        expected = {"disconnect_out": 2, "auth_in": 1, "disconnect_in": 0}
        await comes(lambda: changed(before, broker, expected), expected)


# --- of each client


async def test_client_is_told_with_all_that_it_sent_and_got(broker: Broker) -> None:
    with Counted(broker.ports["url"], 5) as c:
        c.connect("c")
        c.subscribe(("to/#", 2))
        sent = [(0, 1), (1, 2), (2, 3)]
        packet_id = 1
        for qos, count in sent:
            for _ in range(count):
                c.publish("nobody", b"1", qos=qos, packet_id=packet_id)
                packet_id += 1
                if qos:
                    c.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
        for qos, count in ((0, 3), (1, 2), (2, 1)):
            for _ in range(count):
                broker.publish("to/c", b"", qos=qos)
                c.expect(raw.PUBLISH)
        c.ping()

        def found() -> dict[str, Any]:
            detail = broker.detail("c")
            assert detail is not None
            names = ("messages_in", "messages_out", "packets_in", "packets_out", "bytes_in",
                     "bytes_out", "unreleased")  # fmt: skip
            return {n: getattr(detail, n) for n in names}

        await comes(
            found,
            {
                "messages_in": (1, 2, 3),
                "messages_out": (3, 2, 1),
                "packets_in": 9,
                "packets_out": 14,
                "bytes_in": c.sent,
                "bytes_out": c.got,
                "unreleased": 3,
            },
        )
        detail = broker.detail("c")
        assert detail is not None
        assert (detail.address, detail.port) == c.sock.getsockname()
        assert detail.listener_key != 0
        assert detail.protocol_name == "MQTT"
        assert detail.client == broker.client("c")
        bounds = core_options(LOCAL)
        assert (detail.window, detail.queue_max) == (bounds.window, bounds.queue_max)
        assert detail.unreleased_max == bounds.receive_maximum
        assert detail.subscriptions_max == bounds.subscriptions_max
        assert detail.group_count == 0
        assert (detail.client.in_flight, detail.client.messages_received) == (3, 6)
        assert (await broker.details()).rows == [broker.detail("c")]
    assert broker.detail("other") is None


async def test_protocol_of_mqtt_31_has_its_own_name(broker: Broker) -> None:
    with Raw(broker.ports["url"], 3) as c:
        c.connect("old")
        detail = broker.detail("old")
        assert detail is not None
        assert detail.protocol_name == "MQIsdp"


SESSION = b"\x11\x00\x00\x00\x3c"


@pytest.mark.parametrize("how", ["leaves", "is lost", "breaks off"])
async def test_how_the_last_connection_ended_is_known(broker: Broker, how: str) -> None:
    with Raw(broker.ports["url"], 5) as c:
        c.connect("c", clean=False, properties=SESSION)
        detail = broker.detail("c")
        assert detail is not None
        assert (detail.end_why, detail.end_code) == (None, 0)
        if how == "leaves":
            c.send(raw.disconnect(5, reason=4))
        elif how == "breaks off":
            c.send(raw.packet(raw.CONNECT))  # a second one
        expected = {
            "leaves": (Why.CLIENT, 4),
            "is lost": (Why.NETWORK, 0),
            "breaks off": (Why.BROKER, 0x82),
        }[how]
    await comes(
        lambda: (d := broker.detail("c")) and (d.client.connected, d.end_why, d.end_code),
        (False, *expected),
    )
