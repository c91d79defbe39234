"""What the platform knows of devices: their reports, and whether they are connected.

Source  http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nanomq_py import Broker
from nanomq_py.plugins.devices import device_table, inventory, listed, refusals, writer
from nanomq_py.plugins.devices.inbox import NAME
from nanomq_py.plugins.devices.keys import Keys
from nanomq_py.plugins.devices.reports import Why
from tests.devices.inside import Platform, loaded, platform, report, until
from tests.raw import DISCONNECT, packet
from tests.test_broker import LOCAL

pytestmark = pytest.mark.plain


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write as soon as there is something: what a second is for is a test of its own."""
    monkeypatch.setattr(writer, "EVERY_S", 0.01)


# --- reports


async def test_each_kind_of_report_is_kept_in_its_field() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/procs", report("A", 100, [{"n": "monitor"}]))
            device.publish("dma/report/versions", report("A", 100, [{"v": "1"}]))
            device.publish("dma/report/sys", report("A", 100, {"free": 1}))
            row = await its.row_when("A", lambda it: it.online and it.sys and it.versions)
        said = json.loads(row.sys)
        assert list(said) == ["d", "revtime", "sn", "time"]
        assert row.boot == said["revtime"] - 100
        assert row.active == said["revtime"]
        assert json.loads(row.procs)["d"] == [{"n": "monitor"}]
        assert json.loads(row.versions)["d"] == [{"v": "1"}]
        assert 0 < row.online_at <= row.active
        assert row.offline_at == 0


async def test_device_that_told_nothing_of_its_system_has_no_known_boot() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/procs", report("A"))
            row = await its.row_when("A", lambda it: it.procs)
    assert (row.boot, row.sys, row.versions) == (-1, "", "")


async def test_latest_report_counts() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            for n in range(50):
                device.publish("dma/report/procs", report("A", 100 + n, [n]))
            await its.row_when("A", lambda it: json.loads(it.procs or "{}")["d"] == [49])


async def test_peripherals_are_kept_with_their_latest_message() -> None:
    async with platform() as its:
        with its.connected("S") as device:
            device.publish("dma/report/periph", b'{"d":[{"nid":"a","d":{"x":1}}]}')
            full = {"sn": "S", "gwId": "G", "nId": "b", "online": False, "time": 5}
            device.publish("dma/report/peripheral", json.dumps(full).encode())

            async def has_both() -> bool:
                return len(await its.peripherals()) == 2

            await until(has_both)
            rows = await its.peripherals()
            a, b = rows["S", "a"], rows["S", "b"]
            assert (a.gateway, a.online, a.msg) == ("S", True, '{"x":1}')
            assert a.active == a.rev > 0
            assert (b.gateway, b.online, b.active, b.msg) == ("G", False, 0, "")
            device.publish("dma/report/off", b'{"nid":"a"}')

            async def is_off() -> bool:
                return not (await its.peripherals())["S", "a"].online

            await until(is_off)
            a = (await its.peripherals())["S", "a"]
            assert (a.gateway, a.msg) == ("S", '{"x":1}')
        count = await listed.count_peripherals(its.api, NOTHING)
        assert (count.offline, count.online, count.total) == (2, 0, 2)


NOTHING: Any = None


# --- what is refused


BAD: list[tuple[Why, str, bytes]] = [
    (Why.OTHER_SN, "sys", report("B", d={})),
    (Why.OTHER_SN, "peripheral", b'{"sn":"B","nId":"a","online":true}'),
    (Why.NOT_JSON, "sys", b"{"),
    (Why.WRONG_TYPE, "sys", report("A", d="text")),
    (Why.TOO_LARGE, "sys", report("A", d={"x": "y" * 5000})),
]


@pytest.mark.parametrize(("why", "topic", "payload"), BAD, ids=lambda it: str(it)[:20])
async def test_bad_report_is_counted_and_nothing_is_stored(
    why: Why, topic: str, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with platform(max_report=4096) as its:
        with its.connected("A") as device:
            device.publish(f"dma/report/{topic}", payload)
            await its.refused(why)
            device.publish("dma/report/procs", report("A"))
            row = await its.row_when("A", lambda it: it.procs)
        assert row.sys == ""
        assert list(await its.rows()) == ["A"]
        assert not await its.peripherals()
        assert sum(its.plugin.refusals.counts.values()) == 1
    told = [each.message for each in caplog.records if "is refused" in each.message]
    assert len(told) == 1
    assert f"device 'A': a report on report/{topic}" in told[0]


@pytest.mark.parametrize("apart", [False, True], ids=["in one second", "later"])
async def test_report_older_than_what_is_stored_is_refused(*, apart: bool) -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 100, {"n": 1}))
            if apart:
                await its.row_when("A", lambda it: it.sys)
            device.publish("dma/report/sys", report("A", 60, {"n": 2}))
            await its.refused(Why.OLDER)
            row = await its.row_when("A", lambda it: it.sys)
            assert json.loads(row.sys)["d"] == {"n": 1}


async def test_older_message_of_a_peripheral_is_refused() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/periph", b'{"nid":"a","time":100,"d":1}')

            async def is_there() -> bool:
                return bool(await its.peripherals())

            await until(is_there)
            device.publish("dma/report/periph", b'{"nid":"a","time":90,"d":2}')
            await its.refused(Why.OLDER)
            assert (await its.peripherals())["A", "a"].msg == "1"


async def test_refused_reports_are_logged_once_a_device_and_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(refusals.time, "monotonic", lambda: now)
    made = refusals.Refusals(logging.getLogger("nanomq.plugins.devices"))
    fault = refusals.BadReport(Why.NOT_JSON, "made up\n")
    for client_id in ("a", "a", "b\x1b"):
        made.add(client_id, "sys", fault)
    now = 61.0
    made.add("a", "sys", fault)
    assert [each.message for each in caplog.records] == [
        "device 'a': a report on sys is refused: made up\\n",
        "device 'b\\x1b': a report on sys is refused: made up\\n",
        "device 'a': a report on sys is refused: made up\\n",
    ]
    assert made.counts[Why.NOT_JSON] == 4


async def test_report_of_the_program_itself_is_refused() -> None:
    async with platform() as its:
        its.broker.publish("dma/report/sys", report("A", d={}))
        await its.refused(Why.OTHER_SN)
        assert not await its.rows()


# --- gateways


async def test_gateway_reports_for_others_while_it_is_connected() -> None:
    async with platform(gateways=("G",)) as its:
        with its.connected("G") as gateway:
            gateway.publish("dma/report/sys", report("A", 1, {}))
            row = await its.row_when("A", lambda it: it.online)
            assert row.sys
        row = await its.row_when("A", lambda it: not it.online)
        assert row.offline_at >= row.online_at > 0
        assert list(await its.rows()) == ["A"]


# --- connections


async def test_device_is_online_from_its_connect_to_its_end() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {}))
            row = await its.row_when("A", lambda it: it.online)
            began = row.online_at
            assert row.offline_at == 0
            device.send(packet(DISCONNECT))
        row = await its.row_when("A", lambda it: not it.online)
        assert row.offline_at >= row.online_at == began
        with its.connected("A"):
            row = await its.row_when("A", lambda it: it.online)
            assert row.online_at >= row.offline_at
        await its.row_when("A", lambda it: not it.online)
        count = await listed.count_devices(its.api, NOTHING)
        assert (count.offline, count.online, count.total) == (1, 0, 1)


async def test_client_that_never_reports_is_no_device() -> None:
    async with platform() as its:
        with its.connected("panel"), its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {}))
            await its.row_when("A", lambda it: it.online)
        await its.row_when("A", lambda it: not it.online)
        assert list(await its.rows()) == ["A"]


async def test_connection_that_another_one_takes_over_leaves_a_device_online() -> None:
    async with platform() as its:
        with its.connected("A") as first:
            first.publish("dma/report/sys", report("A", 1, {}))
            await its.row_when("A", lambda it: it.online)
            with its.connected("A") as second:
                first.read_until_closed()
                second.publish("dma/report/procs", report("A", 2))
                row = await its.row_when("A", lambda it: it.procs)
                assert row.online
                assert row.offline_at == 0


async def test_will_of_a_device_does_not_bring_it_back() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {}))
            await its.row_when("A", lambda it: it.online)
        with its.connected("B") as other:
            await its.broker.publish_as("A", "dma/report/off", b'{"sn":"A"}')
            other.publish("dma/report/sys", report("B", 1, {}))
            await its.row_when("B", lambda it: it.online)
            assert not (await its.rows())["A"].online


# --- over the end of the plugin and of the broker


async def test_states_are_made_true_when_the_plugin_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with platform(path) as its:
        with its.connected("A") as gone, its.connected("B") as stays:
            for sn, device in (("A", gone), ("B", stays)):
                device.publish("dma/report/sys", report(sn, 1, {}))
                await its.row_when(sn, lambda it: it.online)
    with sqlite3.connect(path) as file:  # as a process leaves it that is killed
        file.execute("UPDATE devices_device SET online = 1, offline_at = 0")
    file.close()
    async with platform(path) as its:
        rows = await its.rows()
        for row in rows.values():
            assert not row.online
            assert row.offline_at >= row.online_at > 0


async def test_reports_that_come_while_the_plugin_is_not_there_are_not_lost() -> None:
    async with Broker(LOCAL) as broker:
        config = broker.config
        async with loaded(broker) as its:
            with its.connected("A") as device:
                device.publish("dma/report/sys", report("A", 1, {"n": 1}))
                await its.row_when("A", lambda it: it.sys)
        assert broker.config is config
        with pytest.raises(KeyError):  # it is loaded no more: nothing is kept for it
            broker.end_consumer(NAME)


async def test_consumer_stays_for_a_plugin_that_comes_again() -> None:
    async with platform() as first:
        broker = first.broker
        first.plugin.leave()
        with first.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {"n": 1}))
            device.ping()
            await first.plugin.stop()
            async with loaded(broker) as its:
                await its.row_when("A", lambda it: it.sys and it.online)


async def test_other_prefix_counts_at_once() -> None:
    async with platform() as its:
        with its.connected("A") as device:
            its.plugin.use(Keys(topic_prefix="site/dma"))
            device.publish("dma/report/sys", report("A", 1, {}))
            device.publish("site/dma/report/procs", report("A", 1, []))
            row = await its.row_when("A", lambda it: it.procs)
            assert row.sys == ""


# --- what is written


async def test_reports_of_a_second_are_one_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "EVERY_S", 1.0)
    async with platform(gateways=("G",)) as its:
        writes = 0
        store = its.broker.store
        write = store.write

        async def counted(act: Any) -> Any:
            nonlocal writes
            writes += 1
            return await write(act)

        monkeypatch.setattr(store, "write", counted)
        with its.connected("G") as gateway:
            for n in range(1000):
                gateway.publish("dma/report/sys", report(f"D{n}", 1, {}))

            async def are_there() -> bool:
                return (await listed.count_devices(its.api, NOTHING)).online == 1000

            await until(are_there)
        assert writes <= 6  # of the first ones, of the others, and who of them is connected


async def test_batch_is_acknowledged_once_it_is_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with platform() as its:
        store = its.broker.store
        write = store.write
        is_full = True

        async def failing(act: Any) -> Any:
            if is_full:
                raise writer.StoreError("no room is left")
            return await write(act)

        monkeypatch.setattr(store, "write", failing)
        with its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {}))
            while "is not kept: no room is left" not in caplog.text:
                await asyncio.sleep(0.01)

            async def is_waiting() -> bool:
                return waiting(its) == 1

            await until(is_waiting)
            is_full = False
            await its.row_when("A", lambda it: it.sys)

            async def is_acknowledged() -> bool:
                return waiting(its) == 0

            await until(is_acknowledged)
        assert caplog.text.count("is not kept") == 1


def waiting(its: Platform) -> int:
    """Return how many messages the broker keeps for the plugin."""
    return its.plugin.kept


async def test_many_devices_are_not_gathered_for_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "EVERY_S", 3600.0)
    monkeypatch.setattr(inventory, "MOST_PENDING", 100)
    async with platform(gateways=("G",)) as its:
        with its.connected("G") as gateway:
            for n in range(1000):
                gateway.publish("dma/report/sys", report(f"D{n}", 1, {}))

            async def are_there() -> bool:
                return (await listed.count_devices(its.api, NOTHING)).total >= 900

            await until(are_there)


# --- counters


async def test_counters_are_told_by_http_and_below_sys() -> None:
    async with platform(sys_interval=1) as its:
        with its.connected("A") as device:
            device.publish("dma/report/sys", report("A", 1, {}))
            device.publish("dma/report/periph/reg", b'{"nid":"a"}')
            device.publish("dma/report/sys", b"{")
            await its.refused(Why.NOT_JSON)
        stats = await listed.get_stats(its.api, NOTHING)
        assert (stats.reports, stats.by_topic) == (2, {"sys": 1, "periph/reg": 1})
        assert stats.refused == {**dict.fromkeys(stats.refused, 0), "not_json": 1}
        assert its.plugin.counters()["reports"] == 2

        async def is_published() -> bool:
            told = its.broker.retained_message("$SYS/broker/devices/refused/not_json")
            return told is not None and told.payload == b"1"

        await until(is_published)


async def test_peripherals_of_one_device_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_table, "MOST_PERIPHERALS", 3)
    async with platform() as its:
        with its.connected("A") as device, its.connected("B") as other:
            for names in ("ab", "bcde", "a"):
                rows = [{"nid": name} for name in names]
                device.publish("dma/report/periph", report("A", 1, rows))
            await its.refused(Why.TOO_LARGE, 2)
            other.publish("dma/report/periph", report("B", 1, [{"nid": "x"}]))

            async def is_there() -> bool:
                return ("B", "x") in await its.peripherals()

            await until(is_there)
            assert [nid for sn, nid in await its.peripherals() if sn == "A"] == list("abc")
