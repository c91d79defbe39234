"""Brokers and nodes of v4: a broker alone is a cluster of one.

Source  emqx-cloud-api-v4-brokers.txt; http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.node import Identity, Usage
from nanomq_py.http.rest.endpoint import Endpoint, Plain


class Broker(msgspec.Struct, frozen=True):
    version: str
    uptime: str
    sysdescr: str
    otp_release: str
    node_status: str
    node: str
    datetime: str


def _broker(api: Api) -> Broker:
    return Broker(**vars(Identity.now()), node=api.node)


async def list_brokers(api: Api, call: Plain) -> list[Broker]:
    return [_broker(api)]


async def get_broker(api: Api, call: Plain) -> Broker:
    api.check_node(call.path["node"])
    return _broker(api)


class Node(msgspec.Struct, frozen=True):
    version: str
    uptime: str
    process_used: int
    process_available: int
    otp_release: str
    node_status: str
    node: str
    memory_used: str
    memory_total: str
    max_fds: int
    load5: str
    load15: str
    load1: str
    connections: int


def _node(api: Api) -> Node:
    identity, usage = Identity.now(), Usage.now(api.broker)
    load1, load5, load15 = usage.load
    return Node(
        version=identity.version,
        uptime=identity.uptime,
        process_used=usage.process_used,
        process_available=usage.process_available,
        otp_release=identity.otp_release,
        node_status=identity.node_status,
        node=api.node,
        memory_used=usage.memory_used,
        memory_total=usage.memory_total,
        max_fds=usage.max_fds,
        load5=load5,
        load15=load15,
        load1=load1,
        connections=usage.connected,
    )


async def list_nodes(api: Api, call: Plain) -> list[Node]:
    return [_node(api)]


async def get_node(api: Api, call: Plain) -> Node:
    api.check_node(call.path["node"])
    return _node(api)


ENDPOINTS = [
    Endpoint(method="GET", path="/brokers", act=list_brokers, summary="All brokers."),
    Endpoint(method="GET", path="/brokers/{node}", act=get_broker, summary="One broker."),
    Endpoint(
        method="GET",
        path="/nodes",
        act=list_nodes,
        summary="All nodes, and what they use of their machines.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}",
        act=get_node,
        summary="One node, and what it uses of its machine.",
    ),
]
