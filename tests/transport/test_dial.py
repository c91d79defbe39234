"""The core dials: over each transport, to a broker of ours; the other end may be bad."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certs import Certs
from tests.conftest import Process, StartBroker, start_on_all_transports
from tests.dialling import Client, Home, lib, tls_client
from tests.transport.conftest import Serve

both = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def process(start_broker: StartBroker, certs: Certs, tmp_path: Path) -> Process:
    return start_on_all_transports(start_broker, certs, tmp_path)


def assert_speaks(client: Client, name: str) -> None:
    """Subscribe, publish at each QoS, receive, ping, unsubscribe, disconnect."""
    assert client.subscribe(1, f"{name}/#", 2).number == 2
    large = os.urandom(200_000)
    for qos in (0, 1, 2):
        client.publish(10 + qos, f"{name}/{qos}", large, qos)
        message = client.wait("MESSAGE")
        assert (message.text, message.number) == (f"{name}/{qos}", qos)
        assert (message.payload_len, message.payload) == (len(large), large[:1024])
    acked = [n for n in client.notes if n.kind == "ACKED"]
    while len(acked) < 2:
        acked.append(client.wait("ACKED"))
    assert sorted((n.id, n.number) for n in acked) == [(11, 0), (12, 0)]
    client.ping()
    client.wait("PONG")
    assert client.unsubscribe(2, f"{name}/#").id == 2
    client.disconnect()
    assert client.next().kind == "CLOSED"


@both
@pytest.mark.parametrize(
    "over", ["url", "tls.url", "websocket.url", "websocket.tls_url", "ipc"]
)
def test_a_client_of_ours_speaks_over(
    home: Home, process: Process, certs: Certs, tmp_path: Path, over: str, version: int
) -> None:
    client = home.client()
    path = "/mqtt" if over.startswith("websocket") else None
    with contextlib.ExitStack() as stack:
        more: dict[str, Any] = {}
        if "tls" in over:
            more["tls"] = stack.enter_context(tls_client(ca=certs.ca.certfile))
        if over == "ipc":
            host, port = str(tmp_path / "broker.sock"), 0
        else:
            host, port = "localhost" if "tls" in over else "127.0.0.1", process.ports[over]
        client.connect(host, port, path=path, version=version, **more)
    assert_speaks(client, f"t{version}")


# --- bad addresses


def says_nothing(connection: socket.socket) -> None:
    """Read on, as one that thinks for ever."""


def hangs_up(connection: socket.socket) -> None:
    connection.recv(1)
    connection.shutdown(socket.SHUT_RDWR)


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def treat(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return treat


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """Yield a port that answers no SYN: so many wait already."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        while True:
            probe = stack.enter_context(socket.socket())
            probe.settimeout(0.2)
            waiting.append(probe)
            try:
                probe.connect(listening.getsockname())
            except TimeoutError:
                break
        yield listening.getsockname()[1]


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def fails(client: Client, status: int, text: str, http_status: int = 0) -> None:
    note = client.next()
    assert note.kind == "FAILED", note
    assert text in note.text
    assert (note.number, note.id) == (status, http_status), note


def test_a_port_where_nobody_listens(home: Home) -> None:
    client, port = home.client(), unused_port()
    client.dial("127.0.0.1", port)
    fails(client, lib.NMQ_EREFUSED, f"tcp://127.0.0.1:{port}: Connection refused")


def test_every_address_of_a_name_is_tried(home: Home, process: Process) -> None:
    """localhost may be ::1 first, where nobody listens."""
    home.client().connect("localhost", process.port)


def test_a_name_that_nobody_has(home: Home) -> None:
    client = home.client()
    client.dial("no-such-host.invalid", 1883, path="/mqtt")
    note = client.next()
    assert note.kind == "FAILED"
    assert note.number in (lib.NMQ_ENOENT, lib.NMQ_EIO)  # EIO: there is no server to ask
    assert note.text.startswith("ws://no-such-host.invalid:1883/mqtt: the name cannot")


@pytest.mark.parametrize("kind", ["nothing", "no listener"])
def test_a_path_where_nobody_listens(home: Home, tmp_path: Path, kind: str) -> None:
    client, path = home.client(), tmp_path / "far.sock"
    if kind == "no listener":
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
    client.dial(str(path), 0)
    if kind == "nothing":
        fails(client, lib.NMQ_ENOENT, f"ipc://{path}: No such file or directory")
    else:
        fails(client, lib.NMQ_EREFUSED, f"ipc://{path}: Connection refused")


@pytest.mark.parametrize("how", ["tcp", "tls"])
def test_who_never_accepts_ends_by_the_deadline(home: Home, certs: Certs, how: str) -> None:
    client = home.client()
    with full_port() as port, tls_client(ca=certs.ca.certfile) as tls:
        more = {"tls": tls} if how == "tls" else {}
        client.dial("127.0.0.1", port, timeout_ms=300, **more)
        # nng says at times that it has connected before it has
        doing = "connecting" if how == "tcp" else ""
        fails(client, lib.NMQ_ETIMEOUT, f"no answer in time, {doing}")


def test_who_never_speaks_tls_ends_by_the_deadline(
    home: Home, certs: Certs, serve: Serve
) -> None:
    client, server = home.client(), serve(says_nothing)
    with tls_client(ca=certs.ca.certfile) as tls:
        client.dial("127.0.0.1", server.port, tls=tls, timeout_ms=300)
    fails(client, lib.NMQ_ETIMEOUT, "no answer in time, in the TLS handshake")
    assert server.hung_up.wait(20)


@pytest.mark.parametrize(
    ("treat", "status", "text"),
    [
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9), lib.NMQ_ECRYPTO, "is not TLS"),
        (hangs_up, lib.NMQ_ECLOSED, "closed before the handshake was over"),
    ],
    ids=["garbage", "hangs up"],
)
def test_who_speaks_no_tls(
    home: Home,
    certs: Certs,
    serve: Serve,
    treat: Callable[[socket.socket], None],
    status: int,
    text: str,
) -> None:
    client, server = home.client(), serve(treat)
    with tls_client(ca=certs.ca.certfile) as tls:
        client.dial("127.0.0.1", server.port, tls=tls, path="/mqtt")
    fails(client, status, text)
    assert server.hung_up.wait(20)


def test_a_certificate_that_is_not_trusted(
    home: Home, process: Process, certs: Certs
) -> None:
    port = process.ports["tls.url"]
    other = certs.stranger.certfile  # no CA of the server's
    with tls_client(ca=other) as tls:
        client = home.client()
        client.dial("localhost", port, tls=tls)
        fails(client, lib.NMQ_ECRYPTO, "no known CA has signed its certificate")
    with tls_client(ca=certs.ca.certfile, server_name="elsewhere.example") as tls:
        client = home.client()
        client.dial("localhost", port, tls=tls)
        fails(client, lib.NMQ_ECRYPTO, "its certificate is for another name")
    with tls_client(verify=False) as tls:  # whoever it is
        client = home.client()
        client.connect("localhost", port, tls=tls)
        assert_speaks(client, "anybody")


@pytest.mark.parametrize("min_version", [12, 13])
def test_a_client_shows_its_certificate(
    home: Home, start_broker: StartBroker, certs: Certs, min_version: int
) -> None:
    process = start_broker(
        tls__enable="true",
        tls__url="tls+nmq-tcp://127.0.0.1:0",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
        tls__cacertfile=str(certs.ca.certfile),
        tls__verify_peer="true",
        tls__fail_if_no_peer_cert="true",
    )
    with tls_client(
        ca=certs.ca.certfile,
        cert=certs.client.certfile,
        key=certs.client.keyfile,
        min_version=min_version,
    ) as tls:
        client = home.client()
        client.connect("localhost", process.ports["tls.url"], tls=tls)
        assert_speaks(client, "shown")
    with tls_client(ca=certs.ca.certfile) as tls:
        client = home.client()
        client.dial("localhost", process.ports["tls.url"], tls=tls)
        # TLS 1.3 tells after the client's handshake: then the connection ends
        assert client.next().kind in ("FAILED", "CLOSED")


@pytest.mark.parametrize(
    ("answer", "status", "http_status", "text"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "EREFUSED", 404, "answered with 404 Not Found"),
        (b"HTTP/1.1 200 \x1b[2J\r\n\r\n", "EREFUSED", 200, "answered with 200 ?[2J"),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "EMALFORMED", 101, "is not WebSocket"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "EMALFORMED", 0, "is not HTTP"),
        (b"HTTP/1.1 101 Yes\r\nA: " + b"b" * 9000, "EMALFORMED", 0, "too long"),
        (b"HTTP/1.1 099\r\n\r\n", "EREFUSED", 99, "answered with 99"),
        (b"HTTP/1.1 1e1 Yes\r\n\r\n", "EMALFORMED", 0, "is not HTTP"),
    ],
)
def test_an_upgrade_that_is_refused(
    home: Home, serve: Serve, answer: bytes, status: str, http_status: int, text: str
) -> None:
    client, server = home.client(), serve(says(answer))
    client.dial("127.0.0.1", server.port, path="/mqtt")
    fails(client, getattr(lib, f"NMQ_{status}"), text, http_status)
    assert server.hung_up.wait(20)


def test_a_path_that_is_not_the_one(home: Home, process: Process) -> None:
    client = home.client()
    client.dial("127.0.0.1", process.ports["websocket.url"], path="/other")
    fails(client, lib.NMQ_EREFUSED, "/other: the upgrade was answered with 404", 404)


@pytest.mark.parametrize("treat", [says_nothing, hangs_up])
def test_an_upgrade_without_an_answer(
    home: Home, serve: Serve, treat: Callable[[socket.socket], None]
) -> None:
    client, server = home.client(), serve(treat)
    client.dial("127.0.0.1", server.port, path="/mqtt", timeout_ms=300)
    if treat is hangs_up:
        fails(client, lib.NMQ_ECLOSED, "the connection was closed during the upgrade")
    else:
        fails(client, lib.NMQ_ETIMEOUT, "no answer in time, in the upgrade to WebSocket")
    assert server.hung_up.wait(20)


@pytest.mark.parametrize("how", ["tls", "upgrade"])
def test_a_dial_is_cancelled(home: Home, certs: Certs, serve: Serve, how: str) -> None:
    client, server = home.client(), serve(says_nothing)
    with tls_client(ca=certs.ca.certfile) as tls:
        more: dict[str, Any] = {"tls": tls} if how == "tls" else {"path": "/mqtt"}
        client.dial("127.0.0.1", server.port, **more)
    assert server.met.wait(20)
    client.cancel()
    fails(client, lib.NMQ_ECLOSED, "cancelled, ")
    assert server.hung_up.wait(20)


@pytest.mark.parametrize("how", ["name", "tcp", "tls", "ws", "ipc"])
def test_a_dial_is_cancelled_at_once(
    home: Home, certs: Certs, process: Process, tmp_path: Path, how: str
) -> None:
    where: dict[str, tuple[str, int]] = {
        "name": ("no-such-host.invalid", 1883),
        "tcp": ("127.0.0.1", process.port),
        "tls": ("127.0.0.1", process.ports["tls.url"]),
        "ws": ("127.0.0.1", process.ports["websocket.url"]),
        "ipc": (str(tmp_path / "broker.sock"), 0),
    }
    with tls_client(ca=certs.ca.certfile) as tls:
        more: dict[str, Any] = {"tls": tls} if how == "tls" else {}
        more.update({"path": "/mqtt"} if how == "ws" else {})
        for _ in range(20):
            client = home.client()
            client.dial(*where[how], **more)
            client.cancel()
            assert client.next().kind in ("FAILED", "CONNECTED")


@pytest.mark.parametrize(
    ("host", "port", "more"),
    [
        ("", 1883, {}),
        ("a" * 2000, 1883, {}),
        ("a" * 200, 0, {}),
        ("127.0.0.1", 1883, {"timeout_ms": 0}),
        ("127.0.0.1", 1883, {"path": "mqtt"}),
    ],
)
def test_what_cannot_be_dialled(
    home: Home, host: str, port: int, more: dict[str, Any]
) -> None:
    assert home.client().dial(host, port, **more) == lib.NMQ_EINVAL


def test_a_path_that_no_request_can_hold(home: Home, process: Process) -> None:
    client = home.client()
    client.dial(
        "127.0.0.1", process.ports["websocket.url"], path="/a HTTP/1.1\r\nHost: other"
    )
    fails(client, lib.NMQ_EINVAL, "argument out of range")
