"""The broker as the platform shows it: counters, the node, connections, sessions.

Source  iot-platform-api-v1.txt, "MQTT Monitoring"
"""

from __future__ import annotations

from functools import partial

import msgspec

from nanomq_py.core.queries import ClientDetail, ClientFilter
from nanomq_py.http.emqx.listeners import listener_facts
from nanomq_py.http.emqx.node import Identity
from nanomq_py.http.emqx.rows import first_piece, pieces
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.paging import PageQuery

# --- counters and the node


class Metrics(msgspec.Struct, frozen=True):
    message_sent: int = msgspec.field(name="messageSentCount")
    message_received: int = msgspec.field(name="messageReceivedCount")
    packet_sent: int = msgspec.field(name="packetSentCount")
    packet_received: int = msgspec.field(name="packetReceivedCount")
    byte_sent: int = msgspec.field(name="byteSentCount")
    byte_received: int = msgspec.field(name="byteReceivedCount")


class Counts(msgspec.Struct, frozen=True):
    nodes: int = msgspec.field(name="nodeCount")
    sessions: int = msgspec.field(name="sessionCount")
    connections: int = msgspec.field(name="connectionCount")


class Status(msgspec.Struct, frozen=True):
    metrics: Metrics
    stats: Counts


class NodeRow(msgspec.Struct, frozen=True):
    datetime: str
    node: str
    node_status: str
    otp_release: str
    sysdescr: str
    uptime: str
    version: str


class Nodes(msgspec.Struct, frozen=True):
    count: int
    rows: list[NodeRow] = msgspec.field(name="list")


async def get_status(api: Api, call: Plain) -> Status:
    stats = api.broker.stats()
    return Status(
        Metrics(
            stats.messages_out,
            stats.messages_in,
            stats.packets_out,
            stats.packets_in,
            stats.bytes_out,
            stats.bytes_in,
        ),
        Counts(1, stats.clients, stats.connected),
    )


async def list_nodes(api: Api, call: Plain) -> Nodes:
    row = msgspec.convert({"node": api.node, **vars(Identity.now())}, NodeRow)
    return Nodes(1, [row])


# --- connections and sessions


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A client that is connected.

    is_bridge, is_super, will_topic   nobody keeps them
    """

    clean_start: bool
    client_id: str
    connected_at: str
    ipaddress: str
    is_bridge: bool = False
    is_super: bool = False
    keepalive: int
    mountpoint: str = UNDEFINED
    node: str
    peercert: str
    port: int
    proto_name: str
    proto_ver: int
    username: str
    will_topic: str = UNDEFINED
    zone: str = "external"


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session.

    binding       this node has its client
    enqueue_msg   messages that had to wait and were not lost, or wait: those of now
    heap_size, mailbox_len, reductions   are of Erlang: 0
    """

    awaiting_rel_len: int
    binding: str = "local"
    clean_start: bool
    client_id: str
    created_at: str
    deliver_msg: int
    enqueue_msg: int
    expiry_interval: int
    heap_size: int = 0
    inflight_len: int
    mailbox_len: int = 0
    max_awaiting_rel: int
    max_inflight: int
    max_mqueue: int
    max_subscriptions: int
    mqueue_dropped: int
    mqueue_len: int
    node: str
    reductions: int = 0
    subscriptions_count: int
    username: str


class Connections(msgspec.Struct, frozen=True):
    total: int
    count: int
    page: int
    limit: int
    rows: list[ConnectionRow] = msgspec.field(name="list")


class Sessions(msgspec.Struct, frozen=True):
    total: int
    count: int
    page: int
    limit: int
    rows: list[SessionRow] = msgspec.field(name="list")


def _connection(api: Api, secure: set[str], detail: ClientDetail) -> ConnectionRow:
    client = detail.client
    is_secure = api.broker.listener_name(detail.listener_key) in secure
    return ConnectionRow(
        clean_start=client.clean_start,
        client_id=client.client_id,
        connected_at=local_time(client.connected_at_ms),
        ipaddress=detail.address or UNDEFINED,  # of a socket on this machine
        keepalive=client.keep_alive_s,
        node=api.node,
        peercert=UNDEFINED if is_secure else "nossl",
        port=detail.port,
        proto_name=detail.protocol_name,
        proto_ver=client.version,
        username=UNDEFINED if client.user_name is None else client.user_name,
    )


def _session(api: Api, detail: ClientDetail) -> SessionRow:
    client = detail.client
    return SessionRow(
        awaiting_rel_len=detail.unreleased,
        clean_start=client.clean_start,
        client_id=client.client_id,
        created_at=local_time(client.created_at_ms),
        deliver_msg=client.messages_sent,
        enqueue_msg=client.queued,
        expiry_interval=client.expiry_interval_s,
        inflight_len=client.in_flight,
        max_awaiting_rel=detail.unreleased_max,
        max_inflight=detail.window,
        max_mqueue=detail.queue_max,
        max_subscriptions=detail.subscriptions_max,
        mqueue_dropped=client.messages_dropped,
        mqueue_len=client.queued,
        node=api.node,
        subscriptions_count=client.subscription_count,
        username=UNDEFINED if client.user_name is None else client.user_name,
    )


async def _page(
    api: Api, query: PageQuery, wanted: ClientFilter | None
) -> tuple[int, list[ClientDetail]]:
    """Return how many clients fit in all, and those of the page."""
    ask = partial(api.broker.details, wanted)
    first = await first_piece(ask, offset=query.offset, limit=query.limit)
    rows = [row async for each in pieces(first, query.limit, ask, _same) for row in each]
    return first.total or 0, rows


def _same(detail: ClientDetail) -> ClientDetail:
    return detail


async def list_connections(api: Api, call: Call[PageQuery, Nothing]) -> Connections:
    query = call.query
    total, details = await _page(api, query, ClientFilter(connected=True))
    secure = {
        each.name
        for each in listener_facts(api.broker)
        if each.protocol in ("mqtt:ssl", "mqtt:wss")
    }
    rows = [_connection(api, secure, each) for each in details]
    return Connections(total, len(rows), query.page, query.limit, rows)


async def list_sessions(api: Api, call: Call[PageQuery, Nothing]) -> Sessions:
    query = call.query
    total, details = await _page(api, query, None)
    rows = [_session(api, each) for each in details]
    return Sessions(total, len(rows), query.page, query.limit, rows)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitor/brokers/stats",
        act=get_status,
        summary="What the broker has counted, and how much it has.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/brokers",
        act=list_nodes,
        summary="All nodes: this one.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/brokers/connections",
        act=list_connections,
        summary="Clients that are connected, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/monitor/brokers/sessions",
        act=list_sessions,
        summary="Sessions, also of clients that are away, a page at a time.",
    ),
]
