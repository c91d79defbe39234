"""Nodes of v2: a broker alone is a cluster of one."""

from __future__ import annotations

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.node import RUNNING, Identity, Usage
from nanomq_py.http.rest.endpoint import Endpoint, Plain


class About(msgspec.Struct, frozen=True):
    version: str
    sysdescr: str
    uptime: str
    datetime: str
    otp_release: str
    node_status: str


class NamedAbout(msgspec.Struct, frozen=True):
    name: str
    version: str
    sysdescr: str
    uptime: str
    datetime: str
    otp_release: str
    node_status: str


class Monitored(msgspec.Struct, frozen=True):
    name: str
    otp_release: str
    memory_total: str
    memory_used: str
    process_available: int
    process_used: int
    max_fds: int
    clients: int
    node_status: str
    load1: str
    load5: str
    load15: str


def _monitored(api: Api) -> Monitored:
    usage = Usage.now(api.broker)
    return Monitored(
        name=api.node,
        otp_release=Identity.now().otp_release,
        memory_total=usage.memory_total,
        memory_used=usage.memory_used,
        process_available=usage.process_available,
        process_used=usage.process_used,
        max_fds=usage.max_fds,
        clients=usage.connected,
        node_status=RUNNING,
        load1=usage.load[0],
        load5=usage.load[1],
        load15=usage.load[2],
    )


async def list_nodes(api: Api, call: Plain) -> list[NamedAbout]:
    return [msgspec.convert({"name": api.node, **vars(Identity.now())}, NamedAbout)]


async def get_node(api: Api, call: Plain) -> About:
    api.check_node(call.path["node_name"])
    return About(**vars(Identity.now()))


async def list_monitored(api: Api, call: Plain) -> list[Monitored]:
    return [_monitored(api)]


async def get_monitored(api: Api, call: Plain) -> Monitored:
    api.check_node(call.path["node_name"])
    return _monitored(api)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/management/nodes",
        act=list_nodes,
        summary="All nodes.",
    ),
    Endpoint(
        method="GET",
        path="/management/nodes/{node_name}",
        act=get_node,
        summary="One node.",
    ),
    Endpoint(
        method="GET",
        path="/monitoring/nodes",
        act=list_monitored,
        summary="What all nodes use of their machines.",
    ),
    Endpoint(
        method="GET",
        path="/monitoring/nodes/{node_name}",
        act=get_monitored,
        summary="What one node uses of its machine.",
    ),
]
