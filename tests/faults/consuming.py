"""A program that consumes what its broker keeps: it tells what comes, and is killed.

python -m tests.faults.consuming CONF

Messages whose payload is below 100 are acknowledged, each batch before the next is told.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from nanomq_py import Broker
from nanomq_py.config.reader import load

UNTIL = 100


async def run(conf: Path) -> None:
    async with (
        Broker(load(conf), conf=conf) as broker,
        broker.consume("program", ["n/#"]) as consumer,
    ):
        print("port", broker.ports["url"], flush=True)  # what comes from now on is kept
        async for batch in consumer:
            for message in batch:
                print(message.payload.decode(), int(message.again), flush=True)
            if all(int(message.payload) < UNTIL for message in batch):
                batch.ack()
                print("acked", flush=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
