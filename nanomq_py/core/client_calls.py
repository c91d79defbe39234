"""What a program tells a running broker of the C core about its clients."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from nanomq_py.core.native import check, ffi, lib, text_of
from nanomq_py.core.records import Trial
from nanomq_py.core.rules import Access, c_trial

if TYPE_CHECKING:
    from nanomq_py._core import CData, nmq_broker


@dataclass(frozen=True)
class KeptAnswer:
    """``nmq_kept_row``: what was answered about a topic that a client publishes to."""

    topic_name: str
    access: Access
    answered_at_ms: int  # Unix time
    left_ms: int  # for so long it counts


class Decider(IntEnum):
    """``enum nmq_decider``: what decides what a client may do."""

    SUPERUSER = lib.NMQ_DECIDER_SUPERUSER
    OWN = lib.NMQ_DECIDER_OWN  # rules of the client alone
    RULE = lib.NMQ_DECIDER_RULE
    NONE = lib.NMQ_DECIDER_NONE


@dataclass(frozen=True)
class Ruling:
    """``nmq_acl_ruling``: whether a client may do something, and what says so."""

    access: Access | None  # None: somebody is to be asked
    by: Decider
    otherwise: bool  # what holds if who is asked has no opinion
    rule: int | None  # its number
    topic: str  # as the client knows it


class ClientCalls:
    """The calls of a :class:`Core` about clients.

    Threads  as for it
    """

    _broker: nmq_broker
    _in_use: threading.Lock

    def publish(
        self,
        topic_name: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_interval_s: int | None = None,
        properties: bytes = b"",
        client_id: str | None = None,
        exempt: bool = False,
    ) -> int:
        """Route one Application Message; return how many sessions took it.

        properties  as in a packet, their length in front; empty: none
        client_id   who publishes it; None: this program
        exempt      no access rule counts for it, when it is kept as a retained one
        """
        raw = ffi.new("nmq_publication *")
        texts = (topic_name.encode(), payload, properties, (client_id or "").encode())
        kept = [ffi.from_buffer(given) for given in texts]
        raw.topic_name, raw.topic_len = kept[0], len(kept[0])
        raw.payload, raw.payload_len = kept[1], len(kept[1])
        raw.props, raw.props_len = kept[2], len(kept[2])
        raw.qos, raw.retain = qos, retain
        if client_id is not None:
            raw.client_id, raw.client_id_len = kept[3], len(kept[3])
            raw.exempt = exempt
        if expiry_interval_s is not None:
            raw.expiry_interval_s, raw.expires = expiry_interval_s, True
        return check(lib.nmq_broker_publish(self._broker, raw))

    def subscribe(
        self, client_id: str, topic_filter: str, options: int, identifier: int
    ) -> int:
        """Subscribe that client, as if it had; return the QoS that was granted.

        Threads  as :meth:`Core.query`
        """
        name, text = client_id.encode(), topic_filter.encode()
        with self._in_use:
            return check(
                lib.nmq_broker_subscribe(
                    self._broker, name, len(name), text, len(text), options, identifier
                )
            )

    def unsubscribe(self, client_id: str, topic_filter: str) -> None:
        """End a subscription of that client. CoreError ECLOSED: it has none.

        Threads  as :meth:`Core.query`
        """
        name, text = client_id.encode(), topic_filter.encode()
        with self._in_use:
            check(
                lib.nmq_broker_unsubscribe(self._broker, name, len(name), text, len(text))
            )

    def kick(self, client_id: str, reason_code: int) -> None:
        """Close the client's connection. Raises CoreError if it has none."""
        name = client_id.encode()
        check(lib.nmq_broker_kick(self._broker, name, len(name), reason_code))

    def may(self, trial: Trial, *, mounted: bool) -> Ruling:
        """Say what decides whether a client may do that.

        mounted  the topic is as the broker knows it, below a mount point
        Raises   CoreError: EACCESS for one that is not below that of the client
        """
        kept: list[CData] = []
        ruling, mount_len = ffi.new("nmq_acl_ruling *"), ffi.new("size_t *")
        raw = c_trial(trial, kept)
        check(lib.nmq_broker_may(self._broker, raw, mounted, ruling, mount_len))
        topic = trial.topic.encode()[mount_len[0] :].decode()
        access = None if ruling.access == lib.NMQ_ACCESS_LATER else Access(ruling.access)
        rule = ruling.rule if ruling.by == lib.NMQ_DECIDER_RULE else None
        return Ruling(access, Decider(ruling.by), ruling.otherwise, rule, topic)

    def discard(self, client_id: str, reason_code: int) -> None:
        """End the client's session, and its connection. Raises CoreError if there is none.

        Threads  as :meth:`Core.query`
        """
        name = client_id.encode()
        with self._in_use:
            check(lib.nmq_broker_discard(self._broker, name, len(name), reason_code))

    def set_keep_alive(self, client_id: str, keep_alive_s: int) -> None:
        """Give the connection another Keep Alive. Raises CoreError if there is none."""
        name = client_id.encode()
        check(lib.nmq_broker_set_keep_alive(self._broker, name, len(name), keep_alive_s))

    def set_rates(self, client_id: str, messages: int | None, bytes: int | None) -> None:
        """Bound what a client sends a second; 0: not at all, None: as the options say.

        Raises   CoreError if it is not connected
        """
        name = client_id.encode()
        wanted = [-1 if rate is None else rate for rate in (messages, bytes)]
        check(lib.nmq_broker_set_rates(self._broker, name, len(name), *wanted))

    def kept_answers(self, client_id: str) -> list[KeptAnswer]:
        """Return what the core answers by itself. Raises CoreError if it is not connected."""
        name = client_id.encode()
        rows = ffi.new("nmq_kept_row[]", lib.NMQ_KEPT_ROWS)
        count = check(lib.nmq_broker_kept_answers(self._broker, name, len(name), rows))
        return [
            KeptAnswer(
                text_of(row.topic, row.topic_len), Access(row.said), row.at_ms, row.left_ms
            )
            for row in rows[0:count]
        ]

    def forget_answers(self, client_id: str | None) -> None:
        """Forget them; None: those of all clients, and then as :meth:`Core.query`.

        Raises   CoreError if it is not connected
        """
        name = ffi.NULL if client_id is None else client_id.encode()
        count = 0 if client_id is None else len(name)
        with self._in_use:
            check(lib.nmq_broker_forget_answers(self._broker, name, count))
