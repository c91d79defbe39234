"""A simulated device: MQTT by hand on asyncio, and a memory that outlives its connections.

It runs a command once, whatever number of times it is told, and says again how it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from tests import raw
from tests.raw import PUBACK, PUBLISH, Closed, Packet

WITHIN_S = 30.0


@dataclass
class Told:
    """What a device knows of one command."""

    message: dict[str, Any]
    runs: int = 0
    told: int = 0
    answer: dict[str, Any] | None = None  # to its latest run

    @property
    def has_failed(self) -> bool:
        return self.answer is not None and self.answer["status"] != "ok"


class Link:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Link:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, *packets: bytes) -> None:
        self._writer.write(b"".join(packets))

    async def read(self) -> Packet:
        """Return the next packet. Raises Closed."""
        try:
            head = (await self._reader.readexactly(1))[0]
            size = shift = 0
            while True:
                byte = (await self._reader.readexactly(1))[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
            body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed from None
        return raw.cut(head >> 4, head & 15, body, 4)

    def cut(self) -> None:
        self._writer.transport.abort()


@dataclass
class Device:
    """A device. outcome: how the nth run of a command ends, from 1 on.

    keeps      whether it asks for a kept session
    heard      set whenever it was told a command
    """

    sn: str
    outcome: Callable[[dict[str, Any], int], str] = lambda message, nth: "ok"
    keeps: bool = False
    prefix: str = "dma"
    run_s: float = 0.0
    topic: str = "dma/resp/cmd"
    told: dict[int, Told] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    link: Link | None = None
    _unsent: dict[int, bytes] = field(default_factory=dict)  # that no PUBACK came for
    _packet_id: int = 0
    _clock: int = 0
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def unsent(self) -> int:
        """How many messages got no PUBACK yet."""
        return len(self._unsent)

    @contextlib.asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[Device]:
        """Be there; return once it is subscribed."""
        ready = asyncio.Event()
        task = asyncio.ensure_future(self.serve(port, ready))
        waits = asyncio.ensure_future(ready.wait())
        await asyncio.wait({task, waits}, timeout=WITHIN_S, return_when="FIRST_COMPLETED")
        assert ready.is_set(), task
        try:
            yield self
        finally:
            self.cut()
            with contextlib.suppress(Closed):
                await task

    def cut(self) -> None:
        """Lose the connection."""
        if self.link is not None:
            self.link.cut()

    async def serve(self, port: int, ready: asyncio.Event | None = None) -> None:
        """Connect and do what comes. Raises Closed at its end, OSError before."""
        link = self.link = await Link.open(port)
        try:
            link.send(raw.connect(self.sn, clean=not self.keeps))
            if (await link.read()).reason:
                raise Closed
            link.send(raw.subscribe(1, (f"{self.prefix}/cmd/{self.sn}", 1)))
            link.send(*self._unsent.values())
            while True:
                self._handle(link, await link.read(), ready)
        finally:
            self.link = None
            link.cut()

    def _handle(self, link: Link, got: Packet, ready: asyncio.Event | None) -> None:
        if got.kind == PUBLISH:
            if got.qos:
                link.send(raw.ack(PUBACK, got.packet_id))
            self._hear(json.loads(got.payload))
        elif got.kind == PUBACK:
            self._unsent.pop(got.packet_id, None)
        elif got.kind == raw.SUBACK and ready is not None:
            ready.set()

    def _hear(self, message: dict[str, Any]) -> None:
        known = self.told.setdefault(message["id"], Told(message))
        known.told += 1
        if known.answer is not None and not known.has_failed:
            self.counts["repeated"] += 1
            self.publish(self.topic, known.answer)
        elif known.answer is not None or known.runs == 0:
            known.runs += 1
            known.answer = None
            task = asyncio.ensure_future(self._run(known))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self.heard.set()

    async def _run(self, known: Told) -> None:
        if self.run_s:
            await asyncio.sleep(self.run_s)
        self._clock += 1
        status = self.outcome(known.message, known.runs)
        self.counts[status] += 1
        known.answer = {
            "id": known.message["id"],
            "sn": self.sn,
            "command": known.message["command"],
            "status": status,
            "d": {"exestatus": status, "msg": "", "result": "", "status": status},
            "time": self._clock,
        }
        self.publish(self.topic, known.answer)

    def publish(self, topic: str, said: object) -> None:
        """Publish that at QoS 1, now or with the next connection."""
        self._packet_id = self._packet_id % 65535 + 1
        packet = raw.publish(
            topic, json.dumps(said).encode(), qos=1, packet_id=self._packet_id
        )
        self._unsent[self._packet_id] = packet
        if self.link is not None:
            self.link.send(packet)
