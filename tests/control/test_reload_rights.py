"""Rights that a reload takes away: counted, in steps, and beside everything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nanomq_py import Broker, Config
from nanomq_py.auth.enhanced import Step
from nanomq_py.config.keys.access import AclRule, User
from nanomq_py.core.queries import SubscriptionFilter
from tests import raw
from tests.conformance.flows import kept, text
from tests.raw import Raw

DENY_ALL = (AclRule(permit="deny", clientid=None, topics=("secret/#",)),)
USERS = (User(login="ann", password="a"), User(login="bob", password="b"))


@asynccontextmanager
async def running(**keys: object) -> AsyncIterator[tuple[Broker, Config]]:
    config = replace(Config(), url="nmq-tcp://127.0.0.1:0", **keys)  # type: ignore[arg-type]
    config = replace(config, websocket=replace(config.websocket, enable=False))
    async with Broker(config) as broker:
        yield broker, config


def come(broker: Broker, *ids: str, **options: object) -> list[Raw]:
    """Connect clients that subscribe to a topic that will be denied and one that will not."""
    clients = []
    for client_id in ids:
        c = Raw(broker.ports["url"], 5, timeout=30)
        c.connect(client_id, **options)
        assert c.subscribe(("secret/a", 1), ("open", 1), ("secret/+", 1)) == [1, 1, 1]
        clients.append(c)
    return clients


def give(broker: Broker, topic: str, count: int) -> None:
    for n in range(count):
        broker.publish(topic, b"%d" % n, qos=1)


async def test_what_ends_is_counted() -> None:
    async with running(users=USERS) as (broker, config):
        (here,) = await asyncio.to_thread(come, broker, "here", user="ann", password=b"a")
        (away,) = await asyncio.to_thread(come, broker, "away", **kept(5))
        await asyncio.to_thread(away.leave)
        give(broker, "secret/a", 5)
        give(broker, "open", 2)
        await broker.reconfigure(replace(config, acl_rules=DENY_ALL))
        stats = broker.stats()
        assert (stats.subscriptions_ended, stats.messages_denied) == (4, 5)
        assert stats.subscriptions == 2
        of_away = await broker.subscriptions(SubscriptionFilter(client_id="away"))
        assert [s.topic_filter for s in of_away.rows] == ["open"]
        assert {c.client_id: c.queued for c in (await broker.clients()).rows}["away"] == 2
        await broker.reconfigure(replace(config, users=USERS[1:]))
        assert broker.stats().users_ended == 1
        here.close()


@pytest.mark.alone
async def test_the_event_loop_goes_on_while_many_sessions_are_judged() -> None:
    count = 2000
    rules = tuple(
        AclRule(permit="deny", clientid=f"c{n}", topics=("secret/#",)) for n in range(count)
    )
    async with running() as (broker, config):

        def fill() -> None:
            for n in range(count):
                (c,) = come(broker, f"c{n}", **kept(5))
                c.close()

        await asyncio.to_thread(fill)
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                began = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - began)

        change = await broker.prepare(replace(config, acl_rules=rules))
        change.commit()
        watcher = asyncio.create_task(watch())
        await change.settle()
        watcher.cancel()
        assert broker.stats().subscriptions_ended == 2 * count
        assert longest < 0.5


async def test_broker_that_stops_does_not_wait_for_it() -> None:
    async with running() as (broker, config):
        (c,) = await asyncio.to_thread(come, broker, "c")
        change = await broker.prepare(replace(config, acl_rules=DENY_ALL))
        change.commit()
        settling = asyncio.create_task(change.settle())
        await asyncio.sleep(0)
        await broker.stop(timeout_s=0)
        await settling
        c.close()


class _Token:
    """A method with users of its own: it takes everybody for ann."""

    name = "TOKEN"

    def begin(self, client_id: str) -> _Token:
        return self

    def step(self, data: bytes | None) -> Step:
        return Step(0, user_name="ann")


async def test_users_of_another_method_are_none_of_the_brokers() -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0", users=USERS)
    config = replace(config, websocket=replace(config.websocket, enable=False))
    async with Broker(config, methods=[_Token()]) as broker:

        def connect(client_id: str, **options: object) -> Raw:
            c = Raw(broker.ports["url"], 5)
            assert c.connect(client_id, **options).reason == 0
            return c

        token = {"properties": text(0x15, "TOKEN")}
        theirs = await asyncio.to_thread(connect, "theirs", **token)
        ours = await asyncio.to_thread(connect, "ours", user="ann", password=b"a")
        await broker.reconfigure(replace(config, users=USERS[1:]))
        assert [p.reason for p in await asyncio.to_thread(ours.read_until_closed)] == [0x87]
        await asyncio.to_thread(theirs.ping)
        theirs.close()
        ours.close()


async def test_rules_are_kept_with_the_queue_of_a_client_that_reads_on() -> None:
    async with running() as (broker, config):
        (c,) = await asyncio.to_thread(
            come,
            broker,
            "c",
            properties=b"\x21\x00\x01",  # Receive Maximum 1
        )
        give(broker, "secret/a", 3)
        give(broker, "open", 2)
        await broker.reconfigure(replace(config, acl_rules=DENY_ALL))

        def read() -> list[str]:
            topics = []
            for _ in range(3):
                packet = c.expect(raw.PUBLISH)
                topics.append(packet.topic)
                c.send(raw.ack(raw.PUBACK, packet.packet_id))
            c.assert_silent()
            return topics

        # the first was on its way
        assert await asyncio.to_thread(read) == ["secret/a", "open", "open"]
        assert broker.stats().messages_denied == 2
        c.close()


async def test_right_that_goes_during_a_subscribe_takes_its_retained_messages_along() -> (
    None
):
    rules = (
        AclRule(permit="deny", clientid="c", topics=("secret/#",)),
        AclRule(permit="deny", clientid="d", topics=("none",)),
    )
    filters = [("secret/#", 0), *((f"f/{n}", 0) for n in range(40_000))]
    async with running(max_filters_per_packet=0, acl_rules=rules[1:]) as (broker, config):
        for n in range(40):
            broker.publish(f"secret/{n}", b"kept", retain=True)
        c = await asyncio.to_thread(Raw, broker.ports["url"], 5, 60)
        await asyncio.to_thread(c.connect, "c")
        await asyncio.to_thread(c.send, raw.subscribe(1, *filters, version=5))
        while broker.stats().subscriptions == 0:
            await asyncio.sleep(0)
        await broker.reconfigure(replace(config, acl_rules=rules))
        done = broker.stats().subscriptions
        assert 0 < done < len(filters) - 1  # the packet is under way
        codes = (await asyncio.to_thread(c.expect, raw.SUBACK)).codes
        assert len(codes) == len(filters)
        await asyncio.to_thread(c.assert_silent)
        c.close()
