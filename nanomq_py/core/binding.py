"""A running broker of the C core as a Python object."""

from __future__ import annotations

import math
import mmap
import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from nanomq_py.core import pages
from nanomq_py.core.bridging import Bridging
from nanomq_py.core.client_calls import ClientCalls
from nanomq_py.core.consuming import CoreConsumer, KeptConsumer, listed
from nanomq_py.core.durable import Durable
from nanomq_py.core.feed import Feed, taken
from nanomq_py.core.meter import Meter
from nanomq_py.core.native import CoreError as CoreError
from nanomq_py.core.native import c_text, check, check_opened, ffi, lib
from nanomq_py.core.notes import Notes
from nanomq_py.core.queries import Client, ClientDetail, ClientFilter, Filter, Page, Paging
from nanomq_py.core.records import (
    CoreOptions,
    Kick,
    ListenerOptions,
    ListenerStats,
    Memory,
    Note,
    Stats,
)
from nanomq_py.core.rules import Access, Rules, c_kick
from nanomq_py.core.tls import Tls

if TYPE_CHECKING:
    from nanomq_py._core import CData, nmq_broker, nmq_listener_options, nmq_options

Buffer = bytes | bytearray | memoryview | mmap.mmap

T = TypeVar("T")

# enum nmq_status, as far as callers tell them apart.
EADDRINUSE = lib.NMQ_EADDRINUSE
EADDR = lib.NMQ_EADDR
EACCESS = lib.NMQ_EACCESS
EINVAL = lib.NMQ_EINVAL
ECLOSED = lib.NMQ_ECLOSED
EIO = lib.NMQ_EIO
ENOENT = lib.NMQ_ENOENT
ENOSPC = lib.NMQ_ENOSPC
ESHORT = lib.NMQ_ESHORT
ESTORE = lib.NMQ_ESTORE
ETOOBIG = lib.NMQ_ETOOBIG
ECRYPTO = lib.NMQ_ECRYPTO
ECORRUPT = lib.NMQ_ECORRUPT
EMALFORMED = lib.NMQ_EMALFORMED
ENEWER = lib.NMQ_ENEWER
ENOMEM = lib.NMQ_ENOMEM


class Core(ClientCalls, Durable):
    """One running broker.

    Owner    this object owns the C broker; close() stops its threads and frees it
    Threads  call it from one thread at a time, but for query(); C never calls into Python
    """

    def __init__(self, options: CoreOptions) -> None:
        kept: list[CData] = []
        out = ffi.new("nmq_broker **")
        check(lib.nmq_broker_new(c_options(options, kept), out))
        self._broker: nmq_broker = out[0]
        self._notes = Notes()
        self._in_use = threading.Lock()  # by a query in another thread

    def set_options(self, options: CoreOptions) -> None:
        """Put these in force; what CONNACK told a client holds until its connection ends."""
        kept: list[CData] = []
        check(lib.nmq_broker_set_options(self._broker, c_options(options, kept)))

    def listen(
        self, options: ListenerOptions, *, fd: int = -1, tls: Tls | None = None
    ) -> tuple[int, int]:
        """Listen; return the listener's number and the port in use.

        fd   a bound socket, which the core takes; not with TLS
        """
        kept: list[CData] = []
        raw = c_listener(options, kept)
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
        kept: list[CData] = []
        raw = c_listener(options, kept)
        check(lib.nmq_broker_set_listener(self._broker, number, raw))

    def set_tls(self, number: int, tls: Tls) -> None:
        """Use these certificates from the next connection on."""
        check(lib.nmq_broker_set_tls(self._broker, number, tls.handle))

    def listener_stats(self, number: int) -> ListenerStats:
        raw = ffi.new("nmq_listener_stats *")
        check(lib.nmq_broker_listener_stats(self._broker, number, raw))
        return ListenerStats(raw.open, raw.accepted, raw.refused)

    def answer(
        self,
        number: int,
        reason_code: int,
        data: bytes | None = None,
        user_name: str | None = None,
        *,
        foreign: bool = False,
        superuser: bool = False,
        ends_at_s: float | None = None,
        rules: Rules | None = None,
    ) -> bool:
        """Answer an AuthNote; return whether its client still waits.

        reason_code  0 lets the client in, 0x18 sends it an AUTH with ``data``, others refuse it
        data         Authentication Data
        user_name    the name that the client proved; None: the one in its CONNECT
        foreign      its method has users of its own: :meth:`kick_users` spares it
        superuser    access rules do not count for it
        ends_at_s    when its connection ends, in seconds since 1970; None: not by itself
        rules        of this client alone: they are asked before all others
        """
        name = None if user_name is None else user_name.encode()
        answer = ffi.new("nmq_answer *", {"number": number, "reason_code": reason_code})
        answer.foreign, answer.superuser = foreign, superuser
        if ends_at_s is not None:
            answer.ends_at_ms = math.ceil(max(0.001, min(ends_at_s, 1e12)) * 1000)
        if rules is not None:
            answer.rules = rules.handle
        kept = [ffi.from_buffer(given) for given in (data or b"", name or b"")]
        if data is not None:
            answer.data, answer.data_len = kept[0], len(data)
        if name is not None:
            answer.user_name, answer.user_name_len = kept[1], len(name)
        return bool(lib.nmq_broker_answer(self._broker, answer) == lib.NMQ_OK)

    def decide(
        self, number: int, question: int, verdicts: Sequence[Access], keep_s: float = 0.0
    ) -> bool:
        """Answer an AccessNote, each of its topics; return whether its client still waits.

        keep_s   for so long the core answers the same question of that client by itself
        """
        kept = ffi.new("uint8_t[]", bytes(verdicts))
        raw = ffi.new("nmq_verdicts *", {"number": number, "question": question})
        raw.at, raw.count = kept, len(verdicts)
        raw.keep_ms = min(int(keep_s * 1000), 0xFFFFFFFF)
        return bool(lib.nmq_broker_decide(self._broker, raw) == lib.NMQ_OK)

    def set_rules(self, rules: Rules) -> None:
        """Put access rules in force at once. Those of before end with their own object."""
        lib.nmq_broker_set_acl(self._broker, lib.nmq_acl_ref(rules.handle))

    def remount(self, number: int) -> int:
        """Move sessions that came through a listener below its mount point; return how many.

        Threads  as :meth:`judge`
        """
        return check(lib.nmq_broker_remount(self._broker, number))

    def judge(self) -> int:
        """End what the rules do not allow any more; return how many subscriptions.

        Threads  blocks, without the GIL, while it looks at every session; any thread may
                 call it while another calls something else
        """
        return check(lib.nmq_broker_judge(self._broker))

    def kick_users(self, kick: Kick) -> int:
        """Disconnect clients who may not come in any more; return how many.

        Threads  as :meth:`judge`
        """
        kept: list[CData] = []
        return check(lib.nmq_broker_kick_users(self._broker, c_kick(kick, kept)))

    def ban(self, kind: int, who: str, until_ms: int) -> None:
        """Refuse who that names, until that time; see ``nmq_broker_ban``."""
        text = who.encode()
        check(lib.nmq_broker_ban(self._broker, kind, text, len(text), until_ms))

    def unban(self, kind: int, who: str) -> bool:
        """Take a ban back; return whether there was one."""
        text = who.encode()
        return bool(lib.nmq_broker_unban(self._broker, kind, text, len(text)) == lib.NMQ_OK)

    def kick_banned(self, client_id: str | None = None) -> int:
        """Disconnect who is banned: that client, at once, or all; return how many.

        Threads  without a client_id as :meth:`judge`
        """
        name = ffi.NULL if client_id is None else client_id.encode()
        count = 0 if client_id is None else len(name)
        return check(lib.nmq_broker_kick_banned(self._broker, name, count))

    def open_tap(self, topic_filter: str, *, qos: int) -> tuple[int, Feed]:
        """Have matching messages come into a feed; return the tap's number, and the feed.

        Raises   CoreError, OSError
        """
        text = topic_filter.encode()
        number, feed = ffi.new("uint64_t *"), ffi.new("nmq_feed **")
        status = lib.nmq_broker_tap_open(self._broker, text, len(text), qos, number, feed)
        check_opened(status)
        return int(number[0]), Feed(feed[0])

    def open_consumer(
        self,
        name: str,
        topic_filters: Sequence[str],
        *,
        qos: int,
        max_messages: int,
        max_bytes: int,
        patience_ms: int = 0,
    ) -> CoreConsumer:
        """Open the consumer of that name. Raises CoreError, OSError."""
        consumers = lib.nmq_broker_consumers(self._broker)
        return CoreConsumer(
            consumers, name, topic_filters, qos, max_messages, max_bytes, patience_ms
        )

    def consumers(self, after: int | None, limit: int) -> Page[KeptConsumer]:
        """Return a page of consumers, the youngest first. Raises CoreError."""
        return listed(lib.nmq_broker_consumers(self._broker), after, limit)

    def end_consumer(self, name: str) -> None:
        """Forget the consumer of that name, which is closed. Raises CoreError."""
        text = name.encode()
        check(
            lib.nmq_consumers_end(lib.nmq_broker_consumers(self._broker), text, len(text))
        )

    def bridging(self) -> Bridging:
        """Return the bridges of the broker. Not after close()."""
        return Bridging(lib.nmq_broker_bridges(self._broker))

    def tap_retained(self, number: int) -> tuple[bytes, bool]:
        """Return the next retained messages of a tap, and whether there may be more.

        They come before what is in its feed.
        """
        out = ffi.new("nmq_chunk **")
        more = check(lib.nmq_broker_tap_retained(self._broker, number, out))
        return taken(out[0]), more == 1

    def retained_message(self, topic_name: str) -> bytes:
        """Return the retained message of a topic as a record; empty: there is none."""
        text, out = topic_name.encode(), ffi.new("nmq_chunk **")
        check(lib.nmq_broker_retained_message(self._broker, text, len(text), out))
        return taken(out[0])

    def open_meter(self, topic_name: str) -> Meter:
        """Count the messages of a topic from now on. Raises CoreError."""
        text, out = topic_name.encode(), ffi.new("nmq_meter **")
        check(lib.nmq_broker_meter_open(self._broker, text, len(text), out))
        return Meter(out[0])

    def close_meter(self, topic_name: str) -> None:
        """Count them no longer. Raises CoreError where they are not counted."""
        text = topic_name.encode()
        check(lib.nmq_broker_meter_close(self._broker, text, len(text)))

    def close_tap(self, number: int) -> None:
        lib.nmq_broker_tap_close(self._broker, number)

    def open_watch(self, kinds: int) -> tuple[int, Feed]:
        """Have events of those kinds, a bit for each, come into a feed; return its number."""
        number, feed = ffi.new("uint64_t *"), ffi.new("nmq_feed **")
        check_opened(lib.nmq_broker_watch_open(self._broker, kinds, number, feed))
        return int(number[0]), Feed(feed[0])

    def close_watch(self, number: int) -> None:
        lib.nmq_broker_watch_close(self._broker, number)

    @property
    def note_fd(self) -> int:
        """A descriptor that is readable while there are notes."""
        return int(lib.nmq_broker_note_fd(self._broker))

    def notes(self) -> Iterator[Note]:
        """Yield up to 256 notes, the oldest first. Call it when ``note_fd`` is readable."""
        yield from self._notes.take(self._broker)

    def stats(self) -> Stats:
        raw = ffi.new("nmq_stats *")
        lib.nmq_broker_stats(self._broker, raw)
        return Stats(*(getattr(raw, f.name) for f in fields(Stats)))

    def memory(self) -> Memory:
        """Return who holds how much memory."""
        raw = ffi.new("nmq_memory *")
        lib.nmq_broker_memory(self._broker, raw)
        return Memory(*(getattr(raw, f.name) for f in fields(Memory)))

    @staticmethod
    def heap_bytes() -> int:
        """Return the bytes that this process has allocated; for a call every few seconds."""
        return int(lib.nmq_heap_bytes())

    def query(self, kind: pages.Kind[T], filter: Filter | None, paging: Paging) -> Page[T]:
        """Return a page. Blocks, without the GIL while it looks.

        Any thread may call it; another call waits, and so does close().

        Raises   CoreError, and ValueError for a text that is too long
        """
        with self._in_use:
            return pages.query(self._broker, kind, filter, paging)

    def client(self, client_id: str) -> Client | None:
        """Return the client of that identifier: one look-up."""
        wanted, paging = ClientFilter(client_id=client_id), Paging(limit=1, count=False)
        found = pages.query(self._broker, pages.CLIENTS, wanted, paging).rows
        return found[0] if found else None

    def detail(self, client_id: str) -> ClientDetail | None:
        """Return all that is known of that client: one look-up."""
        wanted, paging = ClientFilter(client_id=client_id), Paging(limit=1, count=False)
        found = pages.query(self._broker, pages.DETAILS, wanted, paging).rows
        return found[0] if found else None

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
        """Free the broker. Notes that were not taken are lost."""
        with self._in_use:
            broker = self._broker
            self._broker = None  # type: ignore[assignment] # a later call raises TypeError
        if broker is not None:
            lib.nmq_broker_free(broker)


def c_options(options: CoreOptions, kept: list[CData]) -> nmq_options:
    raw = ffi.new("nmq_options *")
    for option in fields(options):
        if option.name != "response_information":
            setattr(raw, option.name, getattr(options, option.name))
    raw.response_information = c_text(options.response_information, kept)
    return raw


def c_listener(options: ListenerOptions, kept: list[CData]) -> nmq_listener_options:
    raw = ffi.new("nmq_listener_options *")
    raw.url = c_text(options.url, kept)
    raw.endpoint.address = c_text(options.address, kept)
    raw.key = options.key
    raw.path, raw.mount = c_text(options.path, kept), c_text(options.mount, kept)
    raw.connections_max, raw.ask_auth = options.connections_max, options.ask_auth
    raw.user_name_from, raw.proxy = options.user_name_from.value, options.proxy
    raw.proxy_from = c_text(",".join(options.proxy_from) or None, kept)
    return raw
