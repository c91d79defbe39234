"""Flapping: a client that connects again and again is banned for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from nanomq_py import Broker, Config, flapping
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.flapping import Counter
from nanomq_py.flapping_part import Flapping
from nanomq_py.store.banned import Ban
from tests.raw import Raw

URL = "nmq-tcp://127.0.0.1:0"
BANNED = 0x8A
KEYS = FlappingDetect(enable=True, max_count=3)


# --- counting


def times(counter: Counter, client_id: str, *at_ms: int) -> list[bool]:
    return [counter.is_over(client_id, at, KEYS) for at in at_ms]


def test_so_many_within_the_window_are_too_many() -> None:
    assert times(Counter(), "c", 0, 1, 59_999) == [False, False, True]
    assert times(Counter(), "c", 0, 1, 60_000, 60_001, 60_002) == [False] * 4 + [True]


def test_each_client_is_counted_by_itself() -> None:
    counter = Counter()
    assert times(counter, "a", 0, 1) + times(counter, "b", 2, 3) == [False] * 4
    assert times(counter, "a", 4) == [True]


def test_it_counts_anew_after_a_ban() -> None:
    assert times(Counter(), "c", 0, 1, 2, 3, 4, 5) == [False, False, True] * 2


def test_a_wall_clock_that_is_set_back_begins_a_new_window() -> None:
    assert times(Counter(), "c", 100_000, 100_001, 50, 51, 52) == [False] * 4 + [True]


def test_windows_that_are_over_are_forgotten_and_the_rest_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter = Counter()
    for n in range(100):
        counter.is_over(f"c{n}", n, KEYS)
    assert len(counter) == 100
    counter.is_over("d", 60_050, KEYS)
    assert len(counter) == 50
    monkeypatch.setattr(flapping, "MOST_WATCHED", 20)
    counter.is_over("e", 60_051, KEYS)
    assert len(counter) == 20


# --- in force


def connects(broker: Broker, client_id: str) -> int:
    with Raw(broker.ports["url"], 5) as c:
        return c.connect(client_id).reason


async def banned(broker: Broker, count: int = 1) -> list[Ban]:
    """Return who is banned, once so many are."""
    while len(found := await broker.banned(limit=1000)) < count:
        await asyncio.sleep(0.01)
    return found


async def test_a_client_that_connects_too_often_is_banned_for_a_while(
    tmp_path: Path,
) -> None:
    config = Config(url=URL, flapping_detect=replace(KEYS, ban_time=100_000))
    async with Broker(config, conf=tmp_path / "nanomq.conf") as broker:
        for client_id in ("calm", "flaps", "flaps", "calm"):
            assert await asyncio.to_thread(connects, broker, client_id) == 0
        with Raw(broker.ports["url"], 5) as last:
            assert last.connect("flaps").reason == 0
            (ban,) = await banned(broker)
            packets = await asyncio.to_thread(last.read_until_closed)
            assert [p.reason for p in packets] == [0x98]  # and it is out at once
        assert (ban.who, ban.made_by) == ("flaps", "flapping_detect")
        assert ban.reason == "3 connections within 60 s"
        assert ban.until is not None
        assert 95 < ban.until - ban.since <= 100
        assert await asyncio.to_thread(connects, broker, "flaps") == BANNED
        assert await asyncio.to_thread(connects, broker, "other") == 0


async def test_it_is_off_by_default_and_then_records_nothing() -> None:
    assert not Config().flapping_detect.enable
    async with Broker(Config(url=URL)) as broker:
        for _ in range(20):
            assert await asyncio.to_thread(connects, broker, "c") == 0
        assert await broker.banned() == []
        assert flapping_of(broker)._detectors == []


def flapping_of(broker: Broker) -> Flapping:
    (part,) = [p for p in broker._running.parts._parts if isinstance(p, Flapping)]
    return part


async def test_a_reload_switches_it_on_and_off() -> None:
    config = Config(url=URL)
    async with Broker(config) as broker:
        await broker.reconfigure(replace(config, flapping_detect=KEYS))
        for _ in range(3):
            await asyncio.to_thread(connects, broker, "c")
        await banned(broker)
        await broker.unban(client_id="c")
        await broker.reconfigure(config)
        for _ in range(5):
            assert await asyncio.to_thread(connects, broker, "c") == 0
        assert await broker.banned() == []
        (detector,) = flapping_of(broker)._detectors
        await detector.stop()  # nothing is recorded any more
        await broker.reconfigure(replace(config, flapping_detect=KEYS))
        for _ in range(3):
            await asyncio.to_thread(connects, broker, "c")
        await banned(broker)


async def test_many_that_flap_are_kept_in_few_writes(tmp_path: Path) -> None:
    config = Config(url=URL, flapping_detect=replace(KEYS, max_count=2))
    async with Broker(config, conf=tmp_path / "nanomq.conf") as broker:

        def storm() -> None:
            for n in range(600):
                connects(broker, f"c{n % 300}")

        await asyncio.to_thread(storm)
        found = await banned(broker, 300)
    assert {ban.who for ban in found} == {f"c{n}" for n in range(300)}


async def test_a_store_that_cannot_be_used_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = StoreKeys(path=str(tmp_path / "missing" / "x.db"))
    async with Broker(Config(url=URL, flapping_detect=KEYS, store=store)) as broker:
        for _ in range(3):
            assert await asyncio.to_thread(connects, broker, "c") == 0
        while not caplog.messages:
            await asyncio.sleep(0.01)
        assert "not banned: store.path=" in caplog.messages[0]
        assert await asyncio.to_thread(connects, broker, "c") == 0
