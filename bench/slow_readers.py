"""``make slow-readers``: who reads slowly gets everything, and nobody else notices.

The whole matrix of sizes, paces, QoS, transports and kinds of session: one publisher hurries,
one subscriber reads at its pace and acknowledges. What was acknowledged to the publisher
arrives, in order, over one connection, at QoS 2 once; a healthy pair beside them has round
trips as before. Cells of one pace run side by side, as many as the machine has room for.

    python bench/slow_readers.py [--only TEXT]     exit 1 where something is owed
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import certs  # noqa: E402 - a program beside the package
from tests.faults.healthy import Figures, Healthy  # noqa: E402
from tests.faults.slow_reader import ALL, Cell, Outcome, Ports, run, serving  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
QUIET_S = 2.0
NOISE_MS = 10.0  # what the machine alone may add to a round trip


@dataclass(frozen=True)
class Pace:
    """How fast a subscriber reads, how much in all and at that pace, how many do so at once."""

    bytes_s: float
    total_bytes: int
    slow_bytes: int
    at_once: int
    count_max: int


# In all within what a session may hold: 64 MiB, 10,000 messages.
PACES = (
    Pace(0.1e6, 12_000_000, 1_500_000, 24, 9000),
    Pace(2e6, 20_000_000, ALL, 9, 9000),
    Pace(20e6, 50_000_000, ALL, 2, 5000),
)
SIZES = (4 * KIB, 64 * KIB, 256 * KIB, 4 * MIB)


@dataclass(frozen=True)
class Batch:
    """Cells that ran side by side, and the healthy pair before and meanwhile."""

    outcomes: list[Outcome]
    before: Figures
    beside: Figures

    @property
    def fault(self) -> str | None:
        """Return in which way the healthy pair noticed."""
        at_most = 2 * self.before.p99_ms + NOISE_MS
        if self.beside.p99_ms <= at_most:
            return None
        return f"p99 {self.beside.p99_ms} ms beside, {self.before.p99_ms} ms before"


def cells(pace: Pace) -> Iterator[Cell]:
    kinds = itertools.product(SIZES, (0, 1, 2), ("tcp", "tls", "ws"), (False, True))
    for size, qos, transport, kept in kinds:
        count = min(-(-pace.total_bytes // size), pace.count_max)
        cell = Cell(size, count, pace.bytes_s, qos, transport, kept)
        yield dataclasses.replace(cell, slow_bytes=pace.slow_bytes)
    if pace.bytes_s == 2e6:
        for qos in (1, 2):
            cell = Cell(64 * KIB, 160, pace.bytes_s, qos, "tcp", True)
            yield dataclasses.replace(cell, leaves_half_way=True)


def run_batch(
    pool: ProcessPoolExecutor, chosen: list[Cell], ports: Ports, healthy: Healthy
) -> Batch:
    before = healthy.over(QUIET_S)
    outcomes = list(pool.map(run, chosen, [ports] * len(chosen)))
    return Batch(outcomes, before, healthy.figures())


def show(batch: Batch) -> None:
    for o in batch.outcomes:
        told = "; ".join(o.faults) or (
            "ok" if not o.lost else f"ok, {o.lost} not delivered"
        )
        print(f"{o.cell!s:78} {o.received:5} in {o.seconds:5.1f} s  {told}", flush=True)
    b, w = batch.before, batch.beside
    print(
        f"    beside: p99 {b.p99_ms:.1f} -> {w.p99_ms:.1f} ms, worst {b.worst_ms:.1f} -> "
        f"{w.worst_ms:.1f} ms  {batch.fault or 'ok'}",
        flush=True,
    )


def run_matrix(ports: Ports, only: str) -> list[Batch]:
    batches = []
    # Started anew, not forked from a program with threads.
    context = multiprocessing.get_context("forkserver")
    for pace in PACES:
        left = [cell for cell in cells(pace) if only in str(cell)]
        with (
            Healthy(ports.tcp) as healthy,
            # The load gives way to the broker, and to the pairs that are measured.
            ProcessPoolExecutor(
                pace.at_once, context, initializer=os.nice, initargs=(10,)
            ) as pool,
        ):
            list(pool.map(time.sleep, [0.5] * pace.at_once))  # they are started now
            while left:
                now, left = left[: pace.at_once], left[pace.at_once :]
                batches.append(run_batch(pool, now, ports, healthy))
                show(batches[-1])
    return batches


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cells whose name has this text")
    args = parser.parse_args()
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), certs.make(Path(folder))) as ports,
    ):
        batches = run_matrix(ports, args.only)
    outcomes = [outcome for batch in batches for outcome in batch.outcomes]
    bad = [outcome for outcome in outcomes if outcome.faults]
    noticed = [batch for batch in batches if batch.fault]
    lost = sum(outcome.lost for outcome in outcomes if outcome.cell.qos > 0)
    print(
        f"{len(outcomes)} cells in {time.monotonic() - begun:.0f} s: {len(bad)} with faults, "
        f"{lost} acknowledged messages lost, {sum(o.connections for o in outcomes)} "
        f"connections; noticed beside {len(noticed)} of {len(batches)} batches"
    )
    return 1 if bad or noticed else 0


if __name__ == "__main__":
    sys.exit(main())
