"""Plugins of v4: those of nanomq-py that are installed.

Source  EMQX 4.4, emqx_mgmt_api_plugins; emqx_plugins: ``already_started``, ``not_started``
"""

from __future__ import annotations

import msgspec

from nanomq_py.config import ConfigError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.plugins import is_active, switch_of
from nanomq_py.http.emqx_v4.words import Refused, check_node
from nanomq_py.http.rest.endpoint import Endpoint, Plain

FEATURE = "feature"  # of EMQX's kinds the one that says the least


class PluginRow(msgspec.Struct, frozen=True):
    name: str
    version: str
    description: str
    active: bool
    type: str = FEATURE


class OfNode(msgspec.Struct, frozen=True):
    node: str
    plugins: list[PluginRow]


async def _rows(api: Api) -> list[PluginRow]:
    return [
        PluginRow(each.name, each.version, each.description, is_active(each))
        for each in await switch_of(api).all()
    ]


async def list_plugins(api: Api, call: Plain) -> list[OfNode]:
    return [OfNode(api.node, await _rows(api))]


async def list_plugins_of_node(api: Api, call: Plain) -> list[PluginRow]:
    check_node(api, call)
    return await _rows(api)


def _refusal(fault: ConfigError) -> Refused:
    from nanomq_py.plugins.switch import (
        AlreadyLoadedError,
        NotInstalledError,
        NotLoadedError,
    )

    match fault:
        case AlreadyLoadedError():
            return Refused(Code.PLUGIN_IS_ENABLED, "already_started")
        case NotLoadedError():
            return Refused(Code.PLUGIN_IS_CLOSED, "not_started")
        case NotInstalledError():
            return Refused(Code.UNKNOWN_MISTAKE, f"not_found: {fault}", 404)
    return Refused(Code.UNKNOWN_MISTAKE, str(fault))


async def load(api: Api, call: Plain) -> None:
    check_node(api, call)
    try:
        await switch_of(api).load(call.path["plugin"], call.who)
    except ConfigError as fault:
        raise _refusal(fault) from None


async def unload(api: Api, call: Plain) -> None:
    check_node(api, call)
    try:
        await switch_of(api).unload(call.path["plugin"], call.who)
    except ConfigError as fault:
        raise _refusal(fault) from None


async def reload(api: Api, call: Plain) -> None:
    check_node(api, call)
    try:
        await switch_of(api).reload(call.path["plugin"], call.who)
    except ConfigError as fault:
        raise _refusal(fault) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/plugins",
        act=list_plugins,
        summary="Plugins that are installed.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/plugins",
        act=list_plugins_of_node,
        summary="Plugins that are installed on a node.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/plugins/{plugin}/load",
        also=("/plugins/{plugin}/load",),
        act=load,
        summary="Load a plugin.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/plugins/{plugin}/unload",
        also=("/plugins/{plugin}/unload",),
        act=unload,
        summary="Unload a plugin.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/plugins/{plugin}/reload",
        also=("/plugins/{plugin}/reload",),
        act=reload,
        summary="Load the code of a plugin anew.",
    ),
]
