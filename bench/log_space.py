"""The space that the log on disk takes, and what is written, under loads that go on.

    python bench/log_space.py [LOAD ...] [--scale 1.0] [--folder DIR]

Needs the test build (`build_ext.py --test`). Live is what the broker would hand over to the
next process, as records. Written is what this process has written, zeros and all: its
write_bytes would count 256 KiB for a page, where the page cache has such large ones, of which
the device gets the page alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests._core_test import ffi, lib  # noqa: E402

from tests import raw  # noqa: E402
from tests.committed import Committed, committed  # noqa: E402
from tests.raw import CONNACK, PUBACK, PUBLISH, SUBACK, Raw  # noqa: E402

SEGMENT = 1 << 20
KEPT = b"\x11\xff\xff\xff\xff"
BATCH = 500
KIB = bytes(1024)


def written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


class Meter:
    """Looks at the folder of a broker while a load goes on."""

    def __init__(self, home: Committed, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.payload = 0
        self.began = written()
        self.worst = 0.0
        self.peak = 0
        self.disks: list[int] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def disk(self) -> int:
        total = 0
        for path in self.folder.glob("*.seg"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def _watch(self) -> None:
        while not self._stopped.wait(0.02):
            self.disks.append(self.disk())

    def live(self) -> int:
        fd = os.memfd_create("saved")
        try:
            assert lib.nmq_broker_save(self.home.broker, fd) >= 0
            size = os.fstat(fd).st_size
            self.began += size  # that is written too
            return size
        finally:
            os.close(fd)

    def look(self, text: str) -> None:
        live, disk = self.live(), self.disk()
        seen = max([*self.disks, disk])
        self.disks.clear()
        share = max(seen - 4 * SEGMENT, 0) / max(live, 1)
        amplified = (written() - self.began) / max(self.payload, 1)
        print(
            f"{text:28} live {live / 1e6:7.1f} MB  disk {disk / 1e6:7.1f}"
            f"  peak {seen / 1e6:7.1f} = {share:5.2f} x + 4 segments"
            f"  written {amplified:5.2f} x payload  rounds {self.home.rounds()}",
            flush=True,
        )

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


def come(home: Committed, name: str, *, clean: bool = False) -> Raw:
    client = home.client()
    client.sock.settimeout(60)
    client.send(raw.connect(name, 5, clean=clean, properties=KEPT + b"\x21\x03\xe8"))
    assert client.expect(CONNACK).reason == 0
    return client


def subscribe(client: Raw, filter_: str) -> None:
    client.send(raw.subscribe(1, (filter_, 1), version=5))
    assert client.expect(SUBACK).codes == [1]


def publish(
    by: Raw, meter: Meter, topics: list[str], payload: bytes, *, retain: bool = False
) -> None:
    """Publish one message to each topic, and wait for all acknowledgements."""
    for at in range(0, len(topics), BATCH):
        some = topics[at : at + BATCH]
        by.send(
            b"".join(
                raw.publish(topic, payload, 5, qos=1, packet_id=n, retain=retain)
                for n, topic in enumerate(some, 1)
            )
        )
        for _ in some:
            by.expect(PUBACK)
        meter.payload += len(some) * len(payload)


def take(to: Raw, count: int) -> None:
    for _ in range(count):
        to.send(raw.ack(PUBACK, to.expect(PUBLISH).packet_id))


def steady(home: Committed, meter: Meter, scale: float) -> None:
    """A queue of a constant length, which turns over."""
    by, to = come(home, "by"), come(home, "to")
    subscribe(to, "t")
    publish(by, meter, ["t"] * int(20_000 * scale), KIB)
    for part in range(10):
        for _ in range(int(10 * scale)):
            publish(by, meter, ["t"] * 1000, KIB)
            take(to, 1000)
        meter.look(f"steady, part {part}")
    take(to, int(20_000 * scale))
    to.ping()
    time.sleep(2)
    meter.look("steady, all taken")


def churn(home: Committed, meter: Meter, scale: float) -> None:
    """Sessions that come anew, and are sent messages while they are away."""
    by, rng = come(home, "by"), random.Random(1)
    count = int(500 * scale)
    for part in range(10):
        for _ in range(count // 2):
            n = rng.randrange(count)
            with come(home, f"c{n}", clean=True) as client:
                subscribe(client, f"t/{n}")
            publish(by, meter, [f"t/{n}"] * 50, KIB)
        meter.look(f"churn, part {part}")


def retained(home: Committed, meter: Meter, scale: float) -> None:
    """Retained messages that are overwritten, in no order."""
    by, rng = come(home, "by"), random.Random(1)
    count = int(20_000 * scale)
    for part in range(10):
        topics = [f"r/{rng.randrange(count)}" for _ in range(count // 2)]
        publish(by, meter, topics, KIB, retain=True)
        meter.look(f"retained, part {part}")


def delays(home: Committed, meter: Meter, name: str, rounds: int) -> None:
    """Print what one publisher waits for PUBACK, until all was told again so often."""
    by, to = come(home, f"by-{name}"), come(home, f"to-{name}")
    subscribe(to, name)
    waits: list[float] = []
    ends = home.rounds() + rounds
    while len(waits) < 500 or home.rounds() < ends:
        if rounds:  # what makes the log grow
            publish(by, meter, ["shown"], KIB * 64, retain=True)
        began = time.perf_counter()
        by.publish(name, KIB, qos=1, packet_id=1)
        by.expect(PUBACK)
        waits.append(time.perf_counter() - began)
        take(to, 1)
    waits.sort()
    half, most = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    print(f"PUBACK, {name}: p50 {half * 1e3:.2f} ms, p99 {most * 1e3:.2f} ms, "
          f"longest {waits[-1] * 1e3:.2f} ms, {len(waits)} times")  # fmt: skip


def idle_one(home: Committed, meter: Meter, scale: float) -> None:
    """One session with a long queue that is never read, while others are busy."""
    by = come(home, "by")
    with come(home, "away") as away:
        subscribe(away, "a")
    delays(home, meter, "empty", 2)
    for _ in range(10):
        publish(by, meter, ["a"] * int(100_000 * scale), bytes(64))
    meter.look("filled")
    meter.payload, meter.began = 0, written()
    delays(home, meter, "told again", 2)
    meter.look("never read")


LOADS: dict[str, Callable[[Committed, Meter, float], None]] = {
    "steady": steady,
    "churn": churn,
    "retained": retained,
    "idle_one": idle_one,
}


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Committed]:
    made, error = ffi.new("nmq_disk **"), ffi.new("int *")
    assert lib.nmq_disk_folder_open(str(folder).encode(), made, error) == 0, error[0]
    with committed(
        made[0], segment_bytes=SEGMENT, bytes_max=1 << 33,
        queue_max=1 << 24, window=1000, max_queued_bytes=0,
    ) as home:  # fmt: skip
        yield home
    lib.nmq_disk_folder_close(made[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("loads", nargs="*", default=list(LOADS))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    for name in options.loads:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "store"
            with broker(path) as home:
                meter = Meter(home, path)
                try:
                    LOADS[name](home, meter, options.scale)
                finally:
                    meter.stop()


if __name__ == "__main__":
    main()
