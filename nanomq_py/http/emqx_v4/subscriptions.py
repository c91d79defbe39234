"""Subscriptions of v4.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_subscriptions
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from nanomq_py.core.queries import Subscription, SubscriptionFilter
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.paging import PageQuery, all_rows, listing
from nanomq_py.http.emqx_v4.words import check_node
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class SubscriptionQuery(PageQuery, frozen=True):
    """Which are asked for.

    topic        this very filter; with ``$share/GROUP/`` in front, of that group
    share        the group
    match_topic  it matches the filter as if that was a Topic Name
    """

    client_id: str | None = msgspec.field(default=None, name="clientid")
    topic: str | None = None
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] | None = None
    share: str | None = None
    match_topic: str | None = msgspec.field(default=None, name="_match_topic")


class SubscriptionRow(msgspec.Struct, frozen=True):
    topic: str
    qos: int
    node: str
    clientid: str


def _filter(query: SubscriptionQuery) -> SubscriptionFilter | None:
    """Return what lets in what was asked for; None: nothing can fit."""
    topic, group = query.topic, query.share
    if topic is not None and topic.startswith("$share/") and topic.count("/") > 1:
        _, shared_by, topic = topic.split("/", 2)
        if group not in (None, shared_by):
            return None
        group = shared_by
    return SubscriptionFilter(
        client_id=query.client_id,
        topic_filter=topic,
        group=group,
        qos=query.qos,
        below=query.match_topic,
    )


def _row(node: str, subscription: Subscription) -> SubscriptionRow:
    return SubscriptionRow(
        topic=subscription.topic_filter,
        qos=subscription.qos,
        node=node,
        clientid=subscription.client_id,
    )


async def list_subscriptions(
    api: Api, call: Call[SubscriptionQuery, Nothing]
) -> Listing[SubscriptionRow]:
    check_node(api, call)
    wanted = _filter(call.query)
    ask = None if wanted is None else partial(api.broker.subscriptions, wanted)
    return await listing(call.query, ask, partial(_row, api.node))


async def get_subscriptions(api: Api, call: Plain) -> Listing[SubscriptionRow]:
    check_node(api, call)
    of_client = SubscriptionFilter(client_id=call.path["clientid"])
    ask = partial(api.broker.subscriptions, of_client)
    return await all_rows(ask, partial(_row, api.node))


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/subscriptions",
        also=("/nodes/{node}/subscriptions",),
        act=list_subscriptions,
        summary="Subscriptions, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/subscriptions/{clientid}",
        also=("/nodes/{node}/subscriptions/{clientid}",),
        act=get_subscriptions,
        summary="The subscriptions of one client.",
    ),
]
