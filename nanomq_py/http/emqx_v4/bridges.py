"""Bridges of NanoMQ's v4: what the configuration says of them, and what they are like.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ 0.8.3 to 0.24, rest_api.c
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from nanomq_py.config import Config
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.configuration import Done, change, masks
from nanomq_py.http.emqx_v4.configured import BRIDGES, BridgeNow, Bridges, node
from nanomq_py.http.emqx_v4.configuring import bridge_changed, subscription_of
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.pem import PemFiles
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.http.values import member_name, refuse
from nanomq_py.kernel.node import node_name


class Shown(msgspec.Struct, frozen=True):
    bridge: Bridges


def _now(api: Api) -> dict[str, BridgeNow]:
    """Return what each bridge that runs is like."""
    return {
        each.name: BridgeNow(
            state=each.state.value,
            address=each.address,
            attempts=each.attempts,
            last_error=each.last_error,
            refused=each.refused,
            since=each.changed_ms // 1000,
            waiting=each.stats.waiting,
            waiting_bytes=each.stats.waiting_bytes,
            in_flight=each.stats.in_flight,
            sent=each.stats.sent,
            acked=each.stats.acked,
            received=each.stats.received,
            dropped=each.stats.dropped,
        )
        for each in api.broker.bridges()
    }


async def list_bridges(api: Api, call: Plain) -> Shown:
    name, masked, now = call.path.get("name"), masks(api, call), _now(api)
    here = node_name(api.configurator.config)
    nodes = [
        node(each, here, now.get(each.name), masked=masked)
        for each in api.configurator.config.bridges
        if name is None or each.name == name
    ]
    return Shown(Bridges(nodes))


async def _change(
    api: Api, who: str, edit: Callable[[tuple[Bridge, ...]], tuple[Bridge, ...]]
) -> Done:
    """Put other bridges in force."""
    return await change(
        api,
        who,
        lambda config: replace(config, bridges=edit(config.bridges)),
        PemFiles(None),
    )


async def _change_one(
    api: Api, call: Call[Any, Any], edit: Callable[[Bridge], Bridge]
) -> Done:
    """Change the bridge that the path names. Raises Refused where there is none."""
    name = call.path["name"]
    _check_bridge(api.configurator.config, name)
    return await _change(
        api,
        call.who,
        lambda old: tuple(edit(each) if each.name == name else each for each in old),
    )


async def add_bridge(api: Api, call: Call[Nothing, dict[str, Any]]) -> Done:
    """Add a bridge: the body has its name and its fields, or ``data`` has them."""
    data = call.body.get("data", call.body)
    if not isinstance(data, dict):
        raise refuse("data", "an object")
    name = member_name(BRIDGES, "name", data.get("name"))
    fields = {"enable": True, **{k: v for k, v in data.items() if k != "name"}}
    here = node_name(api.configurator.config)
    made = bridge_changed(Bridge(name=name), name, fields, here)

    def edit(old: tuple[Bridge, ...]) -> tuple[Bridge, ...]:
        if name in [each.name for each in old]:
            raise Refused(Code.REQ_PARAM_ERROR, f"there is a bridge {name!r}", 409)
        return (*old, made)

    return await _change(api, call.who, edit)


async def set_bridge(api: Api, call: Call[Nothing, dict[str, Any]]) -> Done:
    """Change a bridge: the body has its fields below its name, or below ``data``."""
    name, body = call.path["name"], call.body
    _check_bridge(api.configurator.config, name)
    if len(body) != 1 or not body.keys() <= {name, "data"}:
        raise refuse(name, "an object of that name, and nothing beside it")
    (data,) = body.values()
    here = node_name(api.configurator.config)
    return await _change_one(api, call, lambda old: bridge_changed(old, name, data, here))


async def delete_bridge(api: Api, call: Plain) -> Done:
    """End a bridge, with what waits in it."""
    name = call.path["name"]
    _check_bridge(api.configurator.config, name)
    return await _change(
        api, call.who, lambda old: tuple(each for each in old if each.name != name)
    )


def _check_bridge(config: Config, name: str) -> None:
    """Raise Refused where the configuration has no bridge of that name."""
    if name not in [each.name for each in config.bridges]:
        raise Refused(Code.REQ_PARAM_ERROR, f"there is no bridge {name[:64]!r}", 404)


class Subscriptions(msgspec.Struct, frozen=True):
    """``subscription``: as in the configuration of a bridge."""

    subscription: list[dict[str, Any]]


class Subscribe(msgspec.Struct, frozen=True):
    data: Subscriptions


class Topic(msgspec.Struct, frozen=True):
    topic: str


class Unsubscriptions(msgspec.Struct, frozen=True):
    unsubscription: list[Topic]


class Unsubscribe(msgspec.Struct, frozen=True):
    data: Unsubscriptions


class SwitchTo(msgspec.Struct, frozen=True):
    bridge_switch: bool


class Switch(msgspec.Struct, frozen=True):
    data: SwitchTo


async def subscribe(api: Api, call: Call[Nothing, Subscribe]) -> Done:
    """Subscribe at the other broker; what is subscribed to already is changed."""
    given = call.body.data.subscription
    new = [subscription_of(f"subscription[{n}]", each) for n, each in enumerate(given)]
    topics = {each.topic for each in new}

    def edit(old: Bridge) -> Bridge:
        kept = [each for each in old.subscription if each.topic not in topics]
        return replace(old, subscription=(*kept, *new))

    return await _change_one(api, call, edit)


async def unsubscribe(api: Api, call: Call[Nothing, Unsubscribe]) -> Done:
    topics = {each.topic for each in call.body.data.unsubscription}

    def edit(old: Bridge) -> Bridge:
        for topic in topics - {each.topic for each in old.subscription}:
            message = f"{old.name}: it does not subscribe to {topic[:64]!r}"
            raise Refused(Code.REQ_PARAM_ERROR, message, 404)
        kept = [each for each in old.subscription if each.topic not in topics]
        return replace(old, subscription=tuple(kept))

    return await _change_one(api, call, edit)


async def switch(api: Api, call: Call[Nothing, Switch]) -> Done:
    """Pause a bridge, which keeps what is to cross, or let it go on."""
    is_on = call.body.data.bridge_switch
    return await _change_one(api, call, lambda old: replace(old, paused=not is_on))


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/bridges",
        also=("/bridges/{name}",),
        act=list_bridges,
        summary="What the configuration says of bridges, and what they are like.",
    ),
    Endpoint(
        method="POST",
        path="/bridges",
        act=add_bridge,
        summary="Add a bridge to another broker.",
    ),
    Endpoint(
        method="PUT",
        path="/bridges/{name}",
        act=set_bridge,
        summary="Change a bridge; what waits in it stays.",
    ),
    Endpoint(
        method="DELETE",
        path="/bridges/{name}",
        act=delete_bridge,
        summary="End a bridge, with what waits in it.",
    ),
    *(
        Endpoint(method=method, path=f"/bridges/{path}/{{name}}", act=act, summary=summary)
        for path, act, summary in (
            ("sub", subscribe, "Subscribe at the other broker of a bridge."),
            ("unsub", unsubscribe, "Unsubscribe at the other broker of a bridge."),
            ("switch", switch, "Pause a bridge, or let it go on."),
        )
        for method in ("POST", "PUT")  # NanoMQ's pages say PUT
    ),
]
