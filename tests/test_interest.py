"""First and last subscriptions to a filter, told in turn and without a gap."""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import replace

from nanomq_py import Broker
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.events import (
    Events,
    FirstSubscription,
    LastSubscription,
    Subscribed,
)
from tests.raw import UNSUBACK, Raw, unsubscribe
from tests.test_events import KEPT, LOCAL, rest_of

Change = FirstSubscription | LastSubscription
BOTH: tuple[type[FirstSubscription], type[LastSubscription]] = (
    FirstSubscription,
    LastSubscription,
)


def heard(events: list[Change]) -> list[str]:
    """Return each filter with ``+`` for the first subscription and ``-`` for the last."""
    return ["-+"[isinstance(e, FirstSubscription)] + e.topic_filter for e in events]


def open_both(broker: Broker) -> Events[Change]:
    return broker.events(BOTH)


def leave(c: Raw, *filters: str) -> None:
    c.send(unsubscribe(1, *filters, version=5))
    c.expect(UNSUBACK)


async def test_first_and_last_are_told_whoever_they_are_of() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c, Raw(broker.ports["url"], 5) as d:
            c.connect("c")
            d.connect("d")
            events = open_both(broker)
            c.subscribe(("a/#", 1), ("a", 0))
            d.subscribe(("a/#", 0))
            d.subscribe(("a/#", 2))  # in place of its own
            leave(c, "a/#", "never")
            leave(d, "a/#")
            c.subscribe(("a/#", 0))
            assert heard(await rest_of(events)) == ["+a/#", "+a", "-a/#", "+a/#"]


async def test_subscriptions_of_groups_are_to_the_filter_without_its_group() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            events = open_both(broker)
            c.subscribe(("$share/g/a", 0))
            c.subscribe(("a", 0), ("$share/h/a", 0), ("$share/g/a/#", 0))
            for filter in ("$share/g/a", "a", "$share/h/a", "$share/g/a/#"):
                leave(c, filter)
            assert heard(await rest_of(events)) == ["+a", "+a/#", "-a", "-a/#"]


async def test_taps_and_consumers_count() -> None:
    async with Broker(LOCAL) as broker:
        events = open_both(broker)
        async with broker.subscribe("t/+"), broker.consume("c", ["t/+", "n"]):
            pass
        broker.end_consumer("c")
        changes = heard(await rest_of(events))
        assert changes[:2] == ["+t/+", "+n"]
        assert sorted(changes[2:]) == ["-n", "-t/+"]


async def test_the_end_of_a_session_is_the_end_of_its_subscriptions() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(*((f"a/{n}", 0) for n in range(200)))
            await asyncio.to_thread(c.leave)
        events = open_both(broker)
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")  # a clean start
            c.ping()
        assert sorted(heard(await rest_of(events))) == sorted(f"-a/{n}" for n in range(200))


async def test_subscription_that_is_refused_is_not_told() -> None:
    async with Broker(replace(LOCAL, max_subscriptions=1)) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c")
            events = open_both(broker)
            assert c.subscribe(("a", 0), ("b", 0), ("$share/g/a", 0)) == [0, 0x97, 0x97]
            assert heard(await rest_of(events)) == ["+a"]


async def test_a_subscription_that_moves_is_to_another_filter() -> None:
    async with Broker(LOCAL) as broker:
        with Raw(broker.ports["url"], 5) as c:
            c.connect("c", **KEPT)
            c.subscribe(("a", 0))
            await asyncio.to_thread(c.leave)
        events = open_both(broker)
        moved = replace(LOCAL, listeners=(Listener(name="tcp", mountpoint="m/"),))
        await broker.reconfigure(moved)
        assert sorted(heard(await rest_of(events))) == ["+m/a", "-a"]


async def test_nothing_is_told_of_a_kind_that_is_not_asked_for() -> None:
    async with Broker(LOCAL) as broker:
        lasts = broker.events([LastSubscription])
        others = broker.events([Subscribed])
        async with broker.subscribe("t"):
            pass
        assert [e.topic_filter for e in await rest_of(lasts)] == ["t"]
        assert await rest_of(others) == []


def come_and_go(port: int, me: int, stopping: threading.Event) -> None:
    with Raw(port, 5) as c:
        c.connect(f"c{me}", **KEPT)
        for turn in itertools.count():
            if stopping.is_set():
                break
            filters = [f"f/{(me + turn * k) % 23}" for k in range(1, 4)]
            c.subscribe(*((filter, 0) for filter in filters))
            c.subscribe((f"$share/g{me}/{filters[0]}", 0))
            leave(c, *filters[: turn % 4], f"$share/g{me}/{filters[0]}")
        c.leave()


async def routes(broker: Broker) -> set[str]:
    """Return the filters of all routes, read a few at a time."""
    known: set[str] = set()
    after: int | None = None
    while True:
        page = await broker.routes(after=after, limit=3)
        known |= {row.topic_filter for row in page.rows}
        if (after := page.next) is None:
            return known


async def test_routes_read_after_opening_and_events_since_leave_no_gap() -> None:
    async with Broker(LOCAL) as broker, broker.subscribe("f/stays"):
        stopping = threading.Event()
        busy = [
            asyncio.create_task(
                asyncio.to_thread(come_and_go, broker.ports["url"], n, stopping)
            )
            for n in (0, 1)
        ]
        while len(await routes(broker)) < 10:  # they have begun
            pass
        events = open_both(broker)
        known = await routes(broker)
        for _ in range(10):  # the routes change meanwhile
            await routes(broker)
        stopping.set()
        await asyncio.gather(*busy)
        for event in await rest_of(events):
            if isinstance(event, FirstSubscription):
                known.add(event.topic_filter)
            else:
                known.discard(event.topic_filter)
        assert "f/stays" in known
        assert known == await routes(broker)
