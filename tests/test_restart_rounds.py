"""What a process reads at its start is all there before anything of it is told again."""

from __future__ import annotations

import time

from tests import journal, raw
from tests.committed import committed
from tests.eventually import eventually
from tests.journaled import journaled
from tests.raw import CONNACK
from tests.wal import Disk, opened

KEPT = b"\x11" + (3600).to_bytes(4, "big")
MANY = 20_000  # sessions: to let them in takes longer than several commits
AT_ONCE = 200
SEGMENT = 256 << 10
SMALL = {"segment_bytes": SEGMENT, "full_bytes": 16 << 10}


def connected() -> tuple[journal.Record, journal.Record]:
    """Return the first record of a log, and that of a session whose client is there."""
    with journaled() as home, home.client() as client:
        client.send(raw.connect("one", 5, clean=True, properties=KEPT))
        while not client.hears_within(0.01):
            home.commit()
        client.expect(CONNACK)
        records = list(journal.read(home.log()))
    begin = next(one for one in records if one[0] == "begin")
    return begin, next(one for one in records if one[0] == "session")


def write_sessions(disk: Disk) -> None:
    now_ms = time.time_ns() // 1_000_000
    begin, (name, values) = connected()
    with opened(disk.disk, segment_bytes=SEGMENT, bytes_max=256 << 20) as wal:
        assert wal.append(journal.write(begin), now_ms) == 0
        for first in range(1, MANY + 1, AT_ONCE):
            commit = b"".join(
                journal.write((name, {**values, "number": n, "client_id": b"c%d" % n}))
                for n in range(first, first + AT_ONCE)
            )
            assert wal.append(commit, now_ms) == 0


def test_no_epoch_begins_before_all_sessions_are_let_in() -> None:
    """Else those that come later are not told again, and what has them is thrown away.

    Each was connected when the process was killed, so each is logged as it comes in: there
    are commits meanwhile, and the log is worth a round from the first one on.
    """
    with Disk() as disk:
        write_sessions(disk)
        with committed(disk, segment_bytes=SEGMENT, full_bytes=8 << 10) as broker:
            assert broker.sessions == MANY
            eventually(lambda: broker.kinds().count("detached"), MANY)
            kinds = broker.kinds()
        last = len(kinds) - kinds[::-1].index("detached")
        assert kinds[:last].count("begin") == 2  # that of each process
