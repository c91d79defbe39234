"""Metrics for Prometheus, also under the names of NanoMQ and of EMQX.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ, rest_api.c, compose_metrics; EMQX 4.4,
        emqx_prometheus
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec
from starlette.responses import Response

from nanomq_py.core.declared import METRICS as OWN
from nanomq_py.core.memory import resident_bytes
from nanomq_py.core.metric import Metric
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.metrics import METRICS, metrics_of
from nanomq_py.http.emqx.stats import STATS, stats_of
from nanomq_py.http.emqx_v4.words import succeeded
from nanomq_py.http.prometheus import (
    MEDIA_TYPE,
    Sample,
    broker_samples,
    exposition,
    process_samples,
)
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain, Text
from nanomq_py.http.rest.parameters import Nothing

_OWN: Mapping[str, Metric] = {metric.name: metric for metric in OWN}

# NanoMQ's names, for those that have another one here.
_NANOMQ = {
    "nanomq_connections_count": "connections_open",
    "nanomq_connections_max": "connections_max",
    "nanomq_sessions_count": "clients",
    "nanomq_sessions_max": "clients_max",
    "nanomq_topics_count": "routes",
    "nanomq_topics_max": "routes_max",
    "nanomq_subscribers_count": "subscribers",
    "nanomq_subscribers_max": "subscribers_max",
    "nanomq_messages_received": "messages_in",
    "nanomq_messages_sent": "messages_out",
    "nanomq_messages_dropped": "messages_dropped",
}


def _nanomq(api: Api) -> Iterator[Sample]:
    stats = api.broker.stats()
    for name, field in _NANOMQ.items():
        metric = _OWN[field]
        yield Sample(name, metric.kind, metric.help, getattr(stats, field))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resident = resident_bytes()
    yield Sample("nanomq_memory_usage", "gauge", "bytes of the process", resident)
    yield Sample("nanomq_memory_usage_max", "gauge", "the most that it had", most)
    yield Sample(
        "nanomq_cpu_usage",
        "gauge",
        "percent of all processors, since an earlier request",
        api.processors.percent(),
    )
    yield Sample(
        "nanomq_cpu_usage_max",
        "gauge",
        "the most of it that was told",
        api.processors.most,
    )


async def nanomq_metrics(api: Api, call: Plain) -> Text:
    samples = [*broker_samples(api.broker, api.node), *process_samples(), *_nanomq(api)]
    return Text(exposition(samples), MEDIA_TYPE)


# --- EMQX's


def _called(name: str) -> str:
    """Return the name for Prometheus of one of EMQX's metrics."""
    if name == "packets.connect.received":
        return "emqx_packets_connect"
    return f"emqx_{name.replace('.', '_')}"


def _help(fields: Iterable[str]) -> str:
    helps = "; ".join(_OWN[field].help for field in fields)
    return helps or "there is nothing of it in this broker"


_STATS_HELP = {
    f"{name}.{kind}": _help([field])
    for name, fields in STATS.items()
    for kind, field in zip(("count", "max"), fields, strict=True)
}


class AsJson(msgspec.Struct, frozen=True):
    """Values by the names that they have for Prometheus; ``metrics`` are of the machine."""

    stats: dict[str, int]
    metrics: dict[str, float]
    packets: dict[str, int]
    messages: dict[str, int]
    delivery: dict[str, int]
    client: dict[str, int]
    session: dict[str, int]


# Where the metrics are that begin with a word.
_GROUPS = {
    "packets": "packets",
    "bytes": "packets",
    "messages": "messages",
    "delivery": "delivery",
    "client": "client",
    "session": "session",
}


def _vm(api: Api) -> dict[str, float]:
    """Return what EMQX tells of its virtual machine; of queues there is nothing here."""
    used = api.processors.percent()
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "emqx_vm_cpu_use": used,
        "emqx_vm_cpu_idle": round(100 - used, 2),
        "emqx_vm_run_queue": 0,
        "emqx_vm_process_messages_in_queues": 0,
        "emqx_vm_total_memory": machine,
        "emqx_vm_used_memory": resident_bytes(),
    }


def _json(api: Api) -> AsJson:
    stats = api.broker.stats()
    groups: dict[str, dict[str, int]] = {name: {} for name in _GROUPS.values()}
    for name, value in metrics_of(stats).items():
        if (group := _GROUPS.get(name.partition(".")[0])) is not None:
            groups[group][_called(name)] = value
    told = {_called(name): value for name, value in stats_of(stats).items()}
    return AsJson(stats=told, metrics=_vm(api), **groups)


def _emqx(api: Api) -> Iterator[Sample]:
    stats = api.broker.stats()
    for name, value in stats_of(stats).items():
        yield Sample(_called(name), "gauge", _STATS_HELP[name], value)
    for name, measured in _vm(api).items():
        what = name.removeprefix("emqx_vm_").replace("_", " ")
        yield Sample(name, "gauge", f"{what}, of the process and its machine", measured)
    yield Sample("emqx_cluster_nodes_running", "gauge", "nodes that run: this one", 1)
    yield Sample("emqx_cluster_nodes_stopped", "gauge", "nodes that do not run", 0)
    for name, value in metrics_of(stats).items():
        if name.partition(".")[0] in _GROUPS:
            # What is retained can become less; EMQX calls it a counter all the same.
            yield Sample(_called(name), "counter", _help(METRICS[name]), value)


class Wanted(msgspec.Struct, frozen=True):
    type: Literal["json", "prometheus"] = "json"


async def emqx_metrics(api: Api, call: Call[Wanted, Nothing]) -> Response:
    if call.query.type == "prometheus":
        return Response(exposition(_emqx(api)), media_type=MEDIA_TYPE)
    return succeeded(_json(api))


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/prometheus",
        act=nanomq_metrics,
        summary="Metrics for Prometheus, under this broker's and NanoMQ's names.",
    ),
    Endpoint(
        method="GET",
        path="/emqx_prometheus",
        act=emqx_metrics,
        summary="Metrics for Prometheus, under EMQX's names; or the same as JSON.",
    ),
]
