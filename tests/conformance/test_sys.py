"""The $SYS topics: mosquitto's names, values that are true."""

from __future__ import annotations

import os

import pytest

from nanomq_py.core.declared import MEMORY, METRICS
from tests import raw
from tests.conformance.flows import give, kept
from tests.conftest import Process, StartBroker
from tests.raw import PUBLISH, Raw

# What mosquitto has too; clients of other brokers look for these names.
NAMED = {
    "version", "uptime", "clients/total", "clients/maximum", "clients/connected",
    "clients/active", "clients/disconnected", "clients/inactive", "clients/expired",
    "messages/received", "messages/sent", "messages/stored", "store/messages/count",
    "store/messages/bytes", "subscriptions/count", "shared_subscriptions/count",
    "retained messages/count", "publish/messages/received", "publish/messages/sent",
    "publish/messages/dropped", "publish/bytes/received", "publish/bytes/sent",
    "bytes/received", "bytes/sent",
}  # fmt: skip
ONCE = NAMED | {topic for metric in (*METRICS, *MEMORY) for topic in metric.topics}
HEAP = {"heap/current", "heap/maximum"}
HEAP_IS_KNOWN = "LD_PRELOAD" not in os.environ  # the sanitizer's allocator does not tell
LOADS = {
    "messages/received", "messages/sent", "publish/received", "publish/sent",
    "publish/dropped", "bytes/received", "bytes/sent", "sockets", "connections",
}  # fmt: skip


def read_until(c: Raw, known: dict[str, str], enough: object) -> None:
    """Take updates until ``enough()``."""
    c.sock.settimeout(10)
    while not enough():  # type: ignore[operator]
        got = c.expect(PUBLISH)
        known[got.topic.removeprefix("$SYS/broker/")] = got.payload.decode()


@pytest.fixture
def process(start_broker: StartBroker) -> Process:
    return start_broker(sys_interval="1")


def test_every_topic_is_there(process: Process) -> None:
    loads = {f"load/{t}/{m}min" for t in LOADS for m in (1, 5, 15)}
    with process.raw() as c:
        c.connect("c")
        c.subscribe(("$SYS/#", 0))
        known: dict[str, str] = {}
        every = ONCE | loads | (HEAP if HEAP_IS_KNOWN else set())
        read_until(c, known, lambda: known.keys() >= every)
        assert known.keys() == every
        assert known["version"].startswith("nanomq-py version ")
        assert known["uptime"].endswith(" seconds")
        if HEAP_IS_KNOWN:
            assert int(known["heap/maximum"]) >= int(known["heap/current"]) > 100_000


def test_values_are_true(process: Process) -> None:
    with process.raw() as watcher:
        watcher.connect("watcher")
        watcher.subscribe(("$SYS/broker/#", 0))
        with process.raw(5) as away:
            away.connect("away", **kept(5))
            away.subscribe(("x", 1), ("$share/g/x", 1))
            away.leave()
        with process.raw(5) as brief:
            brief.connect("brief", clean=False, properties=b"\x11\x00\x00\x00\x01")
        with process.raw() as pub:
            pub.connect("pub")
            give(pub, "x", b"12345", 1)
            give(pub, "nobody", b"123", 1, 2)
            give(pub, "kept", b"1234567", 1, 3, retain=True)
            known: dict[str, str] = {}
            wanted = {
                "clients/total": "3",
                "clients/maximum": "4",
                "clients/connected": "2",
                "clients/active": "2",
                "clients/disconnected": "1",
                "clients/inactive": "1",
                "clients/expired": "1",
                "subscriptions/count": "3",
                "shared_subscriptions/count": "1",
                "publish/messages/received": "3",
                # x to nobody connected; "nobody" and "kept" had no subscriber
                "publish/messages/dropped": "2",
                "publish/bytes/received": "15",
            }
            read_until(watcher, known, lambda: wanted.items() <= known.items())
            # Its own messages are retained too, each under its topic.
            assert int(known["retained messages/count"]) > 30
            assert int(known["store/messages/count"]) >= int(
                known["retained messages/count"]
            )
            # 4 CONNECT, 2 SUBSCRIBE, 1 DISCONNECT, 3 PUBLISH
            assert int(known["messages/received"]) == 10
            sent = int(known["publish/messages/sent"])
            assert 30 < sent < int(known["messages/sent"])


def test_heavy_traffic_is_counted_to_the_byte(process: Process) -> None:
    with process.raw() as c, process.raw() as watcher:
        c.connect("c")
        c.subscribe(("t", 1))
        for n in range(100):
            c.publish("t", b"x" * 5000, qos=1, packet_id=n + 1)
        seen = acked = 0
        while seen < 100 or acked < 100:
            got = c.read()
            if got.kind == PUBLISH:
                seen += 1
                c.send(raw.ack(raw.PUBACK, got.packet_id))
            else:
                acked += 1
        c.ping()
        watcher.connect("w")
        watcher.subscribe(("$SYS/broker/publish/#", 0))
        known: dict[str, str] = {}
        wanted = {"publish/bytes/received": "500000", "publish/messages/received": "100"}

        def enough() -> bool:
            return wanted.items() <= known.items() and known["publish/bytes/sent"] != "0"

        read_until(watcher, known, enough)
        assert int(known["publish/bytes/sent"]) >= 500_000


def test_clients_cannot_publish_there(process: Process) -> None:
    with process.raw(5) as c:
        c.connect("c")
        for topic in ("$SYS", "$SYS/broker/version", "$SYS/x"):
            c.publish(topic, b"no", qos=1, packet_id=1, retain=True)
            assert c.expect(raw.PUBACK).reason == 0x87
        c.subscribe(("$SYS/broker/version", 0), ("$SYS/x", 0))
        assert c.expect(PUBLISH).payload.startswith(b"nanomq-py")
        give(c, "$SYSTEM", b"another topic", 1)


def test_interval_0_switches_them_off(start_broker: StartBroker) -> None:
    process = start_broker(sys_interval="0")
    with process.raw() as c:
        c.connect("c")
        c.subscribe(("$SYS/#", 0))
        c.assert_silent()
