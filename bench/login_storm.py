"""``python bench/login_storm.py``: whether anybody waits while an HTTP server decides logins.

    python bench/login_storm.py [--logins 2000] [--answer-ms 50] [--seconds 3]

A broker asks an HTTP server that takes a while for each answer. One client, a process of its
own, measures round trips of messages to itself: while nobody logs in, then while that many
clients come at once, again and again, then while they come and the server does not answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.queries import publish  # noqa: E402
from tests import raw  # noqa: E402
from tests.answering import OK, Asked, answering  # noqa: E402
from tests.conftest import running_broker  # noqa: E402

ONLY_MEASURES = "publisher"


def serve(answer_ms: float) -> None:
    """Answer each login after that time; 0: never, but for the client that measures."""

    def says(asked: Asked, sock: socket.socket) -> bytes:
        if asked.form["clientid"] != ONLY_MEASURES:
            threading.Event().wait(answer_ms / 1000 if answer_ms else None)
        return OK

    with answering(says) as server:
        print(server.port, flush=True)
        sys.stdin.read()


async def storm(port: int, logins: int) -> None:
    """Log that many clients in at once, over and over; print how many were answered."""
    answered = 0

    async def login(number: int) -> None:
        nonlocal answered
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                raw.connect(f"storm-{number}", 5, user=f"u{number}", password=b"p")
            )
            await reader.readexactly(4)
            answered += 1
            writer.transport.abort()

    async def come() -> None:
        for turn in range(1_000_000):
            some = range(turn * logins, (turn + 1) * logins)
            await asyncio.gather(*(login(number) for number in some))

    coming = asyncio.create_task(come())
    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.CancelledError):
        await loop.run_in_executor(None, sys.stdin.read)
        coming.cancel()
        await coming
    print(answered, flush=True)


@contextlib.contextmanager
def helper(*args: str) -> Iterator[subprocess.Popen[str]]:
    """Run this file beside; it ends when its input does."""
    command = [sys.executable, __file__, *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def measure(port: int, seconds: float) -> list[float]:
    args = [sys.executable, __file__, "--publish", str(port), "--seconds", str(seconds)]
    trips: list[float] = json.loads(subprocess.check_output(args))
    return trips


def row(name: str, trips: list[float], answered: str) -> None:
    print(
        f"| {name} | {len(trips)} | {trips[len(trips) // 2]:.3f}"
        f" | {trips[len(trips) * 99 // 100]:.3f} | {trips[-1]:.1f} | {answered} |"
    )


def run(logins: int, answer_ms: float, seconds: float) -> None:
    print("| meanwhile | round trips | median, ms | p99, ms | longest, ms | logins |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, wait_ms, many in (
        ("nothing", answer_ms, 0),
        ("logins", answer_ms, logins),
        ("logins, no answer", 0.0, logins),
        ("nothing", answer_ms, 0),
    ):
        with helper("--serve", str(wait_ms)) as server, tempfile.TemporaryDirectory() as at:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/auth"
            keys = {
                "auth__http__enable": "true",
                "auth__http__auth_req__url": url,
                "auth__http__auth_req__params": "clientid=%c,username=%u,password=%P",
                "log__level": "error",
            }
            with running_broker(Path(at), **keys) as broker:
                answered = "0"
                if not many:
                    trips = measure(broker.port, seconds)
                else:
                    with helper(
                        "--storm", str(broker.port), "--logins", str(many)
                    ) as comes:
                        time.sleep(1)
                        trips = measure(broker.port, seconds)
                        answered = comes.communicate("", timeout=60)[0].strip()
                row(name, trips, answered)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--logins", type=int, default=2000)
    parser.add_argument("--answer-ms", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=3)
    for hidden in ("--publish", "--storm"):
        parser.add_argument(hidden, type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.publish:
        publish(given.publish, given.seconds)
    elif given.storm:
        asyncio.run(storm(given.storm, given.logins))
    elif given.serve is not None:
        serve(given.serve)
    else:
        run(given.logins, given.answer_ms, given.seconds)
