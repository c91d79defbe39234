"""The end of a connection whose client is told why: it can read the reason."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable

import pytest

from tests import raw
from tests.certs import Certs
from tests.conformance.test_websocket import WebSocket
from tests.conftest import Process, StartBroker
from tests.raw import Raw
from tests.transport.test_tls import context, dial, keys

PING = raw.packet(raw.PINGREQ)
ONE_S = 1.0


def write_on(c: Raw, for_s: float = 0.3) -> None:
    """Send without a look at what comes, as a client does that is just publishing."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        c.send(PING * 50)
        time.sleep(0.005)


def reasons(c: Raw) -> list[tuple[int, int]]:
    """Return the packets that end a connection, of all that come until it is closed."""
    packets = c.read_until_closed()
    return [(p.kind, p.reason) for p in packets if p.kind in (raw.CONNACK, raw.DISCONNECT)]


def test_client_that_writes_on_reads_the_disconnect(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(c)
        assert reasons(c)[-1][0] == raw.DISCONNECT


@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, 0x87)])
def test_client_that_writes_on_reads_the_connack(
    start_broker: StartBroker, version: int, code: int
) -> None:
    process = start_broker(
        allow_anonymous="false", auth__1__login="u", auth__1__password="p"
    )
    with process.raw(version) as c:
        c.send(raw.connect("c", version))
        write_on(c)
        assert reasons(c) == [(raw.CONNACK, code)]


def test_client_that_is_disconnected_while_it_publishes_reads_why(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as c, process.raw(5) as heir:
        c.connect("c")
        c.publish("t", b"x")
        heir.connect("c")
        write_on(c)
        assert reasons(c) == [(raw.DISCONNECT, 0x8E)]


def test_client_that_sends_a_packet_too_large_reads_so(start_broker: StartBroker) -> None:
    process = start_broker(max_packet_size="16")
    with process.raw(5) as c:
        c.connect("c")
        c.publish("t", bytes(4 << 20))
        assert reasons(c) == [(raw.DISCONNECT, 0x95)]


def test_browser_that_asks_for_another_path_reads_so(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )
    with Raw(process.ports["websocket.url"]) as c:
        c.send(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
        write_on(c)
        assert c.sock.recv(100).startswith(b"HTTP/1.1 404 ")


def test_websocket_client_that_writes_on_reads_why(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )
    with WebSocket(process.ports["websocket.url"], 5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(c)
        assert reasons(c)[-1][0] == raw.DISCONNECT
        assert c.closed_with == 1000


def test_tls_client_that_writes_on_reads_why(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs))
    with dial(process, context(certs)) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(c)
        assert reasons(c)[-1][0] == raw.DISCONNECT


def fails_within(act: Callable[[], object], limit_s: float) -> float:
    """Return after how long the peer was found gone."""
    begun = time.monotonic()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while time.monotonic() < begun + limit_s:
            act()
            time.sleep(0.01)
    return time.monotonic() - begun


def test_client_that_never_stops_is_closed_all_the_same(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        assert 0.5 * ONE_S < fails_within(lambda: c.send(PING), 5) < 3 * ONE_S


def test_stranger_that_sends_much_is_closed_at_once(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.send(raw.connect("c" * 2000, 5))  # refused
        part = PING * 4000
        assert fails_within(lambda: c.send(part), 5) < 0.7 * ONE_S


def test_silent_client_is_closed_without_delay(start_broker: StartBroker) -> None:
    """Nothing that it writes could reset the connection."""
    process = start_broker()
    with process.raw(5) as sub, process.raw(5) as c:
        sub.connect("sub")
        sub.subscribe(("will", 0))
        c.connect("c", keep_alive=1, will=("will", b"", 0, False))
        assert reasons(c) == [(raw.DISCONNECT, 0x8D)]
        begun = time.monotonic()
        sub.expect(raw.PUBLISH)
        assert time.monotonic() - begun < 0.5 * ONE_S


def test_refused_clients_hold_few_descriptors_and_not_for_long(
    start_broker: StartBroker,
) -> None:
    process = start_broker(
        allow_anonymous="false", auth__1__login="u", auth__1__password="p"
    )
    before = process.descriptors()
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            c = stack.enter_context(process.raw(4))
            c.send(raw.connect("c", 4))
            c.expect(raw.CONNACK)
        # 256 linger; some of the 144 others are about to be closed.
        assert process.descriptors() <= before + 256 + 40
        until = time.monotonic() + 5 * ONE_S
        while process.descriptors() > before + 2:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_broker_that_stops_does_not_wait_for_a_frozen_client_longer(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        begun = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - begun < 4 * ONE_S
        assert reasons(c) == [(raw.DISCONNECT, 0x8B)]


def is_sent_a_second_connect(process: Process, c: Raw) -> None:
    c.connect("c")
    c.send(raw.packet(raw.CONNECT, b""))
    c.expect(raw.DISCONNECT)


def is_taken_over(process: Process, c: Raw) -> None:
    c.connect("c")
    with process.raw(5) as heir:
        heir.connect("c")
        c.expect(raw.DISCONNECT)
        heir.send(raw.packet(raw.DISCONNECT, b""))
        assert heir.read_until_closed() == []


def stops_within(process: Process) -> float:
    """Return how long the broker took to stop."""
    begun = time.monotonic()
    assert process.stop() == 0
    return time.monotonic() - begun


@pytest.mark.parametrize("why", [is_sent_a_second_connect, is_taken_over])
def test_broker_that_stops_does_not_wait_for_those_that_linger_already(
    start_broker: StartBroker, why: Callable[[Process, Raw], None]
) -> None:
    """The best of three: a busy machine makes a stop longer, and never shorter."""
    alone, beside = [], []
    for _ in range(3):
        alone.append(stops_within(start_broker()))
        process = start_broker()
        with process.raw(5) as c:
            why(process, c)
            beside.append(stops_within(process))
    assert min(beside) < min(alone) + 0.6 * ONE_S
