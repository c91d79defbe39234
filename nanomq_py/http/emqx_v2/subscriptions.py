"""Subscriptions of v2."""

from __future__ import annotations

import msgspec

from nanomq_py.core.queries import Subscription, SubscriptionFilter
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v2.paging import PageQuery, all_rows, listing
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class SubscriptionRow(msgspec.Struct, frozen=True):
    """A subscription; ``topic`` is the Topic Filter as it was subscribed to."""

    client_id: str
    topic: str
    qos: int


def _row(subscription: Subscription) -> SubscriptionRow:
    return SubscriptionRow(
        subscription.client_id, subscription.topic_filter, subscription.qos
    )


async def list_subscriptions(
    api: Api, call: Call[PageQuery, Nothing]
) -> Listing[SubscriptionRow]:
    api.check_node(call.path["node_name"])
    return await listing(call.query, api.broker.subscriptions, _row)


async def get_subscriptions(api: Api, call: Plain) -> Listing[SubscriptionRow]:
    api.check_node(call.path.get("node_name", api.node))
    wanted = SubscriptionFilter(client_id=call.path["clientid"])
    return await all_rows(lambda **paging: api.broker.subscriptions(wanted, **paging), _row)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/subscriptions",
        act=list_subscriptions,
        summary="Subscriptions of all clients, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/subscriptions/{clientid}",
        also=("/subscriptions/{clientid}",),
        act=get_subscriptions,
        summary="Subscriptions of one client.",
    ),
]
