"""What the broker counts, of packets and messages and of each client: each thing is done, and
its counter looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config.keys.access import AclRule, User
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.core.declared_events import Why
from nanomq_py.core.options import core_options
from tests import raw
from tests.raw import Raw

LOCAL = Config(
    url="nmq-tcp://127.0.0.1:0",
    websocket=WebSocket(enable=False),
    sys_interval=0,
    property_size=32,
)


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
    deadline = time.monotonic() + 20
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


# --- of what went wrong, and of logins, sessions and rules

Steps = Callable[[Broker], None]


def port(broker: Broker) -> int:
    return broker.ports["url"]


def unknown_acknowledgements(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c")
        for kind in (raw.PUBACK, raw.PUBREC, raw.PUBCOMP, raw.PUBREL):
            c.send(raw.ack(kind, 7))
        c.expect(raw.PUBREL)
        c.expect(raw.PUBCOMP)


def wrong_acknowledgement(kind: int, qos: int) -> Steps:
    def run(broker: Broker) -> None:
        with Raw(port(broker), 5) as c:
            c.connect("c")
            c.subscribe(("a", 2))
            broker.publish("a", b"", qos=qos)
            c.send(raw.ack(kind, c.expect(raw.PUBLISH).packet_id))
            c.read_until_closed()

    return run


def publish_again_at_qos2(broker: Broker) -> None:
    with Raw(port(broker), 4) as c:
        c.connect("c")
        for dup in (False, True):
            c.publish("a", b"", qos=2, packet_id=1, dup=dup)
            c.expect(raw.PUBREC)


def faulty(packet: bytes) -> Steps:
    def run(broker: Broker) -> None:
        with Raw(port(broker), 5) as c:
            c.connect("c")
            c.send(packet)
            c.read_until_closed()

    return run


def publish_for_the_broker(broker: Broker) -> None:
    with Raw(port(broker), 4) as c:
        c.connect("c")
        c.publish("$SYS/a", b"")
        c.ping()


def refused_connect(broker: Broker) -> None:
    with Raw(port(broker), 4) as c:
        c.send(raw.connect("", 4, clean=False))
        assert c.expect(raw.CONNACK).reason == 2


def own_messages(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c")
        c.subscribe(("a", 4), ("a/#", 4), ("b", 4))  # No Local
        c.publish("a", b"")
        c.publish("b", b"")
        c.ping()


def sessions(broker: Broker) -> None:
    with Raw(port(broker), 5) as a, Raw(port(broker), 5) as b, Raw(port(broker), 5) as c:
        a.connect("s", clean=False, properties=SESSION)
        b.connect("s", clean=False, properties=SESSION)  # takes over
        b.send(raw.disconnect(5))
        b.read_until_closed()
        c.connect("s", clean=False, properties=SESSION)  # resumes
    with Raw(port(broker), 5) as d:
        d.connect("s")  # throws it out
        d.send(raw.disconnect(5))
        d.read_until_closed()


def expired_in_the_queue(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c", properties=b"\x21\x00\x01")  # Receive Maximum 1
        c.subscribe(("a", 1))
        broker.publish("a", b"1", qos=1)
        first = c.expect(raw.PUBLISH)
        broker.publish("a", b"2", qos=1, message_expiry_interval=1)
        broker.publish("a", b"3", qos=1)
        time.sleep(1.1)  # its interval is over
        c.send(raw.ack(raw.PUBACK, first.packet_id))
        assert c.expect(raw.PUBLISH).payload == b"3"
        detail = broker.detail("c")
        assert detail is not None
        assert (detail.dropped_expired, detail.client.messages_dropped) == (1, 1)


def too_large(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c", properties=b"\x27\x00\x00\x00\x40")  # Maximum Packet Size 64
        c.subscribe(("a", 1))
        broker.publish("a", bytes(100), qos=1)
        broker.publish("a", bytes(100), qos=0)
        detail = broker.detail("c")
        assert detail is not None
        assert (detail.dropped_too_large, detail.client.messages_dropped) == (2, 2)


def away(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c", clean=False, properties=SESSION)
        c.subscribe(("a", 1))
        c.leave()
    broker.publish("a", b"", qos=0)


def queue_full(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c", clean=False, properties=SESSION)
        c.subscribe(("a", 1))
        c.leave()
    for _ in range(core_options(LOCAL).queue_max + 2):
        broker.publish("a", b"", qos=1)
    detail = broker.detail("c")
    assert detail is not None
    assert (detail.dropped_full, detail.client.messages_dropped) == (2, 2)


def nobody_listens(broker: Broker) -> None:
    with Raw(port(broker), 5) as c:
        c.connect("c")
        c.publish("nobody", b"", qos=1, packet_id=1)
        assert c.expect(raw.PUBACK).reason == 0x10


ALIAS_0 = raw.publish("a", b"", 5, properties=b"\x23\x00\x00")
MANY = b"\x26\x00\x01a\x00\x01b" * 33  # User Properties, over property_size
SUBSCRIBES = raw.subscribe(1, ("a", 0), version=5, properties=MANY)
UNSUBSCRIBES = raw.packet(
    raw.UNSUBSCRIBE, b"\0\1" + raw.props(5, MANY) + raw.text("a"), flags=2
)
DONE: list[tuple[str, Steps, dict[str, int]]] = [
    ("unknown", unknown_acknowledgements,
     {"puback_missed": 1, "pubrec_missed": 1, "pubcomp_missed": 1, "pubrel_missed": 1}),
    ("puback", wrong_acknowledgement(raw.PUBACK, 2), {"puback_in_use": 1}),
    ("pubrec", wrong_acknowledgement(raw.PUBREC, 1), {"pubrec_in_use": 1}),
    ("pubcomp", wrong_acknowledgement(raw.PUBCOMP, 2), {"pubcomp_in_use": 1}),
    ("again", publish_again_at_qos2, {"publish_in_use": 1, "messages_qos2_in": 2}),
    ("alias", faulty(ALIAS_0), {"publish_errors": 1, "disconnect_out": 1}),
    ("subscribe", faulty(SUBSCRIBES), {"subscribe_errors": 1, "subscribe_in": 1}),
    ("unsubscribe", faulty(UNSUBSCRIBES), {"unsubscribe_errors": 1, "unsubscribe_in": 1}),
    ("$SYS", publish_for_the_broker,
     {"publish_denied": 1, "access_denied": 1, "dropped_refused": 1, "messages_dropped": 1}),
    ("connack", refused_connect,
     {"connack_errors": 1, "connack_out": 1, "clients_connected": 0}),
    ("own", own_messages, {"no_local": 3, "messages_out": 0}),
    ("sessions", sessions,
     {"sessions_created": 2, "sessions_resumed": 2, "sessions_taken_over": 1,
      "sessions_discarded": 1, "sessions_ended": 2, "clients_connected": 4,
      "clients_disconnected": 4, "logins_anonymous": 4, "logins_accepted": 0}),
    ("expired", expired_in_the_queue, {"dropped_expired": 1, "messages_dropped": 1}),
    ("large", too_large, {"dropped_too_large": 2, "messages_dropped": 2}),
    ("away", away, {"dropped_away": 1, "messages_dropped": 1}),
    ("full", queue_full, {"queue_full": 2, "messages_dropped": 2}),
    ("nobody", nobody_listens, {"dropped_no_subscriber": 1, "messages_dropped": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "expected"), [d[1:] for d in DONE], ids=[d[0] for d in DONE]
)
async def test_what_happens_is_counted(
    broker: Broker, steps: Steps, expected: dict[str, int]
) -> None:
    before = asdict(broker.stats())
    await asyncio.to_thread(steps, broker)
    await comes(lambda: changed(before, broker, expected), expected)


RULES = replace(
    LOCAL, acl_nomatch="deny", acl_rules=(AclRule(permit="allow", topics=("a/#",)),)
)


async def test_what_access_rules_say_is_counted() -> None:
    async with Broker(RULES) as broker:
        with Raw(port(broker), 5) as c:
            c.connect("c")
            assert c.subscribe(("a/1", 0), ("b", 0), ("c", 0)) == [0, 0x87, 0x87]
            for topic in ("a/2", "a/3", "b"):
                c.publish(topic, b"")
            c.ping()
            expected = {
                "access_allowed": 3, "access_denied": 3, "publish_denied": 1,
                "subscribe_denied": 2, "dropped_refused": 1, "dropped_no_subscriber": 2,
                "messages_dropped": 3,
            }  # fmt: skip
            await comes(
                lambda: changed(dict.fromkeys(expected, 0), broker, expected), expected
            )


async def test_logins_with_and_without_a_proof_are_counted() -> None:
    async with Broker(replace(LOCAL, users=(User(login="u", password="p"),))) as broker:
        with Raw(port(broker)) as good, Raw(port(broker)) as bad, Raw(port(broker)) as none:
            await asyncio.to_thread(none.connect, "none")
            await asyncio.to_thread(good.connect, "good", user="u", password="p")
            assert (
                await asyncio.to_thread(bad.connect, "b", user="u", password="x")
            ).reason
            expected = {"logins_accepted": 1, "logins_anonymous": 1, "logins_refused": 1}
            await comes(
                lambda: changed(dict.fromkeys(expected, 0), broker, expected), expected
            )


async def test_messages_that_may_not_be_retained_are_counted() -> None:
    async with Broker(replace(LOCAL, max_retained_messages=1)) as broker:
        with Raw(port(broker), 5) as c:
            c.connect("c")
            for packet_id, reason in ((1, 0x10), (2, 0x97)):
                c.publish(f"r/{packet_id}", b"1", qos=1, packet_id=packet_id, retain=True)
                assert c.expect(raw.PUBACK).reason == reason
            await comes(lambda: broker.stats().dropped_retained, 1)


async def test_most_there_was_at_once_stays(broker: Broker) -> None:
    with Raw(port(broker)) as a, Raw(port(broker)) as b:
        a.connect("a")
        b.connect("b")
        a.subscribe(("x", 0), ("$share/g/x", 0))
        b.subscribe(("x", 0), ("$share/g/x", 0))
        broker.publish("r/1", b"1", retain=True)
        broker.publish("r/2", b"1", retain=True)
        expected = {
            "connected": 2, "connections_open": 2, "subscribers": 2, "subscriptions": 4,
            "shared_subscriptions": 2, "routes": 2, "retained": 2, "clients": 2,
        }  # fmt: skip
        await comes(lambda: changed(dict.fromkeys(expected, 0), broker, expected), expected)
        a.leave()
        b.leave()
    for topic in ("r/1", "r/2"):
        broker.publish(topic, b"", retain=True)
    nothing = dict.fromkeys(expected, 0)
    await comes(lambda: changed(nothing, broker, expected), nothing)
    stats = asdict(broker.stats())
    names = {"connections_open": "connections_max"}
    most = {name: stats[names.get(name, f"{name}_max")] for name in expected}
    assert most == expected
