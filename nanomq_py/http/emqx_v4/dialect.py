"""The dialect: its endpoints and its words. Cloud's paths are the same without ``/v4``."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import Response

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4 import (
    access,
    acl,
    alarms,
    apps,
    banned,
    bridges,
    client_auth,
    clients,
    configuration,
    control,
    data,
    listeners,
    metrics,
    modules,
    monitor,
    mqtt,
    nodes,
    plugins,
    prometheus,
    routes,
    rule_engine,
    rule_resources,
    steering,
    subscriptions,
    topic_metrics,
    users,
)
from nanomq_py.http.emqx_v4.paging import Meta
from nanomq_py.http.emqx_v4.words import rendered, succeeded
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Plain

PREFIX = "/api/v4"
CLOUD = "/api"


class EndpointRow(msgspec.Struct, frozen=True):
    """An endpoint as EMQX tells it; ``:name`` is a parameter of the path."""

    path: str
    name: str
    method: str
    descr: str


async def list_endpoints(api: Api, call: Plain) -> list[EndpointRow]:
    return [
        EndpointRow(
            path=re.sub(r"{(\w+)(\.\.\.)?}", r":\1", path),
            name=endpoint.act.__name__,
            method=endpoint.method,
            descr=endpoint.summary,
        )
        for endpoint in ENDPOINTS
        for path in (endpoint.path, *endpoint.also)
    ]


ENDPOINTS: list[Endpoint] = [
    Endpoint(method="GET", path="/", act=list_endpoints, summary="All endpoints."),
    *nodes.ENDPOINTS,
    *clients.ENDPOINTS,
    *steering.ENDPOINTS,
    *subscriptions.ENDPOINTS,
    *routes.ENDPOINTS,
    *metrics.ENDPOINTS,
    *listeners.ENDPOINTS,
    *monitor.ENDPOINTS,
    *mqtt.ENDPOINTS,
    *client_auth.ENDPOINTS,
    *acl.ENDPOINTS,
    *banned.ENDPOINTS,
    *apps.ENDPOINTS,
    *users.ENDPOINTS,
    *alarms.ENDPOINTS,
    *topic_metrics.ENDPOINTS,
    *plugins.ENDPOINTS,
    *modules.ENDPOINTS,
    *rule_engine.ENDPOINTS,
    *rule_resources.ENDPOINTS,
    *access.ENDPOINTS,
    *prometheus.ENDPOINTS,
    *control.ENDPOINTS,
    *configuration.ENDPOINTS,
    *bridges.ENDPOINTS,
    *data.ENDPOINTS,
]


class EmqxV4(RestDialect[Api]):
    """EMQX's REST API of version 4."""

    title = "EMQX v4"

    def __init__(self, api: Api, gate: Gate, prefix: str = PREFIX) -> None:
        super().__init__(prefix, api, gate, ENDPOINTS)

    def success(self, answer: Any) -> Response:
        return succeeded(answer)

    def around(self, listing: Listing[Any]) -> tuple[bytes, bytes]:
        head = b'{"data":['
        if listing.about is not None:
            head = b'{"meta":' + msgspec.json.encode(listing.about) + b',"data":['
        return head, b'],"code":0}'

    def render(self, error: HttpError) -> Response:
        http = self._api.configurator.config.http_server
        return rendered(error, always_200=http.emqx_status == "always_200")

    def describe(self, gives: dict[str, Any] | None, *, is_listing: bool) -> dict[str, Any]:
        properties: dict[str, Any] = {"code": {"type": "integer"}}
        if is_listing:
            properties["meta"] = msgspec.json.schema(Meta)
            properties["data"] = {"type": "array", "items": gives}
        elif gives is not None:
            properties["data"] = gives
        return {"type": "object", "properties": properties, "required": ["code"]}
