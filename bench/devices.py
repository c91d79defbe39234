"""What a report of a device costs: processor time and memory of a broker, by /proc.

    python -m bench.devices [--devices 50000] [--seconds 30]

A gateway reports for so many devices, each once a minute, first all of them as fast as it can.
The same messages are sent to a broker without the plugin: the difference is the plugin's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.conftest import Process, running_broker
from tests.raw import publish

TICKS = os.sysconf("SC_CLK_TCK")
PAYLOAD = (
    '{"sn":"RPI%010d","time":%d,"d":[{"mem":3832,"n":"monitor"},{"mem":2652,"n":"daemon"},'
    '{"cpu":0.2,"mem":2408,"n":"msghub"},{"mem":2356,"n":"dma.cmdhandler"}]}'
)
KINDS = ("procs", "sys", "versions")


def cpu_s(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_kib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def report(number: int, at: int) -> bytes:
    kind = KINDS[number % len(KINDS)]
    return publish(f"dma/report/{kind}", (PAYLOAD % (number, at)).encode())


def measure(devices: int, seconds: int, **keys: str) -> tuple[float, int, int]:
    """Return the share of a core at the pace of the devices, and KiB before and after."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder), **keys) as process,
        process.raw() as gateway,
    ):
        gateway.connect("gateway")
        time.sleep(2)
        idle = rss_kib(process)
        begun = cpu_s(process)
        for first in range(0, devices, 500):
            gateway.send(*(report(n, 1) for n in range(first, min(first + 500, devices))))
            gateway.ping()
        time.sleep(3)
        each_us = (cpu_s(process) - begun) / devices * 1e6
        print(f"  all at once: {each_us:.0f} us of processor a report")
        begun, started, sent = cpu_s(process), time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < seconds:
            due = int(elapsed * devices / 60)
            if due > sent:
                gateway.send(*(report(n % devices, 60) for n in range(sent, due)))
                sent = due
            time.sleep(0.02)
        share = (cpu_s(process) - begun) / elapsed
        print(f"  {sent / elapsed:.0f} reports/s: {share:.1%} of a core")
        return share, idle, rss_kib(process)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=50_000)
    parser.add_argument("--seconds", type=int, default=30)
    asked = parser.parse_args()
    print("without the plugin")
    off, idle_off, _ = measure(asked.devices, asked.seconds, store__path="")
    print("with it")
    keys = {"plugins.load": "devices", "plugins.devices.gateways": "gateway"}
    on, idle_on, after = measure(asked.devices, asked.seconds, **keys)
    print(f"the plugin: {on - off:.1%} of a core; {idle_on - idle_off} KiB when idle")
    print(f"behind it, {after - idle_on} KiB more")


if __name__ == "__main__":
    main()
