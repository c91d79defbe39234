"""``python bench/login_storm.py``: whether anybody waits while an HTTP server decides logins.

    python bench/login_storm.py [--logins 2000] [--answer-ms 50] [--seconds 3]
                               [--rounds 1]

A broker asks an HTTP server that takes a while for each answer. One client, a process of its
own that is in before, measures round trips of messages to itself: while nobody logs in; while
that many clients come at once, again and again; while they come and the server does not answer.

Clients, HTTP server and broker share the processors of one machine. What they take of each
other is in the rows where the clients come to a second broker, and the first has nothing to
do but messages: only what is over those is the storm's own.
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
from tests.conftest import Process, running_broker  # noqa: E402

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


def wait_to_begin() -> None:
    """Say that the client is in, and wait for a line."""
    print("in", flush=True)
    sys.stdin.readline()


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


@contextlib.contextmanager
def broker(auth_port: int) -> Iterator[Process]:
    """Run one that asks the server there who may come in."""
    keys = {
        "auth__http__enable": "true",
        "auth__http__auth_req__url": f"http://127.0.0.1:{auth_port}/auth",
        "auth__http__auth_req__params": "clientid=%c,username=%u,password=%P",
        "log__level": "error",
    }
    with tempfile.TemporaryDirectory() as at, running_broker(Path(at), **keys) as process:
        yield process


@contextlib.contextmanager
def stormed(port: int, logins: int) -> Iterator[list[str]]:
    """Have clients come there, if any; at its end, how many were answered."""
    answered = ["0"]
    if not logins:
        yield answered
        return
    with helper("--storm", str(port), "--logins", str(logins)) as comes:
        time.sleep(1)  # until there is one
        yield answered
        answered[0] = comes.communicate("", timeout=60)[0].strip()


def row(name: str, trips: list[float], answered: str) -> None:
    print(
        f"| {name} | {len(trips)} | {trips[len(trips) // 2]:.3f}"
        f" | {trips[len(trips) * 99 // 100]:.3f} | {trips[-1]:.1f} | {answered} |",
        flush=True,
    )


def measure(
    name: str, answer_ms: float, logins: int, seconds: float, *, other: bool
) -> None:
    """Print a row. ``other``: they log in at a broker that is not the one measured."""
    with helper("--serve", str(answer_ms)) as server:
        assert server.stdout is not None
        asked = int(server.stdout.readline())
        with broker(asked) as measured, broker(asked) as second:
            args = ["--publish", str(measured.port), "--seconds", str(seconds)]
            with helper(*args) as client:
                assert client.stdout is not None
                assert client.stdout.readline() == "in\n"
                at = second if other else measured
                with stormed(at.port, logins) as answered:
                    trips = json.loads(client.communicate("\n", timeout=60 + seconds)[0])
            row(name, trips, answered[0])


def run(logins: int, answer_ms: float, seconds: float, rounds: int) -> None:
    print("| meanwhile | round trips | median, ms | p99, ms | longest, ms | logins |")
    print("| --- | --- | --- | --- | --- | --- |")
    for _ in range(rounds):
        for name, wait_ms, many, other in (
            ("nothing", answer_ms, 0, False),
            ("logins", answer_ms, logins, False),
            ("logins at another broker", answer_ms, logins, True),
            ("logins, no answer", 0.0, logins, False),
            ("logins at another broker, no answer", 0.0, logins, True),
        ):
            measure(name, wait_ms, many, seconds, other=other)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--logins", type=int, default=2000)
    parser.add_argument("--answer-ms", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    for hidden in ("--publish", "--storm"):
        parser.add_argument(hidden, type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.publish:
        publish(given.publish, given.seconds, wait_to_begin)
    elif given.storm:
        asyncio.run(storm(given.storm, given.logins))
    elif given.serve is not None:
        serve(given.serve)
    else:
        run(given.logins, given.answer_ms, given.seconds, given.rounds)
