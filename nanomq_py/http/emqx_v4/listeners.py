"""Listeners of v4.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_listeners
"""

from __future__ import annotations

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.listeners import listener_facts
from nanomq_py.http.emqx_v4.words import Refused, check_node
from nanomq_py.http.rest.endpoint import Endpoint, Plain


class ListenerRow(msgspec.Struct, frozen=True):
    """One listener; ``identifier`` ends with its name in the configuration."""

    shutdown_count: dict[str, int] | list[str]
    protocol: str
    max_conns: int
    listen_on: str
    identifier: str
    current_conns: int
    acceptors: int


class NodeListeners(msgspec.Struct, frozen=True):
    node: str
    listeners: list[ListenerRow]


def _rows(api: Api) -> list[ListenerRow]:
    return [
        ListenerRow(
            shutdown_count=facts.shutdown_count,
            protocol=facts.protocol,
            max_conns=facts.max_connections,
            listen_on=facts.listen_on,
            identifier=f"{facts.protocol}:{facts.name}",
            current_conns=facts.current_connections,
            acceptors=facts.acceptors,
        )
        for facts in listener_facts(api.broker)
    ]


async def list_listeners(api: Api, call: Plain) -> list[NodeListeners]:
    return [NodeListeners(api.node, _rows(api))]


async def get_listeners(api: Api, call: Plain) -> list[ListenerRow]:
    check_node(api, call)
    return _rows(api)


async def restart_listener(api: Api, call: Plain) -> None:
    check_node(api, call)
    identifier = call.path["identifier"]
    if all(row.identifier != identifier for row in _rows(api)):
        message = f"listener {identifier[:64]!r}: there is none"
        raise Refused(Code.UNKNOWN_MISTAKE, message, 404)
    api.broker.restart_listener(identifier.rpartition(":")[2])


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/listeners",
        act=list_listeners,
        summary="Listeners of all nodes.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/listeners",
        act=get_listeners,
        summary="Listeners of one node.",
    ),
    Endpoint(
        method="PUT",
        path="/listeners/{identifier}/restart",
        also=("/nodes/{node}/listeners/{identifier}/restart",),
        act=restart_listener,
        summary="Disconnect the clients of a listener; new ones come in meanwhile.",
    ),
]
