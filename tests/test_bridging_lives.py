"""A bridge whose broker is killed: nothing acknowledged is lost, QoS 2 comes once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nanomq_py import Broker
from tests import raw
from tests.bridges import Remote, port_of, read
from tests.conftest import Process, running_broker
from tests.eventually import WITHIN_S
from tests.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE, Raw
from tests.test_broker import LOCAL

WINDOW = 20  # below Receive Maximum


class Edge:
    """A broker with a bridge to that port, on a disk: killed, and started again."""

    def __init__(self, folder: Path, port: int, durability: str = "always") -> None:
        self._folder, self._port, self._durability = folder, port, durability
        self.start()

    def start(self) -> None:
        self._life = running_broker(
            self._folder,
            {"BRIDGE_PORT": str(self._port)},
            module="tests.bridging_process",
            durability=self._durability,
        )
        self.process: Process = self._life.__enter__()

    def end(self) -> None:
        self._life.__exit__(None, None, None)

    def kill(self) -> None:
        self.process.kill()
        self.end()
        self.start()


@contextmanager
def edge_to(port: int, folder: Path, durability: str = "always") -> Iterator[Edge]:
    edge = Edge(folder, port, durability)
    try:
        yield edge
    finally:
        edge.end()


def publish_all(process: Process, numbers: range, qos: int) -> None:
    """Publish, and return when all of it is acknowledged."""
    conn = process.raw(5)
    conn.connect(f"publisher-{numbers.start}")
    for start in range(numbers.start, numbers.stop, WINDOW):
        some = range(start, min(start + WINDOW, numbers.stop))
        for n in some:
            conn.publish("out/x", b"%d" % n, qos=qos, packet_id=n % 60000 + 1)
        for _ in some:
            got = conn.expect(PUBACK if qos == 1 else PUBREC)
            if qos == 2:
                conn.send(raw.ack(PUBREL, got.packet_id))
        for _ in some if qos == 2 else ():
            conn.expect(PUBCOMP)
    conn.sock.close()


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_acknowledged_crosses_whatever_is_killed(
    tmp_path: Path, qos: int
) -> None:
    async with Broker(LOCAL) as cloud, cloud.subscribe("edge/#", qos=2) as there:
        with edge_to(port_of(cloud), tmp_path) as edge:
            got: list[int] = []
            for life in range(4):
                numbers = range(life * 500, life * 500 + 500)
                await asyncio.to_thread(publish_all, edge.process, numbers, qos)
                await asyncio.to_thread(edge.kill)
            async with asyncio.timeout(WITHIN_S * 2):
                while not got or max(got) < 1999:
                    got.append(int((await anext(there)).payload))
    assert sorted(set(got)) == list(range(2000))
    first = list(dict.fromkeys(got))
    assert first == sorted(first)
    if qos == 2:
        assert got == list(range(2000))


async def test_the_state_of_qos_2_outlives_a_kill_both_ways(tmp_path: Path) -> None:
    """[MQTT-4.3.3-6] [MQTT-4.3.3-10]: by the packet identifiers on the journal."""
    remote = Remote(5)
    with ExitStack() as stack:
        stack.callback(remote.close)
        edge = stack.enter_context(edge_to(remote.port, tmp_path))
        conn = await remote.let_in()
        await subscribed(conn)
        await asyncio.to_thread(publish_all_but_wait, edge.process)
        out = await read(conn, PUBLISH)
        conn.send(raw.ack(PUBREC, out.packet_id))
        await read(conn, PUBREL)
        conn.send(raw.publish("cmd/x", b"once", 5, qos=2, packet_id=9))
        await read(conn, PUBREC)
        await asyncio.to_thread(edge.kill)
        conn = await remote.let_in(session_present=True)
        subscription, released = await both(conn, SUBSCRIBE, PUBREL)
        assert released.packet_id == out.packet_id
        answer(conn, subscription)
        reader = edge.process.raw(5)
        await asyncio.to_thread(reader.connect, "reader")
        await asyncio.to_thread(reader.subscribe, ("from/#", 2))
        conn.send(raw.publish("cmd/x", b"once", 5, qos=2, packet_id=9, dup=True))
        await read(conn, PUBREC)
        conn.send(raw.ack(PUBREL, 9))
        assert (await read(conn, PUBCOMP)).reason == 0
        await asyncio.to_thread(reader.assert_silent)  # it came in the life before
        reader.sock.close()


def publish_all_but_wait(process: Process) -> None:
    publish_all(process, range(1), 2)


async def subscribed(conn: Raw) -> None:
    answer(conn, await read(conn, SUBSCRIBE))


def answer(conn: Raw, subscription: raw.Packet) -> None:
    conn.send(raw.packet(SUBACK, subscription.body[:2] + b"\0\2"))


async def both(conn: Raw, *kinds: int) -> list[raw.Packet]:
    """Return packets of those kinds, in whatever order they come."""
    got = {(p := await asyncio.to_thread(conn.read)).kind: p for _ in kinds}
    return [got[kind] for kind in kinds]


@pytest.mark.parametrize("durability", ["off", "always"])
async def test_what_waits_goes_to_the_process_after_a_restart(
    tmp_path: Path, durability: str
) -> None:
    remote = Remote(5)
    with ExitStack() as stack:
        stack.callback(remote.close)
        edge = stack.enter_context(edge_to(remote.port, tmp_path, durability))
        conn = await remote.let_in()
        await subscribed(conn)
        await asyncio.to_thread(publish_all, edge.process, range(200), 1)
        first = [await read(conn, PUBLISH) for _ in range(50)]
        assert [p.payload for p in first] == [b"%d" % n for n in range(50)]
        await asyncio.to_thread(edge.process.nanomq, "restart")
        conn.sock.close()
        conn = await remote.let_in(session_present=True)
        await subscribed(conn)
        for n in range(200):
            got = await read(conn, PUBLISH)
            assert (got.payload, got.dup) == (b"%d" % n, n < 50)
            conn.send(raw.ack(PUBACK, got.packet_id))
