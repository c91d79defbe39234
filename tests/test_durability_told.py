"""What people see of durability: numbers, ``$SYS``, Prometheus, alarms, events.

Source   durability.md: Configuration; issue 20
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from nanomq_py import Broker, Config
from nanomq_py.config.keys.durability import Durability
from nanomq_py.core.declared import LOGGED, DurabilityStats
from nanomq_py.core.durable import DurableState
from nanomq_py.events import StoreRecovered, StoreTrouble, Why
from nanomq_py.metrics.durability import CALM_LOOKS
from tests import raw
from tests._core_test import ffi, lib
from tests.committed import Committed, committed
from tests.conftest import Process, StartBroker
from tests.eventually import eventually
from tests.http.test_v4_prometheus import values
from tests.http.v4 import call, get
from tests.raw import CONNACK, DISCONNECT, PUBACK, SUBACK, Closed, Raw
from tests.test_committer import publisher, subscriber
from tests.wal import Disk

URL = "nmq-tcp://127.0.0.1:0"
KEPT = b"\x11\x00\x00\x0e\x10"  # a session of an hour
FAILED, QUOTA = 0x83, 0x97


def always(tmp_path: Path, **keys: Any) -> Config:
    made = Durability(mode="always", location=str(tmp_path / "kept"), **keys)
    return Config(url=URL, durability=made)


@pytest_asyncio.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    config = always(tmp_path, max_size=8 << 20, segment_size=1 << 20)
    async with Broker(config, conf=tmp_path / "nanomq.conf") as running:
        yield running


def stats_of(broker: Broker) -> DurabilityStats:
    state = broker.durability()
    assert state is not None
    return state.stats


def alarms(broker: Broker) -> dict[str, Any]:
    """Look now, and return what lasts, by name."""
    broker._running.alarms.look()
    return {alarm.name: alarm for alarm in broker.alarms.active()}


def subscribed(broker: Broker, name: str = "to") -> None:
    with Raw(broker.ports["url"], 5) as client:
        client.send(raw.connect(name, 5, clean=False, properties=KEPT))
        assert client.expect(CONNACK).reason == 0
        client.send(raw.subscribe(1, ("t", 1), version=5))
        assert client.expect(SUBACK).codes == [1]


def unwritable(pid: int) -> tuple[int, int]:
    """Have each write to a file behind its first page fail: prlimit(2), EFBIG.

    pid      of a process; 0: this one
    Returns  what the limits were
    """
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    return resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, before[1]))


def fill(broker: Broker) -> int:
    """Publish until there is no room; return how many were taken."""
    with Raw(broker.ports["url"], 5) as client:
        client.connect("by")
        for n in range(2000):
            client.publish("t", bytes(50_000), qos=1, packet_id=1)
            if client.expect(PUBACK).reason == QUOTA:
                return n
    raise AssertionError("there is room for all of it")


# --- numbers


async def test_off_is_not_told_and_not_loaded() -> None:
    text = (
        "import asyncio, sys\n"
        "from nanomq_py import Broker, Config\n"
        "async def main():\n"
        f"    async with Broker(Config(url={URL!r})) as broker:\n"
        "        assert broker.durability() is None\n"
        "        broker._running.alarms.look()\n"
        "        told = dict(broker._running._measures())\n"
        "        assert not told, told\n"
        "        assert 'nanomq_py.metrics.durability' not in sys.modules\n"
        "asyncio.run(main())\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", text], check=True)


async def test_commits_and_their_bytes_are_counted(broker: Broker, tmp_path: Path) -> None:
    await asyncio.to_thread(subscribed, broker)
    before = stats_of(broker)
    with Raw(broker.ports["url"], 5) as client:

        def act() -> None:
            client.connect("by")
            client.publish("t", bytes(10_000), qos=1, packet_id=1)
            client.expect(PUBACK)

        await asyncio.to_thread(act)
    after = stats_of(broker)
    assert after.commits > before.commits
    assert after.bytes >= before.bytes + 10_000
    assert (after.waiting, after.full) == (0, 0)
    assert after.max_size == 8 << 20
    files = [file.stat().st_size for file in (tmp_path / "kept").glob("*.seg")]
    assert after.size <= sum(files)
    assert after.segments <= len(files)
    assert 0 < after.used <= after.size
    assert 0 < after.room < after.max_size
    assert 0 < after.flush_p50_us <= after.flush_p99_us <= after.flush_max_us
    assert after.flushed_us >= after.flush_max_us


async def test_sys_topics_tell_it(broker: Broker) -> None:
    await asyncio.to_thread(subscribed, broker)
    async with broker.subscribe("$SYS/broker/store/#") as tap:
        await broker.reconfigure(replace(broker.config, sys_interval=1))
        wanted = {f"$SYS/broker/{topic}" for m in LOGGED for topic in m.topics}
        wanted |= {"$SYS/broker/store/refused", "$SYS/broker/store/failed"}
        told: dict[str, int] = {}
        while not wanted <= told.keys():
            message = await asyncio.wait_for(anext(tap), 20)
            told[message.topic_name] = int(message.payload)
    assert told["$SYS/broker/store/commits"] >= 1
    assert told["$SYS/broker/store/max_size"] == 8 << 20


def prometheus(process: Process) -> dict[str, float]:
    return values(call(process, "GET", "/api/v4/prometheus").text)


@pytest.mark.usefixtures("uncounted")
def test_the_api_tells_it(start_broker: StartBroker, tmp_path: Path) -> None:
    where = str(tmp_path / "kept")
    process = start_broker(durability="always", durability__location=where)
    # The first commit, of a log that begins, comes within 1 s.
    eventually(lambda: prometheus(process)["nanomq_store_commits_total"] >= 1)
    told = prometheus(process)
    assert told["nanomq_store_max_size"] == 256 << 20
    assert (told["nanomq_store_full"], told["nanomq_durability_failed_total"]) == (0, 0)
    with Raw(process.port, 5) as client:
        unwritable(process.pid)
        client.send(raw.connect("to", 5, clean=False, properties=KEPT))
        # The disk has failed before it came, or while it waits.
        with contextlib.suppress(Closed):
            assert client.read().reason == FAILED

    def lasting() -> Any:
        return get(process, "/alarms/activated")["data"][0]["alarms"]

    eventually(lambda: len(lasting()), 1)
    (alarm,) = lasting()
    assert alarm["name"] == "store_failed"
    assert alarm["details"]["folder"] == where
    assert alarm["details"]["error"] == os.strerror(errno.EFBIG)
    (node,) = [each["node"] for each in get(process, "/nodes")["data"]]
    (row,) = call(process, "GET", f"/api/v2/nodes/{node}/alarms").json["result"]
    assert row["id"] == "store_failed"
    assert where in row["summary"]
    told = prometheus(process)
    assert told["nanomq_durability_failed_total"] == 1
    retained = {"topic": "kept", "payload": "1", "qos": 1, "retain": True}
    why = "'kept': what is to be kept cannot be written to the disk any more"
    refused = call(process, "POST", "/api/v4/mqtt/publish", {**retained, "clientid": "a"})
    assert (refused.json["code"], refused.json["message"]) == (102, why)
    refused = call(process, "POST", "/api/v2/mqtt/publish", {**retained, "client_id": "a"})
    assert refused.json["message"] == why


def test_the_api_of_a_broker_that_is_not_durable_tells_nothing(
    start_broker: StartBroker,
) -> None:
    assert not [name for name in prometheus(start_broker()) if "_store_" in name]


# --- how long it takes, and who waits


@pytest.fixture
def disk() -> Iterator[Disk]:
    with Disk() as made:
        yield made


def reported(home: Committed) -> Any:
    out = ffi.new("nmq_durability_stats *")
    lib.disk_journal_report(home.journal, out)
    return out


def test_who_waits_and_for_how_long_is_seen_meanwhile(disk: Disk) -> None:
    with committed(disk) as home:
        subscriber(home, "to", "t", 1)
        many = [publisher(home) for _ in range(3)]
        lib.test_disk_set_pace(disk.it, 300_000)
        for by in many:
            by.publish("t", b"x", qos=1, packet_id=1)
        eventually(lambda: reported(home).waiting == 3)
        eventually(lambda: reported(home).flush_now_us > 50_000)
        assert reported(home).staged > 0
        for by in many:
            assert by.expect(PUBACK).reason == 0
        lib.test_disk_set_pace(disk.it, 0)
        eventually(lambda: reported(home).waiting == 0)
        eventually(lambda: reported(home).flush_now_us == 0)
        eventually(lambda: reported(home).staged == 0)
        now = reported(home)
        assert now.flush_max_us >= 300_000
        assert now.flush_p99_us >= 300_000
        assert now.flushed_us >= 300_000


def test_who_is_gone_does_not_wait(disk: Disk) -> None:
    with committed(disk) as home:
        subscriber(home, "to", "t", 1)
        by = publisher(home)
        lib.test_disk_set_pace(disk.it, 300_000)
        by.publish("t", b"x", qos=1, packet_id=1)
        eventually(lambda: reported(home).waiting == 1)
        by.close()
        lib.test_disk_set_pace(disk.it, 0)
        eventually(lambda: reported(home).waiting == 0)


# --- alarms and events


async def test_a_store_that_is_full(broker: Broker, tmp_path: Path) -> None:
    async with broker.events([StoreTrouble, StoreRecovered]) as events:
        await asyncio.to_thread(subscribed, broker)
        assert alarms(broker) == {}
        await asyncio.to_thread(fill, broker)
        begun = await asyncio.wait_for(anext(events), 20)
        assert isinstance(begun, StoreTrouble)
        assert (begun.why, begun.error) == (Why.STORE_FULL, 0)
        assert "max_size" in begun.reason
        state = broker.durability()
        assert state is not None
        assert (state.is_full, state.has_failed, state.why) == (True, False, "")
        assert broker.stats().durability_refused >= 1
        alarm = alarms(broker)["store_full"]
        assert alarm.details["folder"] == str(tmp_path / "kept")
        assert alarm.details["max_size"] == 8 << 20
        assert 0 < alarm.details["used"] <= state.stats.size
        assert "max_size" in alarm.message
        await broker.discard("to")  # what waits for it is gone
        over = await asyncio.wait_for(anext(events), 20)
        assert isinstance(over, StoreRecovered)
        assert over.why is Why.STORE_FULL
        assert not stats_of(broker).full
        for _ in range(CALM_LOOKS - 1):  # it comes and goes: that is one alarm
            assert "store_full" in alarms(broker)
        assert alarms(broker) == {}


@contextlib.contextmanager
def no_writes() -> Iterator[None]:
    before = unwritable(0)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lost(broker: Broker) -> None:
    with Raw(broker.ports["url"], 5) as client:
        client.connect("by")
        client.publish("t", b"x", qos=1, packet_id=1)
        told = client.read()  # PUBACK where the disk has failed before it came
        assert told.kind in (DISCONNECT, PUBACK)
        assert told.reason == FAILED


@pytest.fixture
def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanomq_py.alarms_part.LOOK_S", 3600.0)


@pytest.mark.usefixtures("nobody_looks")
async def test_a_disk_that_has_failed_is_told_at_once(
    broker: Broker, tmp_path: Path
) -> None:
    await asyncio.to_thread(subscribed, broker)
    async with (
        broker.events([StoreTrouble]) as events,
        broker.subscribe("$SYS/brokers/+/alarms/activate") as tap,
    ):
        with no_writes():
            await asyncio.to_thread(lost, broker)
        begun = await asyncio.wait_for(anext(events), 20)
        assert (begun.why, begun.error) == (Why.STORE_FAILED, errno.EFBIG)
        told = await asyncio.wait_for(anext(tap), 20)
        assert b'"store_failed"' in told.payload
    (alarm,) = broker.alarms.active()
    assert alarm.details["folder"] == str(tmp_path / "kept")
    assert alarm.details["error"] == os.strerror(errno.EFBIG)
    state = broker.durability()
    assert state is not None
    assert (state.has_failed, state.why) == (True, os.strerror(errno.EFBIG))
    assert broker.stats().durability_failed == 1


Say = Callable[..., None]


@pytest.fixture
def say(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Have the core say that about flushes."""

    def say(**numbers: int) -> None:
        state = DurableState(DurabilityStats(**numbers), 0, 0, waits=False)
        monkeypatch.setattr(broker._core, "durability_look", lambda: state)

    return say


async def test_a_disk_that_is_slow_until_it_is_clearly_faster(
    broker: Broker, say: Say
) -> None:
    say(flush_p99_us=1_000_000)
    assert alarms(broker) == {}  # as long as slow_flush is none
    say(flush_p99_us=1_001_000)
    alarm = alarms(broker)["store_slow"]
    assert (alarm.details["p99_ms"], alarm.details["slow_flush"]) == (1001, 1000)
    say(flush_p99_us=501_000)
    assert list(alarms(broker)) == ["store_slow"]
    say(flush_p99_us=500_000)
    assert alarms(broker) == {}
    say(flush_p99_us=501_000)
    assert alarms(broker) == {}


async def test_a_disk_that_hangs_is_slow_before_it_answers(
    broker: Broker, say: Say
) -> None:
    say(flush_p99_us=100, flush_now_us=30_000_000)
    assert "30000 ms" in alarms(broker)["store_slow"].message


async def test_what_is_slow_is_the_operators_to_say(broker: Broker, say: Say) -> None:
    say(flush_p99_us=50_000)
    for slow_ms, names in ((20, ["store_slow"]), (1000, []), (40, ["store_slow"]), (0, [])):
        durability = replace(broker.config.durability, slow_flush=slow_ms)
        await broker.reconfigure(replace(broker.config, durability=durability))
        assert list(alarms(broker)) == names
