"""``make abuse``: a hostile network, beside one client that must not notice.

Abusers in processes of their own send malformed and truncated packets, floods of pings and of
subscriptions, half-open and stuck connections, huge lengths, TLS handshakes cut at every byte
and WebSocket garbage, in bounded loops. In every second a healthy client's QoS 1 message must
make its round trip. Afterwards memory must be within 10 % of before and descriptors equal.

    python bench/abuse.py [--minutes 20]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import certs, raw  # noqa: E402 - a program beside the package
from tests.raw import Closed, Raw  # noqa: E402

SETTLE_S = 20  # for connections that were left to run out


@dataclass(frozen=True)
class Target:
    """The broker under abuse."""

    tcp: int
    tls: int
    ws: int


def dial(port: int, timeout: float = 2.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout)


def swallow(sock: socket.socket) -> None:
    """Read what the broker says, until it closes or is silent."""
    sock.settimeout(0.05)
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def valid_packets(rng: random.Random) -> bytes:
    version = rng.choice([3, 4, 5])
    name = f"abuse-{rng.randrange(50)}"
    topic = rng.choice(["a", "a/b", "x/" * 50 + "y"])
    return b"".join(
        [
            raw.connect(name, version, clean=rng.random() < 0.9),
            raw.subscribe(1, ("abuse/#", rng.randrange(3)), version=version),
            raw.publish("abuse/" + topic, rng.randbytes(rng.randrange(300)), version),
            raw.publish("abuse/q", b"x", version, qos=rng.choice([1, 2]), packet_id=7),
            raw.packet(raw.PINGREQ),
        ]
    )


def malformed(target: Target, rng: random.Random) -> None:
    data = bytearray(valid_packets(rng))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    with dial(target.tcp) as sock:
        sock.sendall(data)
        swallow(sock)


def noise(target: Target, rng: random.Random) -> None:
    for _ in range(20):
        with contextlib.suppress(OSError), dial(target.tcp) as sock:
            sock.sendall(rng.randbytes(rng.randrange(1, 4000)))


def truncated(target: Target, rng: random.Random) -> None:
    data = valid_packets(rng)
    for end in range(1, len(data)):
        with contextlib.suppress(OSError), dial(target.tcp) as sock:
            sock.sendall(data[:end])


def pings(target: Target, rng: random.Random) -> None:
    with dial(target.tcp) as sock:
        sock.sendall(raw.connect("pinger", 5))
        for _ in range(200):
            sock.sendall(raw.packet(raw.PINGREQ) * 1000)
            with contextlib.suppress(BlockingIOError):
                sock.recv(65536, socket.MSG_DONTWAIT)
        swallow(sock)


def subscriptions(target: Target, rng: random.Random) -> None:
    with dial(target.tcp) as sock:
        sock.sendall(raw.connect("subscriber", 5))
        for turn in range(40):
            filters = [(f"flood/{turn}/{n}/+", 1) for n in range(50)]
            sock.sendall(raw.subscribe(1 + turn, *filters, version=5))
        swallow(sock)


def half_open(target: Target, rng: random.Random) -> None:
    socks = [dial(rng.choice([target.tcp, target.tls, target.ws])) for _ in range(100)]
    for sock in socks[:50]:
        sock.sendall(b"\x10")
    time.sleep(rng.random() * 3)
    for sock in socks:
        sock.close()


def slow_loris(target: Target, rng: random.Random) -> None:
    with dial(target.tcp) as sock:
        for byte in raw.connect("x" * 200, 5)[:40]:
            sock.sendall(bytes([byte]))
            time.sleep(0.1)


def stuck_reader(target: Target, rng: random.Random) -> None:
    with dial(target.tcp) as stuck, dial(target.tcp) as busy:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sendall(raw.connect("stuck", 5) + raw.subscribe(1, ("flood", 1), version=5))
        time.sleep(0.1)
        busy.sendall(raw.connect("busy", 5))
        for _ in range(300):
            busy.sendall(raw.publish("flood", bytes(60_000), 5))
        time.sleep(1)


def huge_lengths(target: Target, rng: random.Random) -> None:
    socks = []
    for _ in range(50):
        sock = dial(target.tcp)
        socks.append(sock)
        if rng.random() < 0.5:
            sock.sendall(raw.connect(f"huge-{rng.randrange(9)}", 5))
        kind = rng.choice([0x10, 0x30, 0x82])
        with contextlib.suppress(OSError):
            sock.sendall(bytes([kind]) + raw.varint(rng.choice([9 << 20, 268435455])))
            sock.sendall(bytes(rng.randrange(200_000)))
    for sock in socks:
        sock.close()


def client_hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()


def tls_cut(target: Target, rng: random.Random) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    hello = client_hello(context)
    for end in range(1, len(hello), 11):
        with contextlib.suppress(OSError), dial(target.tls) as sock:
            sock.sendall(hello[:end])
    for _ in range(10):
        with contextlib.suppress(OSError), dial(target.tls) as sock:
            spoiled = bytearray(hello)
            spoiled[rng.randrange(len(hello))] ^= 1 << rng.randrange(8)
            sock.sendall(spoiled)
            swallow(sock)
    with contextlib.suppress(OSError), context.wrap_socket(dial(target.tls)) as sock:
        sock.sendall(rng.randbytes(500))


UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)


def ws_garbage(target: Target, rng: random.Random) -> None:
    spoiled = bytearray(UPGRADE)
    for _ in range(rng.randrange(4)):
        spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
    for data in (
        bytes(spoiled),
        UPGRADE[: rng.randrange(len(UPGRADE))],
        UPGRADE + rng.randbytes(400),
        UPGRADE + b"\x89\x80mask" * 2000,
        UPGRADE + b"\x82\xff" + b"\x00\x00\x00\x00\x10\x00\x00\x00mask",
        b"GET /mqtt HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
    ):
        with contextlib.suppress(OSError), dial(target.ws) as sock:
            sock.sendall(data)
            swallow(sock)


ABUSES: list[Callable[[Target, random.Random], None]] = [
    malformed,
    noise,
    truncated,
    pings,
    subscriptions,
    half_open,
    slow_loris,
    stuck_reader,
    huge_lengths,
    tls_cut,
    ws_garbage,
]


def abuse(target: Target, seed: int, until: float, done: dict[str, int]) -> None:
    rng = random.Random(seed)
    counts = dict.fromkeys((a.__name__ for a in ABUSES), 0)
    while time.monotonic() < until:
        kind = rng.choice(ABUSES)
        with contextlib.suppress(OSError, Closed):
            kind(target, rng)
        counts[kind.__name__] += 1
    done[str(seed)] = json.dumps(counts)  # type: ignore[assignment]


def healthy(port: int, until: float) -> tuple[int, list[float]]:
    """Return how many seconds had no round trip, and the time of each that had one."""
    missed, times = 0, []
    with Raw(port, 5, timeout=1.0) as c:
        c.connect("healthy", keep_alive=30)
        c.subscribe(("healthy", 1))
        at = 0
        while time.monotonic() < until:
            at += 1
            begun = time.monotonic()
            try:
                c.publish("healthy", b"%d" % at, qos=1, packet_id=at % 65535 + 1)
                waiting = {raw.PUBACK, raw.PUBLISH}
                while waiting:
                    got = c.read()
                    if got.kind == raw.PUBLISH:
                        c.send(raw.ack(raw.PUBACK, got.packet_id))
                    if got.kind == raw.PUBACK or got.payload == b"%d" % at:
                        waiting.discard(got.kind)
                times.append(time.monotonic() - begun)
            except TimeoutError:
                missed += 1
            time.sleep(max(0.0, begun + 1 - time.monotonic()))
    return missed, times


def memory_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--abusers", type=int, default=4)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="abuse"))
    made = certs.make(folder)
    target = Target(free_port(), free_port(), free_port())
    conf = folder / "nanomq.conf"
    conf.write_text(
        f"url=nmq-tcp://127.0.0.1:{target.tcp}\n"
        f"websocket.url=nmq-ws://127.0.0.1:{target.ws}/mqtt\n"
        f"tls.enable=true\ntls.url=tls+nmq-tcp://127.0.0.1:{target.tls}\n"
        f"tls.certfile={made.server.certfile}\ntls.keyfile={made.server.keyfile}\n"
        "http_server.enable=false\nlog.level=error\nmax_session_expiry=5\ncore_dumps=true\n"
    )
    broker = subprocess.Popen(
        [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)], cwd=ROOT
    )
    try:
        time.sleep(3)
        before = memory_kib(broker.pid), descriptors(broker.pid)
        until = time.monotonic() + args.minutes * 60
        done = multiprocessing.Manager().dict()
        seeds = [random.SystemRandom().randrange(1 << 30) for _ in range(args.abusers)]
        abusers = [
            multiprocessing.Process(target=abuse, args=(target, seed, until, done))
            for seed in seeds
        ]
        for process in abusers:
            process.start()
        missed, times = healthy(target.tcp, until)
        for process in abusers:
            process.join()
        time.sleep(SETTLE_S)
        after = memory_kib(broker.pid), descriptors(broker.pid)
        counts = {name: 0 for name in (a.__name__ for a in ABUSES)}
        for text in done.values():
            for name, count in json.loads(text).items():
                counts[name] += count
    finally:
        broker.terminate()
        code = broker.wait(30)
    times.sort()
    print(
        json.dumps(
            {
                "seconds": len(times) + missed,
                "missed": missed,
                "slowest_ms": round(times[-1] * 1000, 1),
                "p50_ms": round(times[len(times) // 2] * 1000, 2),
                "rss_kib": [before[0], after[0], round(after[0] / before[0], 3)],
                "descriptors": [before[1], after[1]],
                "exit": code,
                "abuses": counts,
                "seeds": seeds,
            }
        )
    )
    good = (
        missed == 0 and after[0] <= before[0] * 1.1 and after[1] == before[1] and code == 0
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
