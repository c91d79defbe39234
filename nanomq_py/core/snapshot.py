"""All clients as of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.core.native import ffi, lib, optional_text, text_of
from nanomq_py.core.records import ClientState, Subscription

if TYPE_CHECKING:
    from nanomq_py._core import nmq_client_info, nmq_snapshot, nmq_subscription_info


class Snapshot:
    """``records.Snapshot`` over a copy that the core made.

    Owner    it frees the copy when it goes
    Threads  one at a time, any
    """

    def __init__(self, handle: nmq_snapshot) -> None:
        self._handle = ffi.gc(handle, lib.nmq_snapshot_free)
        count = ffi.new("size_t *")
        self._subs = lib.nmq_snapshot_subscriptions(handle, count)
        self._clients = lib.nmq_snapshot_clients(handle, count)
        self._count = int(count[0])

    def __len__(self) -> int:
        return self._count

    def states(self, first: int, most: int) -> list[ClientState]:
        """Return the clients from the one with that index on, ``most`` at most."""
        until = min(first + most, self._count)
        return [_read_state(self._clients[i]) for i in range(first, until)]

    def client_id(self, index: int) -> str:
        """Return the identifier of one client."""
        raw = self._clients[index]
        return text_of(raw.client_id, raw.client_id_len)

    def subscription_count(self, index: int) -> int:
        """Return how many subscriptions the client has."""
        return int(self._clients[index].subscription_count)

    def subscriptions(self, index: int, first: int, most: int) -> list[Subscription]:
        """Return those of one client from ``first`` on, ``most`` at most."""
        raw = self._clients[index]
        until = min(first + most, raw.subscription_count)
        at = raw.first_subscription
        return [_read_subscription(self._subs[at + n]) for n in range(first, until)]


def _read_subscription(raw: nmq_subscription_info) -> Subscription:
    return Subscription(
        topic_filter=text_of(raw.filter, raw.filter_len),
        qos=raw.options & 3,
        no_local=bool(raw.options & 4),
        retain_as_published=bool(raw.options & 8),
        retain_handling=raw.options >> 4 & 3,
        identifier=raw.identifier,
    )


def _read_state(raw: nmq_client_info) -> ClientState:
    return ClientState(
        client_id=text_of(raw.client_id, raw.client_id_len),
        user_name=optional_text(raw.user_name, raw.user_name_len),
        peer=ffi.string(raw.peer).decode(),
        version=raw.version,
        keep_alive_s=raw.keep_alive_s,
        clean_start=raw.clean_start,
        connected=raw.connected,
        expiry_interval_s=raw.expiry_interval_s,
        connected_at_ms=raw.connected_at_ms,
        disconnected_at_ms=raw.disconnected_at_ms,
        queued=raw.queued,
        in_flight=raw.in_flight,
        messages_received=raw.messages_received,
        messages_sent=raw.messages_sent,
        messages_dropped=raw.messages_dropped,
    )
