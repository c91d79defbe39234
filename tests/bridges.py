"""Bridges of the core, driven directly, and another broker by hand."""

from __future__ import annotations

import asyncio
import socket

import pytest

from nanomq_py import Broker, Message
from nanomq_py.broker import Tap
from nanomq_py.core.bridging import (
    BridgeNews,
    BridgeOptions,
    BridgeState,
    BridgeStats,
    Bridging,
    Cause,
    Rule,
)
from tests import raw
from tests.eventually import WITHIN_S, eventually_on_loop
from tests.raw import CONNECT, Packet, Raw

BOTH = pytest.mark.parametrize("version", [4, 5])
OUT = (Rule("out/#", "out/", "edge/", qos=2),)
IN = (Rule("cmd/#", "cmd/", "from/cloud/", qos=2),)
BRIDGE = BridgeOptions("one", "edge-1", OUT, IN)


class Bridge:
    """One bridge of a broker."""

    def __init__(self, home: Broker, options: BridgeOptions) -> None:
        self.core: Bridging = home._core.bridging()
        self.number = self.core.put(options)
        self.latest: BridgeNews | None = None

    def put(self, options: BridgeOptions) -> None:
        assert self.core.put(options) == self.number

    def dial(self, port: int, timeout_ms: int = 10_000) -> None:
        self.core.dial(self.number, "127.0.0.1", port, timeout_ms=timeout_ms)

    def look(self) -> BridgeNews | None:
        for news in self.core.news():
            if news.number == self.number:
                self.latest = news
        return self.latest

    async def up(self, port: int, ups: int = 1) -> BridgeNews:
        """Dial, and return what is told once it is up for so many times."""
        self.dial(port)
        await eventually_on_loop(lambda: (self.look() or NEVER).ups, ups)
        assert self.latest is not None
        return self.latest

    async def down(self, downs: int = 1) -> BridgeNews:
        await eventually_on_loop(lambda: (self.look() or NEVER).downs, downs)
        assert self.latest is not None
        return self.latest

    @property
    def stats(self) -> BridgeStats:
        return self.core.stats(self.number)

    async def rests(self) -> None:
        """Nothing waits, and nothing is in flight."""
        await eventually_on_loop(lambda: (self.stats.waiting, self.stats.in_flight), (0, 0))


NEVER = BridgeNews(0, BridgeState.IDLE, 0, 0, False, Cause.PEER, 0, "")


def port_of(broker: Broker) -> int:
    return next(iter(broker.ports.values()))


async def take(tap: Tap, count: int) -> list[Message]:
    async with asyncio.timeout(WITHIN_S):
        return [await anext(tap) for _ in range(count)]


async def nothing_more(broker: Broker, tap: Tap, topic: str) -> None:
    """The next message of the tap is one that is published now."""
    broker.publish(topic, b"the last")
    (message,) = await take(tap, 1)
    assert (message.topic_name, message.payload) == (topic, b"the last")


async def kept(broker: Broker, topic: str) -> list[bytes]:
    """Return what is retained under that topic."""
    async with broker.subscribe(f"{topic}/#") as tap:
        broker.publish(f"{topic}/end", b"")
        got = []
        while (message := (await take(tap, 1))[0]).topic_name == topic:
            got.append(message.payload)
    return got


class Remote:
    """The other broker, by hand: one connection at a time.

    port  where it listens
    """

    def __init__(self, version: int = 5) -> None:
        self.version = version
        self._listens = socket.create_server(("127.0.0.1", 0))
        self._listens.settimeout(WITHIN_S)
        self.port: int = self._listens.getsockname()[1]
        self._all: list[socket.socket] = []

    async def accept(self) -> tuple[Raw, Packet]:
        """Return the next connection, and its CONNECT."""
        sock, _ = await asyncio.to_thread(self._listens.accept)
        self._all.append(sock)
        conn = Raw(sock, self.version, WITHIN_S)
        return conn, await asyncio.to_thread(conn.expect, CONNECT)

    async def let_in(
        self, *, session_present: bool = False, properties: bytes = b""
    ) -> Raw:
        conn, _ = await self.accept()
        conn.send(self.connack(session_present=session_present, properties=properties))
        return conn

    def connack(
        self, *, session_present: bool = False, code: int = 0, properties: bytes = b""
    ) -> bytes:
        body = bytes([session_present, code]) + raw.props(self.version, properties)
        return raw.packet(raw.CONNACK, body)

    def close(self) -> None:
        for sock in (self._listens, *self._all):
            sock.close()


async def read(conn: Raw, kind: int) -> Packet:
    """Return the next packet, of that kind."""
    return await asyncio.to_thread(conn.expect, kind)
