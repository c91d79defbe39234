"""``python bench/queries.py``: what a page costs, and whether anybody waits for queries.

    python bench/queries.py [--sessions 50000] [--seconds 4]

One broker has that many kept sessions, each with a subscription of its own, and as many
retained messages. The first table tells what the first page of 100 rows and the one in the
last hundredth cost, by offset and from a cursor on. The second tells the round trips of one
publisher, a process of its own, while nobody asks, and while somebody asks again and again
for what looks at all rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py import Broker, Config  # noqa: E402
from nanomq_py.config.keys.listeners import WebSocket  # noqa: E402
from nanomq_py.core import pages as pages_of  # noqa: E402
from nanomq_py.core.queries import (  # noqa: E402
    ClientFilter,
    Page,
    Paging,
    RetainedFilter,
    RouteFilter,
    SubscriptionFilter,
)
from tests import raw  # noqa: E402
from tests.raw import Raw  # noqa: E402

LIMIT = 100
STEP = 256  # NMQ_WALK_VISITS
TIMES = 40
ALL_ROWS: dict[str, Any] = {
    "clients": ClientFilter(client_id_like="-x"),
    "sessions": ClientFilter(user_name="nobody"),
    "subscriptions": SubscriptionFilter(topic_name="no/such/topic"),
    "routes": RouteFilter(below="no/+"),
    "retained": RetainedFilter(topic_filter="no/#"),
}

Ask = Callable[..., Awaitable[Page[Any]]]


def fill(port: int, sessions: int) -> None:
    """Leave sessions, subscriptions and retained messages behind."""
    for number in range(sessions):
        with Raw(port, timeout=20) as c:
            c.connect(f"session-{number}", clean=False)
            c.subscribe((f"unit/{number}/state", 1))
            c.send(raw.disconnect())
    with Raw(port, timeout=20) as c:
        c.connect("gardener")
        for number in range(sessions):
            c.publish(f"kept/{number}", b"x", retain=True)
        c.ping()


def publish(port: int, seconds: float, begin: Callable[[], object] = lambda: None) -> None:
    """Print the round trips of messages to oneself, in milliseconds.

    begin   called once the client is in; the time begins when it returns
    """
    trips = []
    with Raw(port, timeout=20) as c:
        c.connect("publisher")
        c.subscribe(("echo", 0))
        begin()
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            c.publish("echo", b"x")
            c.expect(raw.PUBLISH)
            trips.append((time.perf_counter() - began) * 1000)
    trips.sort()
    print(json.dumps(trips))


async def cost_ms(ask: Ask, **paging: Any) -> float:
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        page = await ask(limit=LIMIT, **paging)
        times.append((time.perf_counter() - began) * 1000)
        assert len(page.rows) == LIMIT
    return statistics.median(times)


async def pages(broker: Broker, sessions: int) -> None:
    print("| kind | first page, ms | by offset, ms | times | from a cursor, ms | times |")
    print("| --- | --- | --- | --- | --- | --- |")
    offset = sessions - LIMIT
    for kind in ALL_ROWS:
        ask: Ask = getattr(broker, kind)
        first = await cost_ms(ask)
        last = await cost_ms(ask, offset=offset)
        after = (await ask(limit=LIMIT, offset=offset - LIMIT)).next
        cursor = await cost_ms(ask, after=after)
        print(
            f"| {kind} | {first:.2f} | {last:.2f} | {last / first:.2f} "
            f"| {cursor:.2f} | {cursor / first:.2f} |"
        )


async def steps(broker: Broker, sessions: int) -> None:
    def cpu_ms(kind: str) -> float:
        times = []
        for _ in range(TIMES):
            began = time.thread_time()
            core.query(getattr(pages_of, kind.upper()), ALL_ROWS[kind], Paging())
            times.append((time.thread_time() - began) * 1000)
        return statistics.median(times)

    core = broker._core
    print("\n| kind | looks at all rows, ms of CPU | each of its steps, us |")
    print("| --- | --- | --- |")
    for kind in ALL_ROWS:
        cost = await asyncio.to_thread(cpu_ms, kind)
        print(f"| {kind} | {cost:.1f} | {cost * 1000 / (sessions / STEP):.0f} |")


async def waits(broker: Broker, port: int, seconds: float) -> None:
    print(
        "\n| meanwhile | round trips | median, ms | 99.9 %, ms | longest, ms | over 2 ms |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in ("nothing", *ALL_ROWS, "nothing"):
        done = asyncio.Event()
        asking = asyncio.create_task(ask_on(broker, kind, done))
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--publish", str(port), "--seconds", str(seconds),
            stdout=asyncio.subprocess.PIPE, limit=1 << 24,
        )  # fmt: skip
        out, _ = await process.communicate()
        done.set()
        asked = await asking
        trips = json.loads(out)
        print(
            f"| {kind}, {asked} times | {len(trips)} | {trips[len(trips) // 2]:.3f} "
            f"| {trips[len(trips) * 999 // 1000]:.3f} | {trips[-1]:.2f} "
            f"| {sum(trip > 2 for trip in trips)} |"
        )


async def ask_on(broker: Broker, kind: str, done: asyncio.Event) -> int:
    asked = 0
    while not done.is_set():
        if kind == "nothing":
            await done.wait()
        else:
            await getattr(broker, kind)(ALL_ROWS[kind])
            asked += 1
    return asked


async def main(sessions: int, seconds: float) -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0", websocket=WebSocket(enable=False))
    async with Broker(config) as broker:
        port = broker.ports["url"]
        await asyncio.to_thread(fill, port, sessions)
        await pages(broker, sessions)
        await steps(broker, sessions)
        await waits(broker, port, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--publish", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.publish:
        publish(given.publish, given.seconds)
    else:
        asyncio.run(main(given.sessions, given.seconds))
