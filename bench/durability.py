"""What durability costs: the broker against itself without, and against the disk alone.

    python bench/durability.py [--rounds 5] [--only TEXT] [--scale 1.0] [--folder DIR]

All that belongs to a row runs in turn, several times, on one disk; what counts is the ratio of
each turn, and of those the median. A delay of fdatasync (bench/slow_sync.c) stands for slower
disks. What the disk can do is what bench/raw_log.c does.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.brokers import OURS, PASSWORD, Certificate, Peer, Ports, serving  # noqa: E402
from bench.run import build, build_load  # noqa: E402
from tests import certs  # noqa: E402

Answer = dict[str, float]
Args = dict[str, str | int]
RAW_S = 0.5
WARM = 0.6  # of a load, before it is measured
OFF = Peer(OURS)
# Small segments: soon they are not made any more, but used again.
LINES = "durability=always\ndurability.location={folder}/log\ndurability.segment_size=4MB\n"
ALWAYS = Peer("always", lines=LINES)
GATHER = Peer("gather 5 ms", lines=LINES + "durability.gather=5ms\n")
MOSQUITTO = Peer(
    "mosquitto",
    lines="persistence true\npersistence_location {folder}/\n"
    "autosave_on_changes true\nautosave_interval 1\n",
)


def pairs(**more: str | int) -> Args:
    return {"mode": "flow", "qos": 1, "clean": 0, "give_up_ms": 30000, **more}


@dataclass(frozen=True)
class Target:
    """One figure of a turn, and what is asked of it."""

    name: str
    figure: Callable[[Turn], float]
    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def asked(self) -> str:
        return f"<= {self.at_most}" if self.at_most is not None else f">= {self.at_least}"


@dataclass
class Turn:
    """The answers of one turn, by peer, and how often a second the disk can."""

    answers: dict[str, Answer]
    syncs_per_s: float

    def ratio(self, peer: Peer, key: str, to: Peer = OFF) -> float:
        return self.answers[peer.name][key] / self.answers[to.name][key]


@dataclass(frozen=True)
class Row:
    """A load, who takes part, and the figures."""

    name: str
    args: Args
    targets: tuple[Target, ...]
    peers: tuple[Peer, ...] = (OFF, ALWAYS)
    slow_us: int = 0
    turns: list[Turn] = field(default_factory=list)

    def scaled(self, scale: float) -> list[str]:
        args = {**self.args, "messages": max(20, int(int(self.args["messages"]) * scale))}
        return [f"{key}={value}" for key, value in args.items()]


def cpu(at_most: float, peer: Peer = ALWAYS) -> Target:
    name = "CPU a message" if peer is ALWAYS else f"CPU a message, {peer.name}"
    return Target(name, lambda turn: turn.ratio(peer, "cpu_us"), at_most=at_most)


def speed(at_least: float) -> Target:
    return Target("messages/s", lambda t: t.ratio(ALWAYS, "per_s"), at_least=at_least)


def of_disk(outstanding: int, at_least: float) -> Target:
    return Target(
        f"messages/s of {outstanding} x the disk's",
        lambda t: t.answers[ALWAYS.name]["per_s"] / (outstanding * t.syncs_per_s),
        at_least=at_least,
    )


def of_the_lesser(outstanding: int, at_least: float) -> Target:
    """Return messages/s of what the disk, or the broker without it, could do."""

    def figure(turn: Turn) -> float:
        most = min(outstanding * turn.syncs_per_s, turn.answers[OFF.name]["per_s"])
        return turn.answers[ALWAYS.name]["per_s"] / most

    return Target("messages/s of the disk's, or of off", figure, at_least=at_least)


def written(name: str, key: str, at_most: float) -> Target:
    return Target(name, lambda turn: turn.answers[ALWAYS.name][key], at_most=at_most)


ROWS = [
    Row("50 pairs, QoS 1, 64 B", pairs(messages=10000), (cpu(1.5), speed(0.7))),
    Row("50 pairs, QoS 1, 1 KiB", pairs(messages=6000, bytes=1024), (cpu(1.6), speed(0.7))),
    Row("50 pairs, QoS 2, 64 B", pairs(messages=6000, qos=2), (cpu(1.4), speed(0.7))),
    Row(
        "fan-in, 200 to 2, QoS 1",
        pairs(layout="fan", pubs=200, subs=2, messages=1000),
        (cpu(1.35), speed(0.7)),
    ),
    Row(
        "1,000 messages/s, QoS 1",
        pairs(pubs=20, subs=20, rate=50, messages=200),
        (
            cpu(3),
            cpu(2, GATHER),
            Target("delivery, median", lambda t: t.ratio(ALWAYS, "p50_us"), at_most=1.5),
        ),
        (OFF, ALWAYS, GATHER),
    ),
    Row(
        "1 publisher, 1 outstanding",
        pairs(pubs=1, subs=1, window=1, messages=600),
        (
            of_disk(1, 0.5),
            written("KiB on the device a commit", "kib_a_commit", 4.5),
            written("commits a message", "commits_a_message", 1.01),
        ),
        (ALWAYS,),
    ),
    *(
        Row(
            f"50 publishers, 1 outstanding, sync +{ms} ms",
            pairs(window=1, messages=3000 // (ms + 5)),
            (of_disk(50, 0.8),),
            (ALWAYS,),
            slow_us=ms * 1000,
        )
        for ms in (5, 20)
    ),
    Row(
        "50 publishers, 64 outstanding, sync +5 ms",
        pairs(messages=4000),
        (of_the_lesser(3200, 0.9),),
        slow_us=5000,
    ),
    Row(
        "written, 64 B",
        pairs(messages=8000),
        (written("bytes a payload byte", "bytes_a_byte", 2.2),),
        (ALWAYS,),
    ),
    Row(
        "written, 1 KiB",
        pairs(messages=4000, bytes=1024),
        (written("bytes a payload byte", "bytes_a_byte", 1.15),),
        (ALWAYS,),
    ),
    Row(
        "mosquitto, persistent, 50 pairs, QoS 1",
        pairs(messages=400),
        (
            Target(
                "messages/s of mosquitto's",
                lambda t: t.ratio(ALWAYS, "per_s", MOSQUITTO),
                at_least=8,
            ),
        ),
        (ALWAYS, MOSQUITTO),
    ),
]


def commits(ports: Ports) -> int:
    """Return how many there were, by Prometheus; 0: it has no log."""
    token = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{ports.http}/api/v4/prometheus",
        headers={"Authorization": f"Basic {token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(r"^nanomq_store_commits\w* (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


class Bench:
    """Runs rows on the disk that a folder is on."""

    def __init__(self, folder: Path, certificate: Certificate, scale: float) -> None:
        self.folder, self.certificate, self.scale = folder, certificate, scale
        self.load = build_load()
        self.raw = build("raw_log", [ROOT / "bench" / "raw_log.c"])
        shim = [ROOT / "bench" / "slow_sync.c"]
        self.slow = build("slow_sync.so", shim, "-shared", "-fPIC")

        self.count = folder / "written"
        self.count.write_bytes(bytes(8))

    def environment(self, row: Row) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self.slow),
            "SLOW_SYNC_US": str(row.slow_us),
            "WRITTEN_TO": str(self.count),
        }

    def written(self) -> int:
        """Return bytes that brokers have written to their logs so far."""
        return int.from_bytes(self.count.read_bytes(), "little")

    def syncs_per_s(self, row: Row) -> float:
        command = [str(self.raw), str(self.folder / "raw"), str(RAW_S)]
        environment = self.environment(row)
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        return float(done.stdout)

    def put_load(self, row: Row, pid: int, ports: Ports, scale: float) -> Answer:
        command = [str(self.load), f"port={ports.tcp}", f"pid={pid}", *row.scaled(scale)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{row.name}: {done.stdout}{done.stderr}")
        answer: Answer = json.loads(done.stdout)
        return answer

    def answer(self, row: Row, peer: Peer) -> Answer | None:
        """Return what the load generator says, and what was written; None: not there."""
        run = Peer(peer.name, lines=peer.lines, environment=self.environment(row))
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as folder,
            serving(run, Path(folder), self.certificate) as broker,
        ):
            if broker is None:
                return None
            pid, ports = broker
            self.put_load(row, pid, ports, self.scale * WARM)
            before = self.written(), commits(ports) if run.has_api else 0
            answer = self.put_load(row, pid, ports, self.scale)
            count = (commits(ports) if run.has_api else 0) - before[1]
            put = self.written() - before[0]
        payload = answer["delivered"] * int(row.args.get("bytes", 64))
        if count > 0:
            answer["commits"] = count
            answer["kib_a_commit"] = put / 1024 / count
            answer["commits_a_message"] = count / answer["delivered"]
        return {**answer, "bytes_a_byte": put / payload}

    def turn(self, row: Row) -> None:
        answers = {}
        before = self.syncs_per_s(row)
        for peer in row.peers:
            answer = self.answer(row, peer)
            if answer is None:
                return
            answers[peer.name] = answer
            shown = {key: round(value, 2) for key, value in answer.items()}
            print(f"  {row.name}, {peer.name}: {shown}", flush=True)
        syncs = (before + self.syncs_per_s(row)) / 2
        row.turns.append(Turn(answers, syncs))


def table(rows: list[Row]) -> str:
    lines = ["| what | figure | asked | median | least to most | |", "|" + " --- |" * 6]
    for row in rows:
        for target in row.targets if row.turns else ():
            values = sorted(target.figure(turn) for turn in row.turns)
            middle = statistics.median(values)
            lines.append(
                f"| {row.name} | {target.name} | {target.asked()} | {middle:.2f} |"
                f" {values[0]:.2f} to {values[-1]:.2f} |"
                f" {'' if target.is_met(middle) else 'missed'} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--scale", type=float, default=1.0, help="of the messages")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="on the disk")
    args = parser.parse_args()
    rows = [row for row in ROWS if args.only in row.name]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        made = certs.identity(Path(folder), "127.0.0.1")
        certificate = Certificate(made.certfile, made.keyfile)
        bench = Bench(Path(folder), certificate, args.scale)
        for _ in range(args.rounds):
            for row in rows:
                bench.turn(row)
    print(table(rows))


if __name__ == "__main__":
    main()
