"""The MQTT client role of tests/c, over the dialer of the core: a client by hand in C."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pynng._nng

from nanomq_py.config import Config
from nanomq_py.core import native  # noqa: TID251 # it gets its place back below
from nanomq_py.core.options import core_options
from tests._core_test import ffi, lib

OPTIONS = core_options(Config())
WITHIN_S = 20  # of any event; a sanitizer build on a busy machine is slow
KINDS = {
    getattr(lib, f"TEST_{name}"): name
    for name in (
        *("CONNECTED", "REFUSED", "FAILED", "SUBSCRIBED", "UNSUBSCRIBED", "MESSAGE"),
        *("ACKED", "PONG", "CLOSED"),
    )
}


@dataclass(frozen=True)
class Note:
    """What happened: see ``test_note``."""

    kind: str
    number: int
    id: int
    text: str
    payload: bytes
    payload_len: int


def bind_nng() -> None:
    """Give the test build the nng of the process."""
    for index in range(lib.nmq_engine_count()):
        name = ffi.string(lib.nmq_engine_name(index)).decode()
        address = pynng._nng.ffi.addressof(pynng._nng.lib, name)
        number = int(pynng._nng.ffi.cast("uintptr_t", address))
        lib.nmq_engine_bind(index, ffi.cast("void *", number))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """The test build stands between nng and Mbed TLS, in place of the core's own build."""
    bind_nng()
    assert lib.nmq_tls_guard() == 0
    try:
        yield
    finally:
        assert native.lib.nmq_tls_guard() == 0


class Home:
    """A broker without listeners, whose clients dial."""

    def __init__(self) -> None:
        options = ffi.new("nmq_options *")
        for field in fields(OPTIONS):
            if field.name != "response_information":
                setattr(options, field.name, getattr(OPTIONS, field.name))
        out = ffi.new("nmq_broker **")
        assert lib.nmq_broker_new(options, out) == 0
        self.broker = out[0]
        self.clients: list[Client] = []

    def client(self) -> Client:
        self.clients.append(Client(self.broker))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            lib.test_client_close(client.at)
        lib.nmq_broker_free(self.broker)
        for client in self.clients:
            lib.test_client_free(client.at)


class Client:
    """One client; what it cannot do yet waits for a note."""

    def __init__(self, broker: Any) -> None:
        self.at = lib.test_client_new(broker)
        assert self.at != ffi.NULL
        self.notes: list[Note] = []

    def dial(
        self,
        host: str,
        port: int,
        *,
        tls: Any = ffi.NULL,
        path: str | None = None,
        timeout_ms: int = 10_000,
        version: int = 5,
        client_id: str = "far",
        user_name: str | None = None,
        password: str | None = None,
        keep_alive_s: int = 60,
        clean: bool = True,
    ) -> int:
        kept = []

        def text(value: str | None) -> Any:
            kept.append(ffi.NULL if value is None else ffi.new("char[]", value.encode()))
            return kept[-1]

        options = ffi.new(
            "test_client_options *",
            {
                **{"host": text(host), "port": port, "tls": tls, "path": text(path)},
                **{"timeout_ms": timeout_ms, "version": version, "clean_start": clean},
                **{"client_id": text(client_id), "user_name": text(user_name)},
                **{"password": text(password), "keep_alive_s": keep_alive_s},
            },
        )
        return int(lib.test_client_dial(self.at, options))

    def cancel(self) -> None:
        lib.test_client_cancel(self.at)

    def connect(self, host: str, port: int, **more: Any) -> Note:
        """Dial, and return when it is in."""
        assert self.dial(host, port, **more) == 0
        note = self.next()
        assert note.kind == "CONNECTED", note
        return note

    def subscribe(self, id_: int, filter_: str, options: int) -> Note:
        assert lib.test_client_subscribe(self.at, id_, filter_.encode(), options) == 0
        return self.wait("SUBSCRIBED")

    def unsubscribe(self, id_: int, filter_: str) -> Note:
        assert lib.test_client_unsubscribe(self.at, id_, filter_.encode()) == 0
        return self.wait("UNSUBSCRIBED")

    def publish(
        self, id_: int, topic: str, payload: bytes, qos: int, retain: bool = False
    ) -> None:
        assert (
            lib.test_client_publish(
                self.at, id_, topic.encode(), payload, len(payload), qos, retain
            )
            == 0
        )

    def ping(self) -> None:
        assert lib.test_client_ping(self.at) == 0

    def disconnect(self, code: int = 0) -> None:
        assert lib.test_client_disconnect(self.at, code) == 0

    def next(self, within_s: float = WITHIN_S) -> Note:
        """Return what happened next."""
        out = ffi.new("test_note *")
        until = time.monotonic() + within_s
        while not lib.test_client_next(self.at, out):
            left = until - time.monotonic()
            assert left > 0, "nothing happened"
            select.select([lib.test_client_wait_fd(self.at)], [], [], left)
        return Note(
            KINDS[out.kind],
            out.number,
            out.id,
            ffi.string(out.text).decode(errors="replace"),
            bytes(out.payload[0 : min(out.payload_len, 1024)]),
            out.payload_len,
        )

    def wait_for_end(self) -> Note:
        """Return how its connection ended; what came before it is kept in ``notes``."""
        while (note := self.next()).kind != "CLOSED":
            self.notes.append(note)
        return note

    def wait(self, kind: str) -> Note:
        """Return the next note of that kind; what came before it is kept in ``notes``."""
        while True:
            note = self.next()
            if note.kind == kind:
                return note
            assert note.kind not in ("CLOSED", "FAILED", "REFUSED"), note
            self.notes.append(note)


@contextlib.contextmanager
def tls_client(
    *,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    server_name: str = "localhost",
    verify: bool = True,
    min_version: int = 12,
) -> Iterator[Any]:
    """How a dial speaks TLS."""

    def text(path: Path | None) -> Any:
        return ffi.NULL if path is None else ffi.new("char[]", path.read_bytes())

    texts = [text(path) for path in (ca, cert, key)]
    name = ffi.new("char[]", server_name.encode())
    options = ffi.new(
        "nmq_tls_client_options *",
        {
            **{"server_name": name, "ca": texts[0], "cert": texts[1], "key": texts[2]},
            **{"verify_peer": verify, "min_version": min_version},
        },
    )
    out = ffi.new("nmq_tls **")
    assert lib.nmq_tls_new_client(options, out) == 0
    try:
        yield out[0]
    finally:
        lib.nmq_tls_free(out[0])
