"""Clients that talk all the time, and notice what is lost, doubled, out of order or cut."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field

from tests import raw

HOST = "127.0.0.1"


@dataclass
class Tally:
    """What clients have seen."""

    sent: int = 0  # and acknowledged
    received: int = 0
    faults: list[str] = field(default_factory=list)


class Client:
    """One connection; who uses it calls :meth:`read` from one task."""

    def __init__(self, port: int, client_id: str, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._id = client_id
        self._context = context

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            HOST,
            self._port,
            ssl=self._context,
            server_hostname=HOST if self._context else None,
        )
        self.send(raw.connect(self._id, 4, keep_alive=0))
        assert (await self.read()).kind == raw.CONNACK

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> raw.Packet:
        head = (await self._reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await self._reader.readexactly(1))[0]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = await self._reader.readexactly(size)
        return raw.cut(head >> 4, head & 15, body, 4)

    async def leave(self) -> None:
        self.send(raw.disconnect(4))
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self._reader.read(), 20)  # the broker closes
        self._writer.transport.abort()
        await asyncio.sleep(0.01)  # asyncio closes what is below TLS some turns later


class Pair:
    """A publisher that counts up, and a subscriber that must hear each number once."""

    def __init__(
        self,
        tally: Tally,
        port: int,
        number: int,
        *,
        qos: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._tally = tally
        self._topic = f"traffic/{port}/{number}"
        self._qos = qos
        self._publisher = Client(port, f"pub-{port}-{number}", context)
        self._subscriber = Client(port, f"sub-{port}-{number}", context)
        self._sent = 0
        self._due = 1
        self._heard = asyncio.Event()

    async def open(self) -> None:
        await self._subscriber.open()
        self._subscriber.send(raw.subscribe(1, (self._topic, self._qos)))
        assert (await self._subscriber.read()).codes == [self._qos]
        await self._publisher.open()

    def _fault(self, what: str) -> None:
        self._tally.faults.append(f"{self._topic}, QoS {self._qos}: {what}")

    async def publish(self, interval_s: float, ends: asyncio.Event) -> None:
        """Publish a number each interval, the next when it is acknowledged, until the end."""
        client = self._publisher
        try:
            while not ends.is_set():
                self._sent += 1
                packet_id = self._sent % 65535 + 1
                payload = b"%d" % self._sent
                client.send(
                    raw.publish(self._topic, payload, qos=self._qos, packet_id=packet_id)
                )
                kinds = [raw.PUBACK] if self._qos == 1 else [raw.PUBREC, raw.PUBCOMP]
                for kind in kinds:
                    got = await client.read()
                    if (got.kind, got.packet_id) != (kind, packet_id):
                        self._fault(f"expected {kind} of {packet_id}, got {got}")
                    if kind == raw.PUBREC:
                        client.send(raw.ack(raw.PUBREL, packet_id))
                self._tally.sent += 1
                await asyncio.sleep(interval_s)
        except (OSError, asyncio.IncompleteReadError) as fault:
            self._fault(f"publisher cut: {fault!r}")

    async def hear(self) -> None:
        """Check what comes, until cancelled."""
        client = self._subscriber
        try:
            while True:
                got = await client.read()
                if got.kind == raw.PUBREL:
                    client.send(raw.ack(raw.PUBCOMP, got.packet_id))
                    continue
                if got.kind != raw.PUBLISH or got.payload != b"%d" % self._due:
                    self._fault(f"{self._due} was due, got {got}")
                self._due = int(got.payload) + 1 if got.kind == raw.PUBLISH else self._due
                self._tally.received += 1
                client.send(
                    raw.ack(raw.PUBACK if self._qos == 1 else raw.PUBREC, got.packet_id)
                )
                self._heard.set()
        except (OSError, asyncio.IncompleteReadError) as fault:
            self._fault(f"subscriber cut: {fault!r}")
            self._heard.set()

    async def all_heard(self) -> None:
        """Return when the subscriber has everything that was sent."""
        while self._due <= self._sent and not self._tally.faults:
            self._heard.clear()
            await self._heard.wait()

    async def close(self) -> None:
        await self._publisher.leave()
        await self._subscriber.leave()


class Traffic:
    """``async with Traffic(pairs) as tally``: they talk until the block ends."""

    def __init__(self, tally: Tally, pairs: list[Pair], interval_s: float = 0.05) -> None:
        self.tally = tally
        self._pairs = pairs
        self._interval_s = interval_s
        self._ends = asyncio.Event()

    async def __aenter__(self) -> Tally:
        await asyncio.gather(*(pair.open() for pair in self._pairs))
        self._hearing = [asyncio.create_task(pair.hear()) for pair in self._pairs]
        self._talking = [
            asyncio.create_task(pair.publish(self._interval_s, self._ends))
            for pair in self._pairs
        ]
        return self.tally

    async def __aexit__(self, *exc: object) -> None:
        self._ends.set()
        await asyncio.gather(*self._talking)
        done = asyncio.gather(*(pair.all_heard() for pair in self._pairs))
        try:
            await asyncio.wait_for(done, 20)
        except asyncio.TimeoutError:
            self.tally.faults.append("messages that never came")
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)
        await asyncio.gather(*(pair.close() for pair in self._pairs))
