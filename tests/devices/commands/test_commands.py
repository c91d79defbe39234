"""Commands on a broker: published, answered, tried again, kept over a process that ends."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from nanomq_py.plugins.devices.commands import machine, table
from nanomq_py.plugins.devices.commands.answers import read_answer
from nanomq_py.plugins.devices.commands.ids import MOST_A_DAY
from nanomq_py.plugins.devices.commands.machine import Phase, State
from nanomq_py.plugins.devices.commands.room import Limits, TooManyError
from nanomq_py.plugins.devices.commands.table import Row
from nanomq_py.store.faults import StoreFullError
from tests.devices.commands.platform import answer, order, platform, row_when
from tests.devices.simulated import Device
from tests.raw import Raw

pytestmark = pytest.mark.plain

HASTY = 0.05


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRY_S", "AGAIN_S", "UNTAKEN_S", "LONGEST_S"):
        monkeypatch.setattr(machine, name, HASTY)


def is_over(row: Row) -> bool:
    return row.state >= State.SUCCEEDED


@pytest.mark.parametrize("topic", ["dma/resp/cmd", "dma/cmd/resp"])
async def test_device_gets_the_command_and_its_answer_is_kept(
    tmp_path: Path, topic: str
) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1", topic=topic).connected(broker.ports["url"]) as device,
    ):
        (number,) = await commands.add(order(), ["d1"])
        row = await row_when(commands, number, is_over)
        assert (row.state, row.phase, row.tries) == (State.SUCCEEDED, Phase.ANSWERED, 1)
        message = device.told[number].message
        assert list(message) == [
            *("id", "command", "method", "d", "from", "detached", "expires", "time")
        ]
        assert message["d"] == {"shcmd": "whoami"}
        reply = await commands.reply(number)
        assert reply is not None
        assert reply.status == "ok"


async def test_failure_is_tried_again_as_often_as_asked(tmp_path: Path) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1", lambda _, nth: "ok" if nth == 2 else "failed").connected(
            broker.ports["url"]
        ) as device,
    ):
        first, second = await commands.add(order(max_retries=1), ["d1", "d1"])
        third, *_ = await commands.add(order(max_retries=2), ["d1"])
        assert (await row_when(commands, first, is_over)).state is State.FAILED
        assert (await row_when(commands, second, is_over)).state is State.FAILED
        row = await row_when(commands, third, is_over)
        assert (row.state, row.tries) == (State.SUCCEEDED, 2)
        assert [device.told[n].runs for n in (first, second, third)] == [1, 1, 2]


@pytest.mark.parametrize("publish_now", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
async def test_command_waits_for_its_device(
    tmp_path: Path, publish_now: bool, keeps: bool
) -> None:
    async with platform(tmp_path / "s.db") as (broker, commands):
        device = Device("d1", keeps=keeps)
        if keeps:
            async with device.connected(broker.ports["url"]):
                pass
            while (client := broker.client("d1")) is None or client.connected:
                await asyncio.sleep(0.01)
        (number,) = await commands.add(order(publish_now=publish_now), ["d1"])
        if publish_now and keeps:  # its session has taken it
            await row_when(commands, number, lambda row: row.phase is Phase.SENT)
        else:
            row = await row_when(commands, number, lambda row: row.phase is Phase.QUEUED)
            assert (row.state, row.tries) == (State.READY, 0)
        async with device.connected(broker.ports["url"]):
            row = await row_when(commands, number, is_over)
        assert (row.state, row.tries) == (State.SUCCEEDED, 1)
        assert device.told[number].runs == 1


async def test_device_has_it_before_it_has_answered(tmp_path: Path) -> None:
    device = Device("d1", run_s=600)
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        device.connected(broker.ports["url"]),
    ):
        (number,) = await commands.add(order(), ["d1"])
        row = await row_when(commands, number, lambda r: r.phase is Phase.DELIVERED)
        assert row.state is State.IN_PROGRESS


async def test_device_that_forgets_what_it_had_in_hand_is_told_again(
    tmp_path: Path,
) -> None:
    async with platform(tmp_path / "s.db") as (broker, commands):
        forgetful = Device("d1", run_s=600)
        async with forgetful.connected(broker.ports["url"]):
            (number,) = await commands.add(order(), ["d1"])
            await row_when(commands, number, lambda r: r.phase is Phase.DELIVERED)
        async with Device("d1").connected(broker.ports["url"]):
            row = await row_when(commands, number, is_over)
        assert (row.state, row.tries) == (State.SUCCEEDED, 1)


async def test_answers_that_count_for_nothing(tmp_path: Path) -> None:
    heard: list[str] = []
    device = Device("d1", run_s=600)
    async with (
        platform(
            tmp_path / "s.db",
            refused=lambda who, topic, fault: heard.append(f"{who} {topic}: {fault}"),
        ) as (
            broker,
            commands,
        ),
        device.connected(broker.ports["url"]),
        Device("d2").connected(broker.ports["url"]) as other,
    ):
        (number,) = await commands.add(order(), ["d1"])
        await row_when(commands, number, lambda r: r.phase is Phase.DELIVERED)
        other.publish("dma/resp/cmd", {"id": number, "sn": "d1", "status": "ok"})
        other.publish("dma/resp/cmd", {"id": number, "sn": "d2", "status": "ok"})
        other.publish("dma/resp/cmd", {"id": number + 1000, "sn": "d2", "status": "ok"})
        other.publish("dma/resp/cmd", {"id": 7, "sn": "d2", "status": "ok"})
        other.publish("dma/resp/cmd", {"id": number, "sn": "d2", "status": "done"})
        other.publish("dma/resp/cmd", {"id": number, "status": "ok"})
        other.publish("dma/resp/cmd", "words")
        while commands.counts["refused"] < 5 or commands.counts["strange"] < 2:
            await asyncio.sleep(0.01)
        row = await commands.get(number)
        assert row is not None
        assert row.state is State.IN_PROGRESS
        assert len(heard) == 5
        assert heard[0] == "d2 dma/resp/cmd: sn 'd1' is not its client identifier"


async def test_gateway_may_speak_for_a_device(tmp_path: Path) -> None:
    async with (
        platform(
            tmp_path / "s.db", may_speak=lambda client_id, sn: client_id == "gateway"
        ) as (broker, commands),
        Device("gateway").connected(broker.ports["url"]) as gateway,
        Device("d1", run_s=600).connected(broker.ports["url"]),
    ):
        (number,) = await commands.add(order(), ["d1"])
        await row_when(commands, number, lambda r: r.phase is Phase.DELIVERED)
        gateway.publish("dma/resp/cmd", {"id": float(number), "sn": "d1", "status": "ok"})
        assert (await row_when(commands, number, is_over)).state is State.SUCCEEDED


async def test_second_answer_changes_nothing(tmp_path: Path) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1").connected(broker.ports["url"]) as device,
    ):
        (number,) = await commands.add(order(), ["d1"])
        row = await row_when(commands, number, is_over)
        device.publish("dma/cmd/resp", device.told[number].answer)
        device.publish("dma/cmd/resp", {"id": number, "sn": "d1", "status": "failed"})
        while commands.counts["repeated"] < 2:
            await asyncio.sleep(0.01)
        assert await commands.get(number) == row
        reply = await commands.reply(number)
        assert reply is not None
        assert reply.status == "ok"


async def test_record_is_cleared_when_its_time_is_over(tmp_path: Path) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1").connected(broker.ports["url"]) as device,
    ):
        numbers = await commands.add(order(expires_s=1), ["d1", "nobody"])
        await row_when(commands, numbers[0], is_over)
        while [await commands.get(n) for n in numbers] != [None, None]:
            await asyncio.sleep(0.01)
        assert commands.counts["expired"] == 1  # the other one was over
        device.publish("dma/resp/cmd", device.told[numbers[0]].answer)
        while not commands.counts["strange"]:
            await asyncio.sleep(0.01)
        assert await commands.reply(numbers[0]) is None


async def test_next_process_goes_on(tmp_path: Path) -> None:
    device, numbers = Device("d1"), []
    async with platform(tmp_path / "s.db") as (broker, commands):
        numbers += await commands.add(order(), ["d1"])
        async with Device("d1", run_s=600).connected(broker.ports["url"]):
            await row_when(commands, numbers[0], lambda r: r.phase is Phase.DELIVERED)
    async with platform(tmp_path / "s.db") as (broker, commands):
        numbers += await commands.add(order(), ["d1"])
        assert numbers[0] < numbers[1]
        async with device.connected(broker.ports["url"]):
            for number in numbers:
                await row_when(commands, number, is_over)
    assert [device.told[number].runs for number in numbers] == [1, 1]


async def test_too_many_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    limits = Limits(open=4, of_device=2, kept=5, size=100)
    async with (
        platform(tmp_path / "s.db", limits=limits) as (broker, commands),
        Device("d4").connected(broker.ports["url"]),
    ):
        await commands.add(order(body=b"1"), ["d1", "d1"])
        with pytest.raises(
            TooManyError, match="2 commands wait for d1, and 2 are the most"
        ):
            await commands.add(order(), ["d2", "d1"])
        with pytest.raises(
            TooManyError, match="2 bytes are kept, and 5 with 100 bytes are"
        ):
            await commands.add(order(body=b"1" * 99), ["d2"])
        with pytest.raises(ValueError, match=r"sn='a\+b': expected 1 to 256 bytes"):
            await commands.add(order(), ["d2", "a+b"])
        await commands.add(order(body=b"1"), ["d2", "d3"])
        with pytest.raises(TooManyError, match="4 commands wait for their devices, and 4"):
            await commands.add(order(), ["d4"])
        _, total = await commands.page(None, offset=0, limit=10)
        assert total == 4


async def test_open_ones_of_the_process_before_count(tmp_path: Path) -> None:
    limits = Limits(of_device=1)
    async with platform(tmp_path / "s.db", limits=limits) as (_, commands):
        await commands.add(order(), ["d1"])
    async with platform(tmp_path / "s.db", limits=limits) as (_, commands):
        with pytest.raises(TooManyError):
            await commands.add(order(), ["d1"])


def test_data_of_an_answer_is_kept_without_spaces_and_may_be_a_text() -> None:
    said = b'{"id": "2.026113e17", "sn": "d", "status": "ok", %s}'
    assert read_answer(said % b'"d": { "a" : [1, 2.50] }').data == b'{"a":[1,2.50]}'
    assert read_answer(said % b'"msg": "no"').data == b'{"msg":"no"}'
    assert read_answer(said % b'"time": 1').id == 202611300000000000


async def test_answer_that_is_too_large_is_kept_without_its_data(tmp_path: Path) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1", run_s=600).connected(broker.ports["url"]) as device,
    ):
        (number,) = await commands.add(order(), ["d1"])
        await row_when(commands, number, lambda r: r.phase is Phase.DELIVERED)
        said = answer(number, "d1", d="x" * 70_000)
        broker.publish("dma/resp/cmd", said)
        await row_when(commands, number, is_over)
        reply = await commands.reply(number)
        assert reply is not None
        assert reply.data == b'{"msg":"70002 bytes came, over the 65536 that are kept"}'
        assert device.told[number].runs == 1


async def test_nothing_is_watched_while_no_command_is_open(tmp_path: Path) -> None:
    async with (
        platform(tmp_path / "s.db") as (broker, commands),
        Device("d1").connected(broker.ports["url"]),
    ):
        running = broker._running
        before = len(running.readers._open)
        (number,) = await commands.add(order(), ["d1"])
        await row_when(commands, number, is_over)
        while len(running.readers._open) > before:
            await asyncio.sleep(0.01)


def test_numbers_go_on_whatever_the_clock_does() -> None:
    file = sqlite3.connect(":memory:", isolation_level=None)
    for statements in table.SCHEMA.steps:
        for statement in statements:
            file.execute(statement)
    new = machine.Command(0, "d", True, 1, 0.0)
    day_s, now = 86_400.0, 1_796_040_000.0  # 2026-11-30
    numbers = [
        number
        for later in (0, 1, -1, 0, 400, 0, -400)
        for number in table.add(file, order(), [new, new], now + later * day_s)
    ]
    assert len(set(numbers)) == 14
    assert [number for number in numbers if number // 10**10 == 20261130] == [
        202611300000000000 + 1000 * nth for nth in range(1, 7)
    ]
    file.execute("UPDATE device_commands_day SET last = ?", (MOST_A_DAY - 1,))
    assert table.add(file, order(), [new], now) == [202611309999999000]
    with pytest.raises(StoreFullError, match="commands a day are the most: try tomorrow"):
        table.add(file, order(), [new], now)


async def test_device_that_takes_nothing_is_asked_again(tmp_path: Path) -> None:
    async with platform(tmp_path / "s.db") as (broker, commands):
        client = await asyncio.to_thread(Raw, broker.ports["url"])
        await asyncio.to_thread(client.connect, "d1")  # it subscribes to nothing
        (number,) = await commands.add(order(), ["d1"])
        while commands.counts["tried"] < 3:
            await asyncio.sleep(0.01)
        row = await row_when(commands, number, lambda row: row.phase is Phase.QUEUED)
        assert (row.state, row.tries) == (State.READY, 0)
        client.close()
