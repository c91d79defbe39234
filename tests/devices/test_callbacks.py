"""Callbacks: targets are told that devices and peripherals come and go.

Source  iot-platform-api-v1.txt; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.delivery.target import Target
from nanomq_py.plugins.devices import writer
from nanomq_py.plugins.devices.keys import Keys
from nanomq_py.plugins.devices.targets import Targets
from tests.answering import status
from tests.delivery.receiving import Came, receiving
from tests.devices.inside import Platform, platform, report

pytestmark = pytest.mark.plain


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "EVERY_S", 0.01)


def bodies(came: list[Came]) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in came]


async def come_and_go(its: Platform, sn: str = "A") -> None:
    with its.connected(sn) as device:
        device.publish("dma/report/sys", report(sn, 1, {}))
        await its.row_when(sn, lambda it: it.online)
    await its.row_when(sn, lambda it: not it.online)


async def test_target_is_told_of_each_change_in_its_order() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.callbacks.set("device", receiver.url, enabled=True)
        for _ in range(3):
            await come_and_go(its)
        await receiver.until(lambda: len(receiver.taken) == 6)
        told = bodies(receiver.taken)
        assert [list(each) for each in told] == [["type", "sn", "online", "time"]] * 6
        assert [each["online"] for each in told] == [True, False] * 3
        assert {(each["type"], each["sn"]) for each in told} == {("device", "A")}
        row = (await its.rows())["A"]
        assert told[-1]["time"] == row.offline_at
        counts = its.api.targets.counts("devices/callback/device")
        assert counts is not None
        assert counts.succeeded == 6


async def test_target_is_told_of_peripherals() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.callbacks.set("peripheral", receiver.url, enabled=True)
        with its.connected("S") as device:
            for topic in ("periph", "on", "off", "periph/reg"):
                device.publish(f"dma/report/{topic}", b'{"nid":"n"}')
                if topic in ("periph", "off"):
                    at = {"periph": 1, "off": 2}[topic]
                    await receiver.until(lambda at=at: len(receiver.taken) == at)
            await receiver.until(lambda: len(receiver.taken) == 3)
        told = bodies(receiver.taken)
        names = ["type", "sn", "gwId", "nId", "online", "time"]
        assert [list(each) for each in told] == [names] * 3
        assert [each["online"] for each in told] == [True, False, True]
        assert {(each["gwId"], each["nId"]) for each in told} == {("S", "n")}


async def test_callback_that_is_switched_off_is_told_nothing() -> None:
    async with receiving() as receiver, platform() as its:
        made = await its.api.callbacks.set("device", receiver.url, enabled=False)
        await come_and_go(its, "A")
        assert await its.api.callbacks.enable(made.id, enabled=True)
        await come_and_go(its, "B")
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert {each["sn"] for each in bodies(receiver.taken)} == {"B"}
        assert await its.api.callbacks.enable(made.id + 1, enabled=True) is None


async def test_what_is_posted_is_signed_with_the_secret() -> None:
    async with receiving() as receiver, platform(targets_secret="whsec_c2VjcmV0") as its:
        await its.api.callbacks.set("device", receiver.url, enabled=True)
        await come_and_go(its)
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert all("webhook-signature" in each.headers for each in receiver.taken)


async def test_other_keys_count_for_targets_that_are_set() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.callbacks.set("device", receiver.url, enabled=True)
        its.plugin.use(Keys(targets_secret="whsec_c2VjcmV0"))
        await its.plugin.follow_keys()
        await come_and_go(its)
        await receiver.until(lambda: len(receiver.taken) == 2)
        assert all("webhook-signature" in each.headers for each in receiver.taken)


async def test_target_that_answers_410_is_shown_as_disabled() -> None:
    is_gone = True

    def says(came: Came) -> bytes:
        return status(410) if is_gone else status(204)

    async with receiving(says) as receiver, platform() as its:
        made = await its.api.callbacks.set("device", receiver.url, enabled=True)
        await come_and_go(its)

        def is_off() -> bool:
            counts = its.api.targets.counts(made.target)
            return counts is not None and counts.is_off

        await receiver.until(is_off)
        is_gone = False
        await its.api.callbacks.enable(made.id, enabled=True)
        await come_and_go(its, "B")
        await receiver.until(lambda: len(receiver.taken) >= 2)
        assert not is_off()


async def test_changes_that_no_queue_has_yet_are_told_after_a_start(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with receiving() as receiver:
        async with platform(path) as its:
            await its.api.callbacks.set("device", receiver.url, enabled=True)
            await its.broker.store.write(
                lambda it: it.execute(
                    "INSERT INTO devices_change (kind, sn, body) VALUES ('device', 'A', ?)",
                    (b"{}",),
                )
            )
        async with platform(path) as its:
            await receiver.until(lambda: len(receiver.taken) == 1)
            left = await its.broker.store.read(
                lambda it: it.execute("SELECT count(*) FROM devices_change").fetchone()
            )
            assert receiver.taken[0].body == b"{}"
            assert left in ((0,), (1,))  # it is deleted behind that


async def test_target_that_may_not_be_told_any_more_delays_no_other() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.callbacks.set("device", "http://127.0.0.2:9/", enabled=True)
        await its.api.callbacks.set("peripheral", receiver.url, enabled=True)
        its.plugin.use(Keys(targets_allow=("127.0.0.1",)))
        await its.plugin.follow_keys()
        await come_and_go(its)
        with its.connected("S") as device:
            device.publish("dma/report/periph", b'{"nid":"n"}')
            await receiver.until(lambda: len(receiver.taken) == 1)


async def test_target_whose_queue_is_full_delays_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def makes(targets: Targets, name: str, url: str) -> Target:
        return Target(name=name, url=url, most_posts=1)

    monkeypatch.setattr(Targets, "_target", makes)
    async with (
        receiving(lambda came: status(500)) as down,
        receiving() as up,
        platform() as its,
    ):
        await its.api.callbacks.set("device", down.url, enabled=True)
        await its.api.callbacks.set("peripheral", up.url, enabled=True)
        await come_and_go(its)
        with its.connected("S") as device:
            device.publish("dma/report/periph", b'{"nid":"n"}')
            await up.until(lambda: len(up.taken) == 1)
