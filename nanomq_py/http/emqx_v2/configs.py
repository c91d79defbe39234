"""The configuration of v2: it is read here, and changed in no way of EMQX's.

Source  EMQX 2.3, emqttd_rest_api, where the name of the type is misspelled
"""

from __future__ import annotations

import asyncio

import msgspec

from nanomq_py.config.keys.plugins import plugin_of
from nanomq_py.config.settings import settings_of
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.rest.endpoint import Endpoint, Plain

_TYPES = {bool: "flag", int: "integer", list: "list"}


class ConfigRow(msgspec.Struct, frozen=True):
    """A key; ``app`` is the plugin that it belongs to, or nanomq."""

    key: str
    value: str
    datatype: str = msgspec.field(name="datatpye")
    app: str


async def _rows(api: Api) -> list[ConfigRow]:
    config = api.configurator.config
    settings = await asyncio.to_thread(settings_of, config)
    return [
        ConfigRow(
            key=name,
            value=setting.shown,
            datatype=_TYPES.get(setting.json, "string"),
            app=plugin_of(name) or "nanomq",
        )
        for name, setting in settings.items()
    ]


async def list_configs(api: Api, call: Plain) -> dict[str, list[ConfigRow]]:
    return {api.node: await _rows(api)}


async def get_configs(api: Api, call: Plain) -> list[ConfigRow]:
    api.check_node(call.path["node_name"])
    return await _rows(api)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/configs",
        act=list_configs,
        summary="The configuration, without its secrets, by the name of the node.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/configs",
        act=get_configs,
        summary="The configuration of one node, without its secrets.",
    ),
]
