"""Clients of v4: EMQX's fields, and NanoMQ's beside them.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_clients; NanoMQ,
        rest_api.c
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import msgspec

from nanomq_py.core.queries import Client, ClientDetail, ClientFilter, Range
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v4.paging import PageQuery, all_rows, listing
from nanomq_py.http.emqx_v4.words import ZONE, check_node, not_online
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]

# Protocol levels by the protocol name of CONNECT.
LEVELS = {"MQTT": (4, 5), "MQIsdp": (3, 3)}


def bound(name: str) -> Count | None:
    """Return a field that nobody need give."""
    default: Count | None = msgspec.field(default=None, name=name)
    return default


class ClientQuery(PageQuery, frozen=True):
    """Which are asked for; times are seconds since 1970."""

    client_id: str | None = msgspec.field(default=None, name="clientid")
    username: str | None = None
    zone: str | None = None
    ip_address: str | None = None
    conn_state: Literal["connected", "idle", "disconnected"] | None = None
    clean_start: bool | None = None
    proto_name: str | None = None
    proto_ver: int | None = None
    like_clientid: str | None = msgspec.field(default=None, name="_like_clientid")
    like_username: str | None = msgspec.field(default=None, name="_like_username")
    gte_created_at: Count | None = bound("_gte_created_at")
    lte_created_at: Count | None = bound("_lte_created_at")
    gte_connected_at: Count | None = bound("_gte_connected_at")
    lte_connected_at: Count | None = bound("_lte_connected_at")
    gte_mqueue_len: Count | None = bound("_gte_mqueue_len")
    lte_mqueue_len: Count | None = bound("_lte_mqueue_len")
    gte_mqueue_dropped: Count | None = bound("_gte_mqueue_dropped")
    lte_mqueue_dropped: Count | None = bound("_lte_mqueue_dropped")


def _range(least: int | None, most: int | None) -> Range | None:
    return None if least is None and most is None else (least, most)


def _moments(least_s: int | None, most_s: int | None) -> Range | None:
    """Return the milliseconds of those seconds, the last one whole: rows tell seconds."""
    return _range(
        None if least_s is None else least_s * 1000,
        None if most_s is None else most_s * 1000 + 999,
    )


def _levels(query: ClientQuery) -> tuple[int, int] | None:
    """Return the protocol levels asked for, which may be none: the first above the last."""
    if query.proto_name is None and query.proto_ver is None:
        return None
    least, most = (0, 255)
    if query.proto_name is not None:
        least, most = LEVELS.get(query.proto_name, (1, 0))
    if query.proto_ver is not None:
        least, most = max(least, query.proto_ver), min(most, query.proto_ver)
    return least, most


def filter_of(query: ClientQuery) -> ClientFilter | None:
    """Return what lets in what was asked for; None: nothing can fit."""
    levels = _levels(query)
    if query.zone not in (None, ZONE) or query.conn_state == "idle":
        return None
    if levels is not None and levels[0] > levels[1]:
        return None
    return ClientFilter(
        client_id=query.client_id,
        client_id_like=query.like_clientid,
        user_name=query.username,
        user_name_like=query.like_username,
        address=query.ip_address,
        connected=None if query.conn_state is None else query.conn_state == "connected",
        clean_start=query.clean_start,
        version=levels,
        created_at_ms=_moments(query.gte_created_at, query.lte_created_at),
        connected_at_ms=_moments(query.gte_connected_at, query.lte_connected_at),
        queued=_range(query.gte_mqueue_len, query.lte_mqueue_len),
        dropped=_range(query.gte_mqueue_dropped, query.lte_mqueue_dropped),
    )


class ClientRow(msgspec.Struct, frozen=True, kw_only=True):
    """One client, connected or away with its session kept.

    is_bridge                            no client says that it is one
    recv_cnt, send_cnt                   MQTT packets: nobody counts those of TCP
    recv_msg.dropped                     what is dropped at once ends the connection: 0
    mailbox_len, heap_size, reductions   are of Erlang: 0
    client_id, ipv4, conn_state          NanoMQ's names
    """

    node: str
    clientid: str
    client_id: str
    username: str
    proto_name: str
    proto_ver: int
    ip_address: str
    ipv4: str
    port: int
    is_bridge: bool = False
    connected: bool
    conn_state: str
    connected_at: str
    disconnected_at: str | msgspec.UnsetType
    created_at: str
    zone: str = ZONE
    mountpoint: str
    keepalive: int
    clean_start: bool
    expiry_interval: int
    subscriptions_cnt: int
    max_subscriptions: int
    inflight: int
    max_inflight: int
    mqueue_len: int
    max_mqueue: int
    mqueue_dropped: int
    awaiting_rel: int
    max_awaiting_rel: int
    recv_oct: int
    recv_cnt: int
    recv_pkt: int
    recv_msg: int
    recv_msg_qos0: int = msgspec.field(name="recv_msg.qos0")
    recv_msg_qos1: int = msgspec.field(name="recv_msg.qos1")
    recv_msg_qos2: int = msgspec.field(name="recv_msg.qos2")
    recv_msg_dropped: int = msgspec.field(default=0, name="recv_msg.dropped")
    send_oct: int
    send_cnt: int
    send_pkt: int
    send_msg: int
    send_msg_qos0: int = msgspec.field(name="send_msg.qos0")
    send_msg_qos1: int = msgspec.field(name="send_msg.qos1")
    send_msg_qos2: int = msgspec.field(name="send_msg.qos2")
    send_msg_dropped: int = msgspec.field(name="send_msg.dropped")
    send_msg_expired: int = msgspec.field(name="send_msg.dropped.expired")
    send_msg_queue_full: int = msgspec.field(name="send_msg.dropped.queue_full")
    send_msg_too_large: int = msgspec.field(name="send_msg.dropped.too_large")
    mailbox_len: int = 0
    heap_size: int = 0
    reductions: int = 0


def _mount_point(template: str | None, client: Client) -> str:
    """Return the mount point of a client whose listener has that one."""
    if template is None:
        return UNDEFINED
    return re.sub(
        "%[cu]",
        lambda mark: client.client_id if mark[0] == "%c" else client.user_name or "",
        template,
    )


# Tells the name of a listener by its key.
NameOf = Callable[[int], str]


def _row(
    node: str, mounts: Mapping[str, str | None], name_of: NameOf, detail: ClientDetail
) -> ClientRow:
    client = detail.client
    away = not client.connected
    return ClientRow(
        node=node,
        clientid=client.client_id,
        client_id=client.client_id,
        username=UNDEFINED if client.user_name is None else client.user_name,
        proto_name=detail.protocol_name,
        proto_ver=client.version,
        ip_address=detail.address,
        ipv4=detail.address,
        port=detail.port,
        connected=client.connected,
        conn_state="disconnected" if away else "connected",
        connected_at=local_time(client.connected_at_ms),
        disconnected_at=local_time(client.disconnected_at_ms) if away else msgspec.UNSET,
        created_at=local_time(client.created_at_ms),
        mountpoint=_mount_point(mounts.get(name_of(detail.listener_key)), client),
        keepalive=client.keep_alive_s,
        clean_start=client.clean_start,
        expiry_interval=client.expiry_interval_s,
        subscriptions_cnt=client.subscription_count,
        max_subscriptions=detail.subscriptions_max,
        inflight=client.in_flight,
        max_inflight=detail.window,
        mqueue_len=client.queued,
        max_mqueue=detail.queue_max,
        mqueue_dropped=client.messages_dropped,
        awaiting_rel=detail.unreleased,
        max_awaiting_rel=detail.unreleased_max,
        recv_oct=detail.bytes_in,
        recv_cnt=detail.packets_in,
        recv_pkt=detail.packets_in,
        recv_msg=client.messages_received,
        recv_msg_qos0=detail.messages_in[0],
        recv_msg_qos1=detail.messages_in[1],
        recv_msg_qos2=detail.messages_in[2],
        send_oct=detail.bytes_out,
        send_cnt=detail.packets_out,
        send_pkt=detail.packets_out,
        send_msg=client.messages_sent,
        send_msg_qos0=detail.messages_out[0],
        send_msg_qos1=detail.messages_out[1],
        send_msg_qos2=detail.messages_out[2],
        send_msg_dropped=client.messages_dropped,
        send_msg_expired=detail.dropped_expired,
        send_msg_queue_full=detail.dropped_full,
        send_msg_too_large=detail.dropped_too_large,
    )


def _rows(api: Api) -> Callable[[ClientDetail], ClientRow]:
    """Return what makes a row of one answer."""
    listeners = api.configurator.config.listeners
    mounts = {each.name: each.mountpoint for each in listeners}
    return partial(_row, api.node, mounts, api.broker.listener_name)


async def list_clients(api: Api, call: Call[ClientQuery, Nothing]) -> Listing[ClientRow]:
    check_node(api, call)
    wanted = filter_of(call.query)
    ask = None if wanted is None else partial(api.broker.details, wanted)
    return await listing(call.query, ask, _rows(api))


async def get_client(api: Api, call: Plain) -> list[ClientRow]:
    check_node(api, call)
    detail = api.broker.detail(call.path["clientid"])
    return [] if detail is None else [_rows(api)(detail)]


async def get_clients_of_user(api: Api, call: Plain) -> Listing[ClientRow]:
    check_node(api, call)
    of_user = ClientFilter(user_name=call.path["username"])
    return await all_rows(partial(api.broker.details, of_user), _rows(api))


async def end_client(api: Api, call: Plain) -> None:
    check_node(api, call)
    client_id = call.path["clientid"]
    try:
        await api.broker.discard(client_id)
    except KeyError:
        raise not_online(client_id) from None


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/clients",
        also=("/nodes/{node}/clients",),
        act=list_clients,
        summary="Clients, connected or with their session kept, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/clients/{clientid}",
        also=("/nodes/{node}/clients/{clientid}",),
        act=get_client,
        summary="One client; an empty list where there is none.",
    ),
    Endpoint(
        method="GET",
        path="/clients/username/{username}",
        also=("/nodes/{node}/clients/username/{username}",),
        act=get_clients_of_user,
        summary="The clients of one user.",
    ),
    Endpoint(
        method="DELETE",
        path="/clients/{clientid}",
        also=("/nodes/{node}/clients/{clientid}",),
        act=end_client,
        summary="Close the connection of a client and end its session.",
    ),
]
