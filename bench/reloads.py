"""``make reloads``: a thousand changes of the configuration under traffic.

200 clients exchange QoS 1 and QoS 2 messages over TCP and TLS while
every part of the configuration changes, by file and signal, by req 10 and by req 12. Nothing
may be lost or doubled, nobody disconnected but the clients of a listener that is taken away,
and memory and descriptors must not grow.

    python bench/reloads.py [--reloads 1000] [--clients 200]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.abuse import descriptors, free_port, memory_kib  # noqa: E402 - beside the package
from tests import certs, raw  # noqa: E402
from tests.raw import Raw  # noqa: E402
from tests.traffic import Client, Pair, Tally, Traffic  # noqa: E402


class Target:
    """The broker and its file."""

    def __init__(self, folder: Path) -> None:
        self.made = certs.make(folder)
        self.tcp, self.tls, self.http, self.extra = (free_port() for _ in range(4))
        self.conf = folder / "nanomq.conf"
        self.keys = {
            "url": f"nmq-tcp://127.0.0.1:{self.tcp}",
            "websocket.enable": "false",
            "tls.enable": "true",
            "tls.url": f"tls+nmq-tcp://127.0.0.1:{self.tls}",
            "tls.certfile": str(self.made.server.certfile),
            "tls.keyfile": str(self.made.server.keyfile),
            "http_server.port": str(self.http),
            "log.level": "error",
        }

    def write(self, **keys: str | None) -> None:
        for name, value in keys.items():
            name = name.replace("__", ".")
            if value is None:
                self.keys.pop(name, None)
            else:
                self.keys[name] = value
        self.conf.write_text("".join(f"{k}={v}\n" for k, v in self.keys.items()))

    async def call(self, **fields: object) -> dict[str, object]:
        """Send one request to the HTTP API, on a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.http)
        body = json.dumps({"seq": 1, **fields}).encode()
        login = base64.b64encode(b"admin:public").decode()
        writer.write(
            f"POST /api/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        answer = await reader.read()
        writer.close()
        got: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return got


def changes(target: Target, turn: int, rng: random.Random) -> dict[str, str | None]:
    """Return what the file says next: another kind each turn, and each time another value."""
    two = turn // 8 % 2
    cert = target.made.client if two else target.made.server
    kinds: list[dict[str, str | None]] = [
        {"listener__extra__url": f"nmq-tcp://127.0.0.1:{target.extra}" if two else None},
        {"url": f"nmq-tcp://{'0.0.0.0' if two else '127.0.0.1'}:{target.tcp}"},
        {"tls__url": f"tls+nmq-tcp://{'0.0.0.0' if two else '127.0.0.1'}:{target.tls}"},
        {"tls__min_version": "1.3" if two else "1.2", "msq_len": str(rng.randint(50, 500))},
        {
            f"acl__rule__{n}": json.dumps(
                {"permit": "deny", "topics": [f"no/{rng.random()}"]}
            )
            for n in range(1, 200 if two else 20)
        },
        {"max_connections": str(rng.randint(1000, 2000)), "qos_duration": str(60 + two)},
        {"auth__1__login": "somebody", "auth__1__password": str(rng.random())},
        {
            "log__level": "error" if two else "fatal",
            "sys_interval": str(1 + two),
            "tls__certfile": str(cert.certfile),
            "tls__keyfile": str(cert.keyfile),
        },
    ]
    return kinds[turn % len(kinds)]


async def reload(target: Target, number: int, rng: random.Random) -> str:
    """Change something; return how. Raises AssertionError when it was refused."""
    if number % 5 == 4:
        data = {"msq_len": rng.randint(50, 500), "tls": {"url": target.keys["tls.url"]}}
        got = await target.call(req=12, data=data)
        assert got["code"] == 0, got
        target.keys["msq_len"] = str(data["msq_len"])
        return "req 12"
    target.write(**changes(target, number // 5 * 4 + number % 5, rng))
    if number % 5 == 3:
        done = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nanomq_py", "reload", "--conf", str(target.conf),
            cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert await done.wait() == 0
        return "nanomq reload"
    got = await target.call(req=10, action="reload")
    assert got["code"] == 0, got
    return "req 10"


async def stall(target: Target) -> list[float]:
    """Return the median and the longest round trip, in ms, while 10,000 rules come in."""
    trips: list[float] = []
    ends = asyncio.Event()

    async def talk() -> None:
        client = Client(target.tcp, "stall", None)
        await client.open()
        client.send(raw.subscribe(1, ("stall", 0)))
        await client.read()
        while not ends.is_set():
            begun = time.monotonic()
            client.send(raw.publish("stall", b""))
            await client.read()
            trips.append((time.monotonic() - begun) * 1e3)
        await client.leave()

    rules = {
        f"acl.rule.{n}": json.dumps(
            {"permit": "allow", "clientid": f"client-{n}", "topics": [f"site/{n}/#"]}
        )
        for n in range(10_000)
    }
    target.write(**rules)
    talking = asyncio.create_task(talk())
    await asyncio.sleep(0.5)
    assert (await target.call(req=10, action="reload"))["code"] == 0
    await asyncio.sleep(0.5)
    ends.set()
    await talking
    return [round(statistics.median(trips), 2), round(max(trips), 2)]


async def soak(target: Target, pid: int, args: argparse.Namespace) -> int:
    rng = random.Random(args.seed)
    context = ssl.create_default_context(cafile=str(target.made.ca.certfile))
    tally = Tally()
    pairs = [
        Pair(
            tally,
            target.tls if number % 4 == 0 else target.tcp,
            number,
            qos=1 + number % 2,
            context=context if number % 4 == 0 else None,
        )
        for number in range(args.clients // 2)
    ]
    hows: Counter[str] = Counter()
    took: list[float] = []
    async with Traffic(tally, pairs):
        for number in range(40):  # what the first reloads load stays
            await reload(target, number, rng)
        before = memory_kib(pid), descriptors(pid)
        for number in range(args.reloads):
            begun = time.monotonic()
            hows[await reload(target, number, rng)] += 1
            took.append(time.monotonic() - begun)
            assert not tally.faults, tally.faults
        target.write(listener__extra__url=None)
        await reload(target, 0, rng)
        await asyncio.sleep(2)
        after = memory_kib(pid), descriptors(pid)
    rules_ms = await stall(target)
    took.sort()
    result = {
        "reloads": dict(hows),
        "seed": args.seed,
        "messages": tally.sent,
        "lost": tally.sent - tally.received,
        "faults": tally.faults,
        "reload_ms_median_max": [
            round(statistics.median(took) * 1e3),
            round(took[-1] * 1e3),
        ],
        "round_trip_ms_median_longest_while_10000_rules_come": rules_ms,
        "memory_kib": [before[0], after[0]],
        "descriptors": [before[1], after[1]],
    }
    print(json.dumps(result, indent=1))
    grown = after[0] > before[0] * 1.1 or after[1] > before[1]
    return int(bool(tally.faults) or tally.sent != tally.received or grown)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 30)
    )
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    folder = Path(tempfile.mkdtemp(prefix="reloads"))
    target = Target(folder)
    target.write()
    broker = subprocess.Popen(
        [sys.executable, "-m", "nanomq_py", "start", "--conf", str(target.conf)],
        cwd=ROOT,
        stderr=(folder / "log").open("w"),
    )
    try:
        time.sleep(2)
        with Raw(target.tcp, 4) as c:
            c.send(raw.connect("first", 4))
            c.expect(raw.CONNACK)
        return asyncio.run(soak(target, broker.pid, args))
    finally:
        broker.terminate()
        assert broker.wait(20) == 0


if __name__ == "__main__":
    sys.exit(main())
