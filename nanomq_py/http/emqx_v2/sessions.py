"""Sessions of v2: those of clients that are connected, and those that are kept."""

from __future__ import annotations

import msgspec

from nanomq_py.core.queries import ClientFilter, Session
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v2.paging import PageQuery, all_rows, listing
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class SessionRow(msgspec.Struct, frozen=True):
    """A session.

    max_inflight    messages that may be in flight at once
    inflight_queue  those that are; who of them waits for which acknowledgement nobody counts,
                    so ``awaiting_ack`` and ``awaiting_comp`` are undefined
    message_queue   messages that wait
    awaiting_rel    QoS 2 messages received, PUBREL awaited
    """

    client_id: str
    clean_sess: bool
    max_inflight: int
    inflight_queue: int
    message_queue: int
    message_dropped: int
    awaiting_rel: int
    awaiting_ack: str
    awaiting_comp: str
    created_at: str


def _row(session: Session) -> SessionRow:
    return SessionRow(
        client_id=session.client_id,
        clean_sess=session.clean_start,
        max_inflight=session.window,
        inflight_queue=session.in_flight,
        message_queue=session.queued,
        message_dropped=session.messages_dropped,
        awaiting_rel=session.unreleased,
        awaiting_ack=UNDEFINED,
        awaiting_comp=UNDEFINED,
        created_at=local_time(session.created_at_ms),
    )


async def list_sessions(api: Api, call: Call[PageQuery, Nothing]) -> Listing[SessionRow]:
    api.check_node(call.path["node_name"])
    return await listing(call.query, api.broker.sessions, _row)


async def get_session(api: Api, call: Plain) -> Listing[SessionRow]:
    api.check_node(call.path.get("node_name", api.node))
    wanted = ClientFilter(client_id=call.path["clientid"])
    return await all_rows(lambda **paging: api.broker.sessions(wanted, **paging), _row)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/sessions",
        act=list_sessions,
        summary="Sessions, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/sessions/{clientid}",
        also=("/sessions/{clientid}",),
        act=get_session,
        summary="The session of one client; no object where it has none.",
    ),
]
