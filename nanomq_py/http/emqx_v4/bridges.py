"""Bridges of NanoMQ's v4: what the configuration says of them.

No bridge runs in this version. What needs one that runs is answered 501.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ 0.8.3 to 0.24, rest_api.c
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from nanomq_py.config import Config
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.configuration import Done, change, masks
from nanomq_py.http.emqx_v4.configured import Bridges, bridges
from nanomq_py.http.emqx_v4.configuring import bridge_changed
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.pem import PemFiles
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.http.values import refuse


class Shown(msgspec.Struct, frozen=True):
    bridge: Bridges


async def list_bridges(api: Api, call: Plain) -> Shown:
    config, name = api.configurator.config, call.path.get("name")
    return Shown(bridges(config, name, masked=masks(api, call)))


async def set_bridge(api: Api, call: Call[Nothing, dict[str, Any]]) -> Done:
    """Change a bridge: the body has its fields below its name, or below ``data``."""
    name, body = call.path["name"], call.body
    _check_bridge(api, name)
    if len(body) != 1 or not body.keys() <= {name, "data"}:
        raise refuse(name, "an object of that name, and nothing beside it")
    (data,) = body.values()

    def edit(config: Config) -> Config:
        made = [
            bridge_changed(each, name, data) if each.name == name else each
            for each in config.bridges
        ]
        return replace(config, bridges=tuple(made))

    return await change(api, call.who, edit, PemFiles(None))


def _check_bridge(api: Api, name: str) -> None:
    """Raise Refused where the configuration has no bridge of that name."""
    if name not in [each.name for each in api.configurator.config.bridges]:
        raise Refused(Code.REQ_PARAM_ERROR, f"there is no bridge {name[:64]!r}", 404)


class RemoteTopic(msgspec.Struct, frozen=True):
    remote_topic: str
    local_topic: str = ""
    qos: int = 0


class Subscriptions(msgspec.Struct, frozen=True):
    subscription: list[RemoteTopic]


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


def _refuse(api: Api, name: str) -> NoReturn:
    _check_bridge(api, name)
    raise Refused(
        Code.PLUGIN_IS_CLOSED,
        f"{name}: bridges do not run in this version; PUT /bridges/{name} changes what the"
        " configuration says of it",
        501,
    )


async def subscribe(api: Api, call: Call[Nothing, Subscribe]) -> None:
    _refuse(api, call.path["name"])


async def unsubscribe(api: Api, call: Call[Nothing, Unsubscribe]) -> None:
    _refuse(api, call.path["name"])


async def switch(api: Api, call: Call[Nothing, Switch]) -> None:
    _refuse(api, call.path["name"])


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/bridges",
        also=("/bridges/{name}",),
        act=list_bridges,
        summary="What the configuration says of bridges.",
    ),
    Endpoint(
        method="PUT",
        path="/bridges/{name}",
        act=set_bridge,
        summary="Change what the configuration says of a bridge.",
    ),
    *(
        Endpoint(
            method=method,
            path=f"/bridges/{path}/{{name}}",
            act=act,
            summary=f"{summary} Bridges do not run in this version: 501.",
        )
        for path, act, summary in (
            ("sub", subscribe, "Subscribe at the other broker of a bridge."),
            ("unsub", unsubscribe, "Unsubscribe at the other broker of a bridge."),
            ("switch", switch, "Switch a bridge on or off."),
        )
        for method in ("POST", "PUT")  # NanoMQ's pages say PUT
    ),
]
