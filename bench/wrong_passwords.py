"""``python bench/wrong_passwords.py``: whether anybody waits while one address guesses.

    python bench/wrong_passwords.py [--guesses 100000] [--at-once 2000] [--rounds 1]

One process logs in with wrong passwords, of users that there are, from one address, that many
at once. Meanwhile a client of another address sends messages to itself, and others of that
address log in: with passwords that the broker remembers, and with those it has to hash.

All share the processors of one machine. What they take of each other is in the row where the
guesses are made at a second broker: only what is over that is the guesses' own.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py.auth.hashing import hashed  # noqa: E402
from tests import raw  # noqa: E402
from tests.conftest import Process, running_broker  # noqa: E402
from tests.raw import PUBLISH, Raw  # noqa: E402

USERS, SEEN_S, SAMPLE_S = 200, 0.05, 20.0
HASHED_EVERY = 10  # logins: how often one has a password that was never seen
HERE, GUESSER = "127.0.0.1", "127.0.66.6"


def password(user: int) -> bytes:
    return b"right-%d" % user


def guess(port: int, guesses: int, at_once: int) -> None:
    """Log in with that many wrong passwords; print how long it took, and the answers."""
    codes: collections.Counter[str] = collections.Counter()
    began, made = time.perf_counter(), 0
    with selectors.DefaultSelector() as selector:
        while made < guesses or selector.get_map():
            while made < guesses and len(selector.get_map()) < at_once:
                sock = socket.create_connection(
                    (HERE, port), source_address=(GUESSER, 0), timeout=60
                )
                user = f"u{made % USERS}"
                sock.sendall(raw.connect("", 5, user=user, password=b"wrong-%d" % made))
                selector.register(sock, selectors.EVENT_READ)
                made += 1
            for key, _ in selector.select():
                answer = b""
                with contextlib.suppress(ConnectionError):
                    answer = key.fileobj.recv(1024)  # type: ignore[union-attr]
                codes[f"0x{answer[3]:02x}" if len(answer) > 3 else "closed"] += 1
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]
    print(f"{made} in {time.perf_counter() - began:.0f} s: {dict(codes)}", flush=True)


def login_ms(port: int, user: int) -> float:
    began = time.perf_counter()
    with Raw(port, 5, timeout=60) as c:
        c.send(raw.connect("", 5, user=f"u{user}", password=password(user)))
        assert c.expect(raw.CONNACK).reason == 0
        return (time.perf_counter() - began) * 1000


class Sample:
    """What was measured meanwhile, in milliseconds."""

    def __init__(self, fresh: Iterator[int]) -> None:
        self.trips: list[float] = []
        self.seen: list[float] = []
        self.hashed: list[float] = []
        self._fresh = fresh

    def take(self, port: int, until: float, guesser: subprocess.Popen[str] | None) -> None:
        """Send messages, and log in now and then, until that time or the guesser's end."""
        with Raw(port, 5, timeout=60) as c:
            c.connect("c", user="u0", password=password(0))
            c.subscribe(("echo", 0))
            login_at = time.perf_counter()
            for turn in itertools.count(1):
                while (began := time.perf_counter()) < login_at:
                    c.publish("echo", b"x")
                    c.expect(PUBLISH)
                    self.trips.append((time.perf_counter() - began) * 1000)
                if began > until or (guesser is not None and guesser.poll() is not None):
                    return
                if turn % HASHED_EVERY:
                    self.seen.append(login_ms(port, 0))
                else:
                    self.hashed.append(login_ms(port, next(self._fresh)))
                login_at = time.perf_counter() + SEEN_S


def at(found: Sequence[float], share: float) -> float:
    return sorted(found)[int(len(found) * share)] if found else float("nan")


def row(name: str, sample: Sample, guesses: str) -> None:
    values = (
        at(sample.trips, 0.5),
        at(sample.trips, 0.99),
        at(sample.seen, 0.5),
        at(sample.seen, 0.99),
        at(sample.hashed, 0.5),
    )
    print(f"| {name} |", " | ".join(f"{each:.3f}" for each in values), f"| {guesses} |")


def measure(
    name: str, measured: Process, attacked: Process | None, args: list[str]
) -> None:
    login_ms(measured.port, 0)  # from now on it is remembered
    sample = Sample(itertools.count(1))
    until = time.perf_counter() + SAMPLE_S
    if attacked is None:
        sample.take(measured.port, until, None)
        row(name, sample, "none")
        return
    command = [sys.executable, __file__, "--port", str(attacked.port), *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as guesser:
        sample.take(measured.port, float("inf"), guesser)
        assert guesser.stdout is not None
        row(name, sample, guesser.stdout.read().strip())


def run(rounds: int, args: list[str]) -> None:
    print(
        "| meanwhile | message, ms | p99 | login, ms | p99 | login, hashed, ms | guesses |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as at:
        file = Path(at) / "users"
        # The guesser's users are others' too: each has a hash that takes its time.
        file.write_text("".join(f"u{n}:{hashed(password(n))}\n" for n in range(USERS)))
        file.chmod(0o600)
        keys = {
            "auth__password_file": str(file),
            "allow_anonymous": "false",
            "answer_timeout": "60s",
            "log__level": "error",
        }
        folders = [Path(at) / name for name in ("a", "b")]
        for _ in range(rounds):
            for name, which in (
                ("nothing", None),
                ("guesses", 0),
                ("guesses at another", 1),
            ):
                with contextlib.ExitStack() as stack:
                    both = []
                    for folder in folders:
                        folder.mkdir(exist_ok=True)
                        both.append(stack.enter_context(running_broker(folder, **keys)))
                    attacked = None if which is None else both[which]
                    measure(name, both[0], attacked, args)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--guesses", type=int, default=100_000)
    parser.add_argument("--at-once", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port:
        guess(given.port, given.guesses, given.at_once)
    else:
        sizes = ["--guesses", str(given.guesses), "--at-once", str(given.at_once)]
        run(given.rounds, sizes)
