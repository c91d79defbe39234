"""A restart on a disk that fails, and a process that dies in it: what was acknowledged is
there, in the next process or at the next start.

Source   durability.md: Restart, upgrade, backup; A disk that fails; A full disk
"""

from __future__ import annotations

import errno
import os
import random
import time
from pathlib import Path

import pytest

from tests.conftest import Process, free_port, running_broker
from tests.durability.shim import Fault, Faulty
from tests.eventually import eventually
from tests.raw import PUBACK, PUBLISH, Raw
from tests.test_durability import (
    Start,
    assert_much,
    come,
    folder,
    hold_much,
    publish,
    restart,
    start,
    subscriber,
    taken,
)

__all__ = ["folder", "start"]

pytestmark = [pytest.mark.plain, pytest.mark.usefixtures("uncounted")]

SMALL = {"durability": "always", "durability__segment_size": "1MB"}
# all of them take three minutes
STEP = int(os.environ.get("NANOMQ_EACH_OPERATION", "8"))
OPERATIONS = 25  # of the disk, from the request for a restart on: more than there are
SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))


def keys_of(folder: Path) -> dict[str, str]:
    return {
        **SMALL,
        "durability__location": str(folder / "store"),
        "http_server__port": str(free_port()),
        "durability__max_size": "64MB",
    }


def restart_on(folder: Path, fault: Fault) -> tuple[int | None, int]:
    """Have much kept, and restart with that fault; return the status, None: it serves, and
    how many operations have failed."""
    keys = keys_of(folder)
    disk = Faulty(folder / "store", fault, armed=False)
    with running_broker(folder, disk.env, **keys) as process:
        hold_much(process)
        disk.arm()
        served = process.lines.copy()
        assert process.api(req=10, action="restart").status == 200
        eventually(
            lambda: process.popen.poll() is not None or serves_again(process, served),
            within_s=30,
        )
        status = process.popen.poll()
        process.expected = status or 0
        if status is None:
            process.kill()
    with running_broker(folder, **keys) as process:
        assert_much(process)
    return status, disk.failed()


def serves_again(process: Process, before: list[str]) -> bool:
    return any("serving:" in line for line in process.lines[len(before) :])


def test_a_process_that_is_killed_before_it_reads_loses_nothing(folder: Path) -> None:
    status, died = restart_on(folder, Fault(1, kind="begin", kills=True))
    assert (status, died) == (-9, 1)


def test_a_process_that_is_killed_at_any_operation_of_a_restart_loses_nothing(
    tmp_path: Path,
) -> None:
    died = 0
    for n in range(random.Random(SEED).randint(1, STEP), OPERATIONS, STEP):
        place = tmp_path / str(n)
        place.mkdir()
        died += restart_on(place, Fault(n, kills=True))[1]
    assert died > 0


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_whichever_operation_of_a_restart_fails_nothing_is_lost(
    tmp_path: Path, error: int
) -> None:
    failed = 0
    for n in range(random.Random(SEED).randint(1, STEP), OPERATIONS, STEP):
        place = tmp_path / str(n)
        place.mkdir()
        status, count = restart_on(place, Fault(n, error))
        assert status in (None, 2), f"operation {n}"  # it goes on, or does not start
        failed += count
    assert failed > 0


def test_a_process_that_is_killed_once_it_serves_loses_nothing(start: Start) -> None:
    with start(**SMALL, http_server__port=str(free_port())) as process:
        hold_much(process)
        restart(process)
        process.kill()
    with start(**SMALL) as process:
        assert_much(process)


def test_a_restart_without_the_disk_says_so_and_loses_nothing(folder: Path) -> None:
    keys = keys_of(folder)
    disk = Faulty(folder / "store", Fault(1, errno.EIO, "open", stays=True), armed=False)
    with running_broker(folder, disk.env, **keys) as process:
        hold_much(process)
        disk.arm()
        assert process.api(req=10, action="restart").status == 200
        process.expected = 2
        assert process.ends() == 2
        process.waits_for(f"durability.location={folder / 'store'}: cannot be used:")
        assert not any("Traceback" in line for line in process.lines)
    with running_broker(folder, **keys) as process:
        assert_much(process)


# --- no room


MEGABYTE = bytes(1 << 20)
SMALLER = bytes(20_000)


def test_what_has_no_room_is_what_the_log_says(start: Start) -> None:
    """What is not logged is lost then, and the log says so."""
    keys = {
        **SMALL,
        "durability__max_size": "8MB",
        "durability__topics": "kept",
        "http_server__port": str(free_port()),
        "max_queue_size": "0",
    }
    with start(**keys) as process:
        subscriber(process, "to", ("#", 1))
        publish(process, b"1", topic="kept")
        publish(process, *[MEGABYTE] * 24, topic="other")
        publish(process, b"2", topic="kept")
        restart(process)
        process.waits_for("no room for what the process before handed over")
        publish(process, b"3", topic="kept")
        process.kill()
    with start(**keys) as process:
        assert taken(process, "to", 3) == [b"1", b"2", b"3"]


def test_who_takes_messages_may_come_though_the_disk_is_full_at_the_start(
    folder: Path,
) -> None:
    keys = {**keys_of(folder), "durability__hold": "200ms", "max_queue_size": "0"}
    full = Fault(1, errno.ENOSPC, "make", stays=True)  # no file can be made any more
    sent = [b"%d" % n + MEGABYTE for n in range(8)]
    with running_broker(folder, **keys) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, *sent)
        process.kill()
    disk = Faulty(folder / "store", full)
    with running_broker(folder, disk.env, **keys) as process:
        assert list(map(brief, taken(process, "to", len(sent)))) == list(map(brief, sent))
        process.kill()


def brief(payload: bytes) -> tuple[int, bytes]:
    """What tells it from the others, and can be shown."""
    return len(payload), payload[:4]


def publish_one(client: Raw, payload: bytes, topic: str = "t") -> int:
    """Return with what it is acknowledged."""
    client.publish(topic, payload, qos=1, packet_id=1)
    reason = client.expect(PUBACK).reason
    assert reason in (0, 0x10, 0x97)
    return reason


def test_a_restart_on_a_full_disk_loses_nothing(folder: Path) -> None:
    keys = {**keys_of(folder), "durability__hold": "200ms", "max_queue_size": "0"}
    full = Fault(1, errno.ENOSPC, "make", stays=True)
    disk = Faulty(folder / "store", full, armed=False)
    sent = [b"%d" % n + MEGABYTE for n in range(8)]
    with running_broker(folder, disk.env, **keys) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, *sent)
        disk.arm()
        restart(process)
        process.waits_for("no room for what the process before handed over")
        with process.raw(5) as client:
            client.connect("by")
            while publish_one(client, SMALLER) == 0:
                sent.append(SMALLER)
            assert publish_one(client, b"1", "free") == 0x10
        with come(process, "to") as client:  # who takes messages may come
            assert brief(client.expect(PUBLISH).payload) == brief(sent[0])
        process.kill()
    with running_broker(folder, **keys) as process:
        assert list(map(brief, taken(process, "to", len(sent)))) == list(map(brief, sent))
