"""A write-ahead log against a list: the power goes at any operation, and any sector that was
not made safe is new, old or torn (csrc/store/wal.h, csrc/store/wal_walk.h)."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests._core_test import lib
from tests.wal import SEGMENT, Disk, commits_of, opened

MOST = 12 * SEGMENT


@dataclass
class Run:
    """What one process does with the log, and how it ends."""

    steps: list[tuple[int, int]]  # size of a commit, how many before it are kept
    alive: int  # operations until the power goes
    sectors: bytes
    names: int


SIZES = st.one_of(
    st.integers(0, 200), st.integers(4000, 9000), st.just(30_000), st.just(70_000)
)
RUNS = st.builds(
    Run,
    st.lists(st.tuples(SIZES, st.integers(0, 6)), min_size=1, max_size=12),
    st.integers(1, 60),
    st.binary(min_size=1, max_size=24),
    st.integers(0, 3),
)


class Model:
    def __init__(self) -> None:
        self.first = 1  # what is kept begins with it
        self.safe: list[tuple[int, bytes]] = []
        self.in_doubt: tuple[int, bytes] | None = None
        self.made = 0

    def commit(self, size: int) -> bytes:
        """Return bytes that no other commit has."""
        self.made += 1
        return (self.made.to_bytes(4, "little") * (size // 4 + 1))[:size]

    def check(self, disk: Disk) -> None:
        found = commits_of(disk)
        kept = [one for one in found if one[0] >= self.first]
        wanted = [one for one in self.safe if one[0] >= self.first]
        if kept != wanted:
            assert self.in_doubt is not None
            assert kept == [*wanted, self.in_doubt]
            self.safe.append(self.in_doubt)
        self.in_doubt = None
        assert commits_of(disk) == found


def run(disk: Disk, model: Model, how: Run) -> None:
    with opened(disk.disk, bytes_max=MOST) as wal:
        if wal.status == lib.NMQ_EIO:
            return
        assert wal.status == 0
        for size, kept in how.steps:
            commit = model.commit(size)
            one = (wal.it.sequence, commit)
            status = wal.append(commit)
            if status == 0:
                model.safe.append(one)
                model.first = max(model.first, one[0] - kept)
                wal.keep_from(model.first)
            elif status == lib.NMQ_EIO:
                model.in_doubt = one
                return
            if wal.tidy() != 0:
                return


@settings(max_examples=150)
@given(st.lists(RUNS, min_size=1, max_size=6))
def test_what_was_acknowledged_is_there_after_any_cut(runs: list[Run]) -> None:
    with Disk() as disk:
        model = Model()
        for how in runs:
            lib.test_disk_die(disk.it, disk.ops() + how.alive)
            run(disk, model, how)
            disk.cut(how.sectors, how.names)
            model.check(disk)


@given(RUNS)
def test_a_disk_that_lies_is_seen_by_this_test(how: Run) -> None:
    """The control: with syncs that make nothing safe, a cut loses what was acknowledged."""
    with Disk() as disk:
        lib.test_disk_set_lying(disk.it, True)
        model = Model()
        run(disk, model, how)
        disk.cut(b"\0", 1 << 20)
        assert commits_of(disk) == []
