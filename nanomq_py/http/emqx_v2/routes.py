"""Routes of v2: Topic Filters that somebody is subscribed to."""

from __future__ import annotations

import msgspec

from nanomq_py.core.queries import Route, RouteFilter
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2.paging import PageQuery, all_rows, listing
from nanomq_py.http.emqx_v2.words import bad_topic
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class RouteRow(msgspec.Struct, frozen=True):
    """A route. A filter has one for its subscriptions, and one for each shared group."""

    topic: str
    node: str


async def list_routes(api: Api, call: Call[PageQuery, Nothing]) -> Listing[RouteRow]:
    def as_row(route: Route) -> RouteRow:
        return RouteRow(route.topic_filter, api.node)

    return await listing(call.query, api.broker.routes, as_row)


async def get_route(api: Api, call: Plain) -> Listing[RouteRow]:
    def as_row(route: Route) -> RouteRow:
        return RouteRow(route.topic_filter, api.node)

    topic = call.path["topic"]
    wanted = RouteFilter(topic_filter=topic)
    try:
        return await all_rows(lambda **paging: api.broker.routes(wanted, **paging), as_row)
    except BadParameter:
        raise bad_topic(topic, Code.ILLEGAL_SUBJECT) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/routes",
        act=list_routes,
        summary="Topic Filters with subscriptions, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/routes/{topic...}",
        act=get_route,
        summary="The routes of one Topic Filter.",
    ),
]
