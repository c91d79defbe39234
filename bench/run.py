"""``make bench``: scenarios against us and mosquitto, interleaved; medians and ratios.

What is compared is the broker's CPU time a delivered message: it survives a noisy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Scenario:
    """Arguments of bench/load.c after the process."""

    name: str
    layout: str
    qos: int
    publishers: int
    subscribers: int
    messages: int
    payload: int = 64

    def args(self) -> list[str]:
        numbers = (self.qos, self.publishers, self.subscribers, self.messages, self.payload)
        return [self.layout, *map(str, numbers)]


SCENARIOS = [
    Scenario("pairs, QoS 0", "pairs", 0, 50, 50, 20_000),
    Scenario("pairs, QoS 1", "pairs", 1, 50, 50, 10_000),
    Scenario("pairs, QoS 2", "pairs", 2, 50, 50, 5_000),
    Scenario("fan-out, QoS 0", "fan", 0, 5, 500, 400),
    Scenario("fan-in, QoS 1", "fan", 1, 200, 2, 500),
    Scenario("256 KiB, QoS 0", "pairs", 0, 4, 4, 300, 262_144),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def mosquitto(port: int, folder: Path) -> list[str] | None:
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        return None
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        "max_inflight_messages 0\npersistence false\nlog_dest none\nset_tcp_nodelay true\n"
    )
    return [program, "-c", str(conf)]


def ours(port: int, folder: Path) -> list[str] | None:
    conf = folder / "nanomq.conf"
    conf.write_text(
        f"url=nmq-tcp://127.0.0.1:{port}\nwebsocket.enable=false\nhttp_server.enable=false\n"
    )
    return [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)]


PEERS = {"nanomq-py": ours, "mosquitto": mosquitto}


def wait_until_served(port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def serving(command: list[str], port: int) -> Iterator[int]:
    broker = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until_served(port)
        yield broker.pid
    finally:
        broker.terminate()
        broker.wait(10)


def measure(load: Path, peer: str, scenario: Scenario) -> dict[str, float] | None:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = PEERS[peer](port, Path(folder))
        if command is None:
            return None
        with serving(command, port) as pid:
            done = subprocess.run(
                [str(load), str(port), str(pid), *scenario.args()],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
    if not done.stdout:
        raise SystemExit(f"{peer}, {scenario.name}: {done.stderr}")
    got: dict[str, float] = json.loads(done.stdout)
    return got


def build_load() -> Path:
    target = ROOT / "build" / "load"
    target.parent.mkdir(exist_ok=True)
    source = ROOT / "bench" / "load.c"
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    load = build_load()
    print(f"{os.cpu_count()} cores, medians of {rounds} interleaved rounds")
    print("CPU us a delivered message, messages a second, messages lost\n")
    for scenario in SCENARIOS:
        runs: dict[str, list[dict[str, float]]] = {peer: [] for peer in PEERS}
        for _ in range(rounds):
            for peer in PEERS:
                if (got := measure(load, peer, scenario)) is not None:
                    runs[peer].append(got)
        cpu = {p: statistics.median(r["cpu_us"] for r in g) for p, g in runs.items() if g}
        print(scenario.name)
        for peer, median in cpu.items():
            speed = statistics.median(r["per_s"] for r in runs[peer])
            lost = sum(r["lost"] for r in runs[peer])
            print(f"  {peer:10} {median:9.2f} us {speed:12,.0f} /s   lost {lost:.0f}")
        if len(cpu) > 1:
            print(f"  ratio      {cpu['nanomq-py'] / cpu['mosquitto']:9.3f}")


if __name__ == "__main__":
    main()
