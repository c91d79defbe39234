"""Rules about QoS, RETAIN and literal filters, for what sessions hold when they change."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from nanomq_py import Broker
from nanomq_py.config.keys.access import AclRule
from nanomq_py.core.queries import SubscriptionFilter
from tests.conformance.flows import kept, take
from tests.control.test_reload_rights import running
from tests.raw import Raw

BOSS = AclRule(permit="allow", clientid="boss")


def allow(action: str, *topics: str, **more: object) -> AclRule:
    return AclRule(permit="allow", action=action, topics=topics, **more)  # type: ignore[arg-type]


async def filters_of(broker: Broker, client_id: str) -> set[str]:
    page = await broker.subscriptions(SubscriptionFilter(client_id=client_id))
    return {row.topic_filter for row in page.rows}


async def test_subscription_is_judged_by_its_qos() -> None:
    async with running() as (broker, config):
        with Raw(broker.ports["url"], 5) as c:
            await asyncio.to_thread(c.connect, "c")
            await asyncio.to_thread(c.subscribe, ("a", 0), ("b", 1), ("c", 2))
            rules = (allow("subscribe", "#", qos=(0, 1)),)
            denying = replace(config, acl_rules=rules, acl_nomatch="deny")
            await broker.reconfigure(denying)
            assert await filters_of(broker, "c") == {"a", "b"}
            assert await asyncio.to_thread(c.subscribe, ("c", 2), ("d", 1)) == [0x87, 1]


async def test_messages_of_a_filter_that_is_allowed_literally_stay() -> None:
    literal = allow("subscribe", "eq a/+")
    async with running() as (broker, config):
        with Raw(broker.ports["url"], 5) as c:
            await asyncio.to_thread(c.connect, "c", **kept(5))
            assert await asyncio.to_thread(c.subscribe, ("a/+", 1), ("b", 1)) == [1, 1]
            await asyncio.to_thread(c.leave)
        for topic in ("a/x", "b", "a/y"):
            broker.publish(topic, b"", qos=1)
        rules = replace(config, acl_rules=(literal,), acl_nomatch="deny")
        await broker.reconfigure(rules)
        assert await filters_of(broker, "c") == {"a/+"}
        with Raw(broker.ports["url"], 5) as c:
            await asyncio.to_thread(c.connect, "c", **kept(5))
            assert [(await asyncio.to_thread(take, c))[0] for _ in range(2)] == [
                "a/x",
                "a/y",
            ]
            assert await asyncio.to_thread(c.subscribe, ("a/x", 1)) == [0x87]
            await asyncio.to_thread(c.leave)
        broker.publish("a/z", b"", qos=1)
        await broker.reconfigure(replace(rules, acl_rules=()))
        assert await filters_of(broker, "c") == set()
        assert broker.stats().messages_denied == 2


async def test_will_is_judged_by_its_qos_and_retain() -> None:
    wills = {"plain": (1, False), "exactly once": (2, False), "retained": (1, True)}
    async with running() as (broker, config):
        with Raw(broker.ports["url"], 5) as boss:
            await asyncio.to_thread(boss.connect, "boss")
            await asyncio.to_thread(boss.subscribe, ("w/#", 0))
            clients = []
            for name, (qos, retain) in wills.items():
                clients.append(Raw(broker.ports["url"], 5))
                will = (f"w/{name}", b"", qos, retain)
                await asyncio.to_thread(clients[-1].connect, name, will=will)
            some = allow("publish", "w/#", qos=(0, 1), retain=False)
            rules = (BOSS, some)
            await broker.reconfigure(replace(config, acl_rules=rules, acl_nomatch="deny"))
            for client in reversed(clients):  # the plain one last
                client.close()
                while (await broker.clients()).total > 1 + clients.index(client):
                    await asyncio.sleep(0)
            assert (await asyncio.to_thread(take, boss))[0] == "w/plain"
            assert broker.stats().messages_denied == 2
