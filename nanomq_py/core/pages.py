"""Queries of the core: from a filter to a page of rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nanomq_py.core.native import check, ffi, lib, optional_text, text_of
from nanomq_py.core.queries import (
    Client,
    ClientDetail,
    Filter,
    Page,
    Paging,
    Retained,
    Route,
    Session,
    Subscription,
)

if TYPE_CHECKING:
    from nanomq_py._core import (
        CData,
        nmq_broker,
        nmq_client_row,
        nmq_detail_row,
        nmq_page,
        nmq_query,
        nmq_query_text,
        nmq_retained_row,
        nmq_route_row,
        nmq_session_row,
        nmq_subscription_row,
    )
    from nanomq_py.core.declared_events import Why

AT_ONCE = 64  # rows read before another thread may have the GIL
INT64 = (-(1 << 63), (1 << 63) - 1)
OFFSET_MAX = (1 << 64) - 1

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of query: its number, its rows in a page, and what reads one."""

    number: int
    rows: Callable[[nmq_page], Any]
    read: Callable[[Any], T]


def query(
    broker: nmq_broker, kind: Kind[T], filter: Filter | None, paging: Paging
) -> Page[T]:
    """Return a page.

    Raises   ValueError for a text that is too long, CoreError for a filter that is none
    Threads  any; blocks, without the GIL while it looks
    """
    kept: list[CData] = []
    raw = ffi.new("nmq_query *")
    raw.kind, raw.backward, raw.count = kind.number, paging.order.value, paging.count
    raw.offset = min(paging.offset, OFFSET_MAX)
    raw.limit, raw.cursor = paging.limit, paging.after or 0
    if filter is not None:
        _fill(raw, filter, kept)
    out = ffi.new("nmq_page **")
    check(lib.nmq_broker_query(broker, raw, out))
    page = ffi.gc(out[0], lib.nmq_page_free)
    rows = kind.rows(page)
    found = []
    for index in range(page.count):
        found.append(kind.read(rows[index]))
        if index % AT_ONCE == AT_ONCE - 1:
            time.sleep(0)
    return Page(found, page.total if page.has_total else None, page.next or None)


def _fill(raw: nmq_query, filter: Filter, kept: list[CData]) -> None:
    for part in fields(filter):
        value = getattr(filter, part.name)
        if isinstance(value, str):
            _fill_text(getattr(raw, part.name), part.name, value, kept)
        elif isinstance(value, bool):
            setattr(raw, part.name, lib.NMQ_QUERY_YES if value else lib.NMQ_QUERY_NO)
        elif isinstance(value, Sequence) and part.name == "client_ids":
            _fill_ids(raw, value, kept)
        elif value is not None:
            least, most = (value, value) if isinstance(value, int) else value
            bounds = getattr(raw, part.name)
            bounds.is_set = True
            bounds.least = INT64[0] if least is None else _clamped(least)
            bounds.most = INT64[1] if most is None else _clamped(most)


def _fill_text(raw: nmq_query_text, name: str, value: str, kept: list[CData]) -> None:
    data = value.encode()
    if len(data) > lib.NMQ_QUERY_TEXT_MAX:
        raise ValueError(f"{name}: expected at most {lib.NMQ_QUERY_TEXT_MAX} bytes")
    text = ffi.new("char[]", data)
    kept.append(text)
    raw.at, raw.len = text, len(data)


def _fill_ids(raw: nmq_query, ids: Sequence[str], kept: list[CData]) -> None:
    if len(ids) > lib.NMQ_QUERY_IDS_MAX:
        raise ValueError(f"client_ids: expected at most {lib.NMQ_QUERY_IDS_MAX}")
    texts = ffi.new("nmq_query_text[]", len(ids))
    kept.append(texts)
    for text, value in zip(texts, ids, strict=True):
        _fill_text(text, "client_ids", value, kept)
    raw.client_ids, raw.client_id_count = texts, len(ids)


def _clamped(value: int) -> int:
    return max(INT64[0], min(value, INT64[1]))


def _read_client(raw: nmq_client_row) -> Client:
    return Client(
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        peer=ffi.string(raw.peer).decode(),
        version=raw.version,
        keep_alive_s=raw.keep_alive_s,
        clean_start=raw.clean_start,
        connected=raw.connected,
        expiry_interval_s=raw.expiry_interval_s,
        created_at_ms=raw.created_at_ms,
        connected_at_ms=raw.connected_at_ms,
        disconnected_at_ms=raw.disconnected_at_ms,
        queued=raw.queued,
        in_flight=raw.in_flight,
        messages_received=raw.messages_received,
        messages_sent=raw.messages_sent,
        messages_dropped=raw.messages_dropped,
        subscription_count=raw.subscription_count,
    )


def _why(number: int) -> Why | None:
    """Return one of enum nmq_why."""
    from nanomq_py.core.declared_events import (
        Why,  # who asks for no details does not load it
    )

    return None if number == 0 else list(Why)[number - 1]


def _read_detail(raw: nmq_detail_row) -> ClientDetail:
    return ClientDetail(
        client=_read_client(raw.client),
        address=ffi.string(raw.address).decode(),
        port=raw.port,
        listener_key=raw.listener_key,
        bytes_in=raw.bytes_in,
        bytes_out=raw.bytes_out,
        packets_in=raw.packets_in,
        packets_out=raw.packets_out,
        messages_in=(raw.messages_in[0], raw.messages_in[1], raw.messages_in[2]),
        messages_out=(raw.messages_out[0], raw.messages_out[1], raw.messages_out[2]),
        dropped_full=raw.dropped_full,
        dropped_expired=raw.dropped_expired,
        dropped_too_large=raw.dropped_too_large,
        held_bytes=raw.held_bytes,
        subscriptions_max=raw.subscriptions_max,
        group_count=raw.group_count,
        queue_max=raw.queue_max,
        window=raw.window,
        unreleased=raw.unreleased,
        unreleased_max=raw.unreleased_max,
        has_will=raw.has_will,
        end_code=raw.end_code,
        end_why=_why(raw.end_why),
    )


def _read_session(raw: nmq_session_row) -> Session:
    return Session(
        client_id=text_of(raw.client_id, raw.client_id_len),
        created_at_ms=raw.created_at_ms,
        connected=raw.connected,
        clean_start=raw.clean_start,
        expiry_interval_s=raw.expiry_interval_s,
        has_will=raw.has_will,
        subscription_count=raw.subscription_count,
        group_count=raw.group_count,
        queued=raw.queued,
        queue_max=raw.queue_max,
        in_flight=raw.in_flight,
        window=raw.window,
        unreleased=raw.unreleased,
        held_bytes=raw.held_bytes,
        messages_sent=raw.messages_sent,
        messages_dropped=raw.messages_dropped,
    )


def _read_subscription(raw: nmq_subscription_row) -> Subscription:
    text = text_of(raw.text, raw.text_len)
    return Subscription(
        client_id=text_of(raw.client_id, raw.client_id_len),
        topic_filter=text,
        group=text.split("/", 2)[1] if raw.group_len else None,
        qos=raw.options & 3,
        no_local=bool(raw.options & 4),
        retain_as_published=bool(raw.options & 8),
        retain_handling=raw.options >> 4 & 3,
        identifier=raw.identifier,
    )


def _read_route(raw: nmq_route_row) -> Route:
    return Route(
        topic_filter=text_of(raw.filter, raw.filter_len),
        group=optional_text(raw.group, raw.group_len),
        subscriptions=raw.subscriptions,
    )


def _read_retained(raw: nmq_retained_row) -> Retained:
    return Retained(
        topic_name=text_of(raw.topic_name, raw.topic_len),
        qos=raw.qos,
        payload_bytes=raw.payload_len,
        client_id=optional_text(raw.client_id, raw.client_id_len),
        expires_in_ms=None if raw.expires_in_ms < 0 else raw.expires_in_ms,
    )


CLIENTS = Kind(lib.NMQ_QUERY_CLIENTS, lib.nmq_page_clients, _read_client)
SESSIONS = Kind(lib.NMQ_QUERY_SESSIONS, lib.nmq_page_sessions, _read_session)
DETAILS = Kind(lib.NMQ_QUERY_DETAILS, lib.nmq_page_details, _read_detail)
SUBSCRIPTIONS = Kind(
    lib.NMQ_QUERY_SUBSCRIPTIONS, lib.nmq_page_subscriptions, _read_subscription
)
ROUTES = Kind(lib.NMQ_QUERY_ROUTES, lib.nmq_page_routes, _read_route)
RETAINED = Kind(lib.NMQ_QUERY_RETAINED, lib.nmq_page_retained, _read_retained)
