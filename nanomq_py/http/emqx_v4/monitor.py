"""What exporters ask of v4 besides metrics: rates, the licence, slow subscriptions.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_dashboard_monitor_api and
        emqx_slow_subs_api; emqx-exporter, which reads current_metrics and license
"""

from __future__ import annotations

import time

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.node import STARTED, SYSDESCR, open_descriptors_max
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx_v4.words import Refused, check_node
from nanomq_py.http.rest.endpoint import Endpoint, Plain
from nanomq_py.store.moment import wall_s
from nanomq_py.version import __version__

NEVER = "9999-12-31 23:59:59"


class CurrentMetrics(msgspec.Struct, frozen=True):
    """``node`` is how many there are; received and sent are messages a second."""

    node: int
    received: int
    sent: int
    subscription: int
    connection: int


async def current_metrics(api: Api, call: Plain) -> CurrentMetrics:
    check_node(api, call)
    stats = api.broker.stats()
    received, sent = api.messages.per_second(stats.messages_in, stats.messages_out)
    return CurrentMetrics(
        node=1,
        received=round(received),
        sent=round(sent),
        subscription=stats.subscriptions,
        connection=stats.connected,
    )


class License(msgspec.Struct, frozen=True):
    """This broker needs none: it never expires, and its bounds are those in force."""

    customer: str
    email: str
    customer_type: str
    vendor: str
    product: str
    version: str
    type: str
    max_connections: int
    issued_at: str
    expiry_at: str
    expiry: bool


async def license_info(api: Api, call: Plain) -> License:
    bounds = (api.configurator.config.max_connections, open_descriptors_max())
    began_ms = round((wall_s() - time.monotonic() + STARTED) * 1000)
    return License(
        customer="",
        email="",
        customer_type="",
        vendor=SYSDESCR,
        product=SYSDESCR,
        version=__version__,
        type="open source",
        max_connections=min(bound for bound in bounds if bound),
        issued_at=local_time(began_ms),
        expiry_at=NEVER,
        expiry=False,
    )


async def slow_subscriptions(api: Api, call: Plain) -> None:
    """Refuse as EMQX does while its module is not loaded: nobody measures deliveries."""
    check_node(api, call)
    # EMQX's dashboard compares the whole message.
    raise Refused(Code.PLUGIN_IS_CLOSED, "module_not_loaded", 404)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitor/current_metrics",
        also=("/nodes/{node}/monitor/current_metrics",),
        act=current_metrics,
        summary="Messages a second, subscriptions and connections.",
    ),
    Endpoint(
        method="GET",
        path="/license",
        act=license_info,
        summary="The licence, of which there is none: how long it holds, and for how many.",
    ),
    *(
        Endpoint(
            method=method,
            path="/slow_subscriptions",
            also=("/nodes/{node}/slow_subscriptions",),
            act=slow_subscriptions,
            summary="Subscriptions that are served slowly: not measured here.",
        )
        for method in ("GET", "DELETE")
    ),
]
