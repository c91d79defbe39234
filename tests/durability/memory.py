"""A broker in this process on a disk in memory, whose power is cut at any operation: each
sector that was not made safe is new, old or torn then (tests/c/disk_memory.h)."""

from __future__ import annotations

import random
import time

from tests._core_test import lib
from tests.committed import Committed
from tests.wal import Disk

STEP_S = 0.001
MOST = 400  # operations until the power goes


class InMemory:
    def __init__(self) -> None:
        self.disk = Disk()
        self._home: Committed | None = None

    def start(self) -> int:
        self._home = Committed(self.disk, queue_max=1 << 20, queue_max_bytes=0)
        return self._home.port

    def die(self, rng: random.Random, how: str) -> None:
        most = MOST if how == "any moment" else 3 * MOST
        at = self.disk.ops() + rng.randrange(1, most)
        lib.test_disk_die(self.disk.it, at)
        until = time.monotonic() + 3
        while self.disk.ops() < at and time.monotonic() < until:
            time.sleep(STEP_S)
        self._cut(rng)

    def die_young(self, rng: random.Random) -> None:
        """It has read all, and has hardly begun to write."""
        self.start()
        lib.test_disk_die(self.disk.it, self.disk.ops() + rng.randrange(1, 5))
        self._cut(rng)

    def _cut(self, rng: random.Random) -> None:
        """What the broker still writes as it stops is lost with the power."""
        lib.test_disk_die(self.disk.it, 1)
        self.close()
        self.disk.cut(rng.randbytes(997), rng.randrange(4))
        after = self.disk.copy()  # its files begin anew: a disk has room for a few
        lib.test_disk_free(self.disk.it)
        self.disk = after

    def close(self) -> None:
        home, self._home = self._home, None
        if home is not None:
            home.close()
