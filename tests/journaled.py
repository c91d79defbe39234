"""A broker in this process with a journal in memory: what is durable, the test says."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from nanomq_py.config import Config
from nanomq_py.core.options import core_options
from tests import journal
from tests._core_test import ffi, lib
from tests.dialling import bind_nng
from tests.raw import Raw


def new_broker(**changes: object) -> Any:
    options = core_options(Config())
    made = ffi.new("nmq_options *")
    for one in fields(options):
        if one.name != "response_information":
            setattr(made, one.name, changes.get(one.name, getattr(options, one.name)))
    out = ffi.new("nmq_broker **")
    assert lib.nmq_broker_new(made, out) == 0
    return out[0]


def saved(broker: Any) -> list[journal.Record]:
    """Return what the broker would hand over to the next process."""
    fd = os.memfd_create("saved")
    try:
        assert lib.nmq_broker_save(broker, fd) >= 0
        os.lseek(fd, 0, os.SEEK_SET)
        return list(journal.read(os.read(fd, 1 << 24)))
    finally:
        os.close(fd)


# Not kept state: what is counted as it comes (messages_received, sent and dropped), and
# which packet identifier is next; one that was never sent leaves no trace.
OF_SESSION = [
    "client_id", "user_name", "mount", "expiry_interval_s", "connected_at_ms",
    "disconnected_at_ms", "created_at_ms", "listener_key",
    "client_packet_max", "receive_maximum", "keep_alive_s", "version", "clean_start",
    "proof", "port", "address", "consumes",
]  # fmt: skip
TIMES = {"expires_at_ms", "due_at_ms"}  # the clocks are read twice: within this of another
WITHIN_MS = 2000


@dataclass(frozen=True)
class Around:
    """A time that is equal to one close by."""

    at_ms: int

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Around)
        if 0 in (self.at_ms, other.at_ms):
            return self.at_ms == other.at_ms
        return abs(self.at_ms - other.at_ms) < WITHIN_MS


def shown(values: dict[str, journal.Value], *names: str) -> tuple[Any, ...]:
    return tuple(
        Around(values[n]) if n in TIMES else values[n]  # type: ignore[arg-type]
        for n in names
    )


@dataclass
class State:
    """What the records of a save say, whatever numbers its objects have."""

    sessions: dict[Any, Any] = field(default_factory=dict)
    retained: dict[Any, Any] = field(default_factory=dict)


def state(records: list[journal.Record]) -> State:
    out, origins, messages, names = State(), {0: None}, {0: None}, {}
    held: dict[Any, Any] = defaultdict(lambda: defaultdict(list))
    for name, v in records:
        mine = held[names.get(v.get("session"))]
        if name == "origin":
            origins[v["number"]] = shown(v, *[n for n in v if n != "number"])  # type: ignore[index]
        elif name == "message":
            messages[v["number"]] = (  # type: ignore[index]
                *shown(v, "topic_name", "payload", "props", "qos", "retain"),
                *shown(v, "published_at_ms", "expires_at_ms"),
                origins[v["origin"]],  # type: ignore[index]
            )
        elif name == "retained":
            message = messages[v["message"]]  # type: ignore[index]
            assert message is not None
            out.retained[message[0]] = (message, v["order"])
        elif name == "session":
            names[v["number"]] = v["client_id"]
            held[v["client_id"]]["session"] = shown(v, "expires_at_ms", *OF_SESSION)
        elif name == "will":
            mine["will"] = (
                messages[v["message"]],  # type: ignore[index]
                *shown(v, "due_at_ms", "delay_s", "expiry_s", "expires"),
            )
        elif name == "delivery":
            if not v["packet_id"]:
                mine["waits"].append(v["qos"])
            if v["qos"]:
                mine["in flight" if v["packet_id"] else "queue"].append(
                    (
                        *shown(v, "order", "packet_id", "state", "qos", "retain", "group"),
                        v["subscription_ids"],
                        messages[v["message"]],  # type: ignore[index]
                    )
                )
        elif name in ("subscription", "unreleased"):
            mine[name].append(shown(v, *[n for n in v if n != "session"]))
        elif (
            name == "owed" and v["topic_name"] is not None
        ):  # else nothing is left; behind so many; those at QoS 0 are not logged
            before = sum(qos > 0 for qos in mine["waits"][: v["queued"]])  # type: ignore[misc]
            names_of_it = [n for n in v if n not in ("session", "queued")]
            mine[name].append((before, *shown(v, *names_of_it)))
    for client, its in held.items():
        its.pop("waits", None)
        for kind in ("in flight", "subscription", "unreleased"):
            its[kind] = sorted(its[kind], key=repr if kind != "in flight" else None)
        if client is not None:
            out.sessions[client] = dict(its)
    return out


class Journaled:
    """A broker that logs."""

    def __init__(
        self, *, mount: str = "", key: int = 0, log: bytes | None = None, **options: object
    ) -> None:
        """log: what another one has logged, which this one becomes, and goes on with."""
        bind_nng()
        self._before = log
        self.clients: list[Raw] = []
        self.epochs: dict[int, int] = {}  # where each begins in the log
        self.broker = new_broker(**options)
        self.journal = self._new_journal()
        self._key = key
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        number, port = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        with self._listener(mount) as listener:
            listener.endpoint.fd = sock.detach()
            assert lib.nmq_broker_listen(self.broker, listener, number, port) == 0
        self._number = number[0]
        assert lib.nmq_broker_accept(self.broker, self._number) == 0

    def _new_journal(self) -> Any:
        if self._before is None:
            return lib.test_journal_new(self.broker)
        over_ms = time.time_ns() // 1_000_000
        made = lib.test_journal_over(
            self.broker, self._before, len(self._before), over_ms, ffi.NULL
        )
        assert made != ffi.NULL
        return made

    @contextlib.contextmanager
    def _listener(self, mount: str) -> Iterator[Any]:
        text = ffi.new("char[]", mount.encode())
        listener = ffi.new("nmq_listener_options *", {"key": self._key})
        listener.mount = text if mount else ffi.NULL
        yield listener

    @classmethod
    @contextlib.contextmanager
    def after(cls, log: bytes) -> Iterator[Journaled]:
        """Yield a broker that logs, and was made of that log."""
        home = cls()
        try:
            whole = log + end_of(log)
            assert lib.nmq_broker_restore(home.broker, whole, len(whole)) >= 0
            yield home
        finally:
            home.close()

    def set_mount(self, mount: str, *, unlogged: bool = False) -> None:
        with self._listener(mount) as listener:
            listener.unlogged = unlogged
            set_to = lib.nmq_broker_set_listener(self.broker, self._number, listener)
            assert set_to == 0

    def client(self, version: int = 5) -> Raw:
        self.clients.append(Raw(self.port, version))
        return self.clients[-1]

    def take(self) -> int:
        """Write what is staged; it is not durable yet."""
        return int(lib.test_journal_take(self.journal))

    def begin_anew(self, is_round: bool = True) -> int:
        """Have the journal begin anew; return where in the log that is.

        is_round  what was before is told again; else an epoch begins, and no more
        """
        at = ffi.new("size_t *")
        lib.test_journal_begin_anew(self.journal, is_round, at)
        self.epochs[lib.test_journal_epoch(self.journal)] = int(at[0])
        return int(at[0])

    def needed_from(self) -> int:
        """Return where in the log that begins of which all else was told again."""
        first = lib.test_journal_needed_from(self.journal)
        named = 2  # see NMQ_LOG_EPOCHS_NAMED
        return max((at for n, at in self.epochs.items() if n + named <= first), default=0)

    def take_anew(self) -> int:
        """Have the journal begin anew; return the number up to which is written."""
        return int(lib.test_journal_begin_anew(self.journal, True, ffi.new("size_t *")))

    def retell(self, most: int = 1 << 30) -> bool:
        """Tell so many things again; return whether all is told."""
        for _ in range(most):
            status = lib.test_journal_retell(self.journal)
            assert status >= 0
            if status == 0:
                return True
        return False

    def set_topics(self, topics: bytes) -> None:
        """See ``nmq_durability_keys``."""
        lib.test_journal_set_topics(self.journal, topics, len(topics))

    def settle(self, number: int) -> None:
        lib.test_journal_settle(self.journal, number)

    def commit(self) -> None:
        """Make all durable that was logged so far."""
        self.settle(self.take())

    def log(self) -> bytes:
        """Return all that was written."""
        self.take()
        length = ffi.new("size_t *")
        at = lib.test_journal_bytes(self.journal, length)
        return bytes(ffi.buffer(at, length[0]))

    def kinds(self) -> list[str]:
        return [name for name, _ in journal.read(self.log())]

    def stop(self) -> None:
        """End every connection: each client that is kept is away."""
        lib.nmq_broker_shutdown(self.broker, 2000)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        lib.nmq_broker_free(self.broker)
        lib.test_journal_free(self.journal)


@contextlib.contextmanager
def journaled(**options: object) -> Iterator[Journaled]:
    home = Journaled(**options)  # type: ignore[arg-type]
    try:
        yield home
    finally:
        home.close()


def end_of(log: bytes) -> bytes:
    """Return the record with which the log is a whole run."""
    sessions = 0
    for name, v in journal.read(log):
        if name in ("begin", "session"):
            number = v["sessions" if name == "begin" else "number"]
            assert isinstance(number, int)
            sessions = max(sessions, number)
    return journal.write(("end", {"sessions": sessions}))


@contextlib.contextmanager
def replayed(log: bytes, **options: object) -> Iterator[Any]:
    """Yield a broker that was made of the log."""
    broker = new_broker(**options)
    try:
        whole = log + end_of(log)
        restored = lib.nmq_broker_restore(broker, whole, len(whole))
        assert restored >= 0, restored
        yield broker
    finally:
        lib.nmq_broker_free(broker)
