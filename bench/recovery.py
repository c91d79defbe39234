"""How long a log takes to be read again, and what memory.

    python -m bench.recovery [--messages N] [--folder DIR]

For messages of 64 B and 1 KiB, and one and 10,000 kept sessions that are away: one process
writes the log, and another recovers from it, twice. What is printed: the time of opening, of a
message, what memory the second process has at most against what the first one had, and what a
waiting message takes with and without durability. Times are those of a log that the page
cache has.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests._core_test import ffi, lib

from tests import journal
from tests.journaled import new_broker

SEGMENT_BYTES = 16 << 20
MOST_BYTES = 8 << 30
FULL_BYTES = 8 << 20
AUTO = 0xFFFFFFFF
EXPIRY_S = 3600
SIZES = (64, 1024)
SESSIONS = (1, 10_000)


def memory(name: str = "VmRSS") -> int:
    """Return bytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


class Broker:
    """A broker in this process, with a log in the folder if there is one."""

    def __init__(self, folder: str) -> None:
        self.broker = new_broker(queue_max=10_000_000, queue_max_bytes=0)
        self.before = memory()
        self.sessions = 0
        self.open_s = self.cpu_s = 0.0
        self.log = None
        if folder:
            self._open(folder)

    def _open(self, folder: str) -> None:
        disk, error = ffi.new("nmq_disk **"), ffi.new("int *")
        assert lib.nmq_disk_folder_open(folder.encode(), disk, error) == 0, error[0]
        options = ffi.new(
            "disk_journal_options *",
            {
                "segment_bytes": SEGMENT_BYTES,
                "bytes_max": MOST_BYTES,
                "full_bytes": FULL_BYTES,
                "gather_ms": AUTO,
            },
        )
        out = ffi.new("disk_journal **")
        begun, cpu = time.perf_counter(), time.process_time()
        self.sessions = lib.disk_journal_open(self.broker, disk[0], options, out)
        self.open_s = time.perf_counter() - begun
        self.cpu_s = time.process_time() - cpu
        assert self.sessions >= 0, self.sessions
        self.log = out[0]

    def publish(self, topic: bytes, payload: bytes) -> None:
        sent = ffi.new(
            "nmq_publication *",
            {"topic_len": len(topic), "payload_len": len(payload), "qos": 1},
        )
        topic_at, payload_at = ffi.from_buffer(topic), ffi.from_buffer(payload)
        sent.topic_name, sent.payload = topic_at, payload_at
        while lib.nmq_broker_publish(self.broker, sent) < 0:
            time.sleep(0.001)

    def wait(self) -> None:
        """Wait until all is on the disk."""
        while self.log is not None and lib.disk_journal_is_full(self.log):
            time.sleep(0.001)


def written(name: str, values: dict[str, journal.Value]) -> bytes:
    """Return a record of which the other fields are 0 or absent."""
    fields = next(its for kind, its in journal.KINDS.values() if kind == name)
    nothing = {field: None if kind == "text" else 0 for kind, field in fields}
    return journal.write((name, nothing | values))


def subscribe_all(home: Broker, sessions: int) -> None:
    """Make sessions that are away, as a hand-over does."""
    records: list[journal.Record] = [("begin", {"format": 1})]
    for number in range(1, sessions + 1):
        records += [
            (
                "session",
                {
                    "number": number,
                    "client_id": f"client{number}".encode(),
                    "expiry_interval_s": EXPIRY_S,
                    "connected_at_ms": 1,
                    "receive_maximum": 20,
                    "version": 5,
                    "client_packet_max": 1 << 20,
                    "queue_max": 10_000_000,
                },
            ),
            (
                "subscription",
                {"session": number, "options": 1, "filter": b"to/%d" % (number - 1)},
            ),
        ]
    records.append(("end", {"sessions": sessions}))
    whole = b"".join(written(*record) for record in records)
    assert lib.nmq_broker_restore(home.broker, whole, len(whole)) == sessions


def write(folder: str, size: int, sessions: int, messages: int) -> dict[str, float]:
    home = Broker(folder)
    subscribe_all(home, sessions)
    before = memory()
    payload = bytes(size)
    for n in range(messages):
        home.publish(b"to/%d" % (n % sessions), payload)
        if n % 1000 == 0:
            home.wait()
    if home.log is not None:
        lib.disk_journal_stop(home.log)
    return {
        "each": (memory() - before) / messages,
        "rss": memory(),
        "peak": memory("VmHWM"),
    }


def read(folder: str) -> dict[str, float]:
    home = Broker(folder)
    peak = memory("VmHWM")
    return {
        "open_s": home.open_s,
        "cpu_s": home.cpu_s,
        "sessions": home.sessions,
        "rss": memory(),
        "peak": peak,
    }


def in_process(*args: object) -> dict[str, float]:
    """Do it in a process of its own, which ends without a word."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.recovery", *map(str, args)],
        stdout=subprocess.PIPE,
        check=True,
    )
    made: dict[str, float] = json.loads(done.stdout)
    return made


def compare(parent: str | None, size: int, sessions: int, messages: int) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        place = f"{folder}/log"
        plain = in_process("write", "", size, sessions, messages)
        wrote = in_process("write", place, size, sessions, messages)
        on_disk = sum(file.stat().st_size for file in Path(place).iterdir())
        first, again = in_process("read", place), in_process("read", place)
    assert first["sessions"] == sessions
    for name, got in (("first", first), ("again", again)):
        each, cpu = (got[of] / messages * 1e6 for of in ("open_s", "cpu_s"))
        print(
            f"{size:5} B {sessions:6} sessions, {name}: {got['open_s']:.2f} s,"
            f" {each:.2f} us a message, {cpu:.2f} of CPU; peak {got['peak'] / 2**20:.0f} MiB,"
            f" {got['peak'] / wrote['rss']:.2f} x the writer's {wrote['rss'] / 2**20:.0f};"
            f" after {got['rss'] / 2**20:.0f}; log {on_disk / 2**20:.0f}"
        )
    print(
        f"{size:5} B {sessions:6} sessions: a waiting message {wrote['each']:.0f} B,"
        f" without durability {plain['each']:.0f}: {wrote['each'] / plain['each']:.2f} x",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] in (["write"], ["read"]):
        what, folder, *numbers = sys.argv[1:]
        made = write(folder, *map(int, numbers)) if what == "write" else read(folder)
        print(json.dumps(made), flush=True)
        sys.stdout.flush()
        os._exit(0)
    parser = argparse.ArgumentParser(description="Recover from logs.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where logs are made")
    args = parser.parse_args()
    for size in SIZES:
        for sessions in SESSIONS:
            compare(args.folder, size, sessions, args.messages)


if __name__ == "__main__":
    main()
