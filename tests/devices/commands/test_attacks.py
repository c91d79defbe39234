"""Clients that lie about commands, or say what nobody expects: others go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nanomq_py.plugins.devices.commands import outbound
from nanomq_py.plugins.devices.commands.answers import read_answer
from nanomq_py.plugins.devices.commands.machine import Phase, State
from nanomq_py.plugins.devices.commands.room import Limits
from nanomq_py.plugins.devices.commands.table import Row
from nanomq_py.plugins.devices.reports import BadReport, Why
from tests.devices.commands.platform import answer, order, platform, row_when
from tests.devices.simulated import Device
from tests.raw import PUBACK, PUBLISH, Raw, ack

pytestmark = pytest.mark.plain


def _ack_all(client: Raw, count: int) -> None:
    """Acknowledge the next messages that the client gets."""
    while count:
        got = client.read()
        if got.kind == PUBLISH:
            client.send(ack(PUBACK, got.packet_id))
            count -= 1


def is_over(row: Row) -> bool:
    return row.state >= State.SUCCEEDED


@pytest.mark.parametrize("time", [10**30, -(10**30), 1e300])
async def test_time_that_no_clock_says_is_refused(tmp_path: Path, time: float) -> None:
    async with platform(tmp_path / "s.db") as (broker, commands):
        with Raw(broker.ports["url"]) as device:
            device.connect("d1")
            device.subscribe(("dma/cmd/d1", 0))
            (number,) = await commands.add(order(), ["d1"])
            await row_when(commands, number, lambda row: row.tries == 1)
            for id, said in enumerate(
                [answer(number, "d1", time=time), answer(number, "d1")]
            ):
                device.publish("dma/resp/cmd", said, qos=1, packet_id=id + 1)
            assert (await row_when(commands, number, is_over)).state is State.SUCCEEDED
            assert commands.counts["refused"] == 1


@pytest.mark.parametrize("said", [b'"\xff"', b'{"a":["\xc3\x28"]}'])
def test_answer_that_is_no_utf8_inside_is_refused(said: bytes) -> None:
    payload = answer(202611300000001000, "d1").replace(b'{"result":""}', said)
    assert said in payload
    with pytest.raises(BadReport) as caught:
        read_answer(payload)
    assert caught.value.why is Why.NOT_JSON


@pytest.mark.parametrize("id", [10**30, 1 << 63, -(1 << 63) - 1])
def test_message_of_another_client_has_no_number_that_the_store_cannot_hold(
    id: int,
) -> None:
    assert outbound.number_in(b'{"id":%d}' % id) is None


async def test_acknowledgement_of_another_client_does_not_count(tmp_path: Path) -> None:
    """Who takes a message with another's number from its own topic has not taken that."""
    async with platform(tmp_path / "s.db") as (broker, commands):
        with Raw(broker.ports["url"]) as evil, Raw(broker.ports["url"]) as device:
            device.connect("d1", clean=False)
            device.subscribe(("dma/cmd/d1", 1))
            evil.connect("e")
            evil.subscribe(("dma/cmd/e", 1))
            number, mine = await commands.add(order(), ["d1", "e"])
            await row_when(commands, number, lambda row: row.phase is Phase.SENT)
            evil.publish("dma/cmd/e", b'{"id":%d}' % number, qos=1, packet_id=7)
            await asyncio.to_thread(_ack_all, evil, 2)
            await row_when(commands, mine, lambda row: row.phase is Phase.DELIVERED)
            (more,) = await commands.add(order(), ["e"])
            await asyncio.to_thread(_ack_all, evil, 1)
            await row_when(commands, more, lambda row: row.phase is Phase.DELIVERED)
            row = await commands.get(number)
            assert row is not None
            assert row.phase is Phase.SENT


async def test_retained_answer_of_another_client_does_not_count_later(
    tmp_path: Path,
) -> None:
    """It is refused when it comes, and no less when the next process finds it."""
    async with platform(tmp_path / "s.db") as (broker, commands):
        (number,) = await commands.add(order(), ["d1"])
        with Raw(broker.ports["url"]) as evil:
            evil.connect("e")
            evil.publish(
                "dma/resp/cmd", answer(number, "d1"), qos=1, packet_id=1, retain=True
            )
            evil.expect(PUBACK)
        while not commands.counts["refused"]:
            await asyncio.sleep(0.01)
        commands.use_prefix("other")
        async with Device("d1", topic="other/resp/cmd").connected(broker.ports["url"]):
            pass
        commands.use_prefix("dma")
        (second,) = await commands.add(order(), ["d2"])
        async with Device("d2").connected(broker.ports["url"]):
            await row_when(commands, second, is_over)
        row = await commands.get(number)
        assert row is not None
        assert row.state < State.SUCCEEDED


async def test_retained_answer_without_a_publisher_does_not_count(tmp_path: Path) -> None:
    """Whose it was is not known; what this program says itself is not retained."""
    async with platform(tmp_path / "s.db") as (broker, commands):
        (number,) = await commands.add(order(), ["d1"])
        commands.use_prefix("other")
        broker.publish("dma/resp/cmd", answer(number, "d1"), qos=1, retain=True)
        commands.use_prefix("dma")
        while not commands.counts["refused"]:
            await asyncio.sleep(0.01)
        row = await commands.get(number)
        assert row is not None
        assert row.state < State.SUCCEEDED
        broker.publish("dma/resp/cmd", answer(number, "d1"), qos=1)
        await row_when(commands, number, is_over)


async def test_answers_fill_no_more_than_they_may(tmp_path: Path) -> None:
    """A command that is over counts, and what its device says is left out."""
    said = {"result": "x" * 3000}
    limits = Limits(size=7000)
    async with platform(tmp_path / "s.db", limits=limits) as (broker, commands):
        with Raw(broker.ports["url"]) as device:
            device.connect("d1")
            device.subscribe(("dma/cmd/d1", 0))
            numbers = await commands.add(order(), ["d1"] * 4)
            for number in numbers:
                await row_when(commands, number, lambda row: row.tries == 1)
                payload = answer(number, "d1", d=said)
                device.publish("dma/resp/cmd", payload, qos=1, packet_id=1)
                await row_when(commands, number, is_over)
            replies, _ = await commands.replies(None, offset=0, limit=10)
            assert [len(each.data) > 3000 for each in replies] == [False, False, True, True]
            assert b"no room" in replies[0].data
            assert commands.held().size < limits.size + 500


@pytest.mark.parametrize("version", [4, 5])
async def test_will_of_another_client_does_not_count(tmp_path: Path, version: int) -> None:
    """The broker publishes it, for a client that is gone."""
    async with platform(tmp_path / "s.db") as (broker, commands):
        (number,) = await commands.add(order(), ["d1"])
        with Raw(broker.ports["url"], version) as device:
            device.connect("d1")
        with Raw(broker.ports["url"], version) as evil:
            evil.connect("e", will=("dma/resp/cmd", answer(number, "d1"), 1, True))
        while not commands.counts["refused"]:
            await asyncio.sleep(0.01)
        row = await commands.get(number)
        assert row is not None
        assert row.state < State.SUCCEEDED
