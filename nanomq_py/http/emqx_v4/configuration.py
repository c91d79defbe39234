"""``reload``, ``configuration`` and ``config_update`` of NanoMQ's v4.

Each change is the transaction of a reload: all of it is in force and in the file, or nothing.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ 0.8.3 to 0.24, rest_api.c
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.faults import NotWrittenError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.configured import PARTS, Configuration, Hot, configuration, hot
from nanomq_py.http.emqx_v4.configuring import configuration_changed, top_changed
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.pem import PemFiles, PemPart
from nanomq_py.http.request import is_masked
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.kernel.reload import Outcome, audit


class Changes(msgspec.Struct, frozen=True):
    """``data`` holds parts, by their names; of ``/reload`` keys."""

    data: dict[str, Any]


class Done(msgspec.Struct, frozen=True):
    """What a change did, by names of keys; NanoMQ does not tell it.

    applied  in force now
    restart  wait for a restart
    unused   without effect in this version
    """

    applied: list[str]
    restart: list[str]
    unused: list[str]


async def done(act: Awaitable[Outcome]) -> Done:
    """Return what a change did. Raises BadParameter, Refused."""
    try:
        outcome = await act
    except NotWrittenError as fault:
        raise Refused(Code.CONFIG_NOT_WRITTEN, str(fault), 500) from None
    except ConfigError as fault:
        raise BadParameter(str(fault)) from None
    return Done(list(outcome.applied), list(outcome.restart), list(outcome.unused))


def masks(api: Api, call: Call[Any, Any]) -> bool:
    """Return whether the caller is shown no secrets."""
    http = api.configurator.config.http_server
    return is_masked(http, call.caller, is_private=call.is_private)


async def get_hot(api: Api, call: Plain) -> Hot:
    return hot(api.configurator.config)


async def set_hot(api: Api, call: Call[Nothing, Changes]) -> Done:
    data = call.body.data

    def edit(config: Config) -> Config:
        return top_changed(config, "", data, Hot.__struct_fields__)

    return await done(api.configurator.change(edit, call.who))


async def get_configuration(api: Api, call: Plain) -> Configuration:
    part, masked = _part(call), masks(api, call)
    made = await asyncio.to_thread(
        configuration, api.configurator.config, part, masked=masked
    )
    audit.info("%s: read, its secrets %s", call.who, "masked" if masked else "shown")
    return made


def _part(call: Call[Any, Any]) -> str | None:
    """Return the part in the path; None: all. Raises Refused."""
    part = call.path.get("part")
    if part is not None and part not in PARTS:
        raise Refused(
            Code.RPC_ERROR, f"{part[:64]!r}: expected one of {', '.join(PARTS)}", 404
        )
    return part


async def set_configuration(api: Api, call: Call[Nothing, Changes]) -> Done:
    part, data = _part(call), call.body.data
    pem = PemFiles(api.configurator.path)

    def edit(config: Config) -> Config:
        return configuration_changed(config, data, pem, part)

    return await change(api, call.who, edit, pem)


async def change(
    api: Api, who: str, edit: Callable[[Config], Config], pem: PemFiles
) -> Done:
    """Put another configuration in force, with the PEM files that it names."""
    made = await done(api.configurator.change(edit, who, before=PemPart(pem)))
    await asyncio.to_thread(pem.remove_old)
    return made


async def update_file(api: Api, call: Call[Nothing, bytes]) -> Done:
    """Take the text of a file: codes 117 and 118 say whose fault it is if it is not taken."""
    try:
        text = call.body.decode()
    except UnicodeDecodeError as fault:
        message = f"body: expected UTF-8: {fault.reason} at byte {fault.start}"
        raise Refused(Code.CONFIG_REFUSED, message) from None
    if not text.strip():
        raise Refused(Code.CONFIG_REFUSED, "body: expected the text of a configuration")
    try:
        return await done(api.configurator.write(text, call.who))
    except BadParameter as fault:
        raise Refused(Code.CONFIG_REFUSED, fault.message) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/reload",
        act=get_hot,
        summary="What can be changed without a restart.",
    ),
    Endpoint(method="POST", path="/reload", act=set_hot, summary="Change some of it."),
    Endpoint(
        method="GET",
        path="/configuration",
        also=("/configuration/{part}",),
        act=get_configuration,
        summary="The configuration, or a part of it.",
    ),
    Endpoint(
        method="POST",
        path="/configuration",
        also=("/configuration/{part}",),
        act=set_configuration,
        summary="Change the configuration, or a part of it.",
    ),
    Endpoint(
        method="POST",
        path="/config_update",
        act=update_file,
        summary="Put another text in the place of the configuration file.",
    ),
]
