"""The end of a connection whose client is told why: it can read the reason."""

from __future__ import annotations

import contextlib
import select
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
ONE_S = 1.0  # a connection lingers that long at most
MOST_S = 30.0  # until what has to come has come, on any machine
TRIES = 5
in_time = pytest.mark.alone  # the client and the broker have ONE_S for it


def write_on(process: Process, c: Raw) -> None:
    """Send on when the broker has said something, as a client does that just publishes."""
    with process.raw(5) as other:
        other.connect("other", user="u", password=b"p")
        while not c.hears_within(0.001):
            c.send(PING * 50)
        for _ in range(200):
            c.send(PING * 50)
            other.ping()  # the broker has had the time to close


def reasons(c: Raw) -> list[tuple[int, int]]:
    """Return the packets that end a connection, of all that come until it is closed."""
    packets = c.read_until_closed()
    return [(p.kind, p.reason) for p in packets if p.kind in (raw.CONNACK, raw.DISCONNECT)]


@in_time
def test_client_that_writes_on_reads_the_disconnect(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(process, c)
        assert reasons(c)[-1][0] == raw.DISCONNECT


@in_time
@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, 0x87)])
def test_client_that_writes_on_reads_the_connack(
    start_broker: StartBroker, version: int, code: int
) -> None:
    process = start_broker(
        allow_anonymous="false", auth__1__login="u", auth__1__password="p"
    )
    with process.raw(version) as c:
        c.send(raw.connect("c", version))
        write_on(process, c)
        assert reasons(c) == [(raw.CONNACK, code)]


def test_client_that_is_disconnected_while_it_publishes_reads_why(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as c, process.raw(5) as heir:
        c.connect("c")
        c.publish("t", b"x")
        heir.connect("c")
        write_on(process, c)
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
        write_on(process, c)
        assert c.sock.recv(100).startswith(b"HTTP/1.1 404 ")


@in_time
def test_websocket_client_that_writes_on_reads_why(start_broker: StartBroker) -> None:
    process = start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )
    with WebSocket(process.ports["websocket.url"], 5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(process, c)
        assert reasons(c)[-1][0] == raw.DISCONNECT
        assert c.closed_with == 1000


def test_tls_client_that_writes_on_reads_why(
    start_broker: StartBroker, certs: Certs
) -> None:
    process = start_broker(**keys(certs))
    with dial(process, context(certs)) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        write_on(process, c)
        assert reasons(c)[-1][0] == raw.DISCONNECT


def send_until_closed(c: Raw, part: bytes) -> None:
    """Return when a write fails."""
    until = time.monotonic() + MOST_S
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < until:
            c.send(part)
        pytest.fail("it is not closed")


def is_open(process: Process, c: Raw) -> bool:
    """Return whether the broker still reads from a connection that it has told the end."""
    closed = select.poll()
    closed.register(c.sock, 0)  # POLLERR and POLLHUP are told all the same
    with contextlib.suppress(ConnectionError), process.raw(5) as other:
        c.send(PING)
        other.connect("other")  # what a closed socket answers has come
        return not closed.poll(0)
    return False


def comes_before_an_end(process: Process, act: Callable[[], None]) -> bool:
    """Return whether it is over well before the end of a connection that lingers already.

    A machine that halts between makes it late: one of some tries has to do.
    """
    for _ in range(TRIES):
        with process.raw(5) as c:
            is_sent_a_second_connect(process, c)
            act()
            # Longer than the clock of the broker is off.
            if all(is_open(process, c) for _ in range(100)):
                return True
    return False


def test_client_that_never_stops_is_closed_all_the_same(start_broker: StartBroker) -> None:
    process = start_broker()
    with process.raw(5) as c:
        c.connect("c")
        c.send(raw.packet(raw.CONNECT, b""))
        send_until_closed(c, PING)


def is_refused_and_sends_on(c: Raw, size: int) -> None:
    c.send(raw.connect("c" * 2000, 5))
    c.expect(raw.CONNACK)
    with contextlib.suppress(ConnectionError):
        c.send(bytes(size))


@in_time
def test_stranger_that_sends_much_is_closed_at_once(start_broker: StartBroker) -> None:
    process = start_broker()

    def is_closed() -> None:
        with process.raw(5) as c:
            is_refused_and_sends_on(c, 1 << 20)
            while is_open(process, c):
                pass

    assert comes_before_an_end(process, is_closed)


@in_time
def test_stranger_that_sends_little_is_not(start_broker: StartBroker) -> None:
    process = start_broker()

    def lingers() -> bool:
        with process.raw(5) as c:
            is_refused_and_sends_on(c, 1 << 10)
            return all(is_open(process, c) for _ in range(100))

    assert any(lingers() for _ in range(TRIES))


def test_silent_client_is_closed_without_delay(start_broker: StartBroker) -> None:
    """Nothing that it writes could reset the connection."""
    process = start_broker()
    with process.raw(5) as sub, process.raw(5) as c:
        sub.connect("sub")
        sub.subscribe(("will", 0))
        c.connect("c", keep_alive=1, will=("will", b"", 0, False))
        assert reasons(c) == [(raw.DISCONNECT, 0x8D)]
        # One that lingers outlives these.
        assert not all(is_open(process, c) for _ in range(TRIES))
        sub.expect(raw.PUBLISH)


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
        until = time.monotonic() + MOST_S
        while process.descriptors() > before + 2:
            assert time.monotonic() < until
            time.sleep(0.05)


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


def does_nothing(process: Process, c: Raw) -> None:
    c.connect("c")


def stops_within(process: Process) -> float:
    """Return how long the broker took to stop."""
    begun = time.monotonic()
    assert process.stop() == 0
    return time.monotonic() - begun


@pytest.mark.alone
@pytest.mark.parametrize("why", [is_sent_a_second_connect, is_taken_over, does_nothing])
def test_broker_that_stops_does_not_wait_for_clients_that_do_not_move(
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
            if why is does_nothing:
                assert reasons(c) == [(raw.DISCONNECT, 0x8B)]
    assert min(beside) < min(alone) + 0.6 * ONE_S
