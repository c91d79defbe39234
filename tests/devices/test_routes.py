"""Message routes: messages on a topic are posted, and none that was acknowledged is lost.

Source  iot-platform-api-v1.txt, "Message Route"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.plugins.devices import routes
from nanomq_py.store.faults import StoreError
from tests.delivery.receiving import Came, receiving
from tests.devices.inside import platform, until

pytestmark = pytest.mark.plain


def bodies(came: list[Came]) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in came]


async def test_messages_are_posted_as_json() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.routes.add("test", "a/+", receiver.url)
        with its.connected("A") as device:
            device.publish("a/b", "Grüße".encode(), retain=True)
            device.publish("a/b", b"\xff\x00")
            device.publish("other", b"x")
            its.broker.publish("a/c", b"of the program", qos=1)
            await receiver.until(lambda: len(receiver.taken) == 3)
        told = {(each["sn"], each["payload"]): each for each in bodies(receiver.taken)}
        names = ["topic", "sn", "qos", "retain", "time", "payload", "encoding"]
        assert {tuple(each) for each in told.values()} == {tuple(names)}
        plain = told["A", "Grüße"]
        assert (plain["topic"], plain["retain"], plain["encoding"]) == (
            "a/b",
            True,
            "plain",
        )
        assert told["A", "/wA="]["encoding"] == "base64"
        assert told["", "of the program"]["qos"] == 1


async def test_messages_of_a_device_arrive_in_their_order() -> None:
    async with receiving() as receiver, platform() as its:
        await its.api.routes.add("test", "a/#", receiver.url)
        with its.connected("A") as device:
            for n in range(300):
                device.publish(f"a/{n % 7}", str(n).encode())
            await receiver.until(lambda: len(receiver.taken) == 300)
        assert [each["payload"] for each in bodies(receiver.taken)] == [
            str(n) for n in range(300)
        ]


async def test_retained_messages_of_before_are_not_posted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []
    put = routes.MessageRoutes._put

    async def seeing(its: routes.MessageRoutes, route: Any, batch: Any) -> None:
        await put(its, route, batch)
        seen.extend(message.payload for message in batch)

    monkeypatch.setattr(routes.MessageRoutes, "_put", seeing)
    async with receiving() as receiver, platform() as its:
        its.broker.publish("a/b", b"old", retain=True)
        await its.api.routes.add("test", "a/#", receiver.url)

        async def has_come() -> bool:
            return b"old" in seen

        await until(has_come)
        its.broker.publish("a/b", b"new")  # behind the other, if that is posted
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert bodies(receiver.taken)[0]["payload"] == "new"


async def test_target_that_is_down_delays_no_other() -> None:
    def says(came: Came) -> None:
        return None

    async with receiving(says) as down, receiving() as good, platform() as its:
        await its.api.routes.add("down", "a/#", down.url)
        await its.api.routes.add("good", "a/#", good.url)
        for n in range(20):
            its.broker.publish("a/b", str(n).encode())
        await good.until(lambda: len(good.taken) == 20)


async def test_other_topic_and_url_count_from_then_on() -> None:
    async with receiving() as first, receiving() as second, platform() as its:
        made = await its.api.routes.add("test", "a", first.url)
        its.broker.publish("a", b"1")
        await first.until(lambda: len(first.taken) == 1)
        assert await its.api.routes.update(made.id, None, "b", second.url)
        its.broker.publish("a", b"2")
        its.broker.publish("b", b"3")
        await second.until(lambda: len(second.taken) == 1)
        assert bodies(second.taken)[0]["payload"] == "3"
        assert len(first.came) == 1


async def test_deleted_route_keeps_nothing() -> None:
    async with receiving() as receiver, platform() as its:
        made = await its.api.routes.add("test", "a", receiver.url)
        assert await its.api.routes.delete(made.id) == 1
        assert its.api.targets.counts(made.target) is None
        with pytest.raises(KeyError):
            its.broker.end_consumer(made.consumer)


async def test_batch_is_acknowledged_once_the_queue_has_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "AGAIN_S", 0.01)
    async with receiving() as receiver, platform() as its:
        made = await its.api.routes.add("test", "a", receiver.url)
        put, is_full = its.api.targets.put, True

        async def failing(name: str, posts: Any) -> None:
            if is_full:
                raise StoreError("no room is left")
            await put(name, posts)

        monkeypatch.setattr(its.api.targets, "put", failing)
        its.broker.publish("a", b"x")
        while "no room is left" not in caplog.text:
            await asyncio.sleep(0.01)
        assert its.api.routes.kept(made.id) == 1
        is_full = False
        await receiver.until(lambda: len(receiver.taken) == 1)

        async def is_acknowledged() -> bool:
            return its.api.routes.kept(made.id) == 0

        await until(is_acknowledged)
        assert caplog.text.count("no room is left") == 1


async def test_routes_go_on_after_a_start(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    async with receiving() as receiver:
        async with platform(path) as its:
            await its.api.routes.add("test", "a", receiver.url)
        async with platform(path) as its:
            its.broker.publish("a", b"x")
            await receiver.until(lambda: len(receiver.taken) == 1)


async def test_number_of_routes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MOST", 1)
    async with platform() as its:
        await its.api.routes.add("test", "a", "http://127.0.0.1:9/")
        with pytest.raises(routes.Refused) as refused:
            await its.api.routes.add("test", "a", "http://127.0.0.1:9/")
        assert (refused.value.code, refused.value.status) == ("too_many", 409)
