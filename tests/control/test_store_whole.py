"""``nanomq store`` over a broker with ``durability=always``: the database and the journal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable
from tests import raw
from tests.conftest import Process, nanomq, running_broker
from tests.raw import CONNACK, PUBACK, PUBLISH, SUBACK, Raw

pytestmark = pytest.mark.plain

KEPT = b"\x11\x00\x00\x0e\x10"  # a session of an hour
COUNT = 50
ALWAYS = {"durability": "always"}


def come(process: Process, name: str) -> Raw:
    client = process.raw(5)
    client.send(raw.connect(name, 5, clean=False, properties=KEPT))
    assert client.expect(CONNACK).reason == 0
    return client


def leave_messages(process: Process) -> None:
    """Have a client that is away, and messages that wait for it."""
    with come(process, "away") as away:
        away.send(raw.subscribe(1, ("t", 1), version=5))
        assert away.expect(SUBACK).codes == [1]
        away.send(raw.disconnect(5))
    with process.raw(5) as by:
        by.connect("by")
        for n in range(COUNT):
            by.send(raw.publish("t", b"%d" % n + bytes(5000), 5, qos=1, packet_id=n + 1))
            assert by.expect(PUBACK).packet_id == n + 1


def take_messages(process: Process) -> list[int]:
    """Return the numbers of those that come before one that is sent now."""
    found = []
    with come(process, "away") as away, process.raw(5) as by:
        by.connect("by")
        by.send(raw.publish("t", b"-1\0", 5, qos=1, packet_id=1))
        while True:
            packet = away.expect(PUBLISH)
            number = int(packet.payload.split(b"\0")[0])
            if number < 0:
                return found
            found.append(number)


def put_user(path: Path) -> None:
    async def put() -> None:
        store = Store(path, beside=True)
        await UserTable(store).put(UserKind.USER_NAME, "u", "$scrypt$secret")
        await store.close()

    asyncio.run(put())


def test_a_broker_starts_on_the_backup_of_one_that_runs(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    home.mkdir()
    with running_broker(home, **ALWAYS) as process:
        put_user(home / "nanomq.db")
        leave_messages(process)
        done = nanomq("store", "backup", str(copy), "--conf", str(process.conf))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"{copy}: a store\n")
        assert take_messages(process) == [*range(COUNT)]  # it goes on
    assert sorted(path.name for path in copy.iterdir()) == ["nanomq.db", "nanomq.journal"]
    done = nanomq("store", "check", str(copy))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 users" in done.stdout
    assert f"{COUNT} messages" in done.stdout
    other = tmp_path / "other"
    other.mkdir()
    with running_broker(other, store__path=str(copy / "nanomq.db"), **ALWAYS) as process:
        assert take_messages(process) == [*range(COUNT)]


def test_a_repaired_store_starts(tmp_path: Path) -> None:
    with running_broker(tmp_path, **ALWAYS) as process:
        leave_messages(process)
        conf = str(process.conf)
    path = tmp_path / "nanomq.journal" / "000001.seg"
    data = bytearray(path.read_bytes())
    blocks = [at for at in range(0, len(data), 4096) if data[at : at + 4] == b"NMQL"]
    data[blocks[20] + 100] ^= 0xFF
    path.write_bytes(data)
    done = nanomq("store", "check", "--conf", conf)
    assert done.returncode == 1
    assert f"000001.seg: damaged at byte {blocks[20]}" in done.stderr
    done = nanomq("store", "repair", "--conf", conf)
    assert (done.returncode, done.stderr) == (0, "")
    assert "what is lost: 1 commits" in done.stdout
    with running_broker(tmp_path, **ALWAYS) as process:
        assert nanomq("store", "repair", "--conf", conf).returncode == 1
        found = take_messages(process)
    assert len(found) == COUNT - 1
    assert found == sorted(found)
