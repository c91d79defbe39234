"""Listeners of v2."""

from __future__ import annotations

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.listeners import listener_facts
from nanomq_py.http.rest.endpoint import Endpoint, Plain


class ListenerRow(msgspec.Struct, frozen=True):
    protocol: str
    listen: str
    acceptors: int
    max_clients: int
    current_clients: int
    shutdown_count: dict[str, int] | list[str]


def _rows(api: Api) -> list[ListenerRow]:
    return [
        ListenerRow(
            protocol=facts.protocol,
            listen=facts.listen_on,
            acceptors=facts.acceptors,
            max_clients=facts.max_connections,
            current_clients=facts.current_connections,
            shutdown_count=facts.shutdown_count,
        )
        for facts in listener_facts(api.broker)
    ]


async def list_listeners(api: Api, call: Plain) -> dict[str, list[ListenerRow]]:
    return {api.node: _rows(api)}


async def get_listeners(api: Api, call: Plain) -> list[ListenerRow]:
    api.check_node(call.path["node_name"])
    return _rows(api)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitoring/listeners",
        act=list_listeners,
        summary="Listeners of all nodes, by the name of the node.",
    ),
    Endpoint(
        method="GET",
        path="/monitoring/listeners/{node_name}",
        act=get_listeners,
        summary="Listeners of one node.",
    ),
]
