"""Brokers and nodes of v4: a broker alone is a cluster of one."""

from __future__ import annotations

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.node import Identity
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


ENDPOINTS = [
    Endpoint(method="GET", path="/brokers", act=list_brokers, summary="All brokers."),
    Endpoint(method="GET", path="/brokers/{node}", act=get_broker, summary="One broker."),
]
