"""``python bench/rest.py``: requests a second of ``/api/v4``, and what bounds them.

    python bench/rest.py [--seconds 3] [--connections 1 50]

One broker in a process of its own; this process writes requests on connections that stay, one
after the other on each, and reads no more of an answer than its head and its length. The CPU
of the broker for a request says what bounds it: where it is 1 s a second, its event loop is.
``GET /status`` asks for no login and reads nothing: the rest is what HTTP itself costs.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.api import cpu_s  # noqa: E402
from tests.conftest import Process, running_broker  # noqa: E402

LOGIN = base64.b64encode(b"admin:public").decode()
COLUMNS = ("request", "connections", "a second", "CPU each, us", "of GET /status")


@dataclass(frozen=True)
class Kind:
    """A request, and what is said of it."""

    method: str
    path: str
    body: object = None

    @property
    def wire(self) -> bytes:
        body = b"" if self.body is None else json.dumps(self.body).encode()
        return (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {LOGIN}"
            f"\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


KINDS = [
    Kind("GET", "/status"),
    Kind("GET", "/api/v4/clients/one"),
    Kind("POST", "/api/v4/mqtt/publish", {"topic": "a/b", "payload": "x" * 64, "qos": 1}),
]


async def answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(head.decode())
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)


async def ask(port: int, wire: bytes, until: float) -> int:
    """Return how many answers came on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.perf_counter() < until:
        writer.write(wire)
        await answer(reader)
        count += 1
    writer.close()
    return count


async def rate(
    broker: Process, kind: Kind, connections: int, seconds: float
) -> tuple[float, float]:
    """Return requests a second, and the broker's CPU for each in microseconds."""
    began, cpu = time.perf_counter(), cpu_s(broker.pid)
    asked = [ask(broker.http_port, kind.wire, began + seconds) for _ in range(connections)]
    count = sum(await asyncio.gather(*asked))
    took, used = time.perf_counter() - began, cpu_s(broker.pid) - cpu
    return count / took, used / count * 1e6


def main(seconds: float, connections: list[int]) -> None:
    print(f"| {' | '.join(COLUMNS)} |")
    print("| --- " * len(COLUMNS) + "|")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder), log__level="warn") as broker,
        broker.raw(5) as client,
    ):
        client.connect("one", keep_alive=0)
        for many in connections:
            first = 0.0
            for kind in KINDS:
                per_s, each = asyncio.run(rate(broker, kind, many, seconds))
                first = first or per_s
                print(
                    f"| {kind.method} {kind.path} | {many} | {per_s:.0f} | {each:.0f} "
                    f"| {per_s / first:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 50])
    given = parser.parse_args()
    main(given.seconds, given.connections)
