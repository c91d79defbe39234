"""The proof at its full counts: a broker dies in every way, and nothing that it acknowledged is
lost, nothing at QoS 2 comes twice.

    python -m tests.durability.run                    all of it: an hour or two
    python -m tests.durability.run --only kill power  some of it
    python -m tests.durability.run --only kill --seed 1007 --rounds 1    one round again

A control must find faults: without what is proven, they are there.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.durability import each, power
from tests.durability.homes import Home, broker
from tests.durability.memory import InMemory
from tests.durability.rounds import Result, Round
from tests.durability.shim import Failing, Fault, lying
from tests.durability.torn import Torn

Make = Callable[[Path, int], contextlib.AbstractContextManager[Home]]
OPERATIONS = 60  # of the disk, of a process that starts and takes its first messages
OTHERS = ("torn", "each")


@contextlib.contextmanager
def _killed(folder: Path, seed: int) -> Iterator[Home]:
    yield broker(folder)


@contextlib.contextmanager
def _full(folder: Path, seed: int) -> Iterator[Home]:
    yield broker(folder, durability__max_size="8MB", durability__hold="200ms")


@contextlib.contextmanager
def _off(folder: Path, seed: int) -> Iterator[Home]:
    yield broker(folder, durability="off")


@contextlib.contextmanager
def _cut(folder: Path, seed: int) -> Iterator[Home]:
    with power.disk() as disk:
        yield power.Powered(disk, broker(folder, disk.folder / "store"))


@contextlib.contextmanager
def _forgets(folder: Path, seed: int) -> Iterator[Home]:
    with power.disk() as disk:
        yield power.Powered(disk, lying(broker(folder, disk.folder / "store")))


@contextlib.contextmanager
def _in_memory(folder: Path, seed: int) -> Iterator[Home]:
    yield InMemory()


@contextlib.contextmanager
def _fails(folder: Path, seed: int) -> Iterator[Home]:
    """Odd seeds: EIO, even ones: ENOSPC; each operation once."""
    error = errno.EIO if seed % 2 else errno.ENOSPC
    yield Failing(broker(folder), Fault(seed // 2 % OPERATIONS + 1, error))


@dataclass(frozen=True)
class Kind:
    """One way to die."""

    make: Make
    rounds: int
    deaths: int  # a round
    must_lose: bool = False
    why_not: Callable[[], str] = str


KINDS = {
    "kill": Kind(_killed, 40, 25),
    "kill, disk full": Kind(_full, 4, 25),
    "power cut": Kind(_cut, 8, 25, why_not=power.why_not),
    "power cut, in memory": Kind(_in_memory, 40, 30),
    "an operation fails": Kind(_fails, 2 * OPERATIONS, 1),
    "control: off": Kind(_off, 1, 5, must_lose=True),
    "control: no flush": Kind(_forgets, 1, 8, must_lose=True, why_not=power.why_not),
}


def run_round(kind: Kind, seed: int) -> Result:
    with (
        tempfile.TemporaryDirectory(prefix="nanomq-durability-") as folder,
        kind.make(Path(folder), seed) as home,
    ):
        return Round(
            home, seed, kind.deaths, patience_s=5.0 if kind.must_lose else 60.0
        ).run()


@dataclass
class Row:
    name: str
    figures: Counter[str]
    seconds: float
    well: bool

    def __str__(self) -> str:
        names = ("deaths", "sent", "acknowledged", "received", "lost", "doubled", "other")
        cells = [self.name, *(f"{self.figures[name]:,}" for name in names)]
        return "| " + " | ".join([*cells, f"{self.seconds:.0f} s"]) + " |"


HEAD = """\
| what | deaths | sent | acknowledged | received | lost | doubled | other faults | time |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |"""


def run_kind(name: str, kind: Kind, seed: int, rounds: int) -> Row:
    began, figures = time.monotonic(), Counter[str]()
    for n in range(seed, seed + rounds):
        print(f"{name}: seed {n}", end=" ", flush=True)
        result = run_round(kind, n)
        figures += result.figures()
        print(f"{result.seconds:.0f} s", flush=True)
        if result.notes.findings and not kind.must_lose:
            print(result.notes.findings, flush=True)
    faults = figures["lost"] + figures["doubled"] + figures["other"]
    return Row(name, figures, time.monotonic() - began, (faults > 0) == kind.must_lose)


def run_torn(seed: int) -> Row:
    began = time.monotonic()
    with contextlib.closing(Torn(seed)) as torn:
        done = torn.run(torn.cases())
    return Row(
        "a byte is damaged", Counter(deaths=done.total()), time.monotonic() - began, True
    )


def run_each() -> Row:
    """Each operation of a short life fails once, with each way to go on."""
    began = time.monotonic()
    faults = each.cases(each.calm().counts)
    ways = ("refuse", "stop", "degrade")
    seen = each.try_each(itertools.product(faults, ways), print)
    print("each operation fails:", dict(seen), flush=True)
    figures = Counter(deaths=seen.total(), other=seen["faults"])
    return Row(
        "each operation fails", figures, time.monotonic() - began, not seen["faults"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="*", choices=[*KINDS, *OTHERS], default=[*KINDS, *OTHERS]
    )
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=0, help="0: as many as are due")
    given = parser.parse_args()
    rows = []
    for name in given.only:
        if name in OTHERS:
            rows.append(run_torn(given.seed) if name == "torn" else run_each())
            continue
        kind = KINDS[name]
        if why := kind.why_not():
            print(f"{name}: left out: {why}")
            continue
        rows.append(run_kind(name, kind, given.seed, given.rounds or kind.rounds))
    print(HEAD, *rows, sep="\n")
    return 0 if all(row.well for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
