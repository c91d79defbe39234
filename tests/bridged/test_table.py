"""bridges/table: what a change of the configuration does to the core, and its undoing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from nanomq_py.bridges.line import State
from nanomq_py.bridges.table import Table
from nanomq_py.bridges.wanted import Wanted, wanted_of
from nanomq_py.config import parse
from nanomq_py.core.binding import ENOMEM, CoreError
from nanomq_py.core.bridging import (
    BridgeNews,
    BridgeOptions,
    BridgeState,
    BridgeStats,
    Cause,
    DialTls,
)

pytestmark = pytest.mark.plain


class Core:
    """Writes down what it is told to do."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.numbers: dict[str, int] = {}
        self.bits: list[bool] = []
        self.told: list[BridgeNews] = []
        self.is_full = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK)

    def put(self, options: BridgeOptions) -> int:
        if self.is_full:
            raise CoreError(ENOMEM)
        self.done.append(f"put {options.name}")
        self.bits.append(options.bridge_bit)
        return self.numbers.setdefault(options.name, len(self.numbers) + 1)

    def dial(
        self,
        number: int,
        host: str,
        port: int,
        *,
        tls: DialTls | None = None,
        path: str | None = None,
        timeout_ms: int = 10_000,
    ) -> None:
        self.done.append(f"dial {number} {host}:{port}")

    def hang_up(self, number: int) -> None:
        self.done.append(f"hang up {number}")

    def end(self, name: str) -> None:
        self.done.append(f"end {name}")

    def stats(self, number: int) -> BridgeStats:
        return BridgeStats(BridgeState.IDLE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def news(self) -> list[BridgeNews]:
        os.eventfd_read(self.fd)
        told, self.told = self.told, []
        return told

    def end_orphans(self) -> int:
        return 0

    def take(self) -> list[str]:
        done, self.done = self.done, []
        return done

    async def tell(
        self, number: int, *, ups: int = 0, downs: int = 0, code: int = 0, why: str = ""
    ) -> None:
        """Say that it is up, or that this was the last that it came to."""
        state = BridgeState.UP if ups > downs else BridgeState.IDLE
        self.told.append(
            BridgeNews(number, state, ups, downs, False, Cause.PEER, code, why)
        )
        os.eventfd_write(self.fd, 1)
        for _ in range(3):
            await asyncio.sleep(0)


def wanted(*lines: str) -> Mapping[str, Wanted]:
    made = {line.partition(".")[0] for line in lines}
    text = "".join(f"bridge.mqtt.{name}.bridge_mode=true\n" for name in sorted(made))
    return wanted_of(parse(text + "".join(f"bridge.mqtt.{x}\n" for x in lines), "x"))


@contextmanager
def running() -> Iterator[tuple[Table, Core, list[str]]]:
    core, told = Core(), list[str]()
    table = Table(core, told.append)
    try:
        yield table, core, told
    finally:
        table.leave()
        table.close()
        os.close(core.fd)


A = "a.address=mqtt-tcp://h:1"
B = "b.address=mqtt-tcp://i:2"


async def _started(table: Table, *lines: str) -> None:
    table.use(wanted(*lines))
    await asyncio.sleep(0)


async def test_bridges_dial_when_all_is_in_force() -> None:
    with running() as (table, core, _):
        table.use(wanted(A, B))
        assert core.take() == ["put a", "put b"]
        await asyncio.sleep(0)
        assert core.take() == ["dial 1 h:1", "dial 2 i:2"]


async def test_change_that_is_undone_leaves_nothing_behind() -> None:
    with running() as (table, core, _):
        await _started(table, A)
        core.take()
        table.use(wanted(A, B))
        table.use(wanted(A))
        assert table.end_gone() == ["b"]
        await asyncio.sleep(0)
        assert core.take() == ["put b", "end b"]  # and nobody is dialled


async def test_bridge_that_a_change_takes_away_goes_on_when_it_is_undone() -> None:
    with running() as (table, core, _):
        await _started(table, A, B)
        core.take()
        table.use(wanted(A))
        assert core.take() == [
            "hang up 2"
        ]  # what waits is there until the change is settled
        table.use(wanted(A, B))
        assert core.take() == ["dial 2 i:2"]
        assert table.end_gone() == []


async def test_other_bridges_are_left_alone() -> None:
    with running() as (table, core, _):
        await _started(table, A, B)
        core.take()
        table.use(wanted(A, "b.address=mqtt-tcp://other:2"))
        assert core.take() == ["put b", "dial 2 other:2"]
        table.use(wanted(A, "b.address=mqtt-tcp://other:2", "b.forwards=x/#"))
        assert core.take() == ["put b"]  # the connection stays
        table.use(wanted(A, "b.address=mqtt-tcp://other:2", "b.keepalive=5"))
        assert core.take() == ["put b", "dial 2 other:2"]  # CONNECT says another thing


async def test_core_without_memory_refuses_the_change() -> None:
    with running() as (table, core, _):
        await _started(table, A)
        core.is_full = True
        with pytest.raises(CoreError):
            table.use(wanted(A, B))
        assert table.status("b") is None


async def test_news_is_told_once_for_each_change() -> None:
    with running() as (table, core, told):
        await _started(table, A)
        await core.tell(1, ups=1)
        await core.tell(1, ups=1)
        status = table.status("a")
        assert status is not None
        assert (told, status.state, status.attempts) == (["a"], State.UP, 0)
        await core.tell(1, ups=1, downs=1, code=0x8B, why="ended: it shuts down")
        status = table.status("a")
        assert status is not None
        assert (told, status.state) == (["a", "a"], State.WAITING)
        assert status.last_error == "ended: it shuts down (0x8b)"


async def test_bridge_bit_is_left_out_where_it_is_refused() -> None:
    with running() as (table, core, _):
        await _started(table, A, "a.proto_ver=4")
        await core.tell(1, downs=1, code=0x84, why="refused")
        assert core.take() == ["put a", "dial 1 h:1", "put a", "dial 1 h:1"]
        assert core.bits == [True, False]
        await core.tell(1, downs=2, code=0x87, why="refused")
        assert (core.take(), core.bits[-1]) == (["put a"], True)  # later, and with it again


async def test_bridge_whose_messages_would_come_back_always_says_that_it_is_one() -> None:
    both = ("a.forwards=x/#", "a.subscription.1.topic=x/#")
    with running() as (table, core, _):
        await _started(table, A, "a.proto_ver=4", *both)
        await core.tell(1, downs=1, code=0x84, why="refused")
        assert core.take() == ["put a", "dial 1 h:1"]
        assert core.bits == [True]
