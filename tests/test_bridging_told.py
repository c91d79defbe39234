"""What is told of bridges: events, to programs, web hooks and rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace

import orjson
import pytest

from nanomq_py import Broker
from nanomq_py.events import BridgeDown, BridgeSwitched, BridgeUp, Event, Events, Why
from nanomq_py.plugins.rules.columns import columns_of
from nanomq_py.plugins.webhook.actions import Actions
from nanomq_py.plugins.webhook.payloads import WRITERS
from tests import raw
from tests.bridges import BRIDGE, Bridge, Remote, port_of
from tests.eventually import WITHIN_S
from tests.test_broker import LOCAL

NO_RULES = replace(BRIDGE, forwards=(), subscriptions=())
Told = BridgeUp | BridgeDown | BridgeSwitched


@pytest.fixture
async def edge() -> AsyncIterator[Broker]:
    async with Broker(LOCAL) as running:
        yield running


@pytest.fixture
def remote() -> Iterator[Remote]:
    with closing(Remote(5)) as made:
        yield made


@pytest.fixture
async def told(edge: Broker) -> AsyncIterator[Events[Told]]:
    kinds: list[type[Told]] = [BridgeUp, BridgeDown, BridgeSwitched]
    async with edge.events(kinds) as events:
        yield events


async def hear(events: Events[Told]) -> Told:
    async with asyncio.timeout(WITHIN_S):
        return await anext(events)


async def test_a_bridge_that_comes_up_and_is_ended_by_the_other_broker_is_told(
    edge: Broker, remote: Remote, told: Events[Told]
) -> None:
    bridge = Bridge(edge, NO_RULES)
    bridge.dial(remote.port)
    conn = await remote.let_in(session_present=True)
    up = await hear(told)
    assert isinstance(up, BridgeUp)
    assert up.session_present
    assert (up.client.client_id, up.client.address) == ("one", f"127.0.0.1:{remote.port}")
    conn.send(raw.disconnect(5, 0x8B))
    down = await hear(told)
    assert isinstance(down, BridgeDown)
    assert (down.ended_by, down.reason_code) == (Why.PEER, 0x8B)
    assert (down.client.client_id, down.reason) == ("one", "ended: server shutting down")


async def test_one_that_is_lost_or_hung_up_is_told_and_a_dial_that_fails_is_not(
    edge: Broker, remote: Remote, told: Events[Told]
) -> None:
    bridge = Bridge(edge, NO_RULES)
    bridge.dial(1)
    await bridge.down()
    bridge.dial(remote.port)
    conn = await remote.let_in()
    assert isinstance(await hear(told), BridgeUp)
    conn.sock.close()
    down = await hear(told)
    assert isinstance(down, BridgeDown)
    assert (down.ended_by, down.reason_code) == (Why.NETWORK, 0)
    bridge.dial(remote.port)
    await remote.let_in()
    assert isinstance(await hear(told), BridgeUp)
    bridge.core.hang_up(bridge.number)
    down = await hear(told)
    assert isinstance(down, BridgeDown)
    assert (down.ended_by, down.reason_code) == (Why.BROKER, 0)
    bridge.dial(port_of(edge))  # to itself, as nobody else is there
    assert isinstance(await hear(told), BridgeUp)


async def test_a_bridge_that_is_switched_is_told_once(
    edge: Broker, told: Events[Told]
) -> None:
    bridge = Bridge(edge, NO_RULES)
    for paused in (True, True, False):
        bridge.put(replace(NO_RULES, paused=paused))
    for is_on in (False, True):
        event = await hear(told)
        assert isinstance(event, BridgeSwitched)
        assert (event.client.client_id, event.is_on) == ("one", is_on)


async def test_web_hooks_and_rules_have_it(
    edge: Broker, remote: Remote, told: Events[Told]
) -> None:
    bridge = Bridge(edge, NO_RULES)
    bridge.dial(remote.port)
    conn = await remote.let_in()
    events: list[Event] = [await hear(told)]
    conn.send(raw.disconnect(5, 0x8B))
    events.append(await hear(told))
    bridge.put(replace(NO_RULES, paused=True))
    events.append(await hear(told))
    names = ("up", "down", "switched")
    actions = Actions({f"bridge.{name}": () for name in names}, WRITERS["plain"])
    hooks = [each.fields for event in events for each in actions.of(event)]
    at = f"127.0.0.1:{remote.port}"
    reason = {
        "ended_by": "peer",
        "reason_code": 0x8B,
        "reason": "ended: server shutting down",
    }
    more = ({"session_present": False}, reason, {"is_on": False})
    for name, event, fields, its in zip(names, events, hooks, more, strict=True):
        where = {} if name == "switched" else {"address": at}
        assert fields == {
            "action": f"bridge_{name}",
            "bridge": "one",
            "ts": int(event.time * 1000),
            **where,
            **its,
        }
        assert orjson.dumps(fields)
        row = columns_of(f"bridge_{name}", event, "here")
        assert row is not None
        peer = {} if name == "switched" else {"peername": at}
        assert {**row, "timestamp": 0} == {
            **{"event": f"bridge.{name}", "node": "here", "timestamp": 0, "bridge": "one"},
            **peer,
            **its,
        }
