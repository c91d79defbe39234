"""Alarms of v4: those that last, and the last of those that are over.

Source  EMQX 4.4, emqx_mgmt_api_alarms and emqx_alarm: field names, microseconds, ``infinity``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nanomq_py.alarm_topics import fields_of
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused, check_node
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

if TYPE_CHECKING:
    from nanomq_py.store.alarms import Alarm


class AlarmRow(msgspec.Struct, frozen=True):
    """An alarm. Times are microseconds since 1970."""

    name: str
    details: Mapping[str, Any]
    message: str
    activate_at: int
    deactivate_at: int | Literal["infinity"]
    activated: bool


class OfNode(msgspec.Struct, frozen=True):
    node: str
    alarms: list[AlarmRow]


class Deactivating(msgspec.Struct, frozen=True):
    node: str
    name: str


def _row(alarm: Alarm) -> AlarmRow:
    return AlarmRow(**fields_of(alarm))


def _active(api: Api) -> list[AlarmRow]:
    return [_row(alarm) for alarm in api.broker.alarms.active()]


async def _past(api: Api) -> list[AlarmRow]:
    with store_faults():
        return [_row(alarm) for alarm in await api.broker.alarms.past()]


async def _all(api: Api) -> list[AlarmRow]:
    return [*_active(api), *await _past(api)]


async def list_alarms(api: Api, call: Plain) -> list[OfNode]:
    return [OfNode(api.node, await _all(api))]


async def list_activated(api: Api, call: Plain) -> list[OfNode]:
    return [OfNode(api.node, _active(api))]


async def list_deactivated(api: Api, call: Plain) -> list[OfNode]:
    return [OfNode(api.node, await _past(api))]


async def list_node_alarms(api: Api, call: Plain) -> list[AlarmRow]:
    check_node(api, call)
    return await _all(api)


async def list_node_activated(api: Api, call: Plain) -> list[AlarmRow]:
    check_node(api, call)
    return _active(api)


async def list_node_deactivated(api: Api, call: Plain) -> list[AlarmRow]:
    check_node(api, call)
    return await _past(api)


async def deactivate(api: Api, call: Call[Nothing, Deactivating]) -> None:
    api.check_node(call.body.node)
    try:
        api.broker.alarms.end(call.body.name)
    except KeyError:
        message = f"not_found: {call.body.name[:256]!r} is no alarm that lasts"
        raise Refused(Code.UNKNOWN_MISTAKE, message, 404) from None


async def forget(api: Api, call: Plain) -> None:
    check_node(api, call)
    with store_faults():
        await api.broker.alarms.forget()


ENDPOINTS = [
    Endpoint(method="GET", path="/alarms", act=list_alarms, summary="All alarms."),
    Endpoint(
        method="GET",
        path="/alarms/activated",
        act=list_activated,
        summary="Alarms that last.",
    ),
    Endpoint(
        method="GET",
        path="/alarms/deactivated",
        act=list_deactivated,
        summary="Alarms that are over.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/alarms",
        act=list_node_alarms,
        summary="All alarms of a node.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/alarms/activated",
        act=list_node_activated,
        summary="Alarms of a node that last.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/alarms/deactivated",
        act=list_node_deactivated,
        summary="Alarms of a node that are over.",
    ),
    Endpoint(
        method="POST",
        path="/alarms/deactivated",
        also=("/alarms",),
        act=deactivate,
        summary="End an alarm by hand.",
    ),
    Endpoint(
        method="DELETE",
        path="/alarms/deactivated",
        also=("/alarms", "/nodes/{node}/alarms/deactivated"),
        act=forget,
        summary="Forget the alarms that are over.",
    ),
]
