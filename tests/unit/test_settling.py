"""Changes that go on when nobody waits for them: nanomq_py/core/settling.py."""

from __future__ import annotations

import asyncio

import pytest

from nanomq_py.core.settling import Settling


async def test_whole_change_is_made_though_nobody_waits_for_it() -> None:
    settling, made = Settling(), list[str]()

    async def change() -> None:
        await asyncio.sleep(0)
        made.append("all of it")

    waits = asyncio.create_task(settling.whole(change()))
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    await settling.ended()
    assert made == ["all of it"]


async def test_end_is_that_of_what_a_change_begins_too() -> None:
    """A thread that judges sessions would use a core that is freed."""
    settling, made = Settling(), list[str]()

    async def second() -> None:
        await asyncio.sleep(0.01)
        made.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        later.append(asyncio.create_task(settling.whole(second())))
        await asyncio.sleep(0)

    later: list[asyncio.Task[None]] = []
    first_one = asyncio.create_task(settling.whole(first()))
    await asyncio.sleep(0)
    await settling.ended()
    assert made == ["second"]
    await asyncio.gather(first_one, *later)


async def test_fault_of_a_change_is_its_callers() -> None:
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await Settling().whole(fails())
