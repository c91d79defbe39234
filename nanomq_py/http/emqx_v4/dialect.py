"""The dialect: its endpoints and its words. Cloud's paths are the same without ``/v4``."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import Response

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.paging import Meta
from nanomq_py.http.emqx_v4.words import rendered, succeeded
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Plain
from nanomq_py.http.rest.families import Families

PREFIX = "/api/v4"
CLOUD = "/api"


class EndpointRow(msgspec.Struct, frozen=True):
    """An endpoint as EMQX tells it; ``:name`` is a parameter of the path."""

    path: str
    name: str
    method: str
    descr: str


async def list_endpoints(api: Api, call: Plain) -> list[EndpointRow]:
    await FAMILIES.load()
    return [
        EndpointRow(
            path=re.sub(r"{(\w+)(\.\.\.)?}", r":\1", path),
            name=endpoint.act.__name__,
            method=endpoint.method,
            descr=endpoint.summary,
        )
        for endpoint in FAMILIES.all()
        for path in (endpoint.path, *endpoint.also)
    ]


FAMILIES = Families(
    {
        "nanomq_py.http.emqx_v4.nodes": ("brokers", "nodes"),
        "nanomq_py.http.emqx_v4.clients": ("clients",),
        "nanomq_py.http.emqx_v4.steering": ("clients", "acl-cache"),
        "nanomq_py.http.emqx_v4.subscriptions": ("subscriptions",),
        "nanomq_py.http.emqx_v4.routes": ("routes",),
        "nanomq_py.http.emqx_v4.metrics": ("metrics", "stats"),
        "nanomq_py.http.emqx_v4.listeners": ("listeners",),
        "nanomq_py.http.emqx_v4.monitor": ("monitor", "license", "slow_subscriptions"),
        "nanomq_py.http.emqx_v4.mqtt": ("mqtt",),
        "nanomq_py.http.emqx_v4.client_auth": ("auth_username", "auth_clientid"),
        "nanomq_py.http.emqx_v4.acl": ("acl",),
        "nanomq_py.http.emqx_v4.banned": ("banned",),
        "nanomq_py.http.emqx_v4.apps": ("apps",),
        "nanomq_py.http.emqx_v4.users": ("users", "change_pwd", "auth"),
        "nanomq_py.http.emqx_v4.alarms": ("alarms",),
        "nanomq_py.http.emqx_v4.topic_metrics": ("topic-metrics",),
        "nanomq_py.http.emqx_v4.plugins": ("plugins",),
        "nanomq_py.http.emqx_v4.modules": ("modules",),
        "nanomq_py.http.emqx_v4.rule_engine": ("rules",),
        "nanomq_py.http.emqx_v4.rule_resources": (
            "actions",
            "resources",
            "resource_status",
            "resource_types",
            "rule_events",
        ),
        "nanomq_py.http.emqx_v4.access": ("acl",),
        "nanomq_py.http.emqx_v4.prometheus": ("prometheus", "emqx_prometheus"),
        "nanomq_py.http.emqx_v4.control": ("ctrl", "topic-tree"),
        "nanomq_py.http.emqx_v4.configuration": (
            "reload",
            "configuration",
            "config_update",
        ),
        "nanomq_py.http.emqx_v4.bridges": ("bridges",),
        "nanomq_py.http.emqx_v4.data": ("data",),
    },
    [Endpoint(method="GET", path="/", act=list_endpoints, summary="All endpoints.")],
)


class EmqxV4(RestDialect[Api]):
    """EMQX's REST API of version 4."""

    title = "EMQX v4"

    def __init__(self, api: Api, gate: Gate, prefix: str = PREFIX) -> None:
        super().__init__(prefix, api, gate, FAMILIES)

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
