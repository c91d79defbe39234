"""Metrics and statistics of v4; of ``/metrics`` NanoMQ's fields stand beside EMQX's.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ, rest_api.c
"""

from __future__ import annotations

import msgspec

from nanomq_py.core.memory import resident_bytes
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.metrics import node_metrics
from nanomq_py.http.emqx.stats import stats_of
from nanomq_py.http.emqx_v4.words import check_node
from nanomq_py.http.rest.endpoint import Endpoint, Plain, Whole


class NodeMetrics(msgspec.Struct, frozen=True):
    node: str
    metrics: dict[str, int]


class BridgeMetrics(msgspec.Struct, frozen=True):
    """What NanoMQ tells of a bridge."""


class Metrics(Whole, frozen=True):
    """EMQX's data, and what NanoMQ tells at the top.

    metrics   of bridges: none
    cpuinfo   share of all processors that the process took since an earlier request
    memory    resident bytes
    """

    data: list[NodeMetrics]
    code: int
    metrics: list[BridgeMetrics]
    cpuinfo: str
    memory: str


async def list_metrics(api: Api, call: Plain) -> Metrics:
    return Metrics(
        data=[NodeMetrics(api.node, node_metrics(api))],
        code=0,
        metrics=[],
        cpuinfo=f"{api.processors.percent():.2f}%",
        memory=str(resident_bytes()),
    )


async def get_metrics(api: Api, call: Plain) -> dict[str, int]:
    check_node(api, call)
    return node_metrics(api)


class NodeStats(msgspec.Struct, frozen=True):
    stats: dict[str, int]
    node: str


async def list_stats(api: Api, call: Plain) -> list[NodeStats]:
    return [NodeStats(stats_of(api.broker.stats()), api.node)]


async def get_stats(api: Api, call: Plain) -> dict[str, int]:
    check_node(api, call)
    return stats_of(api.broker.stats())


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/metrics",
        act=list_metrics,
        summary="Counters of all nodes.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/metrics",
        act=get_metrics,
        summary="Counters of one node.",
    ),
    Endpoint(
        method="GET",
        path="/stats",
        act=list_stats,
        summary="How much there is now, and at most was, on all nodes.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node}/stats",
        act=get_stats,
        summary="How much there is now, and at most was, on one node.",
    ),
]
