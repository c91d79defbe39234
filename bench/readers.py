"""How many messages a second one tap takes, and how many it loses; and one consumer.

Publishers in a process of their own send small messages at QoS 0, at a rate or as fast as
they are taken, and a program that the broker runs in reads all of them from one tap, payload
and topic of each. Then a tap is opened on many retained messages. A consumer gets them at
QoS 1, acknowledges each batch, and loses none.

    python bench/readers.py [--rate 500000] [--seconds 4] [--retained 100000]

The consumer is there with ``durability`` off and always, whose folder is in the working
directory: on its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import select
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py import Broker, Config  # noqa: E402 - a program beside the package
from nanomq_py.broker import Tap  # noqa: E402
from nanomq_py.config.keys.durability import Durability  # noqa: E402
from nanomq_py.config.keys.listeners import WebSocket  # noqa: E402
from tests import raw  # noqa: E402

BLOCK = 1000  # messages that are sent at once
PUBLISHERS = 4
SIZE = 64


def send(port: int, qos: int, rate: int, seconds: float, done: Connection) -> None:
    """Send for that time, ``rate`` messages a second in all, 0: as fast as they are taken."""
    clients = []
    for n in range(PUBLISHERS):
        client = raw.Raw(port, timeout=60)
        client.connect(f"p{n}")
        clients.append(
            (client, raw.publish(f"bench/{n}", bytes(SIZE), qos=qos, packet_id=1) * BLOCK)
        )
    begun = time.monotonic()
    sent = 0
    while (now := time.monotonic() - begun) < seconds:
        if rate and sent >= rate * now:
            time.sleep(0.0005)
            continue
        client, block = clients[sent // BLOCK % PUBLISHERS]
        client.send(block)
        if qos:
            drain(client)
        sent += BLOCK
    for client, _ in clients:
        client.send(raw.packet(raw.PINGREQ))
        while client.read().kind != raw.PINGRESP:
            pass
        client.close()
    done.send((sent, time.monotonic() - begun))


def drain(client: raw.Raw) -> None:
    """Read the acknowledgements that have come."""
    while select.select([client.sock], [], [], 0)[0]:
        client.sock.recv(1 << 16)


async def read(tap: Tap, until: asyncio.Event) -> int:
    """Return how many messages were read once all were sent."""
    count = 0

    async def close() -> None:
        await until.wait()
        tap.close()

    closing = asyncio.create_task(close())
    async for message in tap:
        if message.topic_name and message.payload:
            count += 1
    await closing
    return count


async def live(rate: int, seconds: float) -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
    async with Broker(config) as broker:
        tap = broker.subscribe("bench/#")
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        port = broker.ports["url"]
        process = context.Process(target=send, args=(port, 0, rate, seconds, theirs))
        process.start()
        sent = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours.fileno(), sent.set)
        before = time.process_time()
        count = await read(tap, sent)
        cpu = time.process_time() - before
        asyncio.get_running_loop().remove_reader(ours.fileno())
        total, wall = ours.recv()
        await asyncio.to_thread(process.join)
    asked = f"{rate} a second" if rate else "as fast as they are taken"
    print(
        f"{asked}: sent {total} in {wall:.2f} s, {total / wall:.0f} a second; read {count},"
        f" lost {tap.dropped}; {cpu / max(count, 1) * 1e6:.2f} us of CPU a message"
    )
    if count + tap.dropped != total:
        raise SystemExit(f"{total - count - tap.dropped} are neither read nor counted")


async def consumed(rate: int, seconds: float, durability: str, folder: str) -> None:
    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        websocket=WebSocket(enable=False),
        durability=Durability(mode=durability, location=f"{folder}/{rate}"),
    )
    async with Broker(config) as broker:
        consumer = broker.consume("bench", ["bench/#"])
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        port = broker.ports["url"]
        process = context.Process(target=send, args=(port, 1, rate, seconds, theirs))
        process.start()
        loop = asyncio.get_running_loop()
        # Behind all that was sent comes a message of ours.
        loop.add_reader(ours.fileno(), lambda: broker.publish("bench/end", "end", qos=1))
        count, last, before = 0, "", time.process_time()
        while last != "bench/end":
            batch = await anext(consumer)
            for message in batch:
                last = message.topic_name
                count += len(message.payload) == SIZE
            batch.ack()
            if last == "bench/end":
                loop.remove_reader(ours.fileno())
        total, wall = ours.recv()
        cpu = time.process_time() - before
        await asyncio.to_thread(process.join)
        dropped = consumer.stats().dropped
        broker.end_consumer("bench")
    asked = f"{rate} a second" if rate else "as fast as they are taken"
    print(
        f"consumer, durability={durability}, {asked}: sent {total} in {wall:.2f} s,"
        f" {total / wall:.0f} a second; read {count}, lost {dropped};"
        f" {cpu / max(count, 1) * 1e6:.2f} us of CPU a message"
    )


async def retained(count: int) -> None:
    async with Broker(Config(url=None, websocket=WebSocket(enable=False))) as broker:
        for n in range(count):
            broker.publish(f"r/{n % 1000}/{n}", b"x" * 64, retain=True)
        begun = time.monotonic()
        async with broker.subscribe("r/#") as tap:
            for _ in range(count):
                await asyncio.wait_for(anext(tap), 10)
        wall = time.monotonic() - begun
        print(f"{count} retained messages, all of them in {wall:.2f} s; lost {tap.dropped}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--retained", type=int, default=100_000)
    args = parser.parse_args()
    for rate in (args.rate, 0):
        asyncio.run(live(rate, args.seconds))
    asyncio.run(retained(args.retained))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for rate in (20_000, 200_000, 0):
            for durability in ("off", "always"):
                asyncio.run(consumed(rate, args.seconds, durability, folder))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    main()
