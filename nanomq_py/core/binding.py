"""The C core as Python objects: the only importer of ``_core``, and of pynng's nng.

Nothing of cffi leaves this module.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import pynng._nng

from nanomq_py._core import ffi, lib  # noqa: TID251 - the one place
from nanomq_py.core.records import (
    AuthEndEvent,
    AuthEvent,
    ClientState,
    CoreOptions,
    DroppedEvent,
    Event,
    Kick,
    ListenerOptions,
    ListenerStats,
    LogEvent,
    Memory,
    MessageEvent,
    Rule,
    Stats,
    Subscription,
    TlsOptions,
)

Buffer = bytes | bytearray | memoryview | mmap.mmap

# enum nmq_status, as far as callers tell them apart.
EADDRINUSE: int = lib.NMQ_EADDRINUSE
EADDR: int = lib.NMQ_EADDR
EACCESS: int = lib.NMQ_EACCESS
ECRYPTO: int = lib.NMQ_ECRYPTO

_EVENT_LOG: int = lib.NMQ_EVENT_LOG
_EVENT_MESSAGE: int = lib.NMQ_EVENT_MESSAGE
_EVENT_AUTH: int = lib.NMQ_EVENT_AUTH
_EVENT_DROPPED: int = lib.NMQ_EVENT_DROPPED
_EVENT_AUTH_END: int = lib.NMQ_EVENT_AUTH_END
_EVENT_BATCH = 256


class CoreError(Exception):
    """A call into the core failed; ``status`` is its negative ``enum nmq_status``."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(ffi.string(lib.nmq_status_text(status)).decode())


def check(status: int) -> int:
    """Return a count from C, or raise the :class:`CoreError` that it stands for."""
    if status < 0:
        raise CoreError(status)
    return status


def _bind_nng() -> None:
    """Give the core the nng functions that it names, out of pynng's nng."""
    for index in range(lib.nmq_engine_count()):
        name = ffi.string(lib.nmq_engine_name(index)).decode()
        address = pynng._nng.ffi.addressof(pynng._nng.lib, name)
        number = int(pynng._nng.ffi.cast("uintptr_t", address))
        lib.nmq_engine_bind(index, ffi.cast("void *", number))


_bind_nng()
# Whether TLS 1.3 is safe: where it is not, 1.2 is spoken unless the configuration refuses it.
TLS_IS_GUARDED: bool = lib.nmq_tls_guard() == lib.NMQ_OK
TLS_TAKES_CIPHERS: bool = lib.nmq_tls_takes_ciphers()


def has_cipher(suite: int) -> bool:
    """Return whether nng's TLS has the cipher suite of that number (IANA's)."""
    return bool(lib.nmq_tls_has_cipher(suite))


def set_task_threads(count: int) -> None:
    """Set how many threads move messages, 2 to 256. Works before the first broker only."""
    lib.nmq_engine_threads(count)


def set_arenas(count: int) -> None:
    """Set how many heaps threads may have; before the first broker. Few idle less memory."""
    lib.nmq_set_arenas(count)


def set_dumpable(*, dumpable: bool) -> None:
    """Set whether core files hold our memory, and our user's processes may read it."""
    lib.nmq_set_dumpable(dumpable)


def held_bytes() -> int:
    """Return what all cores of this process hold."""
    return int(lib.nmq_held_bytes())


def has_descriptors(keep: int) -> bool:
    """Return whether this process can have one more descriptor, and ``keep`` after it."""
    return bool(lib.nmq_has_descriptors(keep))


def set_other_bytes(count: int) -> None:
    """Tell the core what the process takes besides :func:`held_bytes`; 0: not measured."""
    lib.nmq_set_other_bytes(count)


def trim_memory() -> None:
    """Give memory that lies idle back to the system. Blocks for milliseconds."""
    lib.nmq_trim_memory()


class Tls:
    """Certificates and keys, made ready for listeners."""

    def __init__(self, options: TlsOptions) -> None:
        """Make them ready. Raises CoreError when nng's TLS cannot use them."""
        kept: list[Any] = []
        raw = ffi.new("nmq_tls_options *")
        raw.cert, raw.key = _c_text(options.cert, kept), _c_text(options.key, kept)
        raw.key_password = _c_text(options.key_password, kept)
        raw.ca = _c_text(options.ca, kept)
        raw.verify_peer, raw.require_cert = options.verify_peer, options.require_cert
        raw.min_version = options.min_version
        suites = ffi.new("uint16_t[]", options.ciphers)
        raw.ciphers, raw.cipher_count = suites, len(options.ciphers)
        out = ffi.new("nmq_tls **")
        check(lib.nmq_tls_new(raw, out))
        self.handle: Any = ffi.gc(out[0], lib.nmq_tls_free)


class Rules:
    """Access rules, made ready: the first that applies decides.

    otherwise         what holds when none applies: True allows
    deny_disconnects  a client that does what it may not is disconnected
    """

    def __init__(
        self, rules: Sequence[Rule] = (), *, otherwise: bool, deny_disconnects: bool
    ) -> None:
        self._handle: Any = ffi.NULL  # allows everything
        if otherwise and not rules:
            return
        kept: list[Any] = []  # what the C structs point to, until they were copied
        array = ffi.new("nmq_acl_rule[]", len(rules))
        for raw, rule in zip(array, rules, strict=True):
            _fill_rule(raw, rule, kept)
        all_rules = ffi.new(
            "nmq_acl_rules *",
            {
                "at": array,
                "count": len(rules),
                "otherwise": otherwise,
                "deny_disconnects": deny_disconnects,
            },
        )
        made = lib.nmq_acl_new(all_rules)
        if made == ffi.NULL:
            raise CoreError(lib.NMQ_ENOMEM)
        self._handle = ffi.gc(made, lib.nmq_acl_unref)

    def give(self) -> Any:
        """Return the handle, which is the caller's then."""
        handle, self._handle = self._handle, ffi.NULL
        if handle != ffi.NULL:
            ffi.gc(handle, None)  # no more freed with the object
        return handle


class Snapshot:
    """``records.Snapshot`` over a copy that the core made.

    Owner    it frees the copy when it goes
    Threads  one at a time, any
    """

    def __init__(self, handle: Any) -> None:
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
        return _text(raw.client_id, raw.client_id_len)

    def subscription_count(self, index: int) -> int:
        """Return how many subscriptions the client has."""
        return int(self._clients[index].subscription_count)

    def subscriptions(self, index: int, first: int, most: int) -> list[Subscription]:
        """Return those of one client from ``first`` on, ``most`` at most."""
        raw = self._clients[index]
        until = min(first + most, raw.subscription_count)
        at = raw.first_subscription
        return [_read_subscription(self._subs[at + n]) for n in range(first, until)]


class Core:
    """One running broker.

    Owner    this object owns the C broker; close() stops its threads and frees it
    Threads  call it from one thread at a time, but for snapshot(); C never calls into Python
    """

    def __init__(self, options: CoreOptions) -> None:
        kept: list[Any] = []
        out = ffi.new("nmq_broker **")
        check(lib.nmq_broker_new(_c_options(options, kept), out))
        self._broker: Any = out[0]
        self._events = ffi.new("nmq_event[]", _EVENT_BATCH)
        self._in_use = threading.Lock()  # by a snapshot in another thread

    def set_options(self, options: CoreOptions) -> None:
        """Put these in force; what a client was told at its CONNECT holds for it."""
        kept: list[Any] = []
        check(lib.nmq_broker_set_options(self._broker, _c_options(options, kept)))

    def listen(
        self, options: ListenerOptions, *, fd: int = -1, tls: Tls | None = None
    ) -> tuple[int, int]:
        """Listen; return the listener's number and the port in use.

        fd   a bound socket, which the core takes; not with TLS
        """
        kept: list[Any] = []
        raw = _c_listener(options, kept)
        raw.endpoint.fd = fd
        raw.endpoint.tls = ffi.NULL if tls is None else tls.handle
        number, port = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        check(lib.nmq_broker_listen(self._broker, raw, number, port))
        return int(number[0]), int(port[0])

    def accept(self, number: int) -> None:
        """Let clients in there, for the first time."""
        check(lib.nmq_broker_accept(self._broker, number))

    def unlisten(self, number: int) -> None:
        """Stop accepting there; its connections stay."""
        check(lib.nmq_broker_unlisten(self._broker, number))

    def disconnect(self, number: int, reason_code: int) -> None:
        """Close the connections that came through that listener."""
        lib.nmq_broker_disconnect(self._broker, number, reason_code)

    def set_listener(self, number: int, options: ListenerOptions) -> None:
        """Have the next connections follow these; the address stays."""
        kept: list[Any] = []
        raw = _c_listener(options, kept)
        check(lib.nmq_broker_set_listener(self._broker, number, raw))

    def set_tls(self, number: int, tls: Tls) -> None:
        """Use these certificates from the next connection on."""
        check(lib.nmq_broker_set_tls(self._broker, number, tls.handle))

    def listener_stats(self, number: int) -> ListenerStats:
        raw = ffi.new("nmq_listener_stats *")
        check(lib.nmq_broker_listener_stats(self._broker, number, raw))
        return ListenerStats(raw.open, raw.accepted, raw.refused)

    def publish(self, topic_name: str, payload: bytes, *, qos: int, retain: bool) -> int:
        """Route one Application Message; return how many sessions took it."""
        topic = topic_name.encode()
        return check(
            lib.nmq_broker_publish(
                self._broker, topic, len(topic), payload, len(payload), qos, retain
            )
        )

    def kick(self, client_id: str, reason_code: int) -> None:
        """Close the client's connection. Raises CoreError if it has none."""
        name = client_id.encode()
        check(lib.nmq_broker_kick(self._broker, name, len(name), reason_code))

    def answer(
        self,
        number: int,
        reason_code: int,
        data: bytes | None = None,
        user_name: str | None = None,
        *,
        foreign: bool = False,
    ) -> bool:
        """Answer an AuthEvent; return whether its client still waits.

        reason_code  0 lets the client in, 0x18 sends it an AUTH with ``data``, others refuse it
        data         Authentication Data
        user_name    who the client proved to be; None: who its CONNECT says
        foreign      by a method with users of its own: :meth:`kick_users` spares it
        """
        name = None if user_name is None else user_name.encode()
        answer = ffi.new("nmq_answer *", {"number": number, "reason_code": reason_code})
        answer.foreign = foreign
        kept = [ffi.from_buffer(given) for given in (data or b"", name or b"")]
        if data is not None:
            answer.data, answer.data_len = kept[0], len(data)
        if name is not None:
            answer.user_name, answer.user_name_len = kept[1], len(name)
        return bool(lib.nmq_broker_answer(self._broker, answer) == lib.NMQ_OK)

    def set_rules(self, rules: Rules) -> None:
        """Put access rules in force at once; they are the core's then."""
        lib.nmq_broker_set_acl(self._broker, rules.give())

    def remount(self, number: int) -> int:
        """Move what came through a listener below its mount point; return how many sessions.

        Threads  as :meth:`judge`
        """
        return check(lib.nmq_broker_remount(self._broker, number))

    def judge(self) -> int:
        """End what the rules do not allow any more; return how many subscriptions.

        Threads  blocks, without the GIL, while it looks at every session; any thread may
                 call it beside the others' calls
        """
        return check(lib.nmq_broker_judge(self._broker))

    def kick_users(self, kick: Kick) -> int:
        """Disconnect clients who may not come in any more; return how many.

        Threads  as :meth:`judge`
        """
        kept = [ffi.new("char[]", name.encode()) for name in kick.user_names]
        names = ffi.new("char *[]", kept)
        listeners = ffi.new("uint32_t[]", kick.listeners)
        raw = ffi.new("nmq_kick *")
        raw.user_names, raw.user_name_count = names, len(kept)
        raw.listeners, raw.listener_count = listeners, len(kick.listeners)
        raw.with_names = kick.with_names
        raw.every_user, raw.others, raw.wills = kick.every_user, kick.others, kick.wills
        raw.reason_code = kick.reason_code
        return check(lib.nmq_broker_kick_users(self._broker, raw))

    def open_tap(self, topic_filter: str, *, qos: int) -> int:
        """Have matching messages come as events, retained ones first; return its number."""
        text = topic_filter.encode()
        number = ffi.new("uint64_t *")
        check(lib.nmq_broker_tap_open(self._broker, text, len(text), qos, number))
        return int(number[0])

    def close_tap(self, number: int) -> None:
        lib.nmq_broker_tap_close(self._broker, number)

    @property
    def event_fd(self) -> int:
        """A descriptor that is readable while there are events."""
        return int(lib.nmq_broker_event_fd(self._broker))

    def events(self) -> Iterator[Event]:
        """Yield up to 256 events, the oldest first. Call it when ``event_fd`` is readable."""
        count = lib.nmq_broker_events(self._broker, self._events, _EVENT_BATCH)
        made: list[Event] = []
        for i in range(count):
            event = self._events[i]
            made.append(_EVENT_READERS[event.kind](event))
            lib.nmq_broker_event_done(ffi.addressof(event))
        yield from made

    def stats(self) -> Stats:
        raw = ffi.new("nmq_stats *")
        lib.nmq_broker_stats(self._broker, raw)
        return Stats(*(getattr(raw, f.name) for f in fields(Stats)))

    def memory(self) -> Memory:
        """Return who holds how much. Looks at every client: for a call every few seconds."""
        raw = ffi.new("nmq_memory *")
        lib.nmq_broker_memory(self._broker, raw)
        return Memory(*(getattr(raw, f.name) for f in fields(Memory)))

    @staticmethod
    def heap_bytes() -> int:
        """Return the bytes that this process has allocated; for a call every few seconds."""
        return int(lib.nmq_heap_bytes())

    def snapshot(self) -> Snapshot:
        """Return all clients and their subscriptions. Blocks, without the GIL.

        Any thread may call it; another call waits, and so does close(). Raises CoreError.
        """
        out = ffi.new("nmq_snapshot **")
        with self._in_use:
            check(lib.nmq_snapshot_new(self._broker, out))
        return Snapshot(out[0])

    def shutdown(self, timeout_ms: int) -> None:
        """Stop listening and tell every client. Blocks up to timeout_ms, without the GIL."""
        lib.nmq_broker_shutdown(self._broker, timeout_ms)

    def save(self, fd: int) -> int:
        """Write retained messages and kept sessions, after shutdown; return how many.

        Blocks, without the GIL.
        """
        return check(lib.nmq_broker_save(self._broker, fd))

    def restore(self, saved: Buffer) -> int:
        """Take over what :meth:`save` wrote, before the first client; return how many."""
        raw = ffi.from_buffer(saved)
        return check(lib.nmq_broker_restore(self._broker, raw, len(raw)))

    def close(self) -> None:
        """Free the broker. Events that were not taken are lost."""
        with self._in_use:
            broker, self._broker = self._broker, None  # a later call raises TypeError
        if broker is not None:
            lib.nmq_broker_free(broker)


def _c_text(value: str | None, kept: list[Any]) -> Any:
    """Return a C string that lives as long as ``kept``."""
    if value is None:
        return ffi.NULL
    kept.append(ffi.new("char[]", value.encode()))
    return kept[-1]


def _c_options(options: CoreOptions, kept: list[Any]) -> Any:
    raw = ffi.new("nmq_options *")
    for option in fields(options):
        if option.name != "response_information":
            setattr(raw, option.name, getattr(options, option.name))
    raw.response_information = _c_text(options.response_information, kept)
    return raw


def _c_listener(options: ListenerOptions, kept: list[Any]) -> Any:
    raw = ffi.new("nmq_listener_options *")
    raw.url = _c_text(options.url, kept)
    raw.endpoint.address = _c_text(options.address, kept)
    raw.key = options.key
    raw.path, raw.mount = _c_text(options.path, kept), _c_text(options.mount, kept)
    raw.connections_max, raw.ask_auth = options.connections_max, options.ask_auth
    raw.cn_as_user_name, raw.proxy = options.cn_as_user_name, options.proxy
    raw.proxy_from = _c_text(",".join(options.proxy_from) or None, kept)
    return raw


def _fill_rule(raw: Any, rule: Rule, kept: list[Any]) -> None:
    def text(value: str | None) -> Any:
        return _c_text(value, kept)

    raw.allow, raw.publish, raw.subscribe = rule.allow, rule.publish, rule.subscribe
    raw.client_id, raw.user_name = text(rule.client_id), text(rule.user_name)
    if rule.network is not None:
        packed = rule.network.network_address.packed
        raw.address[0 : len(packed)] = packed
        raw.address_len, raw.prefix_bits = len(packed), rule.network.prefixlen
    topics = ffi.new("char *[]", [text(topic) for topic in rule.topics])
    kept.append(topics)
    raw.topics, raw.topic_count = topics, len(rule.topics)


def _text(at: Any, length: int) -> str:
    return bytes(ffi.buffer(at, length)).decode(errors="replace")


def _optional_text(at: Any, length: int) -> str | None:
    return None if at == ffi.NULL else _text(at, length)


def _optional_bytes(at: Any, length: int) -> bytes | None:
    return None if at == ffi.NULL else bytes(ffi.buffer(at, length))


def _read_log(event: Any) -> LogEvent:
    return LogEvent(event.code, _text(event.text, event.text_len) if event.text_len else "")


def _read_message(event: Any) -> MessageEvent:
    view = ffi.new("nmq_message_view *")
    lib.nmq_event_message(ffi.addressof(event), view)
    return MessageEvent(
        tap=event.number,
        topic_name=_text(view.topic_name, view.topic_len),
        payload=bytes(ffi.buffer(view.payload, view.payload_len)),
        qos=view.qos,
        retain=view.retain,
        retained=event.code == 1,
    )


def _read_dropped(event: Any) -> DroppedEvent:
    return DroppedEvent(_text(event.text, event.text_len), event.number)


def _read_auth(event: Any) -> AuthEvent:
    raw = ffi.new("nmq_credentials *")
    lib.nmq_event_auth(ffi.addressof(event), raw)
    return AuthEvent(
        number=event.number,
        step=event.code,
        listener=raw.listener,
        address=_text(raw.address, raw.address_len),
        client_id=_text(raw.client_id, raw.client_id_len),
        user_name=_optional_text(raw.user_name, raw.user_name_len),
        password=_optional_bytes(raw.password, raw.password_len),
        method=_optional_text(raw.method, raw.method_len),
        data=_optional_bytes(raw.data, raw.data_len),
    )


def _read_auth_end(event: Any) -> AuthEndEvent:
    return AuthEndEvent(event.number)


_EVENT_READERS: dict[int, Callable[[Any], Event]] = {
    _EVENT_LOG: _read_log,
    _EVENT_MESSAGE: _read_message,
    _EVENT_AUTH: _read_auth,
    _EVENT_DROPPED: _read_dropped,
    _EVENT_AUTH_END: _read_auth_end,
}


def _read_subscription(raw: Any) -> Subscription:
    return Subscription(
        topic_filter=_text(raw.filter, raw.filter_len),
        qos=raw.options & 3,
        no_local=bool(raw.options & 4),
        retain_as_published=bool(raw.options & 8),
        retain_handling=raw.options >> 4 & 3,
        identifier=raw.identifier,
    )


def _read_state(raw: Any) -> ClientState:
    return ClientState(
        client_id=_text(raw.client_id, raw.client_id_len),
        user_name=_optional_text(raw.user_name, raw.user_name_len),
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
