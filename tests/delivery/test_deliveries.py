"""Deliveries against receivers that take posts, refuse them, hang, and go away."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.delivery import queue as queue_module
from nanomq_py.delivery.deliveries import Deliveries
from nanomq_py.delivery.target import Post, QueueFullError, Target
from nanomq_py.store.faults import StoreError
from nanomq_py.store.store import Store
from tests.answering import status
from tests.delivery.receiving import OK, Came, Receiver, receiving
from tests.eventually import eventually_on_loop

pytestmark = pytest.mark.plain

QUICK: dict[str, Any] = {
    "first_wait_s": 0.02,
    "most_wait_s": 0.1,
    "timeout_s": 5.0,
    "most_attempts": 1000,
}


@asynccontextmanager
async def deliveries_in(path: Path | None) -> AsyncIterator[Deliveries]:
    store = Store(path)
    made = Deliveries(store)
    try:
        yield made
    finally:
        await made.leave()
        await made.stop()
        await store.close()


def target(receiver: Receiver, **given: Any) -> Target:
    return Target(**{"name": "t", "url": receiver.url, **QUICK, **given})


def posts(count: int, keys: int = 1, first: int = 0) -> list[Post]:
    return [Post(f"k{n % keys}", str(n).encode()) for n in range(first, first + count)]


def by_key(came: list[Came], keys: int) -> dict[int, list[int]]:
    found = defaultdict(list)
    for each in came:
        found[int(each.body) % keys].append(int(each.body))
    return found


def in_order(count: int, keys: int) -> dict[int, list[int]]:
    return {key: list(range(key, count, keys)) for key in range(keys)}


async def test_post_arrives_as_it_was_put() -> None:
    async with receiving() as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver, headers=(("X-Token", "abc"),)))
        await deliveries.put("t", [Post("k", b'{"a":1}', "application/cloudevents+json")])
        await receiver.until(lambda: len(receiver.taken) == 1)
        (came,) = receiver.taken
        assert (came.target, came.body) == ("/hook", b'{"a":1}')
        assert came.headers["content-type"] == "application/cloudevents+json"
        assert came.headers["x-token"] == "abc"
        assert "webhook-signature" not in came.headers
        await eventually_on_loop(lambda: deliveries.counts("t").succeeded == 1)
        assert deliveries.counts("t").waiting == 0


async def test_signature_is_that_of_standard_webhooks() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    async with receiving() as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver, secret=secret))
        await deliveries.put("t", [Post("k", b"body")])
        await receiver.until(lambda: len(receiver.taken) == 1)
    (came,) = receiver.taken
    signed = f"{came.id}.{came.headers['webhook-timestamp']}.body".encode()
    digest = hmac.new(b"k" * 24, signed, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    assert came.headers["webhook-signature"] == expected


async def test_each_key_keeps_its_order_whatever_the_receiver_does() -> None:
    turns = itertools.count()

    async def says(came: Came) -> bytes | None:
        turn = next(turns)
        if turn % 7 == 3:
            return status(500)
        if turn % 11 == 5:
            return None  # a reset
        if turn % 13 == 7:
            await asyncio.sleep(0.01)
        return OK

    async with receiving(says) as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver))
        for first in range(0, 1000, 100):
            await deliveries.put("t", posts(100, 10, first))
        await receiver.until(lambda: len(receiver.taken) >= 1000)
        await eventually_on_loop(lambda: deliveries.counts("t").waiting == 0)
    assert by_key(receiver.taken, 10) == in_order(1000, 10)
    assert max(Counter(came.id for came in receiver.taken).values()) == 1


async def test_what_waits_is_on_the_disk_and_goes_on_after_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    async with receiving() as receiver:
        await receiver.close()
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            await deliveries.put("t", posts(500, 5))
            await eventually_on_loop(lambda: deliveries.counts("t").failed > 0)
            assert deliveries.counts("t").waiting == 500
        await receiver.open()
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            await deliveries.put("t", posts(500, 5, 500))
            await receiver.until(lambda: len(receiver.taken) >= 1000)
            await eventually_on_loop(lambda: deliveries.counts("t").succeeded == 1000)
        assert by_key(receiver.taken, 5) == in_order(1000, 5)
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            counts = deliveries.counts("t")
            assert (counts.succeeded, counts.waiting) == (1000, 0)


async def test_restart_sends_nothing_a_second_time(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with receiving() as receiver:
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            await deliveries.put("t", posts(3000, 50))
            await receiver.until(lambda: len(receiver.taken) > 500)
        first = len(receiver.taken)
        assert first < 3000
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            await receiver.until(lambda: len(receiver.taken) >= 3000)
            await eventually_on_loop(lambda: deliveries.counts("t").waiting == 0)
    assert len(receiver.taken) == 3000
    assert by_key(receiver.taken, 50) == in_order(3000, 50)


async def test_queue_longer_than_memory_is_read_as_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "WINDOW_POSTS", 64)
    async with receiving() as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver))
        for first in range(0, 2000, 500):
            await deliveries.put("t", posts(500, 7, first))
        await receiver.until(lambda: len(receiver.taken) >= 2000)
    assert by_key(receiver.taken, 7) == in_order(2000, 7)


async def test_key_that_fails_does_not_stop_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "WINDOW_POSTS", 64)
    refused = True

    def says(came: Came) -> bytes:
        return status(500) if refused and int(came.body) % 10 == 0 else OK

    async with receiving(says) as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver, connections=4))
        await deliveries.put("t", posts(2000, 10))
        await receiver.until(lambda: len(receiver.taken) == 1800)
        refused = False
        await receiver.until(lambda: len(receiver.taken) == 2000)
    assert by_key(receiver.taken, 10) == in_order(2000, 10)


async def test_dead_target_does_not_delay_another() -> None:
    async def hang(came: Came) -> bytes:
        await asyncio.sleep(60)
        return OK

    async with (
        receiving(hang) as dead,
        receiving() as healthy,
        deliveries_in(None) as deliveries,
    ):
        await deliveries.set_target(target(dead, name="dead"))
        await deliveries.set_target(target(healthy, name="healthy"))
        await deliveries.put("dead", posts(500, 50))
        await deliveries.put("healthy", posts(500, 50))
        await healthy.until(lambda: len(healthy.taken) == 500)
        assert deliveries.counts("dead").waiting == 500


async def test_target_that_fails_is_left_alone_and_found_again() -> None:
    is_down = True
    async with (
        receiving(lambda came: status(503) if is_down else OK) as receiver,
        deliveries_in(None) as deliveries,
    ):
        await deliveries.set_target(target(receiver, connections=4))
        await deliveries.put("t", posts(100, 100))
        await receiver.until(lambda: len(receiver.came) >= 8)
        # 4 at once, and then one at a time
        assert [trouble.name for trouble in deliveries.troubles()] == ["delivery_failing/t"]
        is_down = False
        await receiver.until(lambda: len(receiver.taken) == 100)
        await eventually_on_loop(lambda: deliveries.counts("t").waiting == 0)
        assert not list(deliveries.troubles())
        assert deliveries.counts("t").last_error == ""


async def test_retry_after_is_honoured_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    loop = asyncio.get_running_loop()
    came_at: list[float] = []

    def says(came: Came) -> bytes:
        came_at.append(loop.time())
        return OK if len(came_at) > 1 else status(429, b"", "Retry-After: 1")

    async with receiving(says) as receiver:
        asked = target(receiver, most_wait_s=20.0, connections=1)
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(asked)
            await deliveries.put("t", posts(5, 5))
            await eventually_on_loop(lambda: deliveries.counts("t").failed == 1)
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(asked)
            await receiver.until(lambda: len(receiver.taken) == 5)
    assert came_at[1] - came_at[0] >= 0.9


async def test_410_switches_the_target_off(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    is_gone = True
    async with receiving(lambda came: status(410) if is_gone else OK) as receiver:
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            await deliveries.put("t", posts(3))
            await eventually_on_loop(lambda: deliveries.counts("t").is_off)
            await deliveries.put("t", posts(2, 1, 3))
            assert deliveries.counts("t").dropped == 2
        came = len(receiver.came)
        is_gone = False
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver))
            assert deliveries.counts("t").is_off
            assert len(receiver.came) == came
            await deliveries.switch_on("t")
            await receiver.until(lambda: len(receiver.taken) == 3)


async def test_another_url_switches_a_target_on() -> None:
    async with (
        receiving(lambda came: status(410)) as gone,
        receiving() as other,
        deliveries_in(None) as deliveries,
    ):
        await deliveries.set_target(target(gone))
        await deliveries.put("t", posts(3))
        await eventually_on_loop(lambda: deliveries.counts("t").is_off)
        await deliveries.set_target(target(other))
        await other.until(lambda: len(other.taken) == 3)


async def test_dead_letters_are_kept_shown_and_sent_again(tmp_path: Path) -> None:
    is_bad = True

    def says(came: Came) -> bytes:
        return status(400) if is_bad and came.body in (b"1", b"3") else OK

    path = tmp_path / "store.db"
    async with receiving(says) as receiver:
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver, most_attempts=2))
            await deliveries.put("t", posts(6))
            await receiver.until(lambda: len(receiver.taken) == 4)
            await eventually_on_loop(lambda: deliveries.counts("t").dead == 2)
            letters = await deliveries.dead_letters("t")
            assert [(each.body, each.attempts) for each in letters] == [
                (b"1", 2),
                (b"3", 2),
            ]
            assert letters[0].error == "its status is 400"
        async with deliveries_in(path) as deliveries:
            await deliveries.set_target(target(receiver, most_attempts=2))
            assert deliveries.counts("t").dead == 2
            is_bad = False
            assert await deliveries.send_again("t", [letters[1].number]) == 1
            await receiver.until(lambda: len(receiver.taken) == 5)
            assert await deliveries.send_again("t") == 1
            await receiver.until(lambda: len(receiver.taken) == 6)
            await eventually_on_loop(lambda: deliveries.counts("t").waiting == 0)
            assert deliveries.counts("t").dead == 0
    ids = [came.id for came in receiver.came if came.body == b"1"]
    assert len(set(ids)) == 1


async def test_oldest_dead_letters_are_forgotten_first() -> None:
    async with (
        receiving(lambda came: status(400)) as receiver,
        deliveries_in(None) as deliveries,
    ):
        await deliveries.set_target(target(receiver, most_attempts=1, most_dead=2))
        await deliveries.put("t", posts(5))
        await eventually_on_loop(lambda: deliveries.counts("t").waiting == 0)
        letters = await deliveries.dead_letters("t")
        assert [each.body for each in letters] == [b"3", b"4"]
        assert deliveries.counts("t").dropped == 3
        assert await deliveries.forget_dead("t") == 2
        assert await deliveries.dead_letters("t") == []


async def test_queue_is_bounded_and_who_is_patient_waits() -> None:
    go_on = asyncio.Event()

    async def says(came: Came) -> bytes:
        await go_on.wait()
        return OK

    async with receiving(says) as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver, most_posts=10))
        await deliveries.put("t", posts(10))
        with pytest.raises(QueueFullError, match="10 posts wait"):
            await deliveries.put("t", posts(1, 1, 10))
        late = asyncio.ensure_future(deliveries.put("t", posts(5, 1, 10), patient=True))
        await receiver.until(lambda: len(receiver.came) == 1)
        assert not late.done()
        go_on.set()
        await late
        await receiver.until(lambda: len(receiver.taken) == 15)


async def test_nobody_passes_who_was_refused_at_the_end() -> None:
    """Who was refused puts the same posts again after the start: behind, it would be late."""
    go_on = asyncio.Event()

    async def says(came: Came) -> bytes:
        await go_on.wait()
        return OK

    async with receiving(says) as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver, most_posts=10))
        await deliveries.put("t", posts(8))
        many = asyncio.ensure_future(deliveries.put("t", posts(5, 1, 8), patient=True))
        one = asyncio.ensure_future(deliveries.put("t", posts(1, 1, 13), patient=True))
        await receiver.until(lambda: len(receiver.came) == 1)
        await deliveries.leave()
        ended = await asyncio.gather(many, one, return_exceptions=True)
        assert [type(each) for each in ended] == [StoreError, StoreError]
        assert deliveries.counts("t").waiting == 8
        go_on.set()


async def test_target_that_is_removed_is_forgotten_with_its_posts() -> None:
    async with (
        receiving(lambda came: status(500)) as receiver,
        deliveries_in(None) as deliveries,
    ):
        await deliveries.set_target(target(receiver))
        await deliveries.put("t", posts(3))
        await deliveries.remove_target("t")
        with pytest.raises(KeyError):
            deliveries.counts("t")
        await deliveries.set_target(target(receiver))
        assert deliveries.counts("t").waiting == 0


async def test_redirection_is_a_failure_and_is_not_followed() -> None:
    async with receiving() as elsewhere:
        answer = status(302, b"", f"Location: {elsewhere.url}")
        async with receiving(lambda came: answer) as receiver, deliveries_in(None) as made:
            await made.set_target(target(receiver, most_attempts=2))
            await made.put("t", posts(1))
            await eventually_on_loop(lambda: made.counts("t").dead == 1)
        assert (len(receiver.came), len(elsewhere.came)) == (2, 0)


async def test_answer_cut_in_half_is_a_failure() -> None:
    answers = iter(
        [b"HTTP/1.1 204 X\r\nContent-Le", b"HTTP/1.1 200 X\r\nContent-Length: 0"]
    )

    def says(came: Came) -> bytes:
        return next(answers, OK)

    async with receiving(says) as receiver, deliveries_in(None) as deliveries:
        receiver_closes = target(receiver, timeout_s=0.3)
        await deliveries.set_target(receiver_closes)
        await deliveries.put("t", posts(1))
        await receiver.until(lambda: len(receiver.taken) == 1)
        await eventually_on_loop(lambda: deliveries.counts("t").failed == 2)


async def test_name_that_comes_to_mean_a_forbidden_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address is judged when the connection is made, and that one is connected to."""
    answers = {"first": ["169.254.169.254"], "later": ["127.0.0.1"]}
    said = "first"
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in answers[said]]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    async with receiving() as receiver, deliveries_in(None) as deliveries:
        url = f"http://hooks.example:{receiver.port}/"
        await deliveries.set_target(target(receiver, url=url))
        await deliveries.put("t", posts(1))
        await eventually_on_loop(lambda: deliveries.counts("t").failed > 1)
        error = deliveries.counts("t").last_error
        assert error == (
            "hooks.example: its address 169.254.169.254 is link-local, or of metadata"
        )
        said = "later"
        await receiver.until(lambda: len(receiver.taken) == 1)
        assert receiver.taken[0].headers["host"] == f"hooks.example:{receiver.port}"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "ftp://h/"}, "expected http://"),
        ({"url": "http:///x"}, "expected http://"),
        ({"url": "http://169.254.169.254/latest"}, "link-local, or of metadata"),
        ({"url": "http://[::ffff:169.254.169.254]/"}, "link-local, or of metadata"),
        ({"url": "http://h/", "allow": ("other",)}, "the host 'h' is not allowed"),
        ({"headers": (("Host", "x"),)}, "cannot be set"),
        ({"headers": (("X", "a\r\nb"),)}, "is no header's"),
        ({"secret": "whsec_???"}, "base64 after whsec_"),
        (
            {"url": "https://h/", "cacertfile": "/nowhere"},
            "cacertfile: /nowhere: cannot be",
        ),
        ({"name": ""}, "name: expected"),
    ],
)
async def test_target_that_cannot_be_told_is_refused(given: Any, why: str) -> None:
    async with deliveries_in(None) as deliveries:
        with pytest.raises(ValueError, match=why.replace("?", r"\?")):
            await deliveries.set_target(
                Target(**{"name": "t", "url": "http://127.0.0.1/", **given})
            )
        assert deliveries.names == []


async def test_store_that_cannot_be_written_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with receiving() as receiver:
        store = Store(None)
        deliveries = Deliveries(store)
        await deliveries.set_target(target(receiver))
        write = store.write

        async def fail(act: Any) -> Any:
            raise StoreError("the disk is full")

        monkeypatch.setattr(store, "write", fail)
        with pytest.raises(StoreError):
            await deliveries.put("t", posts(2))
        assert deliveries.counts("t").waiting == 0
        monkeypatch.setattr(store, "write", write)
        await deliveries.put("t", posts(3, 1, 2))
        await receiver.until(lambda: len(receiver.taken) == 3)
        assert [came.body for came in receiver.taken] == [b"2", b"3", b"4"]
        await deliveries.leave()
        await deliveries.stop()
        await store.close()


async def test_who_stops_waiting_for_the_disk_loses_nothing() -> None:
    async with receiving() as receiver, deliveries_in(None) as deliveries:
        await deliveries.set_target(target(receiver))
        putting = asyncio.ensure_future(deliveries.put("t", posts(2)))
        await asyncio.sleep(0)
        putting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await putting
        await receiver.until(lambda: len(receiver.taken) == 2)


@pytest.mark.parametrize("after", [-(1 << 40), -1, 1 << 40, 1 << 63])
async def test_page_of_dead_letters_begins_within_its_target(after: int) -> None:
    def refuse(came: Came) -> bytes:
        return status(500)

    async with receiving(refuse) as receiver, deliveries_in(None) as deliveries:
        for name in ("t", "u"):
            await deliveries.set_target(target(receiver, name=name, most_attempts=1))
        await deliveries.put("t", posts(1))
        await eventually_on_loop(lambda: deliveries.counts("t").dead == 1)
        with pytest.raises(ValueError, match=f"after={after}: expected"):
            await deliveries.dead_letters("u", after=after)
        assert await deliveries.dead_letters("u", after=(1 << 40) - 1) == []
