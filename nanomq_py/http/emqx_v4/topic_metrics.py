"""Counters of single topics, by v4.

Source  EMQX 4.4, emqx_mod_api_topic_metrics; its document's names and their order
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

if TYPE_CHECKING:
    from nanomq_py.topic_metrics import TopicMetric

COUNTERS = {
    "messages.qos2.out": "qos2_out",
    "messages.qos2.in": "qos2_in",
    "messages.qos1.out": "qos1_out",
    "messages.qos1.in": "qos1_in",
    "messages.qos0.out": "qos0_out",
    "messages.qos0.in": "qos0_in",
    "messages.out": "messages_out",
    "messages.in": "messages_in",
    "messages.dropped": "messages_dropped",
}  # by EMQX's name, the one of PerCounter

# By name: a rate a second, or a count.
Metrics = dict[str, int | float]


class Topic(msgspec.Struct, frozen=True):
    topic: str


class TopicRow(msgspec.Struct, frozen=True):
    topic: str
    metrics: Metrics


def _metrics(metric: TopicMetric) -> Metrics:
    told: Metrics = {}
    for name, field in COUNTERS.items():
        told[f"{name}.rate"] = round(getattr(metric.rates, field), 2)
        told[f"{name}.count"] = getattr(metric.counts, field)
    return told


async def list_metrics(api: Api, call: Plain) -> list[TopicRow]:
    return [TopicRow(each.topic, _metrics(each)) for each in api.broker.topic_metrics]


def _checked(topic: str) -> str:
    """Raise Refused for what is no Topic Name."""
    from nanomq_py.store.topic_metrics import checked_topic

    try:
        return checked_topic(topic)
    except ValueError as fault:
        message = f"invalid_topic_name: {fault}"
        raise Refused(Code.ILLEGAL_SUBJECT, message) from None


async def get_metrics(api: Api, call: Plain) -> Metrics:
    """Return nothing of a topic that is not counted, as EMQX does."""
    topic, counted = _checked(call.path["topic"]), api.broker.topic_metrics
    return _metrics(counted[topic]) if topic in counted else {}


async def register(api: Api, call: Call[Nothing, Topic]) -> None:
    topic = _checked(call.body.topic)
    try:
        with store_faults():
            await api.broker.count_topic(topic)
    except RuntimeError as fault:  # there are as many as there may be
        raise Refused(Code.UNKNOWN_MISTAKE, str(fault)) from None


async def unregister(api: Api, call: Plain) -> None:
    with store_faults(), contextlib.suppress(KeyError):  # EMQX does not tell either
        await api.broker.uncount_topic(_checked(call.path["topic"]))


async def unregister_all(api: Api, call: Plain) -> None:
    with store_faults():
        for topic in api.broker.topic_metrics.save():
            with contextlib.suppress(KeyError):  # somebody else was faster
                await api.broker.uncount_topic(topic)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/topic-metrics",
        act=list_metrics,
        summary="Topics whose messages are counted, and the counts.",
    ),
    Endpoint(
        method="POST",
        path="/topic-metrics",
        act=register,
        summary="Count the messages of a topic, also after a restart.",
    ),
    Endpoint(
        method="DELETE",
        path="/topic-metrics",
        act=unregister_all,
        summary="Count no topic any longer.",
    ),
    Endpoint(
        method="GET",
        path="/topic-metrics/{topic...}",
        act=get_metrics,
        summary="The counts of a topic.",
    ),
    Endpoint(
        method="DELETE",
        path="/topic-metrics/{topic...}",
        act=unregister,
        summary="Count a topic no longer.",
    ),
]
