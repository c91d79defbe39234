"""Modules of v4: features that the broker brings, and of which some can be switched.

A switch is a key of the configuration: it is changed in force and in the file. EMQX's names
stand for features that EMQX has as modules; the others have names of their own. A reload of a
module reads the configuration and its files again, as a whole.

Source  EMQX 4.4, emqx_modules_api; http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from nanomq_py.config import Config, ConfigError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import Refused, check_node
from nanomq_py.http.rest.endpoint import Endpoint, Plain


@dataclass(frozen=True)
class Module:
    """A feature.

    key     that switches it; empty: it is always there
    """

    description: str
    key: str = ""

    @property
    def _section(self) -> str:
        return self.key.removesuffix(".enable").replace(".", "_")

    def is_active(self, config: Config) -> bool:
        return not self.key or bool(getattr(config, self._section).enable)

    def switched(self, config: Config, *, on: bool) -> Config:
        section = replace(getattr(config, self._section), enable=on)
        return replace(config, **{self._section: section})


MODULES = {
    "emqx_mod_acl_internal": Module("Access rules of the configuration"),
    "emqx_mod_topic_metrics": Module("Counters of single topics"),
    "flapping_detect": Module(
        "Bans client identifiers that connect too often", "flapping_detect.enable"
    ),
    "auth_http": Module("Asks an HTTP server about clients", "auth.http.enable"),
    "auth_jwt": Module("Lets clients log in with a token", "auth.jwt.enable"),
}


class ModuleRow(msgspec.Struct, frozen=True):
    name: str
    description: str
    active: bool


class OfNode(msgspec.Struct, frozen=True):
    node: str
    modules: list[ModuleRow]


def _rows(api: Api) -> list[ModuleRow]:
    config = api.configurator.config
    return [
        ModuleRow(name, module.description, module.is_active(config))
        for name, module in MODULES.items()
    ]


async def list_modules(api: Api, call: Plain) -> list[OfNode]:
    return [OfNode(api.node, _rows(api))]


async def list_modules_of_node(api: Api, call: Plain) -> list[ModuleRow]:
    check_node(api, call)
    return _rows(api)


def _named(api: Api, call: Plain) -> Module:
    """Return the module of the path. Raises UnknownNode, Refused."""
    check_node(api, call)
    name = call.path["module"]
    if name not in MODULES:
        message = f"not_found: {name[:64]!r}: expected one of {', '.join(MODULES)}"
        raise Refused(Code.UNKNOWN_MISTAKE, message, 404)
    return MODULES[name]


def _to(module: Module, *, on: bool) -> Callable[[Config], Config]:
    """Return what switches it. That raises Refused where it is so already."""

    def edit(config: Config) -> Config:
        if module.is_active(config) is on:
            if on:
                raise Refused(Code.PLUGIN_IS_ENABLED, "already_started")
            raise Refused(Code.PLUGIN_IS_CLOSED, "not_started")
        return module.switched(config, on=on)

    return edit


async def _switch(api: Api, module: Module, who: str, *, on: bool) -> None:
    try:
        await api.configurator.change(_to(module, on=on), who)
    except ConfigError as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


async def load(api: Api, call: Plain) -> None:
    await _switch(api, _named(api, call), call.who, on=True)


async def unload(api: Api, call: Plain) -> None:
    module = _named(api, call)
    if not module.key:
        message = f"{call.path['module']} is a part of the broker and is not switched off"
        raise Refused(Code.UNKNOWN_MISTAKE, message)
    await _switch(api, module, call.who, on=False)


async def reload(api: Api, call: Plain) -> None:
    _named(api, call)
    try:
        await api.configurator.reload(call.who)
    except ConfigError as fault:
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/modules",
        act=list_modules,
        summary="Features of the broker, and whether they are on.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/modules",
        act=list_modules_of_node,
        summary="Features of the broker on a node.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/modules/{module}/load",
        also=("/modules/{module}/load",),
        act=load,
        summary="Switch a feature on.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/modules/{module}/unload",
        also=("/modules/{module}/unload",),
        act=unload,
        summary="Switch a feature off.",
    ),
    Endpoint(
        method="PUT",
        path="/nodes/{node}/modules/{module}/reload",
        also=("/modules/{module}/reload",),
        act=reload,
        summary="Read the configuration of a feature again, with its files.",
    ),
]
