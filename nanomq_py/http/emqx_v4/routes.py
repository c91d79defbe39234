"""Routes of v4: which Topic Filters lead anywhere; one of several groups comes once for each.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_routes
"""

from __future__ import annotations

from functools import partial

import msgspec

from nanomq_py.core.queries import Route, RouteFilter
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.paging import PageQuery, all_rows, listing
from nanomq_py.http.emqx_v4.words import check_node
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class RouteRow(msgspec.Struct, frozen=True):
    topic: str
    node: str


def _row(node: str, route: Route) -> RouteRow:
    return RouteRow(topic=route.topic_filter, node=node)


async def list_routes(api: Api, call: Call[PageQuery, Nothing]) -> Listing[RouteRow]:
    check_node(api, call)
    row = partial(_row, api.node)
    return await listing(call.query, api.broker.routes, row, has_next=False)


async def get_routes(api: Api, call: Plain) -> Listing[RouteRow]:
    check_node(api, call)
    ask = partial(api.broker.routes, RouteFilter(topic_filter=call.path["topic"]))
    return await all_rows(ask, partial(_row, api.node))


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/routes",
        also=("/nodes/{node}/routes",),
        act=list_routes,
        summary="Topic Filters that have subscriptions, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/routes/{topic...}",
        also=("/nodes/{node}/routes/{topic...}",),
        act=get_routes,
        summary="The routes of one Topic Filter.",
    ),
]
