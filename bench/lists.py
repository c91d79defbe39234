"""``python bench/lists.py``: whether anybody waits for the long lists of the HTTP API.

    python bench/lists.py [--sessions 10000 50000] [--seconds 4]

One broker has that many kept sessions, each with a subscription of its own. Another process
asks for one list after the other, while a third one sends itself messages. A stall is how much
later than asked for the event loop of the broker comes back to a timer of one millisecond; on
a machine with other work the loop's own CPU between two timers tells more.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.queries import publish  # noqa: E402
from nanomq_py.config.file import ConfFile  # noqa: E402
from nanomq_py.listen.inherited import Inherited  # noqa: E402
from nanomq_py.server import Left, Server  # noqa: E402
from tests import raw  # noqa: E402
from tests.raw import Raw  # noqa: E402

REQUESTS = {0: "nothing", 5: "clients", 4: "subscriptions", 13: "topic tree"}
CONF = "url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\nhttp_server.port=0\nlog.level=error\n"
TICK_S = 0.001
COLUMNS = (
    "meanwhile", "answers", "each, ms", "KiB", "stall, 99 %, ms", "longest",
    "of it its own CPU, 99 %, ms", "longest", "message, ms", "99 %", "longest",
)  # fmt: skip


def fill(port: int, sessions: int) -> None:
    """Leave sessions with a subscription each behind."""
    for number in range(sessions):
        with Raw(port, timeout=20) as c:
            c.connect(f"session-{number}", clean=False)
            c.subscribe((f"unit/{number}/state", 1))
            c.send(raw.disconnect())


def ask(port: int, req: int, seconds: float) -> None:
    """Print how many seconds each answer took, and how long the last one was."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"req": req, "seq": 1})
    took, size, until = [], 0, time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        connection.request(
            "POST", "/api/v1", body, {"Authorization": "Basic YWRtaW46cHVibGlj"}
        )
        size = len(connection.getresponse().read())
        took.append(time.perf_counter() - began)
    print(json.dumps([took, size]))


@dataclass
class Ticks:
    """How late the loop comes back to a timer, and what of that it computed itself."""

    late_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    async def run(self) -> None:
        while True:
            began, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_S)
            self.cpu_ms.append((time.thread_time() - cpu) * 1000)
            self.late_ms.append((time.perf_counter() - began - TICK_S) * 1000)


async def child(*arguments: object) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


def at(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)] if values else 0.0


async def row(server: Server, req: int, seconds: float) -> str:
    mqtt, api = server.broker.ports["url"], server.http.port
    asking = child("--ask", api, "--req", req, "--seconds", seconds) if req else no_answer()
    ticks = Ticks()
    ticking = asyncio.create_task(ticks.run())
    trips_text, asked = await asyncio.gather(
        child("--publish", mqtt, "--seconds", seconds), asking
    )
    ticking.cancel()
    trips = json.loads(trips_text)
    took, size = json.loads(asked)
    return (
        f"| {REQUESTS[req]} | {len(took)} | {at(took, 0.5) * 1000:.0f} | {size >> 10} "
        f"| {at(ticks.late_ms, 0.99):.2f} | {max(ticks.late_ms):.2f} "
        f"| {at(ticks.cpu_ms, 0.99):.2f} | {max(ticks.cpu_ms):.2f} "
        f"| {at(trips, 0.5):.3f} | {at(trips, 0.99):.3f} | {trips[-1]:.2f} |"
    )


async def no_answer() -> str:
    return "[[], 0]"


async def main(conf: Path, sessions: list[int], seconds: float) -> None:
    server = Server(ConfFile(conf, {}), conf, Left(Inherited()))
    await server.start()
    for count in sessions:
        await asyncio.to_thread(fill, server.broker.ports["url"], count)
        print(f"\n{server.broker.stats().clients} sessions\n")
        print(f"| {' | '.join(COLUMNS)} |")
        print("| --- " * len(COLUMNS) + "|")
        for req in REQUESTS:
            print(await row(server, req, seconds), flush=True)
    await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--publish", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--ask", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--req", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.publish:
        publish(given.publish, given.seconds)
    elif given.ask:
        ask(given.ask, given.req, given.seconds)
    else:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_RUNTIME_DIR"] = folder
            written = Path(folder, "nanomq.conf")
            written.write_text(CONF, encoding="ascii")
            asyncio.run(main(written, given.sessions, given.seconds))
