"""Pairs of clients that must not notice what others do: QoS 1 round trips, all the time.

They live in a process of its own, so that what the test itself computes does not count:

    python -m tests.faults.healthy PORT    each line that it reads is answered with figures
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from tests import raw
from tests.raw import Raw

ROOT = Path(__file__).resolve().parent.parent.parent
INTERVAL_S = 0.003
PAIRS = 4
PATIENCE_S = 120.0  # longer than any attack lasts: a stall is measured, not only noticed


@dataclass(frozen=True)
class Figures:
    """Round trips since the last figures. One that is under way counts with its age."""

    count: int  # of messages
    p50_ms: float
    p99_ms: float
    worst_ms: float
    change_ms: float  # the slowest SUBSCRIBE and UNSUBSCRIBE, one after the other
    late_ms: float  # how much later than asked a sleep ended, at most: the machine's noise


class Healthy:
    """``with Healthy(port) as healthy:`` runs them; :meth:`figures` tells how they fare."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Healthy:
        # A sanitizer's library that is preloaded for the broker would slow them down.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.healthy", str(self._port)],
            cwd=ROOT,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.figures()  # they are connected now
        return self

    def figures(self) -> Figures:
        """Return the figures since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the healthy pair was cut off, or lost a message"
        return Figures(**json.loads(line))

    def over(self, seconds: float) -> Figures:
        """Return the figures of the next seconds."""
        self.figures()
        time.sleep(seconds)
        return self.figures()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        code = self._process.wait(PATIENCE_S)
        self._process.stdout.close()
        assert kind is not None or code == 0, "the healthy pair was cut off"


class _Pair:
    """A publisher and a subscriber of one topic."""

    def __init__(self, port: int, name: str, *, retain: bool) -> None:
        self._topic = f"{name}/round"
        self._retain = retain
        self._sub = Raw(port, 4, timeout=PATIENCE_S)
        self._sub.connect(f"{name}-sub", keep_alive=0)
        self._sub.subscribe((self._topic, 1))
        self._pub = Raw(port, 4, timeout=PATIENCE_S)
        self._pub.connect(f"{name}-pub", keep_alive=0)

    def message(self, number: int) -> None:
        """One message there, and its acknowledgements back."""
        packet_id = number % 65535 + 1
        payload = b"%d" % number
        self._pub.publish(
            self._topic, payload, qos=1, packet_id=packet_id, retain=self._retain
        )
        got = self._sub.expect(raw.PUBLISH)
        if got.payload != payload:
            raise AssertionError(f"{payload!r} was due, got {got.payload!r}")
        self._sub.send(raw.ack(raw.PUBACK, got.packet_id))
        if self._pub.expect(raw.PUBACK).packet_id != packet_id:
            raise AssertionError("the wrong message was acknowledged")

    def subscription(self) -> None:
        """One more subscription, and out of it again."""
        self._pub.subscribe((f"{self._topic}/more", 1))
        self._pub.send(raw.unsubscribe(2, f"{self._topic}/more"))
        self._pub.expect(raw.UNSUBACK)

    def leave(self) -> None:
        self._pub.leave()
        self._sub.leave()


class _Watch:
    """Measures in its own thread; :meth:`take` is called from another.

    Several pairs take turns, so that each of the broker's threads serves one of them. Half of
    them have their messages retained; each subscribes now and then.
    """

    def __init__(self, port: int) -> None:
        name = f"healthy-{time.monotonic_ns():x}"
        self._pairs = [_Pair(port, f"{name}/{n}", retain=n % 2 == 1) for n in range(PAIRS)]
        self._lock = threading.Lock()
        self._times: list[float] = []
        self._changes: list[float] = []
        self._late = 0.0
        self._begun: float | None = None
        self._changing = False

    def run(self, ends: threading.Event) -> None:
        number = 0
        while not ends.is_set():
            pair = self._pairs[number % PAIRS]
            number += 1
            changing = number // PAIRS % 8 == 7
            with self._lock:
                self._begun = begun = time.perf_counter()
                self._changing = changing
            if changing:
                pair.subscription()
            else:
                pair.message(number)
            ended = time.perf_counter()
            with self._lock:
                (self._changes if changing else self._times).append(ended - begun)
                self._begun = None
            time.sleep(INTERVAL_S)
            late = time.perf_counter() - ended - INTERVAL_S
            with self._lock:
                self._late = max(self._late, late)
        for pair in self._pairs:
            pair.leave()

    def take(self) -> Figures:
        with self._lock:
            times, self._times = self._times, []
            changes, self._changes = self._changes, []
            late, self._late = self._late, 0.0
            if self._begun is not None:
                age = time.perf_counter() - self._begun
                (changes if self._changing else times).append(age)
        times.sort()
        change_ms = round(max(changes, default=0.0) * 1000, 3)
        ms = [round(t * 1000, 3) for t in times] or [0.0]
        p50, p99 = ms[len(ms) // 2], ms[min(len(ms) - 1, len(ms) * 99 // 100)]
        return Figures(len(times), p50, p99, ms[-1], change_ms, round(late * 1000, 3))


def main() -> None:
    watch = _Watch(int(sys.argv[1]))
    ends = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            watch.run(ends)
        except BaseException as fault:
            failed.append(fault)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    for _ in sys.stdin:
        if failed:
            break
        print(json.dumps(asdict(watch.take())), flush=True)
    ends.set()
    thread.join(PATIENCE_S)
    if failed or thread.is_alive():
        sys.exit(f"the healthy pair: {failed}")


if __name__ == "__main__":
    main()
