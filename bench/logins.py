"""``python bench/logins.py``: what logins cost, and what a storm of them costs the others.

::

    uncached   each password is hashed, once: connects a second
    cached     the same again: connects a second
    anonymous  nobody is asked: connects a second
    latency    p99 of messages from one client to another, without and with 2,000 logins at once
               with passwords that were never seen

    python bench/logins.py [--users 100] [--connects 10000] [--storm 2000]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py.auth.hashing import hashed  # noqa: E402 - beside the package
from tests import raw  # noqa: E402
from tests.conftest import Process, running_broker  # noqa: E402
from tests.raw import PUBLISH  # noqa: E402

AT_ONCE = 64
PACE_S = 0.002  # between two messages whose time is measured
SAMPLE_S = 8.0

Login = tuple[str, bytes]


def logins(process: Process, packets: Sequence[bytes], at_once: int = AT_ONCE) -> float:
    """Log in with each CONNECT, some at a time; return logins a second."""
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        waiting, open_ = iter(packets), 0
        while True:
            for packet in itertools.islice(waiting, at_once - open_):
                sock = socket.create_connection(("127.0.0.1", process.port))
                sock.sendall(packet)
                selector.register(sock, selectors.EVENT_READ)
                open_ += 1
            if not open_:
                return len(packets) / (time.perf_counter() - began)
            for key, _ in selector.select():
                answer = key.fileobj.recv(1024)  # type: ignore[union-attr]
                assert answer[:1] == b"\x20", "refused"
                assert answer[3] == 0, f"refused: {answer!r}"
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
                open_ -= 1


def storm(port: int, users: int, count: int) -> None:
    """Open connections at once, whose passwords nobody has seen, and read their answers."""
    socks = []
    for n in range(count):
        sock = socket.create_connection(
            ("127.0.0.1", port), source_address=(f"127.0.{1 + n % 200}.1", 0)
        )
        password = b"%d-%d" % (time.time_ns(), n)
        sock.sendall(raw.connect("", 5, user=f"u{n % users}", password=password))
        socks.append(sock)
    for sock in socks:
        sock.recv(64)
        sock.close()


def latencies_s(process: Process, login: Login, stop: float) -> Iterator[float]:
    """Yield how long messages take from one client to another, until that time."""
    user, password = login
    with process.raw(4) as sender, process.raw(4) as hears:
        sender.connect("sender", user=user, password=password)
        hears.connect("hears", user=user, password=password)
        hears.subscribe(("latency", 0))
        while time.perf_counter() < stop:
            began = time.perf_counter()
            sender.publish("latency", b"x")
            hears.expect(PUBLISH)
            yield time.perf_counter() - began
            time.sleep(PACE_S)


def p99_ms(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=100)[98] * 1000


def sample(process: Process, login: Login, users: int, count: int) -> tuple[float, float]:
    """Return p99 of messages without and with a storm of logins, in milliseconds."""
    quiet = list(latencies_s(process, login, time.perf_counter() + SAMPLE_S))
    child = multiprocessing.Process(target=storm, args=(process.port, users, count))
    child.start()
    busy = []
    for taken_s in latencies_s(process, login, time.perf_counter() + SAMPLE_S):
        if child.is_alive():
            busy.append(taken_s)
    child.join()
    return p99_ms(quiet), p99_ms(busy)


def commit() -> str:
    return subprocess.check_output(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True
    ).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--connects", type=int, default=10_000)
    parser.add_argument("--storm", type=int, default=2000)
    args = parser.parse_args()
    known: list[Login] = [(f"u{n}", b"right-%d" % n) for n in range(args.users)]
    packets = [raw.connect("", 5, user=user, password=word) for user, word in known]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        file = folder / "users"
        file.write_text("".join(f"{user}:{hashed(word)}\n" for user, word in known))
        one_ms = (time.perf_counter() - began) / args.users * 1000
        print(f"commit {commit()}: one scrypt hash takes {one_ms:.1f} ms here")
        cached = list(itertools.islice(itertools.cycle(packets), args.connects))
        with running_broker(folder, log__level="error") as process:
            anonymous = logins(process, [raw.connect("", 5)] * args.connects)
        with running_broker(
            folder,
            log__level="error",
            auth__password_file=str(file),
            allow_anonymous="false",
            answer_timeout="60s",
        ) as process:
            print(f"uncached   {logins(process, packets):10.0f} connects/s")
            print(f"cached     {logins(process, cached):10.0f} connects/s")
            print(f"anonymous  {anonymous:10.0f} connects/s")
            for _ in range(3):
                quiet, busy = sample(process, known[0], args.users, args.storm)
                print(
                    f"p99        {quiet:.3f} ms, in a storm {busy:.3f} ms: {busy / quiet:.2f}"
                )


if __name__ == "__main__":
    main()
