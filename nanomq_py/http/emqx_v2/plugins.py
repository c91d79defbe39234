"""Plugins of v2: those of nanomq-py that are installed."""

from __future__ import annotations

import msgspec

from nanomq_py.config import ConfigError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.plugins import is_active, switch_of
from nanomq_py.http.emqx_v2.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing


class PluginRow(msgspec.Struct, frozen=True):
    name: str
    version: str
    description: str
    active: bool


class Switching(msgspec.Struct, frozen=True):
    active: bool


async def list_plugins(api: Api, call: Plain) -> list[PluginRow]:
    api.check_node(call.path["node_name"])
    return [
        PluginRow(each.name, each.version, each.description, is_active(each))
        for each in await switch_of(api).all()
    ]


async def switch_plugin(api: Api, call: Call[Nothing, Switching]) -> None:
    from nanomq_py.plugins.switch import AlreadyLoadedError, NotLoadedError

    api.check_node(call.path["node_name"])
    name, switch = call.path["plugin_name"], switch_of(api)
    try:
        if call.body.active:
            await switch.load(name, call.who)
        else:
            await switch.unload(name, call.who)
    except AlreadyLoadedError:
        raise Refused(Code.PLUGIN_IS_ENABLED, "already_started") from None
    except NotLoadedError:
        raise Refused(Code.PLUGIN_IS_CLOSED, "not_started") from None
    except ConfigError as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/plugins",
        act=list_plugins,
        summary="Plugins that are installed.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node_name}/plugins/{plugin_name}",
        act=switch_plugin,
        summary="Load or unload a plugin.",
    ),
]
