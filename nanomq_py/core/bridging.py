"""Bridges of the core: sessions whose other end is another broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from nanomq_py.core.native import c_text, check, ffi, lib

if TYPE_CHECKING:
    from nanomq_py._core import (
        CData,
        Chars,
        nmq_bridge_forward,
        nmq_bridge_options,
        nmq_bridge_subscription,
        nmq_bridges,
        nmq_tls,
    )


class BridgeState(IntEnum):
    """What a bridge does now."""

    IDLE = lib.NMQ_BRIDGE_IDLE
    DIALLING = lib.NMQ_BRIDGE_DIALLING
    ASKED = lib.NMQ_BRIDGE_ASKED  # CONNECT is sent
    UP = lib.NMQ_BRIDGE_UP


class Retain(IntEnum):
    """What becomes of RETAIN on the way."""

    KEEP = lib.NMQ_BRIDGE_RETAIN_KEEP
    CLEAR = lib.NMQ_BRIDGE_RETAIN_CLEAR
    SET = lib.NMQ_BRIDGE_RETAIN_SET


class Cause(IntEnum):
    """What ended a bridge's connection, and what the code of it is."""

    DIAL = lib.NMQ_BRIDGE_BY_DIAL  # a status: it was not connected
    PEER = lib.NMQ_BRIDGE_BY_PEER  # a Reason Code: the other broker refused or ended it
    US = lib.NMQ_BRIDGE_BY_US  # a Reason Code: it was ended here
    SUBACK = lib.NMQ_BRIDGE_BY_SUBACK  # it is up, and a subscription was refused


@dataclass(frozen=True, slots=True)
class Rule:
    """Which messages cross, and what their topics become.

    topic_filter  at the end that they come from; it begins with ``taken_off``
    taken_off     off the front of the topic
    put_on        there
    fixed         ``put_on`` is the topic at the other end, whatever it was
    qos           a forward's at most, a subscription's
    """

    topic_filter: str
    taken_off: str = ""
    put_on: str = ""
    fixed: bool = False
    qos: int = 0
    retain: Retain = Retain.KEEP


@dataclass(frozen=True, slots=True)
class BridgeWill:
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """A bridge, as ``csrc/bridge/bridges.h`` says.

    forwards       from here to the other broker
    subscriptions  from there to here
    """

    name: str
    client_id: str
    forwards: tuple[Rule, ...] = ()
    subscriptions: tuple[Rule, ...] = ()
    user_name: str | None = None
    password: bytes | None = None
    version: int = 5
    bridge_bit: bool = True
    clean_start: bool = False
    session_expiry_s: int = 0xFFFFFFFF
    keep_alive_s: int = 60
    receive_maximum: int = 1000
    queue_max: int = 100_000
    queue_max_bytes: int = 0
    drop_newest: bool = False
    message_expiry_s: int = 0
    paused: bool = False
    will: BridgeWill | None = None


@dataclass(frozen=True, slots=True)
class BridgeStats:
    """What a bridge holds and has done."""

    state: BridgeState
    waiting: int
    waiting_bytes: int  # of what is in flight too
    in_flight: int
    sent: int
    acked: int
    received: int
    refused: int  # of those, not for any subscription or with no topic here
    dropped: int
    bytes_in: int
    bytes_out: int


@dataclass(frozen=True, slots=True)
class BridgeNews:
    """What a bridge has come to; of several changes only the latest is told.

    ups, downs       how often it was up, and how often a dial or connection has ended
    cause, code, why  of the latest fault; code 0: none
    """

    number: int
    state: BridgeState
    ups: int
    downs: int
    session_present: bool
    cause: Cause
    code: int
    why: str


def _c_text(text: str | bytes | None, kept: list[CData]) -> tuple[Chars, int]:
    """Return bytes, which may hold NUL, and their length."""
    if text is None:
        return ffi.NULL, 0
    raw = text.encode() if isinstance(text, str) else text
    held = ffi.new("char[]", raw)
    kept.append(held)
    return held, len(raw)


def _c_forwards(rules: tuple[Rule, ...], kept: list[CData]) -> nmq_bridge_forward:
    raw = ffi.new("nmq_bridge_forward[]", len(rules))
    kept.append(raw)
    for at, rule in enumerate(rules):
        raw[at].filter, raw[at].filter_len = _c_text(rule.topic_filter, kept)
        raw[at].local, raw[at].local_len = _c_text(rule.taken_off, kept)
        raw[at].remote, raw[at].remote_len = _c_text(rule.put_on, kept)
        raw[at].fixed, raw[at].qos, raw[at].retain = rule.fixed, rule.qos, rule.retain
    return raw


def _c_subscriptions(rules: tuple[Rule, ...], kept: list[CData]) -> nmq_bridge_subscription:
    raw = ffi.new("nmq_bridge_subscription[]", len(rules))
    kept.append(raw)
    for at, rule in enumerate(rules):
        raw[at].filter, raw[at].filter_len = _c_text(rule.topic_filter, kept)
        raw[at].remote, raw[at].remote_len = _c_text(rule.taken_off, kept)
        raw[at].local, raw[at].local_len = _c_text(rule.put_on, kept)
        raw[at].fixed, raw[at].qos, raw[at].retain = rule.fixed, rule.qos, rule.retain
    return raw


def _c_will(raw: nmq_bridge_options, will: BridgeWill, kept: list[CData]) -> None:
    raw.will_topic, raw.will_topic_len = _c_text(will.topic, kept)
    raw.will_payload, raw.will_payload_len = _c_text(will.payload, kept)
    raw.will_qos, raw.will_retain = will.qos, will.retain


def _c_options(options: BridgeOptions, kept: list[CData]) -> nmq_bridge_options:
    raw = ffi.new("nmq_bridge_options *")
    raw.name, raw.name_len = _c_text(options.name, kept)
    raw.client_id, raw.client_id_len = _c_text(options.client_id, kept)
    raw.user_name, raw.user_name_len = _c_text(options.user_name, kept)
    raw.password, raw.password_len = _c_text(options.password, kept)
    raw.version, raw.bridge_bit = options.version, options.bridge_bit
    raw.clean_start, raw.keep_alive_s = options.clean_start, options.keep_alive_s
    raw.session_expiry_s, raw.paused = options.session_expiry_s, options.paused
    raw.receive_maximum = options.receive_maximum
    raw.queue_max, raw.queue_max_bytes = options.queue_max, options.queue_max_bytes
    raw.drop_newest, raw.message_expiry_s = options.drop_newest, options.message_expiry_s
    if options.will is not None:
        _c_will(raw, options.will, kept)
    raw.forwards = _c_forwards(options.forwards, kept)
    raw.forward_count = len(options.forwards)
    raw.subscriptions = _c_subscriptions(options.subscriptions, kept)
    raw.subscription_count = len(options.subscriptions)
    return raw


class DialTls:
    """Certificates and keys, made ready for connections that we begin."""

    def __init__(
        self,
        server_name: str,
        *,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
        key_password: str | None = None,
        verify_peer: bool = True,
        min_version: int = 12,
    ) -> None:
        """Make them ready; texts are PEM. Raises CoreError when TLS cannot use them."""
        kept: list[CData] = []
        raw = ffi.new("nmq_tls_client_options *")
        raw.server_name, raw.ca = c_text(server_name, kept), c_text(ca, kept)
        raw.cert, raw.key = c_text(cert, kept), c_text(key, kept)
        raw.key_password = c_text(key_password, kept)
        raw.verify_peer, raw.min_version = verify_peer, min_version
        out = ffi.new("nmq_tls **")
        check(lib.nmq_tls_new_client(raw, out))
        self.handle: nmq_tls = ffi.gc(out[0], lib.nmq_tls_free)


class Bridging:
    """The bridges of one broker.

    Threads  any; a call may wait for the dial that it ends
    """

    def __init__(self, bridges: nmq_bridges) -> None:
        self._bridges = bridges

    def put(self, options: BridgeOptions) -> int:
        """Make the bridge of that name, or change it; return its number.

        What waits stays. CONNECT says what is new from the next dial on.

        Raises  CoreError
        """
        kept: list[CData] = []
        number = ffi.new("uint64_t *")
        check(lib.nmq_bridges_put(self._bridges, _c_options(options, kept), number))
        return int(number[0])

    def dial(
        self,
        number: int,
        host: str,
        port: int,
        *,
        tls: DialTls | None = None,
        path: str | None = None,
        timeout_ms: int = 10_000,
    ) -> None:
        """Connect it, with what was tried before given up. Raises CoreError.

        port  0: ``host`` is the path of a Unix socket
        path  of a WebSocket upgrade; None: MQTT without it
        """
        kept: list[CData] = []
        where = c_text(host, kept), port, ffi.NULL if tls is None else tls.handle
        upgrade = c_text(path, kept)
        check(lib.nmq_bridges_dial(self._bridges, number, *where, upgrade, timeout_ms))

    def hang_up(self, number: int) -> None:
        """End its connection or dial; it keeps what comes. Raises CoreError."""
        check(lib.nmq_bridges_hang_up(self._bridges, number))

    def end(self, name: str) -> None:
        """End the bridge of that name, and forget what waits. Raises CoreError."""
        text = name.encode()
        check(lib.nmq_bridges_end(self._bridges, text, len(text)))

    def end_orphans(self) -> int:
        """End those that were restored and never put; return how many."""
        return int(lib.nmq_bridges_end_orphans(self._bridges))

    def stats(self, number: int) -> BridgeStats:
        """Raises CoreError."""
        raw = ffi.new("nmq_bridge_stats *")
        check(lib.nmq_bridges_stats(self._bridges, number, raw))
        return BridgeStats(
            BridgeState(raw.state),
            raw.waiting,
            raw.waiting_bytes,
            raw.in_flight,
            raw.sent,
            raw.acked,
            raw.received,
            raw.refused,
            raw.dropped,
            raw.bytes_in,
            raw.bytes_out,
        )

    @property
    def fd(self) -> int:
        """Readable when there is news; -1 before the first :meth:`put`. Do not close it."""
        return int(lib.nmq_bridges_fd(self._bridges))

    def news(self) -> list[BridgeNews]:
        """Return what is new since the last call."""
        if self.fd < 0:
            return []
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return []
        return list(self._each_news())

    def _each_news(self) -> Iterator[BridgeNews]:
        raw = ffi.new("nmq_bridge_news *")
        while lib.nmq_bridges_next(self._bridges, raw):
            yield BridgeNews(
                raw.number,
                BridgeState(raw.state),
                raw.ups,
                raw.downs,
                bool(raw.session_present),
                Cause(raw.cause),
                raw.code,
                ffi.string(raw.why).decode(errors="replace"),
            )
