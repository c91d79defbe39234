"""What an operator reads at level info: who came, who went, who was refused, and why."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import pytest

from tests import raw
from tests.conformance.flows import kept
from tests.conftest import Process, StartBroker
from tests.raw import Closed, Raw


@pytest.fixture
def broker(start_broker: StartBroker) -> Process:
    return start_broker(
        auth__1__login="anna",
        auth__1__password="secret-of-anna",
        connect_timeout="300ms",
        keepalive_backoff="1500",
    )


def test_a_connect_is_one_line_that_names_all(broker: Process) -> None:
    with broker.raw(5) as client:
        client.connect(
            "c1", user="anna", password=b"secret-of-anna", keep_alive=77, **kept(5)
        )
        broker.waits_for(
            "client 'c1' connected: user 'anna', MQTT 5.0, keep alive 77 s, new session,"
            " listener 'nmq-tcp://127.0.0.1:0'"
        )
        client.leave()
    with broker.raw(5) as again:
        again.connect("c1", user="anna", password=b"secret-of-anna", **kept(5))
        broker.waits_for("kept session")
    assert "secret-of-anna" not in "".join(broker.lines)


def test_a_connect_without_a_user_says_so(start_broker: StartBroker) -> None:
    broker = start_broker()
    with broker.raw(4) as client:
        client.connect("c1")
        broker.waits_for("client 'c1' connected: no user name, MQTT 3.1.1")


def _leave(_: Process, client: Raw) -> None:
    client.leave()


def _leave_with_will(_: Process, client: Raw) -> None:
    client.send(raw.disconnect(5, 4))


def _vanish(_: Process, client: Raw) -> None:
    client.sock.close()


def _fall_silent(broker: Process, _: Raw) -> None:
    broker.waits_for("disconnected")


def _break_the_protocol(_: Process, client: Raw) -> None:
    client.send(raw.packet(raw.CONNACK, b"\x00\x00\x00"))


def _is_kicked(broker: Process, _: Raw) -> None:
    broker.set_keys(auth__1__password="another")
    broker.api(req=10, action="reload")


def _is_taken_over(broker: Process, _: Raw) -> None:
    with broker.raw(5) as second:
        second.connect("c1", user="anna", password=b"secret-of-anna")


ENDS: list[tuple[Callable[[Process, Raw], None], str]] = [
    (_leave, "it sent DISCONNECT"),
    (_leave_with_will, "disconnect with will message, it sent DISCONNECT"),
    (_vanish, "its connection was closed without a DISCONNECT"),
    (_fall_silent, "keep alive timeout"),
    (_break_the_protocol, "a packet of a type not allowed now"),
    (_is_kicked, "not authorized"),
    (_is_taken_over, "session taken over"),
]


@pytest.mark.parametrize(("end", "why"), ENDS)
def test_an_end_is_one_line_that_says_why(
    broker: Process, end: Callable[[Process, Raw], None], why: str
) -> None:
    with broker.raw(5) as client:
        host, port = client.sock.getsockname()
        client.connect(
            "c1",
            user="anna",
            password=b"secret-of-anna",
            keep_alive=1 if end is _fall_silent else 60,
        )
        with contextlib.suppress(Closed):
            end(broker, client)
        # The heir of a session ends too: it has another port.
        own = f"{host}:{port}: client 'c1' disconnected: "
        broker.waits_for(own)
    (line,) = [line for line in broker.lines if own in line]
    assert why in line


def test_a_refusal_names_the_client_the_user_and_what_to_change(broker: Process) -> None:
    with broker.raw(5) as client:
        assert client.connect("c2", user="anna", password=b"wrong").reason != 0
    broker.waits_for("refused client 'c2', user 'anna': ")
    (line,) = [line for line in broker.lines if "refused client" in line]
    assert "auth.N.login" in line
    assert "wrong" not in line


def test_long_names_leave_room_for_the_reason(broker: Process) -> None:
    long = "c" * 1000
    with broker.raw(5) as client:
        client.connect(long, user="u" * 1000, password=b"wrong")
    broker.waits_for("refused client 'ccc")
    (line,) = [line for line in broker.lines if "refused client" in line]
    assert "user 'uuu" in line
    assert "auth.N.login" in line
    with broker.raw(5) as client:
        client.connect(long, user="anna", password=b"secret-of-anna")
        client.leave()
    broker.waits_for("disconnected: it sent DISCONNECT")


def test_a_name_forges_no_field_of_a_line(broker: Process) -> None:
    for client_id, shown in (
        ("x', user 'admin', MQTT 5", r"x\', user \'admin\', MQTT 5"),
        ("y\\x1b", r"y\\x1b"),  # what it sent is no ESC, and does not look like one
        ("z\x1b\u202e\\'", r"z\x1b\u202e\\\'"),
    ):
        with broker.raw(5) as client:
            client.connect(client_id, user="anna", password=b"secret-of-anna")
            client.leave()
        broker.waits_for(f"client '{shown}' connected: user 'anna', MQTT 5.0, ")
        broker.waits_for(f"client '{shown}' disconnected: ")
        with broker.raw(5) as client:
            client.connect(client_id, user=client_id, password=b"x")
        broker.waits_for(f"refused client '{shown}', user '{shown}': ")


def test_a_long_name_of_quotes_is_cut_whole(broker: Process) -> None:
    with broker.raw(5) as client:
        client.connect("'" * 1000, user="anna", password=b"secret-of-anna")
        client.leave()
    broker.waits_for("connected: user 'anna', MQTT 5.0, ")
    (line,) = [line for line in broker.lines if " connected: user" in line]
    assert "client '" + r"\'" * 64 + "' connected: " in line


def test_a_websocket_path_forges_no_field(start_broker: StartBroker) -> None:
    broker = start_broker(
        websocket__enable="true", websocket__url="nmq-ws://127.0.0.1:0/mqtt"
    )
    with socket.create_connection(("127.0.0.1", broker.ports["websocket.url"]), 20) as ws:
        ws.sendall(
            b"GET /x',y\\ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        )
        broker.waits_for(r"refused: WebSocket path '/x\',y\\', expected '/mqtt'")


def test_a_refusal_without_a_user_says_what_to_give(broker: Process) -> None:
    broker.reload(allow_anonymous="false")
    with broker.raw(4) as client:
        assert client.connect("c3").reason != 0
    broker.waits_for("refused client 'c3', no user name: ")
    (line,) = [line for line in broker.lines if "refused client" in line]
    assert "allow_anonymous" in line


def test_a_connection_without_a_connect_is_told_of(broker: Process) -> None:
    with broker.raw(4):
        broker.waits_for("no CONNECT came in time (connect_timeout)")


def test_nothing_of_it_is_written_at_level_warn(start_broker: StartBroker) -> None:
    broker = start_broker()
    broker.reload(log__level="warn")
    with broker.raw(5) as client:
        client.connect("c1")
        client.leave()
    with broker.raw(5) as client:
        client.connect("c2")
    broker.stop()
    assert not any("'c1'" in line or "'c2'" in line for line in broker.lines)
