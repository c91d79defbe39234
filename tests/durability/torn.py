"""Every byte of the last blocks of a log is damaged: exactly what is whole comes back.

Each case is one byte from where the rest is zeroed, of which a bit is flipped, or whose
sector is zeroed. A block that was safe and has whole ones behind it is named as damaged; the
last one is a torn tail.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests._core_test import lib
from tests.wal import PAGE, Disk, opened

BLOCKS, SECTOR, HEAD = 12, 512, 64
SIZES = [40, 4032, 1, 700, 3000, 2500, 4000, 100, 1600, 4032, 900, 2000]  # one page each


@dataclass
class Case:
    kind: str
    at: int


def _zero_rest(data: Any, case: Case) -> None:
    data[case.at :] = bytes(len(data) - case.at)


def _flip(data: Any, case: Case) -> None:
    data[case.at] = bytes([data[case.at][0] ^ 1 << case.at % 8])


def _zero_sector(data: Any, case: Case) -> None:
    at = case.at // SECTOR * SECTOR
    data[at : at + SECTOR] = bytes(SECTOR)


DAMAGES: dict[str, Callable[[Any, Case], None]] = {
    "rest zeroed": _zero_rest,
    "bit flipped": _flip,
    "sector zeroed": _zero_sector,
}


class Torn:
    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.commits = [rng.randbytes(size) for size in SIZES]
        self.disk = Disk()
        with opened(self.disk.disk, segment_bytes=16 * PAGE) as wal:
            for commit in self.commits:
                assert wal.append(commit) == 0
        self.data = self.disk.bytes_of("000001.seg")
        self.whole = bytes(self.data[:])

    def cases(self, sample: int = 0) -> list[Case]:
        """sample: so many of each kind; 0: all."""
        places = range(BLOCKS * PAGE)
        rng = random.Random(1)
        return [
            Case(kind, at)
            for kind in DAMAGES
            for at in (rng.sample(places, sample) if sample else places)
        ]

    def run(self, cases: list[Case]) -> Counter[str]:
        """Raises AssertionError: something else came back than was whole."""
        done: Counter[str] = Counter()
        for case in cases:
            DAMAGES[case.kind](self.data, case)
            self.check(case)
            self.data[:] = self.whole
            done[case.kind] += 1
        return done

    def check(self, case: Case) -> None:
        damaged = [
            n
            for n, size in enumerate(SIZES)
            if self.data[n * PAGE : n * PAGE + HEAD + size]
            != self.whole[n * PAGE : n * PAGE + HEAD + size]
        ]
        torn = not damaged or damaged == list(range(damaged[0], BLOCKS))
        with opened(self.disk.disk) as wal:
            if not torn:
                assert wal.status == lib.NMQ_ECORRUPT, case
                assert wal.found["bad_at"] == damaged[0] * PAGE, (case, wal.found)
                assert wal.found["next_at"] == (damaged[-1] + 1) * PAGE, (case, wal.found)
                return
            assert wal.status == 0, (case, wal.status)
            came = [commit for _, commit in wal.replay()]
        assert came == self.commits[: damaged[0] if damaged else BLOCKS], case

    def close(self) -> None:
        self.disk.__exit__()
